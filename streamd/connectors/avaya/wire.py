"""What comes over Avaya's websocket, decoded: any bytes give messages or a BadRecord, nothing else.

Source: Analytics Realtime Data 0.1.1 (seed 001). The usual message, known fields with string values only,
takes one typed decode; whatever that refuses is read again field by field, so that odd input loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from streamd.errors import BadRecord
from streamd.redaction import redacted

PayloadType = Literal["INITIALIZING", "LIVE"]
EventAction = Literal["UPSERT", "DELETE"]

_PAYLOAD_TYPES = frozenset(("INITIALIZING", "LIVE"))
_EVENT_ACTIONS = frozenset(("UPSERT", "DELETE"))
_AUTHENTICATION_RESPONSE = "authenticationresponse"
_SNIPPET = 40


class MeasureMessage(Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """One key-set of a measure producer. Avaya marks no field as required; without keys, payload type or
    action a message means nothing."""

    keys: Annotated[dict[str, str], Meta(min_length=1)]
    payload_type: PayloadType
    event_action: EventAction
    account_id: str | None = None
    event_source_id: str | None = None
    measure_producer_id: str | None = None
    measures: dict[str, str] = {}

    @property
    def extra(self) -> dict[str, Any] | None:
        """Give the fields that Avaya's document does not know."""
        return None


class OddMessage(MeasureMessage, forbid_unknown_fields=False):
    """A message with fields or values that Avaya's document does not know; they are kept in `unknown`."""

    unknown: dict[str, Any] | None = None

    @property
    def extra(self) -> dict[str, Any] | None:
        return self.unknown


class AuthenticationResponse(Struct):
    """The answer to our first frame."""

    status: str


Message = MeasureMessage | AuthenticationResponse
Fields = dict[str, bytes]

_decode_usual = msgspec.json.Decoder(MeasureMessage).decode
_decode_odd = msgspec.json.Decoder(OddMessage).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_items = msgspec.json.Decoder(list[Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_texts = msgspec.json.Decoder(dict[str, str]).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode(frame: bytes, origin: str) -> list[Message | BadRecord]:
    """Decode one frame: an object, or an array of objects; what cannot be read stands as a BadRecord."""
    try:
        return [_decode_usual(frame)]
    except _UNREADABLE:
        return [_attempt(part, origin) for part in parts(frame)]


def parts(frame: bytes) -> Iterator[bytes]:
    """Give the objects of an array one by one; anything else, an empty array too, as it came."""
    if not frame.lstrip(b" \t\r\n").startswith(b"["):
        yield frame
        return
    try:
        items = _decode_items(frame)
    except _UNREADABLE:
        yield frame
        return
    if not items:
        yield frame
    for item in items:
        yield bytes(item)


def authentication(subscription_id: str, token: str) -> str:
    """Write the first frame that a client has to send (seed 001, "authentication")."""
    frame = {"event": "authentication", "subscriptionId": subscription_id, "token": token}
    return msgspec.json.encode(frame).decode()


def _attempt(part: bytes, origin: str) -> Message | BadRecord:
    try:
        return _read(part)
    except _Unreadable as unreadable:
        return BadRecord(str(unreadable), part, origin)


class _Unreadable(Exception):
    """Why a message cannot be understood; never leaves this module."""


def _read(part: bytes) -> Message:
    fields = _fields(part)
    if "keys" not in fields and "event" in fields:
        return _control(fields)
    try:
        message = _decode_odd(part)
    except msgspec.ValidationError:
        return _read_fields(fields)
    unknown = {name: _value(name, raw) for name, raw in fields.items() if name not in _KNOWN}
    message.unknown = unknown or None
    return message


def _read_fields(fields: Fields) -> Message:
    """Read field by field what has values of other types than the document's, and say what is wrong."""
    known: dict[str, Any] = {
        "keys": _keys(fields),
        "payload_type": _one_of(fields, "payloadType", _PAYLOAD_TYPES),
        "event_action": _one_of(fields, "eventAction", _EVENT_ACTIONS),
    }
    for name, wire_name in _IDENTITY.items():
        known[name] = _optional_text(fields, wire_name)
    measures, odd = _measures(fields)
    unknown = {name: _value(name, raw) for name, raw in fields.items()}
    if odd:
        unknown["measures"] = odd
    return OddMessage(**known, measures=measures, unknown=unknown or None)


_IDENTITY = {
    "account_id": "accountId",
    "event_source_id": "eventSourceId",
    "measure_producer_id": "measureProducerId",
}
_KNOWN = frozenset((*_IDENTITY.values(), "keys", "measures", "payloadType", "eventAction"))


def snippet(text: str) -> str:
    """Give the beginning of what the server said; cut last, for half a token is too much of it."""
    return redacted(text)[:_SNIPPET]


def _fields(part: bytes) -> Fields:
    # Raw is not checked for UTF-8 by msgspec: bad bytes would pass through into our own output.
    _checked("not UTF-8", bytes.decode, part)
    return _split("not a JSON object", part)


def _split(reason: str, part: bytes) -> Fields:
    fields: dict[str, Raw] = _checked(reason, _decode_fields, part)
    return {name: bytes(raw) for name, raw in fields.items()}


def _control(fields: Fields) -> AuthenticationResponse:
    """Read a control message. Both spellings of the only one known are seen: `authenticationResponse` in the
    document, `AUTHENTICATION_RESPONSE` on the wire (P:disc)."""
    event = _text("event", fields["event"])
    if event.replace("_", "").lower() != _AUTHENTICATION_RESPONSE:
        raise _Unreadable(f"unknown event {snippet(event)!r}")
    return AuthenticationResponse(_text("status", fields["status"]) if "status" in fields else "")


def _keys(fields: Fields) -> dict[str, str]:
    raw = fields.pop("keys", None)
    if raw is None:
        raise _Unreadable("no keys")
    keys, odd = _texts("keys", raw)
    if odd:
        raise _Unreadable(f"key {snippet(next(iter(odd)))!r} is no text")
    if not keys:
        raise _Unreadable("no keys")
    return keys


def _measures(fields: Fields) -> tuple[dict[str, str], dict[str, Any]]:
    raw = fields.pop("measures", None)
    return _texts("measures", raw) if raw is not None and raw != b"null" else ({}, {})


def _texts(what: str, raw: bytes) -> tuple[dict[str, str], dict[str, Any]]:
    """Split the values of an object into those with a text, and the odd ones: null, objects, arrays.

    A number or a boolean stands as its JSON text, exactly as it was sent: Avaya promises strings, and
    consumers may rely on that. A null has no text and says nothing about the old value, so it is no measure.
    """
    try:
        return _decode_texts(raw), {}
    except msgspec.ValidationError:
        values = _split(f"{what} is not an object", raw)
    texts: dict[str, str] = {}
    odd: dict[str, Any] = {}
    for name, value in values.items():
        if value[:1] == b'"':
            texts[name] = _text(name, value)
        elif value[:1] in b"n{[":
            odd[name] = _value(name, value)
        else:
            texts[name] = value.decode()
    return texts, odd


def _one_of(fields: Fields, name: str, allowed: frozenset[str]) -> str:
    raw = fields.pop(name, None)
    if raw is None:
        raise _Unreadable(f"no {name}")
    value = _text(name, raw)
    if value not in allowed:
        raise _Unreadable(f"unknown {name} {snippet(value)!r}")
    return value


def _optional_text(fields: Fields, name: str) -> str | None:
    raw = fields.pop(name, None)
    return None if raw is None or raw == b"null" else _text(name, raw)


def _text(name: str, raw: bytes) -> str:
    text: str = _checked(f"{name[:_SNIPPET]} is no text", _decode_text, raw)
    return text


def _value(name: str, raw: bytes) -> Any:
    return _checked(f"the value of {name[:_SNIPPET]!r} cannot be kept", _decode_any, raw)


def _checked(reason: str, decode: Callable[..., Any], data: bytes) -> Any:
    try:
        return decode(data)
    except _UNREADABLE as error:
        raise _Unreadable(reason) from error
