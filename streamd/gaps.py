"""The gaps of one connector: which are open, which are closed but not healed. Pure: values in, events out.

A gap is kept in the keyed state from its opening until it is healed, so that it outlives a crash. It is
opened at the last proof of life, never at the time of detection (INTERFACE.md, "Gap").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from streamd.events import GAP_CLOSED, GAP_HEALED, GAP_OPENED, GapData
from streamd.model import GAPS, Event

PREFIX = "gap/"
LINK = "link"
"""The kind of the gap that a session's own link makes; there is at most one open of a kind."""


class Gap(Struct, frozen=True):
    """A gap and whose it is."""

    session: str
    kind: str
    data: GapData

    @property
    def name(self) -> str:
        """Give its name in the keyed state."""
        return f"{PREFIX}{self.data.gap_id}"


Step = tuple[list[Event], dict[str, bytes | None]]
"""What to append: events, and changes of the keyed state."""


NOTHING: Step = ([], {})


def joined(*steps: Step) -> Step:
    """Make one step of several, to be appended together."""
    events = [event for more, _ in steps for event in more]
    return events, {name: value for _, changes in steps for name, value in changes.items()}


class Gaps:
    """The gaps that are not healed yet, read from the keyed state at the start."""

    def __init__(self, stored: Mapping[str, bytes]) -> None:
        gaps = (msgspec.json.decode(value, type=Gap) for value in stored.values())
        self._gaps = {gap.name: gap for gap in gaps}

    @property
    def open_count(self) -> int:
        """Count the gaps without an end."""
        return sum(gap.data.to is None for gap in self._gaps.values())

    def unhealed(self) -> list[Gap]:
        """Give those that are open, or closed with their state still stale."""
        return list(self._gaps.values())

    def is_open(self, session: str, kind: str = LINK) -> bool:
        """Tell whether this session has an open gap of this kind."""
        return self._find(session, kind) is not None

    def open(
        self,
        session: str,
        kind: str,
        *,
        gap_id: str,
        scope: Sequence[str],
        since: datetime | None,
        cause: str,
        stateful: bool,
        now: datetime,
    ) -> Step:
        """Open a gap; nothing happens when one of this kind is open already."""
        if self.is_open(session, kind):
            return NOTHING
        data = GapData(
            gap_id=gap_id,
            scope=list(scope),
            from_=since,
            to=None,
            cause=cause,
            events="lost",
            state="stale" if stateful else None,
            healed_by=None,
            healed_at=None,
        )
        return self._note(Gap(session, kind, data), GAP_OPENED, now)

    def close(
        self, session: str, kind: str, *, until: datetime, restored: bool, count: int | None, now: datetime
    ) -> Step:
        """Close the open gap of this kind, if there is one. `restored`: its state is right already."""
        gap = self._find(session, kind)
        if gap is None:
            return NOTHING
        begin = gap.data.from_ or until
        closed = replace(gap.data, to=max(until, begin), count=UNSET if count is None else count)
        if restored and closed.state:
            closed = replace(closed, state="restored", healed_at=now)
        return self._note(Gap(session, kind, closed), GAP_CLOSED, now)

    def close_others(self, session: str, *, until: datetime, now: datetime) -> Step:
        """Close this session's open gaps beside its link's: whoever would have closed them is gone."""
        kinds = [
            gap.kind
            for gap in self._gaps.values()
            if gap.session == session and gap.kind != LINK and gap.data.to is None
        ]
        return joined(
            *(self.close(session, kind, until=until, restored=False, count=None, now=now) for kind in kinds)
        )

    def heal(self, session: str, *, by: Literal["snapshot", "redelivery", "backfill"], now: datetime) -> Step:
        """Heal this session's closed gaps: a snapshot has restored their state."""
        steps: list[Step] = []
        for gap in list(self._gaps.values()):
            if gap.session == session and gap.data.to is not None:
                healed = replace(gap.data, state="restored", healed_by=by, healed_at=now)
                steps.append(self._note(Gap(session, gap.kind, healed), GAP_HEALED, now))
        return joined(*steps)

    def _find(self, session: str, kind: str) -> Gap | None:
        for gap in self._gaps.values():
            if gap.session == session and gap.kind == kind and gap.data.to is None:
                return gap
        return None

    def _note(self, gap: Gap, type_: str, now: datetime) -> Step:
        done = gap.data.to is not None and gap.data.state != "stale"
        if done:
            self._gaps.pop(gap.name, None)
        else:
            self._gaps[gap.name] = gap
        event = Event(GAPS, gap.data.gap_id, type_, gap.data, now, subject=gap.data.gap_id)
        return [event], {gap.name: None if done else msgspec.json.encode(gap)}
