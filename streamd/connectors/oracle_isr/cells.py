"""What a search asks for, and how one whose list was cut is divided (section 4); pure.

A cell is a window of ends, of starts, and perhaps a number. Bounds are inclusive and of whole seconds, and
whether the server compares fractions is not known: neighbours share their bound, and what comes twice is
told by its id.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from streamd.connectors.oracle_isr.wire import Tree, text_of
from streamd.connectors.oracle_isr.zone import SECOND, Zone
from streamd.pull.windows import Window, bisect

DAY = timedelta(days=1)
_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)  # before the product


class Cell(Struct, frozen=True):
    """One search. `at`: no recording that it may find starts later."""

    at: datetime
    ends: Window | None = None
    """When they ended; None: the running ones."""
    starts: Window | None = None
    number: str | None = None
    """The number that was called."""

    def criteria(self, zone: Zone, most: int) -> dict[str, str]:
        """Give the search as FACE's parameters, for a list of `most` at most."""
        found = {"inProgress": "true" if self.ends is None else "false", "maxListLength": str(most)}
        if self.ends is not None:
            found |= {
                "earliestEnd": zone.lower(self.ends.begin),
                "latestEnd": zone.upper(self.ends.end),
            }
        if self.starts is not None:
            found |= {
                "earliestStart": zone.lower(self.starts.begin),
                "latestStart": zone.upper(self.starts.end),
            }
        if self.number is not None:
            found["to"] = self.number
        return found


class Division(Struct, frozen=True):
    """What a cut cell is divided into. `whole`: together the cells are certain to find all that it does."""

    cells: tuple[Cell, ...]
    whole: bool


def divide(cell: Cell, listed: Iterable[Tree], *, by_time: bool = True) -> Division | None:
    """Divide a cell by ends, then by starts, then by the numbers in what was listed; None: it cannot be.

    Numbers are no whole division, for a list that was cut need not have shown them all. `by_time` False: it
    is of no use, for the server does not heed the bounds, or they cannot be any narrower.
    """
    if by_time:
        halves = bisect(cell.ends, SECOND) if cell.ends is not None else None
        if halves is not None:
            return Division(tuple(replace(cell, ends=half) for half in halves), whole=True)
        if cell.starts is None:
            day = cell.at - DAY
            parts = (Window(day, cell.at + SECOND), Window(_BEGINNING, day))
            return Division(tuple(replace(cell, starts=part) for part in parts), whole=True)
        halves = bisect(cell.starts, SECOND)
        if halves is not None:
            return Division(tuple(replace(cell, starts=half) for half in halves), whole=True)
    numbers = sorted({number for tree in listed if (number := text_of(tree, "dnis"))})
    if cell.number is not None or not numbers:
        return None
    return Division(tuple(replace(cell, number=number) for number in numbers), whole=False)


def is_blurred(cell: Cell, zone: Zone) -> bool:
    """Tell whether parts of the cell would find the same as all of it (`Zone.is_blurred`)."""
    return any(zone.is_blurred(each) for each in (cell.ends, cell.starts) if each is not None)


def heeds_bounds(cell: Cell, listed: Iterable[Tree], zone: Zone) -> bool:
    """Tell whether all that was listed starts within the cell, as it does not where bounds are ignored."""
    if cell.starts is None:
        return True
    slack = timedelta(hours=1) + SECOND  # the hour that autumn has twice
    begin, end = cell.starts.begin - slack, cell.starts.end + slack
    starts = (zone.read(text_of(tree, "startTime") or "", cell.at) for tree in listed)
    return all(begin <= start <= end for start in starts if start is not None)
