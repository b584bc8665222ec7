"""Write events as CloudEvents 1.0 Kafka records, structured or binary.

Source: CloudEvents specification 1.0.2, its Kafka protocol binding, its sequence extension; attributes and
headers as INTERFACE.md, "Events", names them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal, get_args

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from streamd.model import Event, Origin, Phase, Record, State, Stream

Mode = Literal["structured", "binary"]
Headers = tuple[tuple[str, bytes], ...]
_JSON = "application/json"
_CONTENT_TYPE = ("content-type", b"application/cloudevents+json")
_STRUCTURED: Headers = (_CONTENT_TYPE,)


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
    """An instant as JSON, in milliseconds since 1970, and as both times of what has no other."""

    json: bytes
    milliseconds: int
    times: bytes


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
    """What the records of one spool have in common: one epoch, one mode. Used by one thread at a time."""

    def __init__(self, epoch: str, mode: Mode) -> None:
        self.epoch = epoch
        self.position = ("epoch", epoch.encode())
        self.structured = mode == "structured"
        self._received: datetime | None = None
        self._moment = _Moment(b"", 0, b"")

    def moment(self, received: datetime) -> _Moment:
        """Give the moment of a receipt; what was read together shares the instant."""
        if received is not self._received:
            self._moment = _moment(received)
            self._received = received
        return self._moment


class Source:
    """Make the records of one stream of one connector.

    The JSON is put together by hand: a Struct of the varying attributes would cost twice as much.
    """

    def __init__(self, envelope: Envelope, origin: Origin, stream: Stream) -> None:
        self.origin = origin
        self._envelope = envelope
        self._stream = stream
        self._key = f"{origin.connector}|"
        self._heads: dict[tuple[str, int, bool], _Head] = {}

    def event(self, event: Event, number: int) -> Record:
        """Write an event that was accepted as the `number`th. Raises ValueError for a naive time."""
        envelope = self._envelope
        key = (self._key + event.key).encode()
        sequence = digits(number)
        received = envelope.moment(event.received)
        time = None if event.time is None else _encode(_utc(event.time))
        head = self._heads.get((event.type, event.major, True)) or self._head(event.type, event.major, True)
        id_ = event.id or f"{envelope.epoch}-{sequence}"
        if not envelope.structured:
            headers = _headers(head, id_, time or received.json, received.json, event, event.phase, sequence)
            return Record(key, _encode(event.data), headers, received.milliseconds)
        times = received.times if time is None else _times(time, received.json)
        place = _PHASES[event.phase] + b',"sequence":"' + sequence.encode() + b'"'
        value = _value(head, id_, times, event, place)
        return Record(key, value, _STRUCTURED, received.milliseconds)

    def state(self, state: State, number: int, merged: int) -> Record:
        """Write the `number`th state, into which event `merged` was merged last."""
        envelope = self._envelope
        key = (self._key + state.key).encode()
        received = envelope.moment(state.received)
        sequence = ("sequence", digits(merged).encode())
        if state.data is None:
            return Record(key, None, (envelope.position, sequence), received.milliseconds)
        head = self._heads.get((state.type, state.major, False)) or self._head(state.type, state.major, False)
        id_ = f"{envelope.epoch}-{digits(number)}"
        if not envelope.structured:
            headers = (*_headers(head, id_, received.json, received.json, state), envelope.position, sequence)
            return Record(key, _encode(state.data), headers, received.milliseconds)
        value = _value(head, id_, received.times, state, b"")
        return Record(key, value, (_CONTENT_TYPE, envelope.position, sequence), received.milliseconds)

    def _head(self, type_: str, major: int, counted: bool) -> _Head:
        """Make the head of a type; only what is `counted` carries epoch and sequence as attributes."""
        attributes = {
            "specversion": "1.0",
            "source": self.origin.source(self._stream),
            "type": type_,
            "dataschema": f"urn:streamd:schema:{type_}:{major}",
            "vendor": self.origin.vendor,
            "connector": self.origin.connector,
        }
        if counted:
            attributes["epoch"] = self._envelope.epoch
        head = _Head(_json_head(attributes), _header_head(attributes))
        self._heads[type_, major, counted] = head
        return head


def _value(head: _Head, id_: str, times: bytes, item: Event | State, place: bytes) -> bytes:
    """Give the whole JSON of structured mode; `place` is what only events have."""
    subject, tenant, data = item.subject, item.tenant, item.data
    return b"".join(
        (
            head.json,
            _encode(id_),
            times,
            b',"subject":' + _encode(subject) if subject else b"",
            b',"tenant":' + _encode(tenant) if tenant else b"",
            place,
            b',"data":',
            data if type(data) is Raw else _encode(data),
            b"}",
        )
    )


def _times(time: bytes, received: bytes) -> bytes:
    return b',"time":%b,"receivedtime":%b' % (time, received)


def _headers(
    head: _Head,
    id_: str,
    time: bytes,
    received: bytes,
    item: Event | State,
    phase: Phase | None = None,
    sequence: str | None = None,
) -> Headers:
    """Give all headers of binary mode."""
    texts = {"subject": item.subject, "tenant": item.tenant, "phase": phase, "sequence": sequence}
    return (
        *head.headers,
        ("ce_id", id_.encode()),
        ("ce_time", time[1:-1]),
        ("ce_receivedtime", received[1:-1]),
        *((f"ce_{name}", text.encode()) for name, text in texts.items() if text),
    )


def _moment(at: datetime) -> _Moment:
    at = _utc(at)
    json = _encode(at)
    return _Moment(json, int(at.timestamp() * 1000), _times(json, json))


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
