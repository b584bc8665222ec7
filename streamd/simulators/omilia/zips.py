"""Write the zip of one page of an export (vendors/omilia.md section 4; what files look like is inferred)."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Sequence
from typing import Any

import msgspec

from streamd.simulators.omilia.jobs import File
from streamd.simulators.omilia.records import Record
from streamd.simulators.switches import Switches

_MEGABYTE = 1024 * 1024
_LOCAL_HEADER = 30  # bytes before a member's name (APPNOTE.TXT 4.3.7)
_WAV = b"RIFF\x24\x00\x00\x00WAVEfmt "
_BAD_LINE = b'{"message_type":"dialog_step","id":"odd-\xff\xfe"}'


def make_zip(files: Sequence[File], faults: Switches) -> bytes:
    """Return a zip of `files`, spoilt as the switches say."""
    if faults.spend("zip-empty"):
        return _zip({}, zipfile.ZIP_DEFLATED)
    members = {}
    for place, file in enumerate(files):
        content = content_of(file.records, faults)
        name = file.name
        if faults.has("zip-paths"):
            name = f"../../{name}" if place % 2 else f"/{name}"
        if faults.has("gzip-members"):
            name, content = f"{name}.gz", gzip.compress(content)
        members[name] = content
    if faults.has("audio-members"):
        members["4711~17~1767261600123~A1B2C3.wav"] = _WAV
    if faults.has("zip-bomb"):
        members["dialog_step/blanks.json"] = b" " * int(faults.number("zip-bomb") * _MEGABYTE)
    if members and faults.spend("zip-bad-crc"):
        return _with_wrong_byte(members)
    whole = _zip(members, zipfile.ZIP_DEFLATED)
    return whole[: len(whole) // 2] if faults.spend("zip-truncated") else whole


def content_of(records: Sequence[Record], faults: Switches) -> bytes:
    """Return the content of a file: JSON Lines, as one public reader of them expects."""
    lines = [_line(each, faults) for each in records]
    if faults.has("bad-byte"):
        lines.insert(len(lines) // 2, _BAD_LINE)
    if faults.has("array-files"):
        return b"[" + b",\n".join(lines) + b"]"
    content = b"".join(each + (b"\n\n" if faults.has("blank-lines") else b"\n") for each in lines)
    if faults.has("no-final-newline"):
        content = content.rstrip(b"\n")
    return b"\xef\xbb\xbf" + content if faults.has("bom") else content


def _line(record: Record, faults: Switches) -> bytes:
    """Return a record as files spell it: the same fields, but in other order, escapes and numbers."""
    if faults.has("same-bytes"):
        return record.payload
    return json.dumps(_respelt(msgspec.json.decode(record.payload)), sort_keys=True).encode("ascii")


def _respelt(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _respelt(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_respelt(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _zip(members: dict[str, bytes], method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _with_wrong_byte(members: dict[str, bytes]) -> bytes:
    """Return a zip whose first member is not what its CRC says: stored, with one bit of a letter turned."""
    whole = bytearray(_zip(members, zipfile.ZIP_STORED))
    name, content = next(iter(members.items()))
    whole[_LOCAL_HEADER + len(name.encode()) + len(content) // 2] ^= 1
    return bytes(whole)
