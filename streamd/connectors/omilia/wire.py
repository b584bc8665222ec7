"""Read what Omilia pushes: a body with an envelope, or a form without (vendors/omilia.md, 3b). Pure."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from streamd.lenient import UNREADABLE

Form = Literal["envelope", "object", "array", "lines"]


class Push(Struct, frozen=True):
    """A body: the JSON of each record as it came, and what the envelope says of it.

    `number`: of the first record or of the session, nobody documented which; None: absent or unreadable.
    """

    form: Form
    records: list[bytes]
    schema_name: str | None = None
    session_id: str | None = None
    number: int | None = None


class Unreadable(Exception):
    """The body is none of the forms."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Envelope(Struct):
    """`messages` missing: it is a record without an envelope."""

    messages: list[Raw] | None = None
    schema_name: Any = msgspec.field(default=None, name="schemaName")
    session_id: Any = msgspec.field(default=None, name="sessionId")
    number: Any = msgspec.field(default=None, name="sessionStartingSequenceNumber")


_envelope = msgspec.json.Decoder(_Envelope).decode
_array = msgspec.json.Decoder(list[Raw]).decode
_object = msgspec.json.Decoder(dict[str, Raw]).decode


def read(body: bytes, *, lenient: bool) -> Push:
    """Take a body apart; `lenient`: forms without an envelope, too. Raises Unreadable."""
    try:
        envelope = _envelope(body)
    except UNREADABLE as error:
        if lenient:
            return _without_envelope(body)
        raise Unreadable("not an envelope") from error
    if envelope.messages is None:
        if lenient and "message_type" in _object(body):
            return Push("object", [body])
        raise Unreadable("not an envelope")
    return Push(
        "envelope",
        [bytes(each) for each in envelope.messages],
        _text(envelope.schema_name),
        _text(envelope.session_id),
        _number(envelope.number),
    )


def _without_envelope(body: bytes) -> Push:
    beginning = body.lstrip(b" \t\r\n\xef\xbb\xbf")[:1]
    if beginning == b"[":
        try:
            return Push("array", [bytes(each) for each in _array(body)])
        except UNREADABLE as error:
            raise Unreadable("not JSON") from error
    lines = [line for line in body.split(b"\n") if line.strip()]
    # A line that is cut short or spoilt is a bad record; but only behind one that tells that these are lines.
    if beginning == b"{" and len(lines) > 1 and _is_object(lines[0]):
        return Push("lines", lines)
    raise Unreadable("not JSON")


def _is_object(line: bytes) -> bool:
    try:
        _object(line)
    except UNREADABLE:
        return False
    return True


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> int | None:
    """Read a number that comes as text or as a number."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
