"""Read what Omilia pushes: a body with an envelope, or a form without (vendors/omilia.md, 3b). Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Raw, Struct

from streamd.connectors.omilia.borders import cut_array, cut_messages
from streamd.lenient import UNREADABLE

T = TypeVar("T")
BOM = b"\xef\xbb\xbf"
Form = Literal["envelope", "object", "array", "lines"]


class Body(Struct, frozen=True):
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


def read(body: bytes, *, lenient: bool) -> Body:
    """Take a body apart; `lenient`: forms without an envelope, too. Raises Unreadable.

    Where one record spoils the JSON of all, it comes as it is, if its borders can still be told.
    """
    body = body.removeprefix(BOM)
    envelope = _decoded(_envelope, body) or _spoilt(body)
    if envelope is not None and envelope.messages is not None:
        return Body(
            "envelope",
            [bytes(each) for each in envelope.messages],
            _text(envelope.schema_name),
            _text(envelope.session_id),
            _number(envelope.number),
        )
    if lenient:
        return _without_envelope(body)
    raise Unreadable("not an envelope")


def _spoilt(body: bytes) -> _Envelope | None:
    """Read an envelope whose records are no JSON; None where that is not all that is wrong with it."""
    cut = cut_messages(body)
    envelope = _decoded(_envelope, cut.frame) if cut is not None else None
    if cut is None or envelope is None or envelope.messages:
        return None
    envelope.messages = [Raw(each) for each in cut.records]
    return envelope


def _without_envelope(body: bytes) -> Body:
    if "message_type" in (_decoded(_object, body) or {}):
        return Body("object", [body])
    beginning = body.lstrip(b" \t\r\n")[:1]
    if beginning == b"[":
        found = items(body)
        if found is None:
            raise Unreadable("an array whose records cannot be told apart")
        return Body("array", found)
    lines = [line for line in body.split(b"\n") if line.strip()]
    # A line that is cut short or spoilt is a bad record; but only behind one that tells that these are lines.
    if beginning == b"{" and len(lines) > 1 and _decoded(_object, lines[0]) is not None:
        return Body("lines", lines)
    raise Unreadable("neither an envelope nor records")


def items(body: bytes) -> list[bytes] | None:
    """Give the items of an array as they came; None where they cannot be told apart.

    An item that spoils the JSON of the array comes, too: its neighbours are whole.
    """
    found = _decoded(_array, body)
    if found is not None:
        return [bytes(each) for each in found]
    cut = cut_array(body, body.index(b"["))
    return cut.records if cut is not None and cut.frame.strip() == b"[]" else None


def _decoded(decode: Callable[[bytes], T], text: bytes) -> T | None:
    try:
        return decode(text)
    except UNREADABLE:
        return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> int | None:
    """Read a number that comes as text or as a number."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
