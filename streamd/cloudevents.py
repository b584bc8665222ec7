"""Write events as CloudEvents 1.0 Kafka records, structured or binary.

Source: CloudEvents specification 1.0.2, its Kafka protocol binding, its sequence extension; attributes and
headers as INTERFACE.md, "Events", names them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType

from streamd.model import Event, Origin, Phase, Record, State, Stream

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


class _Moment(Struct):
    """An instant as JSON, and in milliseconds since 1970."""

    json: bytes
    milliseconds: int


class _Head(Struct):
    """What is written once for all events of one type and source: the JSON up to the value of `id` (what
    varies follows as the rest of the same object), and the headers of binary mode."""

    json: bytes
    headers: Headers


_PHASES: dict[Phase | None, bytes] = {
    None: b"",
    **{phase: b',"phase":"%b"' % phase.encode() for phase in get_args(Phase)},
}
_encode = msgspec.json.Encoder().encode


def digits(number: int) -> str:
    """Write a sequence number so that text sorts as numbers do: 20 digits."""
    return str(number).zfill(20)


class Envelope:
    """Make the records of one spool: one epoch, one mode. Used by one thread at a time.

    The JSON is put together by hand: a Struct of the varying attributes would cost twice as much.
    """

    def __init__(self, epoch: str, mode: Mode) -> None:
        self._epoch = epoch
        self._position = ("epoch", epoch.encode())
        self._structured = mode == "structured"
        self._heads: dict[tuple[str, str, str, int, bool], _Head] = {}
        self._received: datetime | None = None
        self._moment = _Moment(b"", 0)

    def event(self, event: Event, origin: Origin, number: int) -> Record:
        """Write an event that was accepted as `number` of its source. Raises ValueError for a naive time."""
        sequence = digits(number)
        received = self._moment_of(event.received)
        head = self._head(origin, event.stream, event.type, event.major, True)
        time = received if event.time is None else _moment(event.time)
        id_ = event.id or f"{self._epoch}-{sequence}"
        key = f"{origin.connector}|{event.key}".encode()
        if not self._structured:
            headers = _headers(head, id_, time, received, event, event.phase, sequence)
            return Record(key, _encode(event.data), headers, received.milliseconds)
        place = _PHASES[event.phase] + b',"sequence":"' + sequence.encode() + b'"'
        return Record(
            key, _value(head, id_, time, received, event, place), _STRUCTURED, received.milliseconds
        )

    def state(self, state: State, origin: Origin, number: int, merged: int) -> Record:
        """Write a state, the `number`th of its source, into which event `merged` was merged last."""
        key = f"{origin.connector}|{state.key}".encode()
        received = self._moment_of(state.received)
        position = (self._position, ("sequence", digits(merged).encode()))
        if state.data is None:
            return Record(key, None, position, received.milliseconds)
        head = self._head(origin, state.stream, state.type, state.major, False)
        id_ = f"{self._epoch}-{digits(number)}"
        if not self._structured:
            headers = _headers(head, id_, received, received, state) + position
            return Record(key, _encode(state.data), headers, received.milliseconds)
        value = _value(head, id_, received, received, state, b"")
        return Record(key, value, _STRUCTURED + position, received.milliseconds)

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

    def _moment_of(self, received: datetime) -> _Moment:
        """Give the moment of a receipt; what was read together shares the instant."""
        if received is not self._received:
            self._moment = _moment(received)
            self._received = received
        return self._moment


def _value(
    head: _Head, id_: str, time: _Moment, received: _Moment, item: Event | State, place: bytes
) -> bytes:
    """Give the whole JSON of structured mode; `place` is what only events have."""
    return b"".join(
        (
            head.json,
            _encode(id_),
            b',"time":',
            time.json,
            b',"receivedtime":',
            received.json,
            b',"subject":' + _encode(item.subject) if item.subject else b"",
            b',"tenant":' + _encode(item.tenant) if item.tenant else b"",
            place,
            b',"data":',
            _encode(item.data),
            b"}",
        )
    )


def _headers(
    head: _Head,
    id_: str,
    time: _Moment,
    received: _Moment,
    item: Event | State,
    phase: Phase | None = None,
    sequence: str | None = None,
) -> Headers:
    """Give all headers of binary mode."""
    texts = {"subject": item.subject, "tenant": item.tenant, "phase": phase, "sequence": sequence}
    return (
        *head.headers,
        ("ce_id", id_.encode()),
        ("ce_time", time.json[1:-1]),
        ("ce_receivedtime", received.json[1:-1]),
        *((f"ce_{name}", text.encode()) for name, text in texts.items() if text),
    )


def _moment(at: datetime) -> _Moment:
    at = _utc(at)
    return _Moment(_encode(at), int(at.timestamp() * 1000))


def _utc(at: datetime) -> datetime:
    if at.tzinfo is UTC:
        return at
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at.astimezone(UTC)


def _json_head(attributes: dict[str, str]) -> bytes:
    return _encode(attributes | {"datacontenttype": _JSON})[:-1] + b',"id":'


def _header_head(attributes: dict[str, str]) -> Headers:
    """Give the attributes as `ce_` headers (Kafka protocol binding 1.0.2, section 3.2)."""
    headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    return (("content-type", _JSON.encode()), *headers)
