"""Write events as CloudEvents 1.0 Kafka records, structured or binary.

Source: CloudEvents specification 1.0.2, its Kafka protocol binding, its sequence extension; attributes and
headers as INTERFACE.md, "Events", names them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from streamd.model import Event, Origin, Record, State, Stream

Mode = Literal["structured", "binary"]
Headers = tuple[tuple[str, bytes], ...]
_JSON = "application/json"
_STRUCTURED: Headers = (("content-type", b"application/cloudevents+json"),)


class CloudEvent(Struct, omit_defaults=True):
    """One event in structured JSON mode, as consumers see it; attributes without a value are left out."""

    specversion: str
    id: str
    source: str
    type: str
    time: datetime
    datacontenttype: str
    dataschema: str
    vendor: str
    connector: str
    receivedtime: datetime
    subject: str | UnsetType = UNSET
    tenant: str | UnsetType = UNSET
    phase: str | UnsetType = UNSET
    epoch: str | UnsetType = UNSET
    sequence: str | UnsetType = UNSET
    data: Any = UNSET


class _Varying(Struct, omit_defaults=True):
    """The attributes in which events of one type and source differ, and the data."""

    id: str
    time: datetime
    receivedtime: datetime
    subject: str | None = None
    tenant: str | None = None
    phase: str | None = None
    sequence: str | None = None
    data: Any = UNSET


class _Head(Struct):
    """What is written once for all events of one type and source: the JSON up to the varying attributes
    (they follow as the rest of the same object), and the headers of binary mode."""

    json: bytes
    headers: Headers


_encode = msgspec.json.Encoder().encode


def digits(number: int) -> str:
    """Write a sequence number so that text sorts as numbers do: 20 digits."""
    return str(number).zfill(20)


class Envelope:
    """Make the records of one spool: one epoch, one mode. Used by one thread at a time."""

    def __init__(self, epoch: str, mode: Mode) -> None:
        self._epoch = epoch
        self._structured = mode == "structured"
        self._heads: dict[tuple[str, str, str, int, bool], _Head] = {}
        self._received: datetime | None = None
        self._milliseconds = 0

    def event(self, event: Event, origin: Origin, number: int) -> Record:
        """Write an event that was accepted as `number` of its source. Raises ValueError for a naive time."""
        sequence = digits(number)
        received = event.received
        varying = _Varying(
            event.id or f"{self._epoch}-{sequence}",
            _utc(event.time or received),
            _utc(received),
            event.subject or None,
            event.tenant or None,
            event.phase,
            sequence,
            data=event.data,
        )
        head = self._head(origin, event.stream, event.type, event.major, True)
        return self._record(f"{origin.connector}|{event.key}", received, head, varying, ())

    def state(self, state: State, origin: Origin, number: int, merged: int) -> Record:
        """Write a state, the `number`th of its source, into which event `merged` was merged last."""
        key = f"{origin.connector}|{state.key}"
        received = state.received
        position = (("epoch", self._epoch.encode()), ("sequence", digits(merged).encode()))
        if state.data is None:
            return Record(key.encode(), None, position, self._timestamp(received))
        varying = _Varying(
            f"{self._epoch}-{digits(number)}",
            _utc(received),
            _utc(received),
            state.subject or None,
            state.tenant or None,
            data=state.data,
        )
        head = self._head(origin, state.stream, state.type, state.major, False)
        return self._record(key, received, head, varying, position)

    def _head(self, origin: Origin, stream: Stream, type_: str, major: int, counted: bool) -> _Head:
        """Give the head; only what is `counted` carries epoch and sequence as attributes."""
        name = (origin.connector, stream.name, type_, major, counted)
        head = self._heads.get(name)
        if head is None:
            attributes = {
                "specversion": "1.0",
                "source": origin.source(stream),
                "type": type_,
                "dataschema": f"urn:streamd:schema:{type_}:{major}",
                "vendor": origin.vendor,
                "connector": origin.connector,
            }
            if counted:
                attributes["epoch"] = self._epoch
            head = self._heads[name] = _Head(_json_head(attributes), _header_head(attributes))
        return head

    def _record(
        self, key: str, received: datetime, head: _Head, varying: _Varying, position: Headers
    ) -> Record:
        timestamp = self._timestamp(received)
        if self._structured:
            value = head.json + _encode(varying)[1:]
            return Record(key.encode(), value, _STRUCTURED + position, timestamp)
        headers = head.headers + _varying_headers(varying) + position
        return Record(key.encode(), _encode(varying.data), headers, timestamp)

    def _timestamp(self, received: datetime) -> int:
        """Give milliseconds since 1970; events that were read together share the instant."""
        if received is not self._received:
            self._received = received
            self._milliseconds = int(_utc(received).timestamp() * 1000)
        return self._milliseconds


def _utc(at: datetime) -> datetime:
    if at.tzinfo is UTC:
        return at
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at.astimezone(UTC)


def _json_head(attributes: dict[str, str]) -> bytes:
    return _encode(attributes | {"datacontenttype": _JSON})[:-1] + b","


def _header_head(attributes: dict[str, str]) -> Headers:
    """Give the attributes as `ce_` headers (Kafka protocol binding 1.0.2, section 3.2)."""
    headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    return (("content-type", _JSON.encode()), *headers)


def _varying_headers(varying: _Varying) -> Headers:
    headers = [
        ("ce_id", varying.id.encode()),
        ("ce_time", _encode(varying.time)[1:-1]),
        ("ce_receivedtime", _encode(varying.receivedtime)[1:-1]),
    ]
    for name in ("subject", "tenant", "phase", "sequence"):
        value = getattr(varying, name)
        if value is not None:
            headers.append((f"ce_{name}", value.encode()))
    return tuple(headers)
