"""Know through which instant all that a connector accepted has left the spool.

Each commit leaves a mark: the instant of which the connector proved that everything handed over before it is
in the rows up to here. When each of those rows has left, that instant is `complete_through`.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime

_MOST_MARKS = 4096  # a long outage: neighbouring marks are merged, which only makes the answer coarser


class Completeness:
    """The marks of one connector. `outstanding`: rows found in the spool at the start."""

    def __init__(self, last_row: int, outstanding: int) -> None:
        self.through: datetime | None = None
        self._rows = [last_row]
        self._instants: list[datetime | None] = [None]
        self._waiting = [outstanding]

    def mark(self, last_row: int, rows: int, proven: datetime | None) -> None:
        """Note `rows` more rows, the last id so far, and what was proven when they were committed."""
        if rows:
            self._rows.append(last_row)
            self._instants.append(proven)
            self._waiting.append(rows)
        else:
            self._rows[-1] = last_row
            self._instants[-1] = proven or self._instants[-1]
        if len(self._rows) > _MOST_MARKS:
            self._merge()
        self._advance()

    def left(self, row: int) -> None:
        """Note that a row has left the spool."""
        self._waiting[bisect_left(self._rows, row)] -= 1
        self._advance()

    def collapse(self, last_row: int, outstanding: int) -> None:
        """Count anew after rows have moved: all that waits stands behind the newest mark."""
        instants = [instant for instant in self._instants if instant is not None]
        self._rows = [last_row]
        self._instants = [max(instants, default=None)]
        self._waiting = [outstanding]

    def _advance(self) -> None:
        while len(self._rows) > 1 and not self._waiting[0]:
            self._see(self._instants.pop(0))
            self._rows.pop(0)
            self._waiting.pop(0)
        if not self._waiting[0]:
            self._see(self._instants[0])

    def _see(self, proven: datetime | None) -> None:
        if proven is not None and (self.through is None or proven > self.through):
            self.through = proven

    def _merge(self) -> None:
        """Merge every second mark into the one behind it."""
        for index in range(len(self._rows) - 2, 0, -2):
            self._waiting[index] += self._waiting.pop(index - 1)
            self._rows.pop(index - 1)
            self._instants.pop(index - 1)
