"""Decide when and with which hours a hole is healed. Pure.

Source: vendors/omilia.md sections 3c and 4, "Backfill algorithm". The platform brings back by itself what
failed within 24 hours, from about ten minutes after we are back. Whether it brought all is known only by an
export over the same hours; what is older comes by export alone; what is older than 60 days is lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from streamd.connectors.omilia.errand import Errand
from streamd.connectors.omilia.plan import (
    HOUR,
    LONGEST,
    LONGEST_CALL,
    TypesStyle,
    askable,
    hours_of,
    types_of,
)
from streamd.pull.windows import Window, slices

YOUNG = 23 * HOUR
"""What is younger may still be redelivered; the platform goes back 24 hours, and one is kept in hand."""
DRAIN = timedelta(seconds=300)
"""How long nothing old must have come before redelivery counts as over."""
LONGEST_DRAIN = LONGEST_CALL
"""After that it counts as over: calls that last long make ends that look old all the time."""


class Part(Struct, frozen=True):
    """How much of a hole has been exported: all hours before `until`. `published`: None where unknown."""

    until: datetime
    published: int | None
    unread: int


class Hole(Struct, frozen=True):
    """A pending gap of one data type, and what has been done about it."""

    data_type: str
    gap_id: str
    missed: Window
    part: Part | None = None

    @property
    def hours(self) -> Window:
        """Give the hours that are still to be exported for it."""
        whole = hours_of(self.missed, self.data_type)
        return whole if self.part is None else Window(self.part.until, whole.end)


class Due(Struct, frozen=True):
    """A hole, and those of its hours that are to be exported now; none where nothing is kept of them."""

    hole: Hole
    hours: Window


def redelivered_at(
    hole: Hole, online_since: datetime, last_old: datetime | None, redelivery: timedelta
) -> datetime:
    """Say when redelivery of a hole is over: `redelivery` after we were back, and nothing old for a while."""
    back = max(hole.missed.end, online_since)
    over = back + redelivery
    if last_old is None or last_old < hole.missed.end:
        return over
    return max(over, min(last_old + DRAIN, back + LONGEST_DRAIN))


def due(hole: Hole, over: datetime, now: datetime, server_now: datetime) -> Due | None:
    """Say what of a hole is to be exported now: None while it is to wait.

    An old one does not wait for redelivery, nor for its youngest hours before it is begun with.
    """
    old = now - hole.missed.begin > YOUNG
    if not old and now < over:
        return None
    there, hours = askable(server_now), hole.hours
    begin = max(hours.begin, there.begin)
    if hours.end <= there.end:
        return Due(hole, Window(min(begin, hours.end), hours.end))
    if old and hole.part is None and begin + HOUR <= there.end:
        return Due(hole, Window(begin, there.end))
    return None


def errand_for(dues: Sequence[Due], style: TypesStyle, server_now: datetime) -> Errand:
    """Make one errand of the earliest hole and all whose hours meet with its."""
    first, *others = sorted(dues, key=lambda each: each.hours)
    chosen, hours = [first], first.hours
    for each in others:
        if each.hours.begin <= hours.end:
            chosen.append(each)
            hours = Window(hours.begin, max(hours.end, each.hours.end))
    gaps = {each.hole.gap_id: each.hole.data_type for each in chosen}
    earliest = askable(server_now).begin
    digest = hashlib.sha256(" ".join([*sorted(gaps), hours.begin.isoformat()]).encode()).hexdigest()[:12]
    rest = slices(hours, LONGEST)
    return Errand(
        f"gaps-{digest}",
        types_of(set(gaps.values()), style),
        rest,
        len(rest),
        gaps=gaps,
        until={each.hole.gap_id: each.hours.end for each in chosen},
        kept_from=earliest if any(each.hole.missed.begin < earliest for each in chosen) else None,
    )


def part_after(hole: Hole, errand: Errand) -> Part:
    """Give how much of a hole is exported once the errand is done.

    How many of the published records were its own is not known where the errand was for two of its type.
    """
    before = hole.part or Part(hole.hours.begin, 0, 0)
    alone = list(errand.gaps.values()).count(hole.data_type) == 1
    published = errand.published.get(message_type(hole.data_type), 0)
    counted = before.published + published if alone and before.published is not None else None
    return Part(errand.until[hole.gap_id], counted, before.unread + errand.unread)


def message_type(data_type: str) -> str:
    """Give the `message_type` of the records of a data type; one type is spelt in two ways."""
    return "audit_events" if data_type == "audit" else data_type
