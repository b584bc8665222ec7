"""Walk over the finished recordings by time, window after window, and search the last hours for late ones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec.structs import replace

from streamd.connector import Backfilled, Link, Log, Progress
from streamd.connectors.oracle_isr.cells import Cell
from streamd.connectors.oracle_isr.config import OracleIsrConfig
from streamd.connectors.oracle_isr.face import Face, Turn
from streamd.connectors.oracle_isr.finished import Finished, Published
from streamd.connectors.oracle_isr.listing import Listing, list_all
from streamd.connectors.oracle_isr.register import Cursor, Register
from streamd.connectors.oracle_isr.wire import Tree
from streamd.connectors.oracle_isr.zone import Zone
from streamd.model import Phase
from streamd.pull.windows import LEFT_TO_WALK, Pace, Step, Window, clip, settled, slices

HOUR = timedelta(hours=1)
SWEEP_EVERY = HOUR
SWEPT = 6 * HOUR
LIST_CUT = "list_cut"
"""The cause of a gap: so many recordings in one second that the server does not list them all."""
NOT_READABLE = "recordings that cannot be read yet"
NOT_LISTED = "seconds with more recordings than the server lists"


class Walk:
    """Moves the cursor of one connector; it never passes what is not committed or not declared as a gap."""

    def __init__(
        self,
        config: OracleIsrConfig,
        log: Log,
        register: Register,
        face: Face,
        finished: Finished,
        zone: Zone,
        discreet: Callable[[Tree], Tree],
    ) -> None:
        self._log = log
        self._register = register
        self._face = face
        self._finished = finished
        self._zone = zone
        self._discreet = discreet
        self._declared: set[Window] = set()
        self._pace = Pace(
            step=HOUR,
            overlap=timedelta(seconds=config.overlap_seconds),
            settle=timedelta(seconds=config.settle_seconds),
            catch_up=HOUR,
        )

    async def try_out(self, now: datetime) -> None:
        """Ask for the list that the next step begins with, and leave it; raises as `Face.search` does."""
        if (step := self._next(now)) is not None:
            cell = Cell(at=step.window.end, ends=step.window)
            await self._face.search(cell.criteria(self._zone, self._face.list_length), Turn.USUAL)

    async def step(self, link: Link, now: datetime) -> bool:
        """Fetch the next window; return whether more are waiting. `now`: the server's."""
        await self._go_back(link, now)
        cursor, step = self._register.cursor, self._next(now)
        if cursor is None or step is None:
            return False
        latest = now if step.newest else step.window.end
        published, holes = await self._fetch(step.window, latest, "live" if step.newest else "backfill")
        moved = step.watermark
        oldest = self._register.running.oldest_missing()
        if published.waiting:
            moved = cursor.watermark
        elif oldest is not None:
            moved = min(moved, oldest)
        await self._move(link, replace(cursor, watermark=max(moved, cursor.watermark)), holes)
        return not step.newest and not published.waiting

    async def sweep(self, link: Link, now: datetime) -> None:
        """Search the last hours again, once an hour: a recording may be inserted long after its end."""
        cursor = self._register.cursor
        assert cursor is not None
        if now - cursor.swept_at < SWEEP_EVERY:
            return
        window = clip(Window(now - SWEPT, cursor.watermark), cursor.begin, None)
        for part in slices(window, HOUR) if window is not None else ():
            latest = now if part.end == cursor.watermark else part.end
            _, holes = await self._fetch(part, latest, "backfill")
            await self._move(link, self._register.cursor or cursor, holes)
        await self._move(link, replace(self._register.cursor or cursor, swept_at=now), [])

    async def backfill(self, wanted: Window, now: datetime, progress: Progress) -> Backfilled:
        """Fetch what ended in a window; what has not settled is left to the steps. `now`: the server's."""
        window, early = settled(wanted, now - self._pace.settle)
        parts = slices(window, HOUR)
        new = known = waiting = undivided = 0
        for number, part in enumerate(parts):
            progress(number / len(parts), f"window {number + 1} of {len(parts)}")
            published, holes = await self._fetch(part, part.end, "backfill", Turn.BEHIND)
            new, known = new + published.new, known + published.known
            waiting, undivided = waiting + published.waiting, undivided + len(holes)
        progress(1.0, f"{len(parts)} windows")
        left = {NOT_READABLE: waiting, NOT_LISTED: undivided}
        return Backfilled({"published": new, "known": known, LEFT_TO_WALK: early}, left)

    async def _go_back(self, link: Link, now: datetime) -> None:
        """Follow a server whose clock went back; the last hours are due to be searched again then."""
        cursor = self._register.cursor
        if cursor is None:
            return
        at = self._pace.resume(cursor.watermark, now)
        if at < cursor.watermark:
            told = {"watermark": cursor.watermark.isoformat(), "to": at.isoformat()}
            self._log.warning("server_clock_went_back", **told)
            back = Cursor(begin=min(cursor.begin, at), watermark=at, swept_at=now - SWEEP_EVERY)
            await self._move(link, back, [])

    def _next(self, now: datetime) -> Step | None:
        """Say what to ask for next, nothing of it before the cursor's beginning; None: nothing is new."""
        cursor = self._register.cursor
        step = self._pace.next(cursor.watermark, now) if cursor is not None else None
        if cursor is None or step is None:
            return None
        window = clip(step.window, cursor.begin, None)
        return None if window is None else replace(step, window=window)

    async def _fetch(
        self, window: Window, latest: datetime, phase: Phase, turn: Turn = Turn.USUAL
    ) -> tuple[Published, list[Window]]:
        """Publish what is new in a window; return the seconds of which not all may have been listed.

        `latest`: when the last of it may have ended. That is behind the window's end where it ends in the
        present: in the hour that autumn has twice, its bound lets in all that has ended (`Zone.upper`).
        """
        cell = Cell(at=window.end, ends=window)
        listing: Listing = await list_all(self._face, cell, turn, self._zone, self._discreet)
        published = await self._finished.publish(listing, latest, phase, turn)
        return published, sorted({hole.ends for hole in listing.holes if hole.ends is not None})

    async def _move(self, link: Link, cursor: Cursor, holes: list[Window]) -> None:
        """Commit the cursor, together with the gap of what it passes."""
        new = [hole for hole in holes if hole not in self._declared]
        for hole in new[:-1]:
            await link.declare_gap(cause=LIST_CUT, since=hole.begin, until=hole.end)
        async with self._register.turn():
            if new:
                changes = self._register.take_changes(cursor)
                await link.declare_gap(
                    cause=LIST_CUT, since=new[-1].begin, until=new[-1].end, changes=changes
                )
                self._register.cursor = cursor
            elif cursor != self._register.cursor:
                await self._register.commit([], cursor)
        self._declared.update(new)
