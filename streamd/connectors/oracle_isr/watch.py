"""Watch the recordings that run: each poll one list, and what is new in it has started."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from streamd.connector import Context
from streamd.connectors.oracle_isr.cells import Cell
from streamd.connectors.oracle_isr.config import OracleIsrConfig
from streamd.connectors.oracle_isr.details import Details
from streamd.connectors.oracle_isr.face import Face, Turn
from streamd.connectors.oracle_isr.listing import Listing, list_all
from streamd.connectors.oracle_isr.normalise import Normaliser
from streamd.connectors.oracle_isr.register import Register
from streamd.connectors.oracle_isr.running import Running
from streamd.connectors.oracle_isr.wire import Tree, call_ids, text_of
from streamd.connectors.oracle_isr.zone import Zone

SUSPICIOUS = timedelta(minutes=5)
"""How far a start may lie from when it must have been before the zone is doubted."""


class Watch:
    """Makes `started` of what is found running."""

    def __init__(
        self,
        ctx: Context[OracleIsrConfig],
        register: Register,
        face: Face,
        details: Details,
        normaliser: Normaliser,
        zone: Zone,
        discreet: Callable[[Tree], Tree],
    ) -> None:
        self._ctx = ctx
        self._register = register
        self._face = face
        self._details = details
        self._normaliser = normaliser
        self._zone = zone
        self._discreet = discreet
        self._whole_at: datetime | None = None
        self._is_zone_doubted = False

    async def look(self, now: datetime) -> bool:
        """List what runs; return whether the list was whole. `now`: the server's, before it is asked."""
        listing = await list_all(self._face, Cell(at=now + SUSPICIOUS), Turn.LIVE, self._zone, self._discreet)
        trees = [await self._with_call(id_, tree) for id_, tree in listing.found.items()]
        whole = not listing.holes
        async with self._register.turn():
            new = self._register.running.observe(
                trees, now, complete=whole, has_ended=self._register.known.has_link
            )
            received = self._ctx.clock.now()
            events = []
            for entry in new:
                data = self._normaliser.recording(entry.tree, entry.link, now + SUSPICIOUS)
                events.append(self._normaliser.started(data, entry.link, received, "live"))
            await self._register.commit(events)
        self._doubt_zone(new, now)
        self._note_odd(listing)
        self._whole_at = now if whole else None
        return whole

    async def _with_call(self, id_: str, tree: Tree) -> Tree:
        """Ask for what a list leaves out: without a call id, start and end cannot be linked."""
        if call_ids(tree):
            return tree
        seen = self._register.running.by_live_id(id_)
        if seen is not None:
            return seen.tree
        return await self._details.running(tree, Turn.LIVE) or tree

    def _doubt_zone(self, new: list[Running], now: datetime) -> None:
        """Warn, once, where recordings start at times at which they cannot have started (section 2, P8)."""
        if self._is_zone_doubted:
            return
        for entry in new:
            start = self._zone.read(text_of(entry.tree, "startTime") or "", now)
            if start is None:
                continue
            early = self._whole_at is not None and start < self._whole_at - SUSPICIOUS
            if start > now + SUSPICIOUS or early:
                self._is_zone_doubted = True
                self._ctx.counters.count("zone_doubted")
                self._ctx.log.warning(
                    "time_zone_suspicious",
                    time_zone=self._ctx.config.time_zone,
                    started=start.isoformat(),
                    server_now=now.isoformat(),
                )
                return

    def _note_odd(self, listing: Listing) -> None:
        if listing.odd:  # of the finished ones each is dead-lettered; this one will be among them
            self._ctx.counters.count("live_without_id", len(listing.odd))
