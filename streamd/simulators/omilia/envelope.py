"""Put records into bodies (vendors/omilia.md section 3b), and count them as sessions do."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from streamd.simulators.omilia.records import Record
from streamd.simulators.omilia.vocabulary import END, START
from streamd.simulators.switches import Switches

_HUGE = 4 * 1024 * 1024  # bytes
_SKIP = 5


class Numbering:
    """One `sessionId` with its sequence numbers; a dropped batch leaves a hole."""

    def __init__(self) -> None:
        self.session_id = str(uuid.uuid4())
        self._next = 0

    def take(self, count: int, faults: Switches, draw: random.Random) -> int:
        """Return the number of a batch of `count` records, and go on behind it."""
        number = 0 if faults.has("sequence-base") else self._next
        self._next += count
        if strikes(faults, "sequence-hole", draw):
            self._next += _SKIP
        if strikes(faults, "sequence-reset", draw):
            self._next = 0
        if strikes(faults, "session-renews", draw):
            self.session_id, self._next = str(uuid.uuid4()), 0
        return number


def strikes(faults: Switches, name: str, draw: random.Random) -> bool:
    """Tell whether a switch of "one in N" strikes now."""
    return faults.has(name) and draw.random() * faults.number(name) < 1


def bodies(
    schema_name: str, session_id: str, number: int, messages: Sequence[bytes], faults: Switches
) -> list[bytes]:
    """Return the bodies that carry `messages`: one, or one each where records come bare."""
    if faults.has("bare-objects"):
        return list(messages)
    if faults.has("ndjson"):
        return [b"".join(each + b"\n" for each in messages)]
    array = b"[" + b",".join(messages) + b"]"
    if faults.has("bare-array"):
        return [array]
    envelope: dict[str, Any] = {"schemaName": schema_name, "sessionId": session_id}
    if not faults.has("sequence-missing"):
        envelope["sessionStartingSequenceNumber"] = number if faults.has("sequence-number") else str(number)
    if faults.has("extra-fields"):
        envelope["deliveryAttemptHint"] = {"nobody": "documented"}
    return [msgspec.json.encode({**envelope, "messages": msgspec.Raw(array)})]


def messages_of(
    data_type: str, records: Sequence[Record], faults: Switches, draw: random.Random
) -> tuple[list[bytes], int]:
    """Return the records as messages with the oddities that are on among them, and how many those are."""
    messages = [_altered(each.payload, faults, draw) for each in records]
    if faults.has("shuffle-records"):
        draw.shuffle(messages)
    strange: list[bytes] = []
    if strikes(faults, "wrong-type", draw):
        strange.append(_odd(END if data_type == START else START))
    if strikes(faults, "unknown-type", draw):
        strange.append(_odd("dialog_dream"))
    if strikes(faults, "bad-record", draw):
        strange += [b"42", b"null", b"[]", b'{"id":"odd-nameless"}']
    if strikes(faults, "invalid-utf8", draw):
        strange.append(b'{"message_type":"%s","id":"odd-\xff\xfe"}' % data_type.encode())
    if strikes(faults, "huge-batch", draw):
        room = _HUGE - sum(map(len, messages))
        strange.append(
            msgspec.json.encode({"message_type": data_type, "id": "odd-huge", "notes": "n" * max(1, room)})
        )
    for each in strange:
        messages.insert(draw.randint(0, len(messages)), each)
    return messages, len(strange)


def _odd(message_type: str) -> bytes:
    return msgspec.json.encode({"message_type": message_type, "id": "odd-1", "group": "odd-1", "time": 1})


def _altered(payload: bytes, faults: Switches, draw: random.Random) -> bytes:
    """Return a record with the fields that no document knows, or with fields of other types."""
    drifts = strikes(faults, "type-drift", draw)
    if not drifts and not faults.has("extra-fields"):
        return payload
    message = msgspec.json.decode(payload)
    if faults.has("extra-fields"):
        message["moon_phase"] = {"name": "FULL", "visible": True}
    if drifts:
        message["test_flag"] = str(message.get("test_flag", False)).lower()
        if "duration" in message:
            message["duration"] = str(message["duration"])
        if "events" in message:
            message["events"] = [] if isinstance(message["events"], str) else "Locale:en-GB"
    return msgspec.json.encode(message)
