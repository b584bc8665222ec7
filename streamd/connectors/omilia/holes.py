"""Heal what was missed, and say what became of each gap; export what an operator asks for.

When which hours are exported is decided in missing.py, and how in export.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NoReturn

import trio

from streamd.connector import Backfilled, Context, Progress
from streamd.connectors.omilia.answers import Unaccepted
from streamd.connectors.omilia.arrivals import Arrivals
from streamd.connectors.omilia.audit import Audit
from streamd.connectors.omilia.config import OmiliaConfig
from streamd.connectors.omilia.errand import Errand
from streamd.connectors.omilia.export import Exporter
from streamd.connectors.omilia.missing import (
    Due,
    Hole,
    Part,
    due,
    errand_for,
    message_type,
    part_after,
    redelivered_at,
)
from streamd.connectors.omilia.plan import LONGEST, askable, types_of, unspelt
from streamd.connectors.omilia.records import Records
from streamd.connectors.omilia.rest import Exports
from streamd.connectors.omilia.slowly import Slowly
from streamd.errors import Rejected, Transient
from streamd.live.herald import Herald
from streamd.pull.ledger import Ledger
from streamd.pull.windows import Window, ceil_hour, clip, floor_hour, slices

_LOOK_SECONDS = 5.0
_BY_HAND = "hand-"
_AUDIT = "audit"
_TOPIC = "exports"  # of a herald's worry
UNREAD = "files or pages that cannot be read"
NOT_EXPORTED = "hours older than 60 days or younger than 2 hours, which cannot be exported"
UNSPELT = "data types that cannot be exported in this types_style"


class Holes:
    """The healing of one connector's gaps."""

    def __init__(
        self, ctx: Context[OmiliaConfig], exports: Exports, records: Records, arrivals: Arrivals
    ) -> None:
        self._ctx = ctx
        self._exports = exports
        self._arrivals = arrivals
        self._exporter = Exporter(ctx, exports, records)
        self._heralds: dict[str, Herald] = {}
        self._refusal: str | None = None
        self._aside: set[str] = set()
        """The gaps, or the audit, whose export was not accepted."""
        self._put_aside = trio.Event()
        self._parts = Ledger(ctx, "hole/", Part)
        self._audit = Audit(ctx, self._exporter, self._heralds)

    @property
    def errands(self) -> Mapping[str, Errand]:
        """Give what is under way, by name."""
        return self._exporter.ledger.all()

    def join(self, data_type: str, herald: Herald) -> None:
        """Take charge of the pending gaps of one data type's session, each time it begins."""
        self._heralds[data_type] = herald
        herald.worry(_TOPIC, self._refusal)

    async def run(self) -> None:
        """Heal for ever; what is refused is tried again slowly, and at once when an operator asks."""
        await self._forget(lambda name, errand: name.startswith(_BY_HAND))  # whoever asked for it is gone
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_again_and_again)
            nursery.start_soon(self._ask_again)

    async def _look_again_and_again(self) -> NoReturn:
        slowly = Slowly(self._ctx)
        while True:
            try:
                await self._look()
            except Rejected as error:
                self._refused(error)
                await slowly.wait()
                self._exports.forgive()
                await self._forget(lambda name, errand: bool(errand.gaps))  # to be planned anew
                continue
            except Transient as error:
                self._ctx.log.info("healing_delayed", reason=error.reason)
            else:
                slowly.reset()
                if not self._aside:
                    self._worry(None)
            await trio.sleep(min(_LOOK_SECONDS, self._ctx.config.export.poll_seconds))

    async def _ask_again(self) -> NoReturn:
        """Ask again slowly for what was put aside."""
        slowly = Slowly(self._ctx)
        while True:
            await self._put_aside.wait()
            self._put_aside = trio.Event()
            await slowly.wait()
            self._aside.clear()

    def _put_by(self, what: Iterable[str], error: Unaccepted) -> None:
        """Put aside what is not accepted: its hours may be older than this contract keeps."""
        self._refused(error)
        self._aside.update(what)
        self._put_aside.set()

    def _refused(self, error: Rejected) -> None:
        self._ctx.log.error("export_refused", reason=error.reason)
        self._worry(f"exports: {error.reason}")

    def _worry(self, refusal: str | None) -> None:
        """Show in the state of the sessions whether what they miss can be fetched."""
        self._refusal = refusal
        for herald in self._heralds.values():
            if herald.worry(_TOPIC, refusal):
                herald.assess_nowait()

    async def backfill(self, begin: datetime, end: datetime, progress: Progress) -> Backfilled:
        """Export the hours from `begin` to `end` for an operator, and publish what is missing of them."""
        server_now = self._exports.server.now() or self._ctx.clock.now()
        wanted = Window(floor_hour(begin), ceil_hour(end))
        there = askable(server_now)
        hours = clip(wanted, there.begin, there.end)
        config = self._ctx.config
        asked, style = {message_type(each) for each in config.data_types}, config.export.types_style
        types = types_of(asked, style)
        if hours is None or not types:
            why = "what is older than 60 days or younger than 2 hours cannot be exported"
            raise Rejected(why if types else "none of the data types can be exported in this types_style")
        errand = await self._exporter.run(self._by_hand(hours, types), progress)
        await self._ctx.append([], self._exporter.ledger.remove(errand.name))
        left_out = (wanted.span - hours.span) // timedelta(hours=1)
        return Backfilled(
            {"published": errand.total, "known": errand.known, "dead_letters": errand.bad},
            left={
                UNREAD: errand.unread,
                NOT_EXPORTED: left_out,
                UNSPELT: len(unspelt(asked, style)),
            },
        )

    # -- by hand

    def _by_hand(self, hours: Window, types: list[str]) -> Errand:
        """Give the errand that was broken off for the same hours, or a new one, whose exports are new too."""
        stem = f"{_BY_HAND}{hours.begin:%Y%m%d%H}-{hours.end:%Y%m%d%H}-"
        for name, errand in self._exporter.ledger.all().items():
            if name.startswith(stem):
                return errand
        rest = slices(hours, LONGEST)
        return Errand(f"{stem}{self._ctx.clock.now():%Y%m%d%H%M%S}", types, rest, len(rest))

    async def _forget(self, chosen: Callable[[str, Errand], bool]) -> None:
        changes: dict[str, bytes | None] = {}
        for name, errand in self._exporter.ledger.all().items():
            if chosen(name, errand):
                changes |= self._exporter.ledger.remove(name)
        if changes:
            await self._ctx.append([], changes)

    # -- gaps

    async def _look(self) -> None:
        """Do the errand that was begun, else the next one that is due, else the audit. Raises Rejected.

        One that is not accepted keeps no other waiting.
        """
        server_now = self._exports.server.now()
        if server_now is None:
            return  # nothing was heard of the platform yet
        errand = next((each for each in self._exporter.ledger.all().values() if each.gaps), None)
        if errand is None:
            dues = [each for each in await self._dues(server_now) if each.hole.gap_id not in self._aside]
            style = self._ctx.config.export.types_style
            errand = errand_for(dues, style, server_now) if dues else None
        if errand is not None:
            name, gaps = errand.name, errand.gaps
            try:
                await self._heal(errand)
            except Unaccepted as error:
                self._put_by(gaps, error)
                await self._forget(lambda each, _: each == name)
        elif _AUDIT not in self._aside:
            try:
                await self._audit.look(server_now)
            except Unaccepted as error:
                self._put_by([_AUDIT], error)

    async def _dues(self, server_now: datetime) -> list[Due]:
        """Give what is due for an export; settle what no export can tell anything about."""
        found: list[Due] = []
        now = self._ctx.clock.now()
        style = self._ctx.config.export.types_style
        for hole in self._holes():
            over = self._redelivered_at(hole)
            now_due = due(hole, over, now, server_now)
            if not types_of([message_type(hole.data_type)], style):
                if now >= over:
                    await self._settle_unverified(hole)
            elif now_due is not None:
                found.append(now_due)
        return found

    def _holes(self) -> list[Hole]:
        return [
            Hole(data_type, gap.gap_id, Window(gap.from_, gap.to), self._parts.get(gap.gap_id))
            for data_type, herald in self._heralds.items()
            for gap in herald.link.pending_gaps()
            if gap.from_ is not None and gap.to is not None
        ]

    def _redelivered_at(self, hole: Hole) -> datetime:
        redelivery = timedelta(seconds=self._ctx.config.redelivery_seconds)
        last_old = self._arrivals.last_old(hole.data_type)
        return redelivered_at(hole, self._arrivals.online_since, last_old, redelivery)

    async def _heal(self, errand: Errand) -> None:
        """Export, settle the gaps that are whole then, and note how far the others have come."""
        self._ctx.log.info("healing", errand=errand.name, gaps=len(errand.gaps), slices=len(errand.rest))
        errand = await self._exporter.run(errand)
        changes = self._exporter.ledger.remove(errand.name)
        for hole in self._holes():
            if hole.gap_id not in errand.gaps:
                continue
            part = part_after(hole, errand)
            if part.until < hole.hours.end:
                changes |= self._parts.put(hole.gap_id, part)
            else:
                await self._settle(hole, part, errand.kept_from)
        await self._ctx.append([], changes)

    async def _settle(self, hole: Hole, part: Part, kept_from: datetime | None) -> None:
        """Say what became of a gap whose hours have all been exported."""
        link, forget = self._heralds[hole.data_type].link, self._parts.remove(hole.gap_id)
        since = kept_from if kept_from is not None and kept_from > hole.missed.begin else None
        if since is not None:
            lost_until = min(since, hole.missed.end)
            await link.declare_gap(
                cause="not_kept", since=hole.missed.begin, until=lost_until, scope=[hole.data_type]
            )
            if lost_until == hole.missed.end:
                await link.settle_gap(hole.gap_id, events="lost", changes=forget)
                return
        if part.unread:
            await link.settle_gap(hole.gap_id, events="lost", since=since, changes=forget)
            return
        by_redelivery = part.published == 0 and self._came_back(hole)
        await link.settle_gap(
            hole.gap_id,
            events="recovered",
            healed_by="redelivery" if by_redelivery else "backfill",
            count=None if by_redelivery else part.published,
            since=since,
            changes=forget,
        )

    async def _settle_unverified(self, hole: Hole) -> None:
        """Settle a gap of a type that cannot be exported, once redelivery is over: by whether it came."""
        link = self._heralds[hole.data_type].link
        if self._came_back(hole):
            await link.settle_gap(hole.gap_id, events="recovered", healed_by="redelivery")
        else:
            await link.settle_gap(hole.gap_id, events="lost")

    def _came_back(self, hole: Hole) -> bool:
        last_old = self._arrivals.last_old(hole.data_type)
        return last_old is not None and last_old >= hole.missed.end
