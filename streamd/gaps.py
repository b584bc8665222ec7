"""The gaps of one connector: which are open, which are closed but not healed. Values in, events out.

A gap is kept in the keyed state from its opening until it is healed and its pending events are settled, so
that it outlives a crash. It is opened at the last proof of life, never at the time of detection
(INTERFACE.md, "Gap").
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Literal
from uuid import NAMESPACE_URL, uuid5

import msgspec
import trio
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


Word = tuple[Event, bytes | None]
"""The latest event of a gap, and its value in the keyed state from then on."""


class Gaps:
    """The gaps that are not healed yet, read from the keyed state at the start.

    What becomes of one is `untold` until its word is committed: an append may be cut short.
    """

    def __init__(self, stored: Mapping[str, bytes]) -> None:
        gaps = (msgspec.json.decode(value, type=Gap) for value in stored.values())
        self._gaps = {gap.name: gap for gap in gaps}
        self._untold: dict[str, Word] = {}
        self._ahead: dict[str, Gap] = {}
        self.telling = trio.Lock()
        """To be held from `untold` to `told`, so that the last word of a gap is the last one committed."""

    @property
    def open_count(self) -> int:
        """Count the gaps without an end."""
        return sum(gap.data.to is None for gap in self._gaps.values())

    def unhealed(self) -> list[Gap]:
        """Give those that are open, or closed with their state still stale or their events pending."""
        return list(self._gaps.values())

    def pending(self, session: str) -> list[GapData]:
        """Give this session's closed gaps whose events may still come, the earliest first."""
        found = [gap.data for gap in self._gaps.values() if gap.session == session and _is_pending(gap.data)]
        return sorted(found, key=lambda gap: (gap.from_ is not None, gap.from_, gap.to))

    def untold(self) -> dict[str, Word]:
        """Give name -> word of the gaps of which something is not committed yet."""
        return dict(self._untold)

    def told(self, words: Mapping[str, Word]) -> None:
        """Note that these are committed; what has become of a gap since then is untold still."""
        for name, word in words.items():
            if self._untold.get(name) is word:
                del self._untold[name]

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
        events: Literal["lost", "pending"] = "lost",
    ) -> bool:
        """Open a gap, unless one of this kind is open already; tell whether it did."""
        if self._open_ones(session, kind):
            return False
        data = GapData(
            gap_id=gap_id,
            scope=list(scope),
            from_=since,
            to=None,
            cause=cause,
            events=events,
            state="stale" if stateful else None,
            healed_by=None,
            healed_at=None,
        )
        self._note(Gap(session, kind, data), GAP_OPENED, now)
        return True

    def close(
        self,
        session: str,
        kind: str,
        *,
        until: datetime,
        restored: bool,
        count: int | None,
        now: datetime,
        since: datetime | None = None,
    ) -> None:
        """Close what is open of this kind. `restored`: its state is right already. `since`: when it began,
        by the clock as it goes now.

        Where the clock has gone back since it was opened, it covers the time by either reckoning. There may
        be two open where a kill came between the append of one and the next.
        """
        for gap in self._open_ones(session, kind):
            begin, end = gap.data.from_, until
            if begin is not None:
                begin, end = min(begin, since or begin, until), max(begin, until)
            if end > until:
                self._ahead[gap.name] = gap
            closed = replace(gap.data, from_=begin, to=end, count=UNSET if count is None else count)
            if restored and closed.state:
                closed = replace(closed, state="restored", healed_at=now)
            self._note(Gap(session, kind, closed), GAP_CLOSED, now)

    def declare(
        self,
        connector: str,
        session: str,
        *,
        cause: str,
        scope: Sequence[str],
        since: datetime,
        until: datetime,
        events: Literal["lost", "pending"],
        count: int | None,
        now: datetime,
    ) -> str:
        """Note a gap that is whole when it is told, and give its id: told again, it is the same gap."""
        if since > until:
            raise ValueError("a gap ends before it begins")
        whose = [connector, session, cause, *scope, since.isoformat(), until.isoformat()]
        gap_id = str(uuid5(NAMESPACE_URL, f"urn:streamd:gap:{msgspec.json.encode(whose).decode()}"))
        data = GapData(
            gap_id=gap_id,
            scope=list(scope),
            from_=since,
            to=until,
            cause=cause,
            events=events,
            state=None,
            healed_by=None,
            healed_at=None,
            count=UNSET if count is None else count,
        )
        self._note(Gap(session, cause, data), GAP_CLOSED, now)
        return gap_id

    def settle(
        self,
        gap_id: str,
        *,
        events: Literal["recovered", "lost"],
        healed_by: Literal["redelivery", "backfill"] | None,
        count: int | None,
        since: datetime | None,
        now: datetime,
    ) -> None:
        """Say what became of the events of a pending gap. One that is not known is settled already.

        `since`: it begins there; what lies before was declared on its own.
        """
        gap = self._gaps.get(f"{PREFIX}{gap_id}")
        if gap is None or not _is_pending(gap.data):
            return
        settled = replace(
            gap.data,
            from_=since or gap.data.from_,
            events=events,
            healed_by=healed_by,
            healed_at=now if healed_by else None,
            count=gap.data.count if count is None else count,
        )
        self._note(replace(gap, data=settled), GAP_HEALED if events == "recovered" else GAP_CLOSED, now)

    def ends_ahead(self, session: str) -> bool:
        """Tell whether a gap was closed by a clock that stood before its beginning."""
        return any(gap.session == session for gap in self._ahead.values())

    def extend(self, session: str, *, until: datetime, now: datetime) -> None:
        """Let such a gap end where it did by a clock that has been corrected, unless that is earlier."""
        for name, gap in list(self._ahead.items()):
            if gap.session == session and gap.data.to is not None and until > gap.data.to:
                type_ = GAP_HEALED if gap.data.healed_by else GAP_CLOSED
                self._note(Gap(session, gap.kind, replace(gap.data, to=until)), type_, now)
                del self._ahead[name]

    def close_others(self, session: str, *, until: datetime, now: datetime) -> None:
        """Close this session's open gaps beside its link's: whoever would have closed them is gone."""
        for kind in {gap.kind for gap in self._gaps.values() if gap.session == session} - {LINK}:
            self.close(session, kind, until=until, restored=False, count=None, now=now)

    def close_strangers(self, sessions: Collection[str], *, now: datetime) -> None:
        """Close what is open of sessions that are no longer configured: nothing of theirs is missed.

        Nobody is left to settle what is pending: it is lost.
        """
        for name, kind in {(gap.session, gap.kind) for gap in self._gaps.values()}:
            if name not in sessions:
                self.close(name, kind, until=now, restored=False, count=None, now=now)
                for gap in self.pending(name):
                    self.settle(gap.gap_id, events="lost", healed_by=None, count=None, since=None, now=now)

    def heal(self, session: str, *, by: Literal["snapshot", "redelivery", "backfill"], now: datetime) -> None:
        """Heal this session's closed gaps: a snapshot has restored their state."""
        for gap in list(self._gaps.values()):
            if gap.session == session and gap.data.to is not None and gap.data.state == "stale":
                healed = replace(gap.data, state="restored", healed_by=by, healed_at=now)
                self._note(Gap(session, gap.kind, healed), GAP_HEALED, now)

    def _open_ones(self, session: str, kind: str) -> list[Gap]:
        return [
            gap
            for gap in self._gaps.values()
            if gap.session == session and gap.kind == kind and gap.data.to is None
        ]

    def _note(self, gap: Gap, type_: str, now: datetime) -> None:
        if gap.name in self._ahead:
            self._ahead[gap.name] = gap
        done = gap.data.to is not None and gap.data.state != "stale" and not _is_pending(gap.data)
        if done:
            self._gaps.pop(gap.name, None)
        else:
            self._gaps[gap.name] = gap
        event = Event(GAPS, gap.data.gap_id, type_, gap.data, now, subject=gap.data.gap_id)
        self._untold.pop(gap.name, None)  # to stand behind all that became of other gaps before
        self._untold[gap.name] = event, None if done else msgspec.json.encode(gap)


def _is_pending(gap: GapData) -> bool:
    return gap.to is not None and gap.events == "pending"
