"""Be the OXE: everybody's state, whatever number of O2G servers tell of it.

What happens is queued by `emit` and handed to the outlet by `flush`, at the end of each step.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamd.simulators.o2g import oddities
from streamd.simulators.o2g.calls import Style, telephonic_state
from streamd.simulators.o2g.options import O2gOptions
from streamd.simulators.o2g.people import NODE, People, User
from streamd.simulators.o2g.wire import Line, line
from streamd.simulators.switches import Switches

# What O2G learns from OXE over the CTI link; the rest it tells by itself.
_OVER_THE_LINK = frozenset(("telephony", "agent", "pilot", "rsi", "rti", "unifiedComLog", "eventSummary"))
# packages whose state a link that is back sends again (row 21)
_RESENT = ("telephony", "agent")

Outlet = Callable[[Sequence[Line]], None]


class Exchange:
    """The users and what happens to them.

    `outlet` is handed the lines of each step, in order. `asked_for` are the packages that anybody ever
    subscribed to: events of others are not even written.
    """

    def __init__(self, options: O2gOptions, faults: Switches, outlet: Outlet) -> None:
        self.options = options
        self.faults = faults
        self.random = random.Random(options.seed)  # noqa: S311 - a test wants the same run for the same seed
        wide = faults.has("non-ascii-names")
        self.people = People(options.users, options.agents, options.pilots, wide_names=wide)
        self.asked_for: set[str] = set()
        self.linked = True
        self._untold = 0
        self._outlet = outlet
        self._pending: list[Line] = []
        self._changed: dict[tuple[str, str], None] = {}
        self._base = self.random.getrandbits(32)
        self._refs = 0
        self.live_refs: set[str] = set()

    @property
    def style(self) -> Style:
        has = self.faults.has
        return Style(opaque=has("opaque-participants"), data_kept=has("call-data-kept"))

    def user(self, login: str) -> User:
        """Return a user by login or number; ValueError when there is none."""
        found = self.people.users.get(login) or self.people.by_number.get(login)
        if found is None:
            raise ValueError(f"{login!r} is no user")
        return found

    def new_ref(self) -> str:
        """Return a call reference: 16 hex digits, of a pool where the switch says so (row 18)."""
        pool = int(self.faults.number("reuse-callrefs"))
        for number in range(pool):
            ref = f"{self._base:08x}{number:06x}00"
            if ref not in self.live_refs:
                break
        else:
            self._refs += 1
            ref = f"{self._base:08x}{self._refs + pool:06x}00"
        self.live_refs.add(ref)
        return ref

    # Telling

    def emit(self, package: str, subject: str, event: Mapping[str, Any]) -> None:
        """Queue `event`; while the link is down it is lost, and only remembered as a change."""
        if not self.linked and package in _OVER_THE_LINK:
            self._changed[package, subject] = None
            self._untold += 1
            return
        if package not in self.asked_for:
            self._untold += not self.asked_for
            return
        if self.faults.has("extra-fields"):
            event = {**event, "vendorHint": {"build": 7}, "vendorFlag": "x"}
        if self.faults.has("null-fields"):
            event = {
                **event,
                **{name: None for name in ("cause", "firstName", "callData") if name not in event},
            }
        self._pending.append(line(package, subject, event))

    def flush(self) -> int:
        """Hand what is queued to the outlet; return how many events that was.

        Those of a link that is down count, too, and all of them as long as nobody has asked for any.
        """
        pending, self._pending = self._pending, []
        count, self._untold = len(pending) + self._untold, 0
        if pending and self.faults.has("shuffle-users"):
            pending = _interleave(pending, self.random)
        if pending:
            self._outlet(oddities.mixed_in(pending, self.faults, self.random))
        return count

    def telephony_state(self, user: User) -> dict[str, Any]:
        """Return the OnTelephonyState of `user` as he is now."""
        state = telephonic_state(user, nested=self.faults.has("device-states-nested"))
        return {"eventName": "OnTelephonyState", "loginName": user.login, "state": state}

    def agent_state(self, user: User) -> dict[str, Any]:
        """Return the OnAgentStateChanged of `user` as he is now."""
        agent = self.people.agent(user.login)
        name = "withdraw" if self.faults.has("withdraw-node") else "withdrawn"
        return {"eventName": "OnAgentStateChanged", "loginName": user.login, "state": agent.state(name)}

    # The link to O2G (row 21)

    def link(self, kind: str, *, up: bool) -> None:
        """Let the `Cti` or `Pbx` link go down or come back."""
        if kind not in ("Cti", "Pbx"):
            raise ValueError(f"{kind!r}: Cti or Pbx")
        self.linked = up
        self.emit("system", "", {"eventName": f"On{kind}Link{'Up' if up else 'Down'}", "nodeId": NODE})
        if up:
            self.emit("system", "", {"eventName": "OnPbxLoaded", "nodeId": NODE})
            changed, self._changed = self._changed, {}
            if self.faults.has("link-resends"):
                self._resend(changed)
        self.flush()

    def _resend(self, changed: Mapping[tuple[str, str], None]) -> None:
        for package, subject in changed:
            user = self.people.users.get(subject)
            if user is None or package not in _RESENT:
                continue
            self.emit(
                package,
                subject,
                self.telephony_state(user) if package == "telephony" else self.agent_state(user),
            )

    @staticmethod
    def now_ms() -> int:
        return time.time_ns() // 1_000_000


def _interleave(lines: Sequence[Line], draw: random.Random) -> list[Line]:
    """Return `lines` in another order that keeps that of each subject (row 19)."""
    streams: dict[tuple[str, str], list[Line]] = {}
    for each in reversed(lines):
        streams.setdefault((each.package, each.subject), []).append(each)
    found: list[Line] = []
    waiting = list(streams.values())
    while waiting:
        stream = waiting[int(draw.random() * len(waiting))]
        found.append(stream.pop())
        if not stream:
            waiting.remove(stream)
    return found
