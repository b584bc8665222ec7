"""Write log lines to a file descriptor from a thread of their own, so that a stalled reader stalls nobody.

What does not fit into the bound is dropped and counted; when the reader is back, a line says how many.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable

LIMIT_BYTES = 8 * 1024 * 1024


class LogPipe:
    """A bounded queue of lines and its writer. `put` never blocks and may be called from any thread."""

    def __init__(
        self, descriptor: int, dropped_line: Callable[[int], bytes], limit_bytes: int = LIMIT_BYTES
    ) -> None:
        self.dropped = 0
        """How many lines were dropped since the start."""
        self._descriptor = descriptor
        self._dropped_line = dropped_line
        self._limit = limit_bytes
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._writing = False
        self._told = 0
        self._open = True
        self._changed = threading.Condition()
        self._writer = threading.Thread(target=self._write_all, name="log-writer", daemon=True)
        self._writer.start()

    def put(self, line: bytes) -> None:
        """Queue one line, which ends in a newline; drop it when there is no room."""
        with self._changed:
            if not self._open or self._bytes + len(line) > self._limit:
                self.dropped += 1
                return
            self._lines.append(line)
            self._bytes += len(line)
            self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until all that was put is written, that long at most; tell whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._lines and not self._writing, seconds)

    def close(self, seconds: float = 2.0) -> None:
        """Write what is left, that long at most; a reader that stalls even now loses the rest."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
        self._writer.join(seconds)

    def _write_all(self) -> None:
        while lines := self._take():
            try:
                self._write(b"".join(lines))
            except OSError:
                # The reader is gone for good, and with it the place where this could be told.
                self._give_up()
                return

    def _take(self) -> list[bytes]:
        """Wait for lines and take all there are; none when the pipe is closed and empty."""
        with self._changed:
            self._writing = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._lines or not self._open)
            lines = list(self._lines)
            self._lines.clear()
            self._bytes = 0
            self._writing = bool(lines)
            if self.dropped > self._told and lines:
                lines.append(self._dropped_line(self.dropped - self._told))
                self._told = self.dropped
            return lines

    def _write(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                # Whoever shares our stdout has made it non-blocking.
                select.select([], [self._descriptor], [])

    def _give_up(self) -> None:
        with self._changed:
            self._open = self._writing = False
            self.dropped += len(self._lines)
            self._lines.clear()
            self._changed.notify_all()
