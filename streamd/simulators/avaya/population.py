"""Let agents and queues live: who they are, what they do next and what that changes.

Measures are those of the seed, of the catalogue's examples and, for the rest, names from the historical
reports (vendors/avaya.md section 3). Every value is a string (seed). Every dict is in sorted order of its
names, so that its plain JSON is also its canonical JSON. Nothing here reads a clock or draws a number by
itself: `now_ms` is epoch milliseconds, `draw` a number in [0, 1).
"""

from __future__ import annotations

from typing import Protocol
from urllib.parse import quote

from msgspec import Struct

Keys = tuple[tuple[str, str], ...]
Measures = dict[str, str]

CHANNELS = ("VOICE", "EMAIL", "CHAT", "MESSAGING")
KINDS = ("AgentByChannel", "Agent", "QueueByChannel", "Queue")

_FIRST = ("Ada", "Björn", "Chloé", "Dragan", "Émile", "Fatma", "Grażyna", "花子")
_ASCII_FIRST = ("Ada", "Bjorn", "Chloe", "Dragan", "Emile", "Fatma", "Grazyna", "Hanako")
_NOT_READY_REASONS = ("Break", "Lunch", "Training", "Meeting")


class Life(Protocol):
    """What happens to one key: `step` and `reset` return the measures that they changed."""

    def birth(self, now_ms: int) -> Measures: ...
    def step(self, now_ms: int, draw: float) -> Measures: ...
    def reset(self, now_ms: int) -> Measures: ...


class Style(Struct, frozen=True):
    """How new keys are written (rows 17 and section 3, trap 1)."""

    non_ascii_names: bool = False
    awkward_keys: bool = False
    keys_by_channel: bool = False


def kind_of(producer: str) -> str | None:
    """Return the kind of `producer` (`<Name>_<processor>_<semver>`), None when it cannot be played."""
    name, _, rest = producer.partition("_")
    return name if name in KINDS and rest.startswith("itd_") else None


def make(kind: str, index: int, seed: int, style: Style) -> tuple[Keys, Life]:
    """Return the key pairs, sorted by name, and the life of the `index`-th key of a producer of `kind`."""
    by_channel = kind.endswith("ByChannel")
    who, channel = (index // len(CHANNELS), CHANNELS[index % len(CHANNELS)]) if by_channel else (index, "")
    if kind.startswith("Agent"):
        pairs = {"agentId": _id(seed, who, style, "agent")}
        life: Life = Agent(who, style)
    else:
        pairs = {"queueId": _id(seed, who, style, "q")}
        life = Queue(who, style)
    if by_channel:
        pairs["channelId"] = channel
    elif style.keys_by_channel and kind == "Queue":
        pairs = {"channelId": CHANNELS[who] if who < len(CHANNELS) else f"{CHANNELS[who % 4]}-{who // 4}"}
    return tuple(sorted(pairs.items())), life


def _id(seed: int, number: int, style: Style, prefix: str) -> str:
    if style.awkward_keys:
        return f"{prefix}|{number}&a=b%2F/ ü"
    if prefix == "q":
        return f"q-{number}"
    return f"{seed & 0xFFFFFFFF:08x}-24ee-4e50-98af-{number:012x}"


class Agent:
    """One agent: READY, BUSY with a contact, ACW after it, now and then NOT_READY with a reason.

    `timeInState` is the epoch millisecond of the last change and strictly increases, so no two LIVE
    messages of one agent are alike. Durations are in milliseconds (their true unit is unknown: section 3).
    """

    __slots__ = ("active", "acw", "display", "first", "idle", "last", "login", "on", "since", "state")

    def __init__(self, number: int, style: Style) -> None:
        names = _FIRST if style.non_ascii_names else _ASCII_FIRST
        self.first = names[number % len(names)]
        self.last = f"agent{number}"
        self.display = f"{self.first} {self.last}"
        self.login = f"{quote(self.first.lower(), safe='')}.{self.last}@example.com"
        self.state = "READY"
        self.since = self.on = 0
        self.idle = self.active = self.acw = 0

    def birth(self, now_ms: int) -> Measures:
        self.since = self.on = now_ms
        return self._all()

    def step(self, now_ms: int, draw: float) -> Measures:
        now_ms = max(now_ms, self.since + 1)
        spent, was = now_ms - self.since, self.state
        self.since = now_ms
        if was == "BUSY":
            self.active += spent
            self.state = "ACW" if draw < 0.85 else "READY"
            return {"activeDuration": str(self.active), **self._presence()}
        if was == "READY":
            self.idle += spent
            self.state = "BUSY" if draw < 0.8 else "NOT_READY"
        elif was == "ACW":
            self.acw += spent
            self.state = "READY" if draw < 0.9 else "NOT_READY"
            return {"acwDuration": str(self.acw), **self._presence()}
        else:
            self.state = "READY"
        return self._presence()

    def reset(self, now_ms: int) -> Measures:
        self.since = max(now_ms, self.since + 1)
        self.idle = self.active = self.acw = 0
        return self._all()

    def _presence(self) -> Measures:
        """Return the 14 measures that the seed's LIVE example of an agent holds."""
        since, state = str(self.since), self.state
        return {
            "agentDisplayName": self.display,
            "agentFirstName": self.first,
            "agentLastName": self.last,
            "agentLoginId": self.login,
            "agentLogonDuration": str(self.since - self.on),
            "agentState": state,
            "idleTimeDuration": str(self.idle),
            "reasonCodeName": _NOT_READY_REASONS[self.since % 4] if state == "NOT_READY" else "N/A",
            "timeActive": since if state == "BUSY" else "0",
            "timeInACW": since if state == "ACW" else "0",
            "timeInState": since,
            "timeLoggedIn": str(self.on),
            "timeOnHold": "0",
            "userStatus": "Live",
        }

    def _all(self) -> Measures:
        rare = {
            "abandonedFromAlerting": "0",
            "activeDuration": str(self.active),
            "acwDuration": str(self.acw),
            "alertDuration": "0",
            "coachedDuration": "0",
            "consultDuration": "0",
            "holdDuration": "0",
            "transferred": "0",
        }
        return dict(sorted({**rare, **self._presence()}.items()))


class Queue:
    """One queue: contacts are offered, answered and completed, now and then one is abandoned.

    Each step raises one interval-to-date counter, so no two LIVE messages of one queue are alike until the
    counters are reset.
    """

    __slots__ = (
        "abandoned",
        "active",
        "active_duration",
        "alert_duration",
        "answered",
        "completed",
        "name",
        "offered",
    )

    def __init__(self, number: int, style: Style) -> None:
        self.name = f"Kö {number} 队列" if style.non_ascii_names else f"Queue {number}"
        self.reset(0)

    def birth(self, now_ms: int) -> Measures:
        return self._all()

    def step(self, now_ms: int, draw: float) -> Measures:
        waiting = self.offered - self.answered - self.abandoned
        if self.active and draw < 0.33:
            self.completed += 1
            self.active -= 1
            self.active_duration += 1 + int(draw * 1000)
            return {
                "Completed": str(self.completed),
                "active": str(self.active),
                "activeDuration": str(self.active_duration),
            }
        if waiting and draw < 0.63:
            self.answered += 1
            self.active += 1
            self.alert_duration += 1 + int(draw * 10)
            return {
                "Answered": str(self.answered),
                "active": str(self.active),
                "alertDuration": str(self.alert_duration),
                "contactsQueueing": str(waiting - 1),
            }
        if waiting and draw < 0.66:
            self.abandoned += 1
            return {"abandonedFromQueue": str(self.abandoned), "contactsQueueing": str(waiting - 1)}
        self.offered += 1
        return {"Offered": str(self.offered), "contactsQueueing": str(waiting + 1)}

    def reset(self, now_ms: int) -> Measures:
        self.offered = self.answered = self.completed = self.abandoned = self.active = 0
        self.active_duration = self.alert_duration = 0
        return self._all()

    def _all(self) -> Measures:
        return {
            "Answered": str(self.answered),
            "Completed": str(self.completed),
            "Offered": str(self.offered),
            "abandonedFromAlerting": "0",
            "abandonedFromQueue": str(self.abandoned),
            "active": str(self.active),
            "activeAgentsInACW": "0",
            "activeDuration": str(self.active_duration),
            "activeEngagementsInACW": "0",
            "alertDuration": str(self.alert_duration),
            "coached": "0",
            "coachedDuration": "0",
            "coaching": "0",
            "coachingDuration": "0",
            "contactsQueueing": str(self.offered - self.answered - self.abandoned),
            "isDefaultQueue": "false",
            "queueName": self.name,
        }
