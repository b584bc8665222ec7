"""Turn what O2G says into events; pure. The names follow INTERFACE.md, "Events" and "Topics"."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from streamd.connectors.o2g.administration import Unknown
from streamd.connectors.o2g.catalogue import KINDS, PACKAGES, UNKNOWN
from streamd.connectors.o2g.contact_center import AgentStateData, ComRecord, ComRecordChanged
from streamd.connectors.o2g.telephony import CallRemoved, CallStateData, Reason
from streamd.lenient import Entity
from streamd.model import Event, Phase, State, Stream

STREAMS: Mapping[str, Stream] = {name: Stream("o2g", name) for name in PACKAGES}
UNKNOWN_STREAM = Stream("o2g", "unknown")
TELEPHONY, AGENT = STREAMS["telephony"], STREAMS["agent"]
CALLS_STATE = Stream("o2g", "calls.state", "compact")
AGENTS_STATE = Stream("o2g", "agents.state", "compact")
CALL_REMOVED = KINDS["OnCallRemoved"].event_type
CALL_STATE, AGENT_STATE = "streamd.call.state", "streamd.agent.state"
STATE_SCHEMAS: Mapping[str, type] = {CALL_STATE: CallStateData, AGENT_STATE: AgentStateData}

SCHEMAS: Mapping[str, type] = {
    **{kind.event_type: kind.entity for kind in KINDS.values()},
    UNKNOWN: Unknown,
    **STATE_SCHEMAS,
}
STREAM_OF: Mapping[str, Stream] = {
    **{kind.event_type: STREAMS[kind.package] for kind in KINDS.values()},
    UNKNOWN: UNKNOWN_STREAM,
    CALL_STATE: CALLS_STATE,
    AGENT_STATE: AGENTS_STATE,
}

# The first of these that an event has is whose it is, its key; and what it is about, its subject.
_OWNERS = ("login_name", "pilot", "number")
_SUBJECTS = ("call_ref", "login_name", "pilot", "number", "object_id", "node_id", "host", "rsi_point")

Get = Callable[[Any], str | None]


class _Way(NamedTuple):
    """How the event of one name is made: compiled, for there are many of them."""

    package: str
    event_type: str
    owner: Get
    subject: Get
    time: Callable[[Any], datetime | None] | None


def streams(packages: Iterable[str]) -> Sequence[Stream]:
    """Give the streams of a connector that is subscribed to these packages."""
    found = [STREAMS[name] for name in packages]
    states = [state for of, state in ((TELEPHONY, CALLS_STATE), (AGENT, AGENTS_STATE)) if of in found]
    return [*found, *states, UNKNOWN_STREAM]


class Normaliser:
    """Makes the events of one connector. What comes of a package that it is not subscribed to has no topic
    of its own, and goes to that of the unknown."""

    def __init__(self, packages: Iterable[str]) -> None:
        self._streams = {name: STREAMS[name] for name in packages}

    def event(self, data: Any, received: datetime, phase: Phase) -> Event:
        """Make the event of what was decoded."""
        way = _WAYS.get(data.event_name)
        if way is None:
            whose = _owner_of_unknown(data)
            return Event(UNKNOWN_STREAM, whose or "unknown", UNKNOWN, data, received, whose, phase=phase)
        package, event_type, owner, subject, time_of = way
        stream = self._streams.get(package, UNKNOWN_STREAM)
        time = time_of(data) if time_of is not None else None
        return Event(stream, owner(data) or package, event_type, data, received, subject(data), time, phase)


def removal(
    login: str, ref: str, reason: Reason, received: datetime, phase: Phase, replaced_by: str | None = None
) -> Event:
    """Make the removal of a call that O2G has not told, and will not tell."""
    data = CallRemoved(
        login_name=login,
        call_ref=ref,
        call_state="removed",
        replaced_by_call_ref=replaced_by,
        synthetic=True,
        reason=reason,
    )
    return Event(TELEPHONY, login, CALL_REMOVED, data, received, ref, phase=phase)


def call_state_of(login: str, ref: str, data: CallStateData | None, received: datetime) -> State:
    """Make the state of a call as one user sees it; None: it is gone."""
    return State(CALLS_STATE, TELEPHONY, f"{login}|{ref}", CALL_STATE, data, received, ref)


def agent_state_of(login: str, data: AgentStateData | None, received: datetime) -> State:
    """Make the state of an agent; None: there is no such agent any more."""
    return State(AGENTS_STATE, AGENT, login, AGENT_STATE, data, received, login)


def _getter(entity: type[Entity], names: Iterable[str]) -> Get:
    """Compile the look-up of the first of `names` that an event has, which often is the only one."""
    found = [name for name in names if name in entity.__struct_fields__]
    if "user" in entity.__struct_fields__:
        return _user_of
    if not found:
        return lambda data: None
    first, others = attrgetter(found[0]), found[1:]
    if found[0] in entity.required or not others:
        return first
    return lambda data: first(data) or next((each for name in others if (each := getattr(data, name))), None)


def _user_of(data: Any) -> str | None:
    """Give the login of an event about a user, who may be told whole."""
    login: str | None = data.login_name or (data.user.login_name if data.user is not None else None)
    return login


def _record_time(data: Any) -> datetime | None:
    """Give the time of the latest step of a communication, where it is told in RFC 3339 with its zone."""
    record: ComRecord | None = data.record
    if record is None:
        return None
    for told in (record.end_date, record.conv_date, record.begin_date):
        if isinstance(told, str):
            try:
                time = msgspec.convert(told, datetime)
            except msgspec.ValidationError:
                continue
            if time.tzinfo is not None:
                return time
    return None


_owner_of_unknown = _getter(Unknown, _OWNERS)
_WAYS: Mapping[str, _Way] = {
    name: _Way(
        kind.package,
        kind.event_type,
        _getter(kind.entity, _OWNERS),
        _getter(kind.entity, _SUBJECTS),
        _record_time if kind.entity is ComRecordChanged else None,
    )
    for name, kind in KINDS.items()
}
