"""Write events as CloudEvents 1.0 Kafka records, structured or binary.

Source: CloudEvents specification 1.0.2, its Kafka protocol binding, its sequence extension; attributes and
headers as INTERFACE.md, "Events", names them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from streamd.model import Event, Origin, Record, State

Mode = Literal["structured", "binary"]
_STRUCTURED = (("content-type", b"application/cloudevents+json"),)


class CloudEvent(Struct, omit_defaults=True):
    """One event in structured JSON mode; attributes without a value are left out."""

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


_HEADER_ATTRIBUTES = tuple(
    name for name in CloudEvent.__struct_fields__ if name not in ("data", "datacontenttype")
)
_encode = msgspec.json.Encoder().encode


def digits(number: int) -> str:
    """Write a sequence number so that text sorts as numbers do: 20 digits."""
    return f"{number:020d}"


class Envelope:
    """Make the records of one spool: one epoch, one mode."""

    def __init__(self, epoch: str, mode: Mode) -> None:
        self._epoch = epoch
        self._structured = mode == "structured"

    def event(self, event: Event, origin: Origin, number: int) -> Record:
        """Write an event that was accepted as `number` of its source."""
        sequence = digits(number)
        return self._record(
            origin,
            event.key,
            event.received,
            CloudEvent(
                specversion="1.0",
                id=event.id or f"{self._epoch}-{sequence}",
                source=origin.source(event.stream),
                type=event.type,
                time=event.time or event.received,
                datacontenttype="application/json",
                dataschema=f"urn:streamd:schema:{event.type}:{event.major}",
                vendor=origin.vendor,
                connector=origin.connector,
                receivedtime=event.received,
                subject=event.subject if event.subject is not None else UNSET,
                tenant=event.tenant if event.tenant is not None else UNSET,
                phase=event.phase if event.phase is not None else UNSET,
                epoch=self._epoch,
                sequence=sequence,
                data=event.data,
            ),
            (),
        )

    def state(self, state: State, origin: Origin, number: int, merged: int) -> Record:
        """Write a state, the `number`th of its source, into which event `merged` was merged last."""
        position = (("epoch", self._epoch.encode()), ("sequence", digits(merged).encode()))
        if state.data is None:
            return Record(_key(origin, state.key), None, position, _milliseconds(state.received))
        return self._record(
            origin,
            state.key,
            state.received,
            CloudEvent(
                specversion="1.0",
                id=f"{self._epoch}-{digits(number)}",
                source=origin.source(state.stream),
                type=state.type,
                time=state.received,
                datacontenttype="application/json",
                dataschema=f"urn:streamd:schema:{state.type}:{state.major}",
                vendor=origin.vendor,
                connector=origin.connector,
                receivedtime=state.received,
                subject=state.subject if state.subject is not None else UNSET,
                tenant=state.tenant if state.tenant is not None else UNSET,
                data=state.data,
            ),
            position,
        )

    def _record(
        self,
        origin: Origin,
        key: str,
        received: datetime,
        event: CloudEvent,
        position: tuple[tuple[str, bytes], ...],
    ) -> Record:
        if self._structured:
            return Record(_key(origin, key), _encode(event), _STRUCTURED + position, _milliseconds(received))
        headers = _binary_headers(event) + position
        return Record(_key(origin, key), _encode(event.data), headers, _milliseconds(received))


def _key(origin: Origin, key: str) -> bytes:
    return f"{origin.connector}|{key}".encode()


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _binary_headers(event: CloudEvent) -> tuple[tuple[str, bytes], ...]:
    """Give the attributes as `ce_` headers (Kafka protocol binding 1.0.2, section 3.2)."""
    values = ((name, getattr(event, name)) for name in _HEADER_ATTRIBUTES)
    headers = [
        (f"ce_{name}", str(msgspec.to_builtins(value)).encode())
        for name, value in values
        if value is not UNSET
    ]
    return (("content-type", event.datacontenttype.encode()), *headers)
