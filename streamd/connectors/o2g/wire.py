"""The lines of an event channel, decoded: any bytes give events or a BadRecord, nothing else.

A usual line takes one typed decode, told by `eventName`. What that refuses is read again field by field, so
that odd input loses nothing (vendors/o2g.md, section 3).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Union, cast

import msgspec

from streamd.connectors.o2g.administration import ChannelInformation, RoutingService, Unknown
from streamd.connectors.o2g.catalogue import CHANNEL_INFORMATION, KINDS, MESSAGE
from streamd.connectors.o2g.entities import UNUSUAL
from streamd.connectors.o2g.telephony import UserSnapshot
from streamd.errors import BadRecord
from streamd.lenient import UNREADABLE, Entity, Reader, writable
from streamd.transport.lines import TooLong

_ENTITIES: Mapping[str, type[Entity]] = {
    **{name: kind.entity for name, kind in KINDS.items()},
    CHANNEL_INFORMATION: ChannelInformation,
    MESSAGE: ChannelInformation,
}


def _refuse(constant: str) -> Any:
    raise ValueError(constant)  # NaN and Infinity are no JSON


_reader = Reader(UNUSUAL)
_twins = tuple(
    # What privacy rules are about by default never takes the way past them.
    _reader.twin(entity, "eventName", name)
    for name, entity in _ENTITIES.items()
    if entity is not RoutingService
)
_decode_usual = msgspec.json.Decoder(cast("type[Entity]", Union[_twins])).decode  # noqa: UP007
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_scan = json.JSONDecoder(parse_constant=_refuse).raw_decode


def usual(line: bytes | TooLong) -> Entity | None:
    """Read a line as nearly all are: one event, with nothing odd about it. None: it is for `unusual`."""
    if isinstance(line, TooLong):
        return None
    try:
        return _decode_usual(line)
    except UNREADABLE:
        return None


def unusual(line: bytes | TooLong, origin: str) -> list[Entity | BadRecord]:
    """Read a line whatever is on it; what cannot be read stands as a BadRecord."""
    if isinstance(line, TooLong):
        return [BadRecord(f"a line of {line.length} bytes", line.beginning, origin)]
    found = objects(line)
    if found is None:
        return [BadRecord("neither a JSON object nor several", line, origin)]
    return [_checked(_entity(each), line, origin) for each in found]


def decode_message(message: Mapping[str, Any], origin: str) -> Entity | BadRecord:
    """Read one event that was decoded already, as privacy rules leave it."""
    return _checked(_entity(message), _encode(message), origin)


def objects(line: bytes) -> list[dict[str, Any]] | None:
    """Give the objects that stand on a line, usually one; None where that is anything else."""
    try:
        found = [_decode_any(line)]
    except UNREADABLE:
        found = _several(line)
    return found if found and all(isinstance(each, dict) for each in found) else None


def _several(line: bytes) -> list[Any]:
    """Read a line with several objects on it; nothing when it is anything else."""
    found = []
    try:
        text, at = line.decode(), 0
        while at < len(text):
            value, end = _scan(text, at)
            found.append(value)
            at = _next(text, end)
        return [_writable(each) for each in found]
    except (ValueError, RecursionError):
        return []


def _writable(value: Any) -> Any:
    """Give a decoded value that can be written again."""
    if isinstance(value, str):
        return writable(value)
    if isinstance(value, list):
        return [_writable(each) for each in value]
    if isinstance(value, dict):
        return {writable(name): _writable(each) for name, each in value.items()}
    return value


def _next(text: str, at: int) -> int:
    """Give where the text goes on behind space, if there is any; nothing of it is copied."""
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _entity(message: Mapping[str, Any]) -> Entity:
    name = message.get("eventName")
    entity = _ENTITIES.get(name, Unknown) if isinstance(name, str) else Unknown
    return _reader.read(entity, _usual_shape(entity, message))


def _usual_shape(entity: type[Entity], message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Bring shapes in which SDKs differ into the one that is published (vendors/o2g.md, section 5, 7)."""
    state, skills = message.get("state"), message.get("skills")
    if isinstance(state, dict):
        states = state.get("deviceStates")
        if entity is UserSnapshot and isinstance(states, dict) and states.keys() == {"deviceStates"}:
            return {**message, "state": {**state, **states}}
        if "withdraw" in state and "withdrawn" not in state:
            spelt = {"withdrawn" if name == "withdraw" else name: each for name, each in state.items()}
            return {**message, "state": spelt}
    if isinstance(skills, list):
        return {**message, "skills": {"skills": skills}}
    return message


def _checked(event: Entity, line: bytes, origin: str) -> Entity | BadRecord:
    if all(getattr(event, name) for name in event.required):
        return event
    return BadRecord("a call without loginName or callRef", line, origin)
