"""Give each record the id that it has by every way: stream, redelivery, export (vendors/omilia.md, 7).

It is made of the record as it came, before anything is masked. Where a record does not identify itself, of
its content, in which neither the order of fields nor the spelling of numbers and characters counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from math import isfinite
from typing import Any, Literal

import msgspec

Basis = Literal["id", "step", "voiceprint", "content"]
"""What an id was made of."""

_DIGEST_BYTES = 16
_canonical = msgspec.json.Encoder(order="deterministic").encode
_key = msgspec.json.Encoder().encode


def number(text: str) -> int | float | str:
    """Read a JSON number that is written with a point or an exponent: 93.0 is 93, by whatever way it comes.

    One that is too large for a float stays text.
    """
    value = float(text)
    if value.is_integer():
        return int(value)
    return value if isfinite(value) else text


def digest(tenant: str, message_type: str, record: Mapping[str, Any]) -> tuple[bytes, Basis]:
    """Give 16 bytes that stand for the record, and what they were made of."""
    key: list[Any] = ["omilia", tenant, message_type]
    basis: Basis = "content"
    identifier = record.get("id")
    if message_type in ("dialog_start", "dialog_end"):
        if isinstance(identifier, str) and identifier:
            basis = "id"
            key.append(identifier)
    elif message_type == "dialog_step":
        step = _step(record.get("step"))
        if isinstance(identifier, str) and identifier and step is not None:
            basis = "step"
            key += [identifier, step]
    elif message_type == "vb_enrolment":
        parts = _voiceprint(record)
        if parts is not None:
            basis = "voiceprint"
            key += parts
    text = _key(key)
    if basis == "content":
        text += _canonical(record)
    return hashlib.sha256(text).digest()[:_DIGEST_BYTES], basis


def _step(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _voiceprint(record: Mapping[str, Any]) -> list[Any] | None:
    """Give what tells one enrolment from all others.

    A verification is told by its content alone: its fields are not documented, and one dialog may have
    several of one voiceprint.
    """
    voiceprint = record.get("voiceprint")
    if not isinstance(voiceprint, dict):
        return None
    parts = [*(record.get(name) for name in ("dialog_id", "session_id", "profile_id"))]
    parts.append(voiceprint.get("voiceprint_id"))
    return parts if all(isinstance(part, str) and part for part in parts) else None
