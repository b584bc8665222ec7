"""Set right what was read in the hour that autumn has twice: nothing ends before it starts.

A recording over the change has a start on the clock that is later than its end. Each time for itself is read
as the later hour or, by what is asked for, as the earlier one (`Zone.read`); only together do they tell.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from streamd.connectors.oracle_isr.entities import Recording, Segment
from streamd.connectors.oracle_isr.zone import Zone

_APART = timedelta(seconds=5)
"""How far two notes of one moment may differ: a recording's start and its first segment's, say."""


class _Mark(NamedTuple):
    """A time of a recording or segment, by the name of its field."""

    owner: Recording | Segment
    name: str

    @property
    def at(self) -> datetime:
        at: datetime = getattr(self.owner, self.name)
        return at


def put_in_order(recording: Recording, zone: Zone) -> None:
    """Change the times that are out of order to the other hour that they can mean, where there is one.

    The order is that of the segments by `sequence`, each from its start to its end, within the recording. A
    recording all of whose times are in order stays as it was read: that it lies in the other hour cannot be
    seen. `duration` does not choose the hour: it is a check only (vendors/oracle_isr.md,
    section 2). SIPREC's times stay too, for they may be months off (section 7, 9).
    """
    marks = _marks(recording)
    following: _Mark | None = None
    for mark in reversed(marks):
        if following is not None and _is_wrong(mark, following):
            setattr(mark.owner, mark.name, zone.earlier(mark.at))
        following = mark
    before: _Mark | None = None
    for mark in marks:
        if before is not None and _is_wrong(before, mark):
            setattr(mark.owner, mark.name, zone.later(mark.at))
        before = mark


def _marks(recording: Recording) -> list[_Mark]:
    """Give the times there are in the order in which they should be; without `sequence` as they were read."""
    marks = [_Mark(recording, "start_time")]
    for each in sorted(recording.segments or (), key=_place):
        marks += (_Mark(each, "start"), _Mark(each, "end"))
    marks.append(_Mark(recording, "end_time"))
    return [mark for mark in marks if getattr(mark.owner, mark.name) is not None]


def _place(segment: Segment) -> tuple[int, float]:
    return segment.sequence or 0, segment.start.timestamp() if segment.start is not None else 0.0


def _is_wrong(first: _Mark, second: _Mark) -> bool:
    return first.at - second.at > (timedelta(0) if first.owner is second.owner else _APART)
