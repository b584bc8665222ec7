"""Know the users of the OXE, its agents, pilots, queues and groups, and how O2G writes them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamd.simulators.o2g.calls import CallView

NODE = "407"
GROUP = "3901"  # the processing group of all agents
QUEUE = "3801"
_FIRST = ("Anna", "Ben", "Carla", "David", "Emma", "Felix", "Greta", "Hugo", "Ines", "Jonas")
_LAST = ("Martin", "Keller", "Rossi", "Dubois", "Novak", "Larsen", "Costa", "Meyer", "Petit", "Weber")
_FIRST_WIDE = ("Zoë", "Jürgen", "Łukasz", "Ólafur", "Дарья", "陽子", "אורי", "😀mil")
_LAST_WIDE = ("Müller", "Çelik", "Nuñez", "Žižka", "Иванова", "山田", "כהן", "Ångström")


@dataclass(eq=False)
class User:
    """One user with one device, whose id is his number; `calls` are the calls as he sees them."""

    login: str
    number: str
    first: str
    last: str
    state: str = "FREE"
    device_state: str = "IN_SERVICE"
    calls: dict[str, CallView] = field(default_factory=dict)
    agent: Agent | None = None
    forward_to: str = ""
    do_not_disturb: bool = False
    missed: int = 0
    records: int = 0

    def party(self) -> dict[str, Any]:
        """Return PartyInfo."""
        return {
            "id": {"loginName": self.login, "phoneNumber": self.number},
            "firstName": self.first,
            "lastName": self.last,
            "type": {"main": "USER"},
        }

    def info(self) -> dict[str, Any]:
        """Return what `GET /users/{loginName}` gives (section 1.5)."""
        return {
            "companyPhone": self.number,
            "firstName": self.first,
            "lastName": self.last,
            "loginName": self.login,
            "voicemail": {"number": "8000", "type": "VM_4645"},
            "devices": [{"type": "DESKPHONE", "id": self.number, "subType": "SIP_Extension"}],
            "nodeId": NODE,
        }

    def routing(self) -> dict[str, Any]:
        """Return routingState (section 2.3)."""
        forward = [
            {"forwardType": "UNCONDITIONAL", "destinations": [{"type": "NUMBER", "number": self.forward_to}]}
        ]
        return {
            "presentationRoutes": [],
            "forwardRoutes": forward if self.forward_to else [],
            "overflowRoutes": [],
            "dndState": {"activate": True} if self.do_not_disturb else {},
        }

    def summary(self) -> dict[str, Any]:
        """Return eventSummary (section 2.3)."""
        counts = {"missedCallsNb": self.missed, "voiceMessagesNb": 0, "callBackRequestsNb": 0, "faxNb": 0}
        return {**counts, "newTextNb": 0, "oldTextNb": 0, **({"eventWaiting": True} if self.missed else {})}


@dataclass(eq=False)
class External:
    """Somebody outside: a number, no login."""

    number: str
    name: str

    def party(self) -> dict[str, Any]:
        """Return PartyInfo."""
        return {"id": {"phoneNumber": self.number}, "displayName": self.name, "type": {"main": "EXTERNAL"}}


Party = User | External


@dataclass(eq=False)
class Agent:
    """What the contact centre knows of a user; counters are the day's, for the RTI events."""

    login: str
    number: str
    main_state: str = "LOG_OFF"
    sub_state: str = ""
    withdraw_reason: int | None = None
    logon_ms: int = 0
    since_ms: int = 0
    served: int = 0
    refused: int = 0
    withdrawals: int = 0
    skills: dict[int, int] = field(default_factory=lambda: {101: 3, 102: 1})

    def state(self, withdrawn_name: str = "withdrawn") -> dict[str, Any]:
        """Return `state` of OnAgentStateChanged."""
        found: dict[str, Any] = {"mainState": self.main_state}
        if self.main_state == "LOG_ON":
            found |= {"subState": self.sub_state, "proAcdDeviceNumber": self.number, "pgNumber": GROUP}
        if self.withdraw_reason is not None:
            found |= {"withdrawReason": self.withdraw_reason, withdrawn_name: True}
        return found

    def skill_list(self) -> list[dict[str, Any]]:
        return [
            {"number": number, "level": level, "active": True}
            for number, level in sorted(self.skills.items())
        ]


@dataclass(eq=False)
class Pilot:
    """One pilot and the calls that wait before it: callRef -> caller."""

    number: str
    waiting: dict[str, External] = field(default_factory=dict)
    in_conversation: int = 0
    incoming: int = 0


class People:
    """Everybody, by login and by number."""

    def __init__(self, users: int, agents: int, pilots: int, *, wide_names: bool) -> None:
        self.users: dict[str, User] = {}
        self.by_number: dict[str, User] = {}
        self.pilots = {str(3001 + place): Pilot(str(3001 + place)) for place in range(pilots)}
        self._wide = wide_names
        for place in range(users):
            self.add(f"oxe{1001 + place}", str(1001 + place))
        for place in range(agents):
            user = self.add(f"oxe{2001 + place}", str(2001 + place))
            user.agent = Agent(user.login, user.number)

    def add(self, login: str, number: str) -> User:
        first, last = (_FIRST_WIDE, _LAST_WIDE) if self._wide else (_FIRST, _LAST)
        place = len(self.users)
        user = User(login, number, first[place % len(first)], last[(place * 3) % len(last)])
        self.users[login] = self.by_number[number] = user
        return user

    def remove(self, login: str) -> None:
        user = self.users.pop(login)
        self.by_number.pop(user.number)

    def agents(self) -> Iterator[Agent]:
        return (user.agent for user in self.users.values() if user.agent is not None)

    def agent(self, login: str) -> Agent:
        agent = self.users[login].agent
        if agent is None:
            raise ValueError(f"{login} is no agent")
        return agent


def outsider(draw: random.Random) -> External:
    """Return somebody who calls from outside."""
    number = f"+33155{draw.randrange(1_000_000):06d}"
    return External(number, f"Customer {number[-4:]}")
