"""The contract's agent message (seed 001, example 2; about 560 bytes) in frames that are told apart.

Every message carries when it was sent, in `idleTimeDuration` (a DURATION, which no catalogue types, in
microseconds since 1970), and so does each Kafka record that it becomes: `sent_at` finds it in either.
"""

from __future__ import annotations

import itertools
import json
import time

# Where the stamp stands in a measure, and in the record of a call of the O2G sender.
STAMPS = (b'"idleTimeDuration":"', b'"associated_data":"')
STAMP_DIGITS = 16
_SINCE = "1643645393849"  # of the document; replaced by the instant of sending: the state changes each time
_NO_STAMP = "0" * STAMP_DIGITS


class Messages:
    """The messages of `keys` agents, one after the other; frames are encoded once, only the times change."""

    def __init__(self, producer: str, keys: int) -> None:
        self._parts = [_cut(frame(_message(producer, number, "LIVE"))) for number in range(keys)]
        self._snapshot = [frame(_message(producer, number, "INITIALIZING")) for number in range(keys)]
        self._next = itertools.cycle(self._parts)

    def snapshot(self, first: int, count: int) -> bytes:
        """Give the frames of the snapshot from the `first` on; empty at the end."""
        return b"".join(self._snapshot[first : first + count])

    def live(self, count: int) -> bytes:
        """Give the next `count` frames, all stamped with this moment."""
        now = time.time_ns()
        since, stamp = b"%013d" % (now // 1_000_000), b"%016d" % (now // 1_000)
        parts: list[bytes] = []
        for head, middle, tail in itertools.islice(self._next, count):
            parts += (head, since, middle, stamp, tail)
        return b"".join(parts)

    def size(self) -> int:
        """Give the bytes of one message, without its frame's head."""
        return sum(map(len, self._parts[0])) + len(_SINCE) + STAMP_DIGITS - 4


def sent_at(value: bytes) -> float | None:
    """Give the seconds since 1970 at which a message was sent, from it or from its Kafka record."""
    for stamp in STAMPS:
        found = value.find(stamp)
        if found >= 0:
            begin = found + len(stamp)
            return int(value[begin : begin + STAMP_DIGITS]) / 1e6
    return None


def frame(payload: bytes) -> bytes:
    """Put a payload of at most 65,535 bytes into one text frame, as a server does (RFC 6455, 5.2)."""
    length = len(payload)
    return (bytes((0x81, length)) if length < 126 else b"\x81\x7e" + length.to_bytes(2, "big")) + payload


def text(producer: str, number: int) -> bytes:
    """Give one LIVE message as it stands in its frame."""
    return _message(producer, number, "LIVE")


def _message(producer: str, number: int, payload_type: str) -> bytes:
    name = f"ag{number:05d}"
    measures = {
        "reasonCodeName": "N/A",
        "timeInState": _SINCE,
        "agentLoginId": f"{name}@example.com",
        "userStatus": "Live",
        "agentLastName": name,
        "agentDisplayName": name,
        "timeOnHold": "0",
        "timeLoggedIn": _SINCE,
        "timeActive": "0",
        "idleTimeDuration": _NO_STAMP,
        "agentLogonDuration": "36000",
        "timeInACW": "0",
        "agentState": "READY",
        "agentFirstName": name,
    }
    fields = {
        "accountId": "ABCDEF",
        "keys": {"agentId": f"9f44ed4e-24ee-4e50-98af-{number:012x}"},
        "eventAction": "UPSERT",
        "eventSourceId": "IXCC_1.0.0",
        "measureProducerId": producer,
        "payloadType": payload_type,
        "measures": measures,
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def _cut(framed: bytes) -> tuple[bytes, bytes, bytes]:
    """Cut a frame before and behind its two times."""
    head, rest = framed.split(_SINCE.encode(), 1)
    middle, tail = rest.split(_NO_STAMP.encode(), 1)
    return head, middle, tail
