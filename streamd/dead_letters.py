"""Make dead letters: of what could not be decoded, and of what Kafka refused for itself."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from streamd.errors import BadRecord
from streamd.events import DEAD_LETTER_WRITTEN, AcceptedEvent, DeadLetterData
from streamd.model import DEAD_LETTER, Event, Record
from streamd.redaction import redacted, redacted_bytes

MOST_BYTES = 256 * 1024


def undecodable(bad: BadRecord, now: datetime, *, withheld: bool) -> Event:
    """Keep what could not be understood; `withheld`: its size and hash only, for privacy."""
    return _written(_data(bad.reason, bad.origin, bad.payload, withheld), now)


def refused(topic: str, record: Record, reason: str, now: datetime) -> Event:
    """Keep an accepted event that Kafka refused."""
    data = _data(f"refused by Kafka: {reason}", topic, record.value or b"", withheld=False)
    return _written(replace(data, of=accepted(topic, record)), now)


def slimmed(topic: str, record: Record, reason: str, now: datetime) -> list[Event]:
    """Give what takes the place of a dead letter that Kafka refused: the same without its payload.

    What it was the letter of keeps a letter, and its own number gets one. Empty when there is no payload
    to leave out.
    """
    data = _decode(record)
    if data.payload_base64 is None:
        return []
    bare = replace(data, payload_base64=None, truncated=True)
    own = replace(bare, reason=f"refused by Kafka: {reason}", of=accepted(topic, record))
    return [_written(each, now) for each in ([bare, own] if bare.of else [own])]


def accepted(topic: str, record: Record) -> AcceptedEvent:
    """Say which accepted event a record is, from its attributes in either mode and its headers."""
    headers = {name.removeprefix("ce_"): value.decode() for name, value in record.headers}
    found = _Attributes()
    if _is_structured(record):
        found = msgspec.json.decode(record.value or b"", type=_Attributes)

    def attribute(name: str) -> str | None:
        value = getattr(found, name)
        return headers.get(name) if value is UNSET else value

    return AcceptedEvent(
        source=attribute("source"),
        epoch=attribute("epoch"),
        sequence=attribute("sequence"),
        id=attribute("id"),
        topic=topic,
    )


class _Attributes(Struct):
    source: str | UnsetType = UNSET
    epoch: str | UnsetType = UNSET
    sequence: str | UnsetType = UNSET
    id: str | UnsetType = UNSET


class _Letter(Struct):
    data: DeadLetterData


def _decode(record: Record) -> DeadLetterData:
    value = record.value or b""
    if _is_structured(record):
        return msgspec.json.decode(value, type=_Letter).data
    return msgspec.json.decode(value, type=DeadLetterData)


def _is_structured(record: Record) -> bool:
    kind = dict(record.headers).get("content-type", b"")
    return record.value is not None and kind.startswith(b"application/cloudevents")


def _data(reason: str, origin: str, payload: bytes, withheld: bool) -> DeadLetterData:
    kept = redacted_bytes(payload)
    return DeadLetterData(
        reason=redacted(reason),
        origin=origin,
        payload_bytes=len(payload),
        payload_sha256=hashlib.sha256(payload).hexdigest(),
        payload_base64=None if withheld else base64.b64encode(kept[:MOST_BYTES]).decode(),
        truncated=len(kept) > MOST_BYTES and not withheld,
        withheld=withheld,
    )


def _written(data: DeadLetterData, now: datetime) -> Event:
    return Event(DEAD_LETTER, "", DEAD_LETTER_WRITTEN, data, now)
