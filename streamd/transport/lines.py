"""Cut a stream of bytes into lines, wherever its pieces begin and end; no I/O."""

from __future__ import annotations

from msgspec import Struct

_KEPT = 256 * 1024


class TooLong(Struct, frozen=True):
    """A line that was longer than the cap: how it begins, and how many bytes it had."""

    beginning: bytes
    length: int


class Lines:
    """Bytes in, whole lines out: without their newline, blank ones left out.

    Only `\\n` ends a line, for JSON strings may hold the other characters that Unicode calls line ends. A
    carriage return before it stays; JSON reads it as white space. A line longer than `most` bytes is not
    kept, only how it began.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._tail: list[bytes] = []
        self._length = 0

    def feed(self, data: bytes) -> list[bytes | TooLong]:
        """Return the lines that `data` completes."""
        *whole, last = data.split(b"\n")
        lines: list[bytes | TooLong] = [*whole]
        if len(data) > self._most:
            lines = [self._judged(line) for line in whole]
        if whole and self._tail:
            self._extend(whole[0])
            lines[0] = self._taken()
        if last:
            self._extend(last)
        return [line for line in lines if isinstance(line, TooLong) or line.strip()]

    def rest(self) -> bytes | TooLong:
        """Return what stands behind the last newline; to be asked for at the end of the stream."""
        line = self._taken()
        return line if isinstance(line, TooLong) or line.strip() else b""

    def _extend(self, part: bytes) -> None:
        self._length += len(part)
        if self._length <= self._most or not self._tail:
            self._tail.append(part[: max(self._most, _KEPT)])

    def _taken(self) -> bytes | TooLong:
        line, length = b"".join(self._tail), self._length
        self._tail, self._length = [], 0
        return TooLong(line[:_KEPT], length) if length > self._most else line

    def _judged(self, line: bytes) -> bytes | TooLong:
        return TooLong(line[:_KEPT], len(line)) if len(line) > self._most else line
