"""List all that a search finds, however many requests that takes."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct, field

from streamd.connectors.oracle_isr.cells import Cell, divide, heeds_bounds, is_blurred
from streamd.connectors.oracle_isr.face import Face, Turn
from streamd.connectors.oracle_isr.wire import Shape, Tree, live_id, recording_id
from streamd.connectors.oracle_isr.zone import Zone


class Listing(Struct):
    """What was found. `odd`: what has no id. `holes`: cells of which something may not have been listed."""

    found: dict[str, Tree] = field(default_factory=dict)
    full: set[str] = field(default_factory=set)
    """The ids of those that came in full: they need no second request."""
    odd: list[Tree] = field(default_factory=list)
    holes: list[Cell] = field(default_factory=list)

    def take(self, tree: Tree, id_: str | None, *, full: bool) -> None:
        """Take in one of them; one in full is never replaced by a short one."""
        if id_ is None:
            self.odd.append(tree)
        elif full or id_ not in self.full:
            self.found[id_] = tree
            if full:
                self.full.add(id_)


async def list_all(
    face: Face, cell: Cell, turn: Turn, zone: Zone, discreet: Callable[[Tree], Tree]
) -> Listing:
    """Ask for a cell, and for its parts where the list was cut, depth first. `discreet`: the privacy rules.

    Raises as `Face.search` does: a list that is not whole is no list.
    """
    listing = Listing()
    id_of = live_id if cell.ends is None else recording_id
    waiting = [cell]
    while waiting:
        asked = waiting.pop()
        reply = await face.search(asked.criteria(zone, face.list_length), turn)
        shape = reply.shape(face.list_length)
        if reply.recording is not None:
            listing.take(discreet(reply.recording), id_of(reply.recording), full=True)
        for match in reply.matches or ():
            listing.take(discreet(match), id_of(match), full=False)
        if shape is not Shape.CUT:
            continue
        matches = reply.matches or ()
        by_time = heeds_bounds(asked, matches, zone) and not is_blurred(asked, zone)
        division = divide(asked, matches, by_time=by_time)
        if division is None or not division.whole:
            listing.holes.append(asked)
        if division is not None:
            waiting.extend(reversed(division.cells))
    return listing
