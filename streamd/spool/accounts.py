"""What each connector has in the spool: its share, and through when it is complete."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import trio

from streamd.spool.completeness import Completeness
from streamd.spool.rows import Row

RESERVE_BYTES = 16 * 1024**2  # what may wait of streamd's own events, beside a connector's share
Found = Mapping[tuple[str, str], tuple[int, int, int]]
"""(connector, topic) -> (bytes, rows, events) that wait, as the file tells."""


class Usage:
    """What a connector has in the spool, and its `marks`; in `waiting` is whoever waits for rows to leave, of
    any connector.

    The share is what may wait before an `append` does; what is handed over at once may go beyond it.
    streamd's own events have a room of their own, so that a gap can be told however full the share is.
    """

    def __init__(self, share: int, marks: Completeness, waiting: trio.lowlevel.ParkingLot) -> None:
        self._share = share
        self.bytes = self.own_bytes = self.rows = self.events = self.accepted = 0
        self.marks = marks
        self.waiting = waiting

    @property
    def share(self) -> int:
        return self._share

    @share.setter
    def share(self, share: int) -> None:
        self._share = share
        self.waiting.unpark_all()

    def has_room(self, own: bool) -> bool:
        """Tell whether an `append` may go on, of streamd's own events or of others."""
        return self.own_bytes < RESERVE_BYTES if own else self.bytes - self.own_bytes < self._share

    def add(self, own: bool, size: int, rows: int, events: int) -> None:
        """Count what has come, or (negative) has left."""
        self.bytes += size
        if own:
            self.own_bytes += size
        self.rows += rows
        self.events += events


class Accounts:
    """The accounts of all connectors. `last_row`: the highest row id there has been; `own`: the topics of
    streamd's own events."""

    def __init__(self, found: Found, last_row: int, own: Collection[str] = ()) -> None:
        self.last_row = last_row
        self.waiting = trio.lowlevel.ParkingLot()  # one for all: it is asked of each row that leaves
        self._own = frozenset(own)
        self._usage: dict[str, Usage] = {}
        self._add(found)
        for usage in self._usage.values():
            usage.marks = Completeness(last_row, usage.rows)

    def _add(self, found: Found) -> None:
        for (connector, topic), counted in found.items():
            self.usage(connector).add(topic in self._own, *counted)

    def usage(self, connector: str) -> Usage:
        """Give what a connector has in the spool, and its share."""
        usage = self._usage.get(connector)
        if usage is None:
            marks = Completeness(self.last_row, 0)
            usage = self._usage[connector] = Usage(RESERVE_BYTES, marks, self.waiting)
        return usage

    def usages(self) -> list[Usage]:
        """Give those of all connectors."""
        return list(self._usage.values())

    def come(self, rows: Sequence[Row], through: Mapping[str, datetime | None]) -> None:
        """Count the rows of a commit, and note what was proven when it was made."""
        fresh = dict.fromkeys(through, 0)
        for row in rows:
            own = row.topic in self._own
            for share in row.shares:
                usage = self.usage(share.connector)
                usage.add(own, share.bytes, 1, share.count)
                usage.accepted += share.count
                fresh[share.connector] = fresh.get(share.connector, 0) + 1
        if rows:
            self.last_row = rows[-1].id
        for connector, count in fresh.items():
            self.usage(connector).marks.mark(self.last_row, count, through.get(connector))

    def hold_back(self, refused: Sequence[Row], letters: Sequence[Row]) -> None:
        """Let rows of dead letters hold back all that the rows held back that they replace."""
        for letter in letters:
            for row in refused:
                for connector in row.connectors & letter.connectors:
                    self.usage(connector).marks.replaced(row.id, letter.id)

    def set_back(self, by: timedelta) -> None:
        """Tell through when each is complete by a wall clock that was set back."""
        if by:
            for usage in self._usage.values():
                usage.marks.set_back(by)

    def leave(self, rows: Sequence[Row]) -> None:
        """Count rows that have left the spool."""
        for row in rows:
            own = row.topic in self._own
            for share in row.shares:
                usage = self.usage(share.connector)
                usage.marks.left(row.id)
                usage.add(own, -share.bytes, -1, -share.count)
        if rows:
            self.waiting.unpark_all()

    def count_anew(self, found: Found, last_row: int) -> None:
        """Take what the file tells, after rows have moved."""
        self.last_row = last_row
        for usage in self._usage.values():
            usage.bytes = usage.own_bytes = usage.rows = usage.events = 0
        self._add(found)
        for usage in self._usage.values():
            usage.marks.collapse(last_row, usage.rows)
