"""The events of the other packages (vendors/o2g.md, section 2.3); pure data, top-level fields typed."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from msgspec import field

from streamd.connectors.o2g.entities import Number, PartyInfo, TrunkIdentification
from streamd.lenient import Entity

AgentStateWord = Literal["logged_off", "ready", "busy", "wrap_up", "paused", "withdrawn", "unknown"]
Told = str | Number
"""A date or a duration whose unit no document tells: as sent."""

_SUB_STATES: dict[str | None, AgentStateWord] = {
    "READY": "ready",
    "BUSY": "busy",
    "TRANSACTION_CODE_INPUT": "wrap_up",
    "WRAPUP": "wrap_up",
    "WRAPUP_IM": "wrap_up",
    "WRAPUP_EMAIL": "wrap_up",
    "WRAPUP_EMAIL_INTERRUPTIBLE": "wrap_up",
    "WRAPUP_OUTBOUND": "wrap_up",
    "WRAPUP_CALLBACK": "wrap_up",
    "PAUSE": "paused",
    "WITHDRAW": "withdrawn",
}


class AgentOperationalState(Entity):
    """O2G's own words for an agent: `main_state` LOG_ON, LOG_OFF, ERROR or UNKNOWN, and what he does."""

    main_state: str | None = None
    sub_state: str | None = None
    pro_acd_device_number: str | None = None
    pg_number: str | None = None
    withdraw_reason: int | None = None
    withdrawn: bool | None = None


def agent_state(state: AgentOperationalState | None) -> AgentStateWord:
    """Give the canonical state of an agent."""
    if state is None:
        return "unknown"
    if state.main_state == "LOG_OFF":
        return "logged_off"
    return _SUB_STATES.get(state.sub_state, "unknown") if state.main_state == "LOG_ON" else "unknown"


def _unknown() -> AgentStateWord:
    return "unknown"  # from a factory, for it is published like any other


class AgentStateChanged(Entity):
    """OnAgentStateChanged, asked for (phase snapshot) or not."""

    own: ClassVar[frozenset[str]] = frozenset({"extra", "agent_state"})

    event_name: str | None = None
    login_name: str | None = None
    agent_state: AgentStateWord = field(default_factory=_unknown)
    state: AgentOperationalState | None = None


class AgentStateData(Entity):
    """The state of an agent now."""

    login_name: str | None = None
    agent_state: AgentStateWord = field(default_factory=_unknown)
    state: AgentOperationalState | None = None


class Skill(Entity):
    """One skill of an agent."""

    number: int | None = None
    level: int | None = None
    active: bool | None = None
    domain: Told | None = None
    name: str | None = None
    abv_name: str | None = None


class Skills(Entity):
    """The skills of an agent; one SDK expects the bare list, which is put in here."""

    skills: list[Skill] | None = None


class AgentSkillChanged(Entity):
    """OnAgentSkillChanged."""

    event_name: str | None = None
    login_name: str | None = None
    skills: Skills | None = None


class SupervisorHelp(Entity):
    """OnSupervisorHelpRequested, OnSupervisorHelpCancelled."""

    event_name: str | None = None
    login_name: str | None = None
    agent_number: str | None = None


class PilotCallData(Entity):
    """The call at a pilot; here `initial_called` is a number."""

    initial_called: str | PartyInfo | None = None
    anonymous: bool | None = None
    associated_data: str | None = None
    hexa_binary_associated_data: str | None = None
    trunk_identification: TrunkIdentification | None = None
    network_rerouted: bool | None = None


class PilotCall(Entity):
    """OnPilotCallCreated, OnPilotCallQueued, OnPilotCallRemoved."""

    event_name: str | None = None
    pilot: str | None = None
    call_ref: str | None = None
    caller: str | PartyInfo | None = None
    queue: str | None = None
    cause: str | None = None
    number_of_queued: int | None = None
    releasing_device: str | None = None
    new_destination: str | None = None
    call_data: PilotCallData | None = None


class EventSummary(Entity):
    """Counters of what waits for a user; null is unknown."""

    missed_calls_nb: int | None = None
    voice_messages_nb: int | None = None
    call_back_requests_nb: int | None = None
    fax_nb: int | None = None
    new_text_nb: int | None = None
    old_text_nb: int | None = None
    event_waiting: bool | None = None


class EventSummaryUpdated(Entity):
    """OnEventSummaryUpdated."""

    event_name: str | None = None
    login_name: str | None = None
    event_summary: EventSummary | None = None


class ComParticipant(Entity):
    """Somebody in a communication record: CALLER, CALLEE or UNKNOWN."""

    role: str | None = None
    answered: bool | None = None
    identity: PartyInfo | None = None
    anonymous: bool | None = None
    initial_called: PartyInfo | str | None = None
    reason: str | None = None
    leg: Any = None


class ComRecord(Entity):
    """A record of the communication log, with times of its own, as sent."""

    record_id: int | None = None
    com_ref: str | None = None
    acknowledged: bool | None = None
    participants: list[ComParticipant] | None = None
    begin_date: Told | None = None
    conv_date: Told | None = None
    end_date: Told | None = None
    hold_duration: Told | None = None
    transferred_by: PartyInfo | str | None = None
    associated_data: str | None = None


class ComRecordChanged(Entity):
    """OnComRecordCreated, OnComRecordModified."""

    event_name: str | None = None
    login_name: str | None = None
    record: ComRecord | None = None


class ComRecordsMarked(Entity):
    """OnComRecordsAck, OnComRecordsUnAck, OnComRecordsDeleted; without ids: all of the user's records."""

    event_name: str | None = None
    login_name: str | None = None
    record_ids: list[int] | None = None


class Destination(Entity):
    """Where calls are routed to."""

    type: str | None = None
    number: str | None = None
    selected: bool | None = None


class Route(Entity):
    """A presentation, forward or overflow route."""

    forward_type: str | None = None
    overflow_type: str | None = None
    destinations: list[Destination] | None = None


class DndState(Entity):
    """Do not disturb."""

    activate: bool | None = None


class RoutingState(Entity):
    """How a user's calls are routed."""

    presentation_routes: list[Route] | None = None
    forward_routes: list[Route] | None = None
    overflow_routes: list[Route] | None = None
    dnd_state: DndState | None = None


class RoutingStateChanged(Entity):
    """OnRoutingStateChanged, asked for (phase snapshot) or not."""

    event_name: str | None = None
    login_name: str | None = None
    routing_state: RoutingState | None = None
