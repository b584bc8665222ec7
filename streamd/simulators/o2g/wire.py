"""Write events as O2G sends them, and say when two of them are the same.

The shapes are written here again on purpose: nothing is shared with the connector that is tested against
them. Booleans that are false are absent, empty arrays are sent (vendors/o2g.md section 2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

encode = msgspec.json.Encoder().encode
_canonical_json = msgspec.json.Encoder(order="sorted").encode

CHANNEL_INFORMATION = "OnChannelInformation"
CHUNK_STARTED, KEEPALIVE = "Chunk started", "keepalive"

# What streamd says in words of its own (INTERFACE.md, Events), or types: no part of the comparison.
# streamd's own words; and digits, which it masks unless told otherwise.
_NOT_COMPARED = frozenset({"callstate", "agentstate", "withdraw", "withdrawn", "synthetic", "digits"})


class Line(Struct, frozen=True, gc=False):
    """One event for whoever is subscribed to `package` and, where it has one, to `subject`.

    `payload` has no newline. `subject` is the login name, else the pilot's, agent's or queue's number, else
    empty. `odd` lines are no part of the truth (section 3, row 7); their subject decides nothing.
    """

    payload: bytes
    package: str
    subject: str
    name: str
    call_ref: str = ""
    odd: bool = False


def line(package: str, subject: str, event: Mapping[str, Any]) -> Line:
    """Return `event` as one line; its eventName is its first field."""
    return Line(encode(event), package, subject, event["eventName"], event.get("callRef") or "")


def channel_information(text: str) -> Line:
    """Return the event that comes on every channel, whatever its filter."""
    return line("", "", {"eventName": CHANNEL_INFORMATION, "text": text})


def error_body(status: int, http_status: str, message: str, capital: bool) -> dict[str, Any]:
    """Return ErrorInfo (section 1.11)."""
    return {
        "httpStatus": http_status,
        "code": status,
        "helpMessage": message,
        "Type" if capital else "type": "SIMULATED",
        "innerMessage": message,
        "canRetry": status in (400, 404, 409),
    }


def digest(event: Mapping[str, Any] | bytes) -> str:
    """Return 16 hex digits that are the same for an event on the wire and for streamd's `data` of it.

    Spelling of names (camelCase or snake_case), order of fields, false, null, empty values, `extra` as a
    level of its own, an array inside an object of its name, numbers as text, dates and streamd's own words
    make no difference.
    """
    found = msgspec.json.decode(event) if isinstance(event, bytes) else event
    return hashlib.blake2b(_canonical_json(_plain(found)), digest_size=8).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _plain_object(value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return "true" if value is True else str(value)


def _plain_object(value: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, each in value.items():
        plain_name = name.replace("_", "").lower()
        if each is None or each is False or plain_name in _NOT_COMPARED or plain_name.endswith("date"):
            continue
        plain = _plain(each)
        if isinstance(plain, dict) and plain.keys() == {plain_name}:
            plain = plain[plain_name]  # skills and deviceStates: an object of one array, or the array
        if plain_name == "extra" and isinstance(plain, dict):
            found.update(plain)
        elif plain not in ([], {}):
            found[plain_name] = plain
    return found
