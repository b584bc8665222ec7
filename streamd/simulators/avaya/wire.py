"""Write data messages and websocket frames as the service sends them.

The shapes are written here again on purpose: nothing is shared with the connector that is tested against
them. Field order is the seed's, JSON is compact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec
from msgspec import Struct

from streamd.simulators.avaya.population import Keys, Measures
from streamd.simulators.switches import Switches

INITIALIZING, LIVE = "INITIALIZING", "LIVE"
UPSERT, DELETE = "UPSERT", "DELETE"

_TEXT, _BINARY, _CONTINUATION, _FIN = 0x1, 0x2, 0x0, 0x80
_json = msgspec.json.Encoder().encode
_canonical_json = msgspec.json.Encoder(order="sorted").encode


class Message(Struct, frozen=True, gc=False):
    """One data message: what goes into the frame and what the log says of it.

    `marker` is `digest` of its measures; `odd` marks what no truth table accounts for (section 5, row 17).
    """

    payload: bytes
    producer: str
    keys: Keys
    payload_type: str
    action: str
    marker: str
    odd: bool = False
    binary: bool = False


class Envelope:
    """The unchanging parts of the messages of one key, encoded once."""

    __slots__ = ("_delete", "_initializing", "_live", "keys", "producer")

    def __init__(self, account: str, source: str, producer: str, keys: Keys) -> None:
        self.producer, self.keys = producer, keys
        parts = (account, source, producer, keys)
        self._live = _head(*parts, LIVE, UPSERT) + b',"measures":'
        self._initializing = _head(*parts, INITIALIZING, UPSERT) + b',"measures":'
        self._delete = _head(*parts, LIVE, DELETE)

    def live(self, measures: Measures, tail: bytes = b"}") -> Message:
        body = _json(measures)
        return Message(
            b"".join((self._live, body, tail)), self.producer, self.keys, LIVE, UPSERT, _digest(body)
        )

    def initializing(self, measures: Measures, tail: bytes = b"}") -> Message:
        body = _json(measures)
        payload = b"".join((self._initializing, body, tail))
        return Message(payload, self.producer, self.keys, INITIALIZING, UPSERT, _digest(body))

    def delete(self, measures: Measures | None = None, tail: bytes = b"}") -> Message:
        """Return a DELETE, which has no `measures` unless they are given."""
        body = b"" if measures is None else _json(measures)
        middle = b',"measures":' if body else b""
        payload = b"".join((self._delete, middle, body, tail))
        return Message(payload, self.producer, self.keys, LIVE, DELETE, _digest(body))


def digest(measures: Mapping[str, Any] | None) -> str:
    """Return the marker by which the log names these measures: 16 hex digits over their canonical JSON."""
    return _digest(b"" if measures is None else _canonical_json(measures))


def _digest(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=8).hexdigest()


def _head(account: str, source: str, producer: str, keys: Keys, payload_type: str, action: str) -> bytes:
    fields = {
        "accountId": account,
        "keys": dict(keys),
        "eventAction": action,
        "eventSourceId": source,
        "measureProducerId": producer,
        "payloadType": payload_type,
    }
    return _json(fields)[:-1]


def framing(faults: Switches) -> Callable[[Sequence[Message]], list[bytes]]:
    """Return how messages are put into frames."""
    if faults.has("fragmented"):
        return fragmented_frames
    return array_frames if faults.has("array-frames") else frames


def frames(messages: Iterable[Message]) -> list[bytes]:
    """Return frame heads and payloads in turn, one frame per message, ready to be joined."""
    parts: list[bytes] = []
    for message in messages:
        parts.append(_frame_head(_FIN | (_BINARY if message.binary else _TEXT), len(message.payload)))
        parts.append(message.payload)
    return parts


def fragmented_frames(messages: Iterable[Message]) -> list[bytes]:
    """Return each message as three fragments (row 17); UTF-8 characters may be cut in two."""
    parts: list[bytes] = []
    for message in messages:
        third = len(message.payload) // 3
        pieces = (message.payload[:third], message.payload[third : 2 * third], message.payload[2 * third :])
        opcodes = (_BINARY if message.binary else _TEXT, _CONTINUATION, _FIN | _CONTINUATION)
        for opcode, piece in zip(opcodes, pieces, strict=True):
            parts += (_frame_head(opcode, len(piece)), piece)
    return parts


def array_frames(messages: Sequence[Message], size: int = 20) -> list[bytes]:
    """Return up to `size` messages as one JSON array per frame (section 8).

    What has no keys may be no JSON either: it comes alone, for its neighbours count as sent.
    """
    parts: list[bytes] = []
    for has_keys, run in groupby(messages, lambda message: bool(message.keys)):
        alike = list(run)
        if not has_keys:
            parts += frames(alike)
            continue
        for start in range(0, len(alike), size):
            payload = b"[" + b",".join(message.payload for message in alike[start : start + size]) + b"]"
            parts += (_frame_head(_FIN | _TEXT, len(payload)), payload)
    return parts


def text_frame(text: bytes) -> bytes:
    """Return `text` as one unmasked text frame (a server never masks: RFC 6455 5.1)."""
    return _frame_head(_FIN | _TEXT, len(text)) + text


def _frame_head(first: int, length: int) -> bytes:
    if length < 126:
        return bytes((first, length))
    if length < 65536:
        return bytes((first, 126, length >> 8, length & 0xFF))
    return bytes((first, 127)) + length.to_bytes(8, "big")
