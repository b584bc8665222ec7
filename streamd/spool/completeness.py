"""Know through which instant all that a connector accepted has left the spool.

Each commit leaves a mark: the instant of which the connector proved that everything handed over before it is
in the rows up to here. When each of those rows has left, that instant is `complete_through`.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime, timedelta

_MOST_MARKS = 4096  # a long outage: neighbouring marks are merged, which only makes the answer coarser


class Completeness:
    """The marks of one connector. `outstanding`: rows found in the spool at the start."""

    def __init__(self, last_row: int, outstanding: int, most: int = _MOST_MARKS) -> None:
        self.through: datetime | None = None
        self._most = most
        self._rows = [last_row]
        self._instants: list[datetime | None] = [None]
        self._waiting = [outstanding]
        self._stand_ins: dict[int, int] = {}
        self._fenced = False
        self._gone = -1

    def fence(self) -> int:
        """Let the rows that come next stand in a mark of their own; give the last id before them."""
        self._fenced = True
        return self._rows[-1]

    def has_left(self, fence: int) -> bool:
        """Tell whether all rows up to a fence have left; those behind it do not count."""
        return fence <= self._gone or not any(self._waiting[: self._mark_of(fence) + 1])

    def mark(self, last_row: int, rows: int, proven: datetime | None) -> None:
        """Note `rows` more rows, the last id so far, and what was proven when they were committed."""
        if rows and (self._fenced or self._instants[-1] is not None):
            self._fenced = False
            self._rows.append(last_row)
            self._instants.append(proven)
            self._waiting.append(rows)
            if len(self._rows) > self._most:
                self._merge()
        else:  # the last mark may reach further: it proves nothing yet, or nothing has come since
            self._rows[-1] = last_row
            self._instants[-1] = proven or self._instants[-1]
            self._waiting[-1] += rows
        if not self._waiting[0]:
            self._advance()

    def replaced(self, row: int, stand_in: int) -> None:
        """Note that `stand_in`, a marked row that holds dead letters, holds back what `row` held back too."""
        former = self._stand_ins.get(stand_in, stand_in)
        oldest = min(former, self._stand_ins.get(row, row))
        self._waiting[self._mark_of(oldest)] += 1
        self._waiting[self._mark_of(former)] -= 1
        self._stand_ins[stand_in] = oldest

    def left(self, row: int) -> None:
        """Note that a row has left the spool."""
        self._waiting[self._mark_of(self._stand_ins.pop(row, row))] -= 1
        if not self._waiting[0]:
            self._advance()

    def set_back(self, by: timedelta) -> None:
        """Tell all by a wall clock that was set back."""
        self._instants = [instant - by if instant else None for instant in self._instants]
        self.through = self.through - by if self.through else None

    def collapse(self, last_row: int, outstanding: int) -> None:
        """Count anew after rows have moved: all that waits stands behind the newest mark."""
        instants = [instant for instant in self._instants if instant is not None]
        self._rows = [last_row]
        self._instants = [max(instants, default=None)]
        self._waiting = [outstanding]
        self._stand_ins.clear()
        self._fenced = True

    def _mark_of(self, row: int) -> int:
        return bisect_left(self._rows, row)

    def _advance(self) -> None:
        """Let go of the marks behind which nothing waits."""
        while len(self._rows) > 1 and not self._waiting[0]:
            self._see(self._instants.pop(0))
            self._gone = self._rows.pop(0)
            self._waiting.pop(0)
        if not self._waiting[0]:
            self._see(self._instants[0])

    def _see(self, proven: datetime | None) -> None:
        if proven is not None and (self.through is None or proven > self.through):
            self.through = proven

    def _merge(self) -> None:
        """Merge every second mark into the one behind it; the last one stays as it is."""
        for index in range(len(self._rows) - 3, -1, -2):
            waiting = self._waiting.pop(index)
            self._waiting[index] += waiting
            self._rows.pop(index)
            self._instants.pop(index)
