"""Make the RTI events from what agents and pilots do (vendors/o2g.md sections 1.8 and 2.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamd.simulators.o2g.exchange import Exchange
from streamd.simulators.o2g.people import GROUP, QUEUE, Agent, Pilot, User
from streamd.simulators.o2g.wire import Line, line

OTHER_GROUP = "3951"
FILTERS = ("agentFilter", "pilotFilter", "queueFilter", "pgAgentFilter", "pgOtherFilter")
_SERVICE = {"WITHDRAW": "Withdrawn", "OUT_OF_PG": "LoggedIn"}


@dataclass(eq=False)
class RtiContext:
    """What one session asked to be told: filter name -> numbers; it tells nothing before `started`."""

    observation_minutes: int
    notify_seconds: float
    filters: Mapping[str, Mapping[str, Any]]
    started: bool = False
    due: float = 0.0
    told: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def to_wire(self) -> dict[str, Any]:
        return {
            "obsPeriod": self.observation_minutes,
            "notifFrequency": self.notify_seconds,
            "filter": self.filters,
        }

    def news(self, exchange: Exchange) -> list[Line]:
        """Return an event for each chosen object that is not as it was told last."""
        lines = []
        for name, number, body in self._chosen(exchange):
            if self.told.get((name, number)) != body:
                self.told[name, number] = body
                lines.append(line("rti", number, {"eventName": name, **body}))
        return lines

    def _chosen(self, exchange: Exchange) -> list[tuple[str, str, dict[str, Any]]]:
        found = []
        for filter_name, (name, objects) in _objects(exchange).items():
            wanted = self.filters.get(filter_name) or {}
            attributes = wanted.get("attributes") or ["ALL"]
            found += [
                (name, number, _narrowed(objects[number], attributes))
                for number in wanted.get("numbers") or ()
                if number in objects
            ]
        return found


def numbers(exchange: Exchange, filter_name: str) -> list[str]:
    """Return the numbers of the objects that `filter_name` can choose."""
    return list(_objects(exchange)[filter_name][1])


def _narrowed(body: dict[str, Any], attributes: Sequence[str]) -> dict[str, Any]:
    if "ALL" in attributes:
        return body
    return {name: value for name, value in body.items() if name in ("name", "number", *attributes)}


def _objects(exchange: Exchange) -> Mapping[str, tuple[str, Mapping[str, dict[str, Any]]]]:
    people = exchange.people
    agents = {
        user.number: _agent(user, user.agent) for user in people.users.values() if user.agent is not None
    }
    pilots = {pilot.number: _pilot(pilot) for pilot in people.pilots.values()}
    return {
        "agentFilter": ("OnAgentRtiChanged", agents),
        "pilotFilter": ("OnPilotRtiChanged", pilots),
        "queueFilter": ("OnQueueRtiChanged", {QUEUE: _queue(exchange)}),
        "pgAgentFilter": ("OnPGAgentRtiChanged", {GROUP: _agent_group(exchange)}),
        "pgOtherFilter": ("OnPGOtherRtiChanged", {OTHER_GROUP: _other_group()}),
    }


def _agent(user: User, agent: Agent) -> dict[str, Any]:
    state = "LoggedOut" if agent.main_state != "LOG_ON" else _SERVICE.get(agent.sub_state, "Assigned")
    return {
        "name": user.last,
        "firstName": user.first,
        "number": user.number,
        "type": "Normal",
        "logonDate": agent.logon_ms,
        "serviceState": state,
        "serviceStateDate": agent.since_ms,
        "phoneState": "AcdCall" if agent.sub_state == "BUSY" else "Idle",
        "phoneStateDate": agent.since_ms,
        "nbOfWithdrawals": agent.withdrawals,
        "withdrawalsTotalDuration": 0,
        "nbOfPrivateCalls": 0,
        "privateCallsTotalDuration": 0,
        "nbOfServedACDCalls": agent.served,
        "nbOfOutgoingACDCalls": 0,
        "nbOfRefusedACDCalls": agent.refused,
        "nbOfInterceptedACDCalls": 0,
        "nbOfTransferedACDCalls": 0,
        "currentPG": GROUP,
        "associatedSet": user.number,
        "withdrawReason": agent.withdraw_reason or 0,
        "afeKey": int(user.number),
    }


def _pilot(pilot: Pilot) -> dict[str, Any]:
    return {
        "name": f"Pilot {pilot.number}",
        "number": pilot.number,
        "state": "Opened",
        "nbOfRunningCalls": len(pilot.waiting) + pilot.in_conversation,
        "serviceLevel": 95,
        "efficiency": 90,
        "nbOfWaitingCalls": len(pilot.waiting),
        "nbOfRingingACDCalls": 0,
        "nbOfMutualAidCalls": 0,
        "nbOfDissuadedCalls": 0,
        "nbOfCallsInConversation": pilot.in_conversation,
        "nbOfCallsInGeneralForwarding": 0,
        "nbOfCallsInRemotePG": 0,
        "incomingTraffic": pilot.incoming,
        "averageWaitingTime": 3,
        "worstServiceLevelInList": 95,
        "bestServiceLevelInList": 95,
        "worstEfficiencyInList": 90,
        "bestEfficiencyInList": 90,
        "afeKey": int(pilot.number),
    }


def _queue(exchange: Exchange) -> dict[str, Any]:
    pilots = exchange.people.pilots.values()
    return {
        "name": "Main queue",
        "number": QUEUE,
        "type": "Normal",
        "state": "Opened",
        "nbOfAgentsInDistribution": _count(exchange, "READY"),
        "incomingTraffic": sum(pilot.incoming for pilot in pilots),
        "outgoingTraffic": sum(pilot.incoming - len(pilot.waiting) for pilot in pilots),
        "nbOfWaitingCalls": sum(len(pilot.waiting) for pilot in pilots),
        "currentWaitingTime": 0,
        "fillingRate": 0,
        "expectedWaitingTime": 0,
        "longestWaitingTimeInList": 0,
        "afeKey": int(QUEUE),
    }


def _agent_group(exchange: Exchange) -> dict[str, Any]:
    logged_on = sum(agent.main_state == "LOG_ON" for agent in exchange.people.agents())
    busy, withdrawn = _count(exchange, "BUSY"), _count(exchange, "WITHDRAW")
    return {
        "name": "Agents",
        "number": GROUP,
        "type": "Agent",
        "state": "Opened",
        "nbOfWithdrawnAgents": withdrawn,
        "nbOfAgentsInPrivateCall": 0,
        "nbOfAgentsInACDCall": busy,
        "nbOfAgentsInACDRinging": 0,
        "nbOfAgentsInACDConv": busy,
        "nbOfAgentsInWrapupAndTransaction": _count(exchange, "WRAPUP"),
        "nbOfAgentsInPause": _count(exchange, "PAUSE"),
        "nbOfBusyAgents": busy,
        "nbOfLoggedOnAgents": logged_on,
        "nbOfFreeAgents": _count(exchange, "READY"),
        "nbOfIdleAgents": _count(exchange, "READY"),
        "nbOfLoggedOnAndNotWithdrawnAgents": logged_on - withdrawn,
        "incomingTraffic": sum(pilot.incoming for pilot in exchange.people.pilots.values()),
        "consolidatedPilotsServiceLevel": 95,
        "consolidatedPilotsEfficiency": 90,
        "consolidatedQueuesWaitingTime": 0,
        "consolidatedQueuesNbOfWaitingCalls": 0,
        "consolidatedQueuesEWT": 0,
        "pilotsWorstServiceLevel": 95,
        "pilotsBestServiceLevel": 95,
        "pilotsWorstEfficiency": 90,
        "pilotsBestEfficiency": 90,
        "queuesLongestWaitingTime": 0,
        "afeKey": int(GROUP),
    }


def _other_group() -> dict[str, Any]:
    return {
        "name": "Overflow",
        "number": OTHER_GROUP,
        "type": "mutualAid",
        "state": "Opened",
        "nbOfACDCalls": 0,
        "incomingTraffic": 0,
        "afeKey": int(OTHER_GROUP),
    }


def _count(exchange: Exchange, sub_state: str) -> int:
    return sum(agent.sub_state == sub_state for agent in exchange.people.agents())
