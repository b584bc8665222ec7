"""Read the rows of an export's CSV members: any bytes give rows or BadRecords (section 5); pure.

Nothing found documents header, quoting, encoding or line ends. Each physical line is read for itself, so that
one broken row costs no other: only where a quote stays open are the lines behind it tried as its rest.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from streamd.errors import BadRecord
from streamd.transport.lines import TooLong

CDR_COLUMNS: Final = (
    *("developer", "account_id", "cc_id", "agent_id", "call_id", "caller_no", "callee_no"),
    *("wait_begin", "wait_end", "ack_begin", "ack_end", "call_begin", "call_end"),
    *("device_type", "device_no", "call_type", "release_cause", "call_id_num"),
    *("vdn_id", "pre_device_type", "pre_device_no", "skill_id", "current_skill_id"),
    *("device_in", "pre_device_in", "service_no", "leave_reason", "media_type", "sub_media_type"),
)
RECORDING_COLUMNS: Final = (
    *("developer", "account_id", "cc_id", "agent_id", "call_id", "caller_no", "callee_no"),
    *("call_begin", "call_end", "file_name", "task_status", "task_result"),
    *("original_file_name", "vdn_id", "call_type", "media_type", "user_wanted_skill_id", "current_skill_id"),
)
CC_ID: Final = CDR_COLUMNS.index("cc_id")
CALL_ID: Final = CDR_COLUMNS.index("call_id")  # in either kind
CALL_ID_NUM: Final = CDR_COLUMNS.index("call_id_num")


class Shape(Struct, frozen=True):
    """A kind of row: its columns in their order, which are times, and how many of them a release writes."""

    name: str
    columns: tuple[str, ...]
    times: slice
    widths: tuple[int, ...]


CDR: Final = Shape("call", CDR_COLUMNS, slice(7, 13), (18, 23, 29))
RECORDING: Final = Shape("record", RECORDING_COLUMNS, slice(7, 9), (13, 18))

_MEMBER = re.compile(r"_(?P<kind>call|record)(?:_\d+)?\.csv", re.IGNORECASE)
_BOM = b"\xef\xbb\xbf"
_MOST_LINES = 16  # of one row, where quotes hold line ends
_HEADER = "developer"


def shape_of(member: str) -> Shape | None:
    """Tell what a member holds by its name, with or without a file sequence; None for anything else."""
    found = _MEMBER.search(member)
    if found is None or found.end() != len(member):
        return None
    return CDR if found["kind"].lower() == "call" else RECORDING


class RowReader:
    """Reads one member, given its lines in order. `origin` says where they came from, for dead letters."""

    def __init__(self, shape: Shape, origin: str) -> None:
        self._shape = shape
        self._origin = origin
        self._waiting: list[bytes | TooLong] = []
        self._begun = False
        self._width = 0

    def read(
        self, lines: Iterable[bytes | TooLong], *, last: bool = False
    ) -> Iterator[list[str] | BadRecord]:
        """Yield the rows of `lines`, to be taken to the end; what may be cut waits for the next ones, unless
        these are the `last`.
        """
        waiting = [*self._waiting, *lines]
        if waiting and not self._begun:
            waiting = self._begin(waiting)
        widths = self._shape.widths
        at = 0
        while at < len(waiting):
            line = waiting[at]
            # What is UTF-8 and without quotes; the others need more care.
            if isinstance(line, bytes) and b'"' not in line and (text := _utf8(line)) is not None:
                usual = text.split(",")
                if len(usual) in widths and usual[CALL_ID]:
                    self._width = self._width or len(usual)
                    yield usual
                    at += 1
                    continue
            row, taken = self._take(waiting, at, last)
            if row is None:
                break
            yield row
            at += taken
        self._waiting = waiting[at:]

    def _begin(self, lines: list[bytes | TooLong]) -> list[bytes | TooLong]:
        """Leave out a byte order mark and a header row."""
        self._begun = True
        first = lines[0]
        if isinstance(first, TooLong):
            return lines
        first = first.removeprefix(_BOM)
        cell = first.partition(b",")[0].strip().strip(b'"').strip()
        if cell.decode("ascii", "replace").lower() == _HEADER:
            return lines[1:]
        return [first, *lines[1:]]

    def _take(
        self, lines: Sequence[bytes | TooLong], at: int, last: bool
    ) -> tuple[list[str] | BadRecord | None, int]:
        """Read what begins at line `at`: the row and how many lines it took; None, it needs more of them."""
        line = lines[at]
        if isinstance(line, TooLong):
            return BadRecord(f"a line of {line.length} bytes", line.beginning, self._origin), 1
        text = _text(line)
        if text is None:
            return BadRecord("neither UTF-8 nor GB18030", line, self._origin), 1
        if '"' not in text:
            return self._judge(text.split(","), line), 1
        row = _quoted(text)
        if row is not None:
            return self._judge(row, line), 1
        return self._join(lines, at, text, last)

    def _join(
        self, lines: Sequence[bytes | TooLong], at: int, text: str, last: bool
    ) -> tuple[list[str] | BadRecord | None, int]:
        """Read a row whose quotes hold line ends; what no lines behind it complete is broken alone."""
        broken = BadRecord("quotes that do not match", _bytes(lines[at]), self._origin)
        for taken in range(2, _MOST_LINES + 1):
            if at + taken > len(lines):
                return (broken, 1) if last else (None, 0)
            more = _text(_bytes(lines[at + taken - 1]))
            if more is None:
                return broken, 1
            text = f"{text}\n{more}"
            row = _quoted(text)
            if row is not None and self._fits(row):
                return self._judge(row, text.encode()), taken
        return broken, 1

    def _judge(self, row: list[str], line: bytes) -> list[str] | BadRecord:
        self._width = self._width or len(row)
        if not self._fits(row):
            return BadRecord(f"a row of {len(row)} columns", line, self._origin)
        if not row[CALL_ID]:
            return BadRecord("a row without call_id", line, self._origin)
        return row

    def _fits(self, row: Sequence[str]) -> bool:
        """Tell whether a row is of a width that a release writes, or that this file's first row has.

        A later release may write more columns than are known; a width between is a row that was cut.
        """
        width, widths = len(row), self._shape.widths
        return width in widths or width > widths[-1] or (width == self._width and width > widths[0])


def _bytes(line: bytes | TooLong) -> bytes:
    return line if isinstance(line, bytes) else line.beginning


def _text(line: bytes) -> str | None:
    """Decode a line; GB18030 is what older Chinese systems write."""
    text = _utf8(line)
    if text is not None:
        return text
    try:
        return line.rstrip(b"\r\n").decode("gb18030")
    except UnicodeDecodeError:
        return None


def _utf8(line: bytes) -> str | None:
    try:
        return line.rstrip(b"\r\n").decode()
    except UnicodeDecodeError:
        return None


def _quoted(text: str) -> list[str] | None:
    """Split one row with quotes in it; None where they do not match."""
    try:
        found = list(csv.reader([text], strict=True))
    except csv.Error:
        return None
    return found[0] if len(found) == 1 else None
