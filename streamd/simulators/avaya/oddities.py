"""Make the messages that no document announces (section 5, rows 12 and 17).

Each follows a LIVE message of its producer. Those marked `odd` speak of keys whose values begin with
``odd-``, or of no key; the truth table knows nothing of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from streamd.simulators.avaya.table import Row
from streamd.simulators.avaya.wire import DELETE, INITIALIZING, LIVE, UPSERT, Message, digest

Oddity = Callable[[Row, Message, bytes], list[Message]]

_HUGE = 1_200_000  # bytes: above the 1 MiB at which trio-websocket closes by default
_ABSENT = object()


def _repeat(row: Row, live: Message, tail: bytes) -> list[Message]:
    return [live]


def _reborn(row: Row, live: Message, tail: bytes) -> list[Message]:
    return [row.envelope.delete(tail=tail), row.envelope.live(row.measures, tail)]


def _message(name: str, **changes: Any) -> Oddity:
    """Return an oddity that sends a plain LIVE UPSERT with `changes`; _ABSENT leaves a field out."""

    def make(row: Row, live: Message, tail: bytes) -> list[Message]:
        body = msgspec.json.decode(live.payload)
        keys = {key: f"odd-{name}" for key, _ in live.keys}
        body.update(keys=keys, payloadType=LIVE, eventAction=UPSERT, measures={"agentState": "READY"})
        body.update(changes)
        fields = {key: value for key, value in body.items() if key not in changes or value is not _ABSENT}
        return [_odd(fields, live)]

    return make


def _odd(fields: dict[str, Any], live: Message) -> Message:
    keys = tuple(sorted(fields.get("keys", {}).items()))
    return Message(
        msgspec.json.encode(fields),
        live.producer,
        keys,
        fields.get("payloadType", ""),
        fields.get("eventAction", ""),
        digest(fields.get("measures")),
        odd=True,
    )


def _raw(payload: bytes, *, binary: bool = False) -> Oddity:
    def make(row: Row, live: Message, tail: bytes) -> list[Message]:
        return [Message(payload, live.producer, (), "", "", digest(None), odd=True, binary=binary)]

    return make


ODDITIES: Mapping[str, Oddity] = {
    "repeat-upserts": _repeat,
    "upsert-after-delete": _reborn,
    "delete-unknown": _message("unknown", eventAction=DELETE, measures=_ABSENT),
    "initializing-delete": _message("gone", eventAction=DELETE, payloadType=INITIALIZING, measures=_ABSENT),
    "unknown-payload-type": _message("type", payloadType="REPLAYED"),
    "unknown-event-action": _message("action", eventAction="MERGE"),
    "unknown-event": _raw(b'{"event":"maintenanceNotice","status":"PLANNED"}'),
    "missing-keys": _message("keyless", keys=_ABSENT),
    "non-string-values": _message("numbers", measures={"Offered": 41, "isDefaultQueue": False, "ratio": 0.5}),
    "null-measures": _message("null", measures=None),
    "null-values": _message("nulls", measures={"agentState": "READY", "reasonCodeName": None}),
    "bad-json": _raw(b'{"accountId":"ABCDEF","keys":{"agentId":'),
    "invalid-utf8": _raw(b'{"accountId":"\xff\xfe"}'),
    "binary-frame": _raw(b'{"accountId":"ABCDEF","payloadType":"LIVE"}', binary=True),
    "huge-frame": _message("huge", measures={"notes": "n" * _HUGE}),
}
