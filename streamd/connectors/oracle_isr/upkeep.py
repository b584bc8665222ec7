"""Look again at single recordings: those that may have changed, and those that went missing."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from streamd.connector import Context
from streamd.connectors.oracle_isr.config import OracleIsrConfig
from streamd.connectors.oracle_isr.details import Details
from streamd.connectors.oracle_isr.face import NotNow, Turn, Unreadable, some_at_once
from streamd.connectors.oracle_isr.finished import PATIENCE, Finished
from streamd.connectors.oracle_isr.known import Known, instant, stage_at
from streamd.connectors.oracle_isr.listing import Listing
from streamd.connectors.oracle_isr.normalise import Normaliser, digest
from streamd.connectors.oracle_isr.register import Register
from streamd.connectors.oracle_isr.running import Running
from streamd.connectors.oracle_isr.wire import Tree, recording_id
from streamd.errors import BadRecord

AT_A_TIME = 100
"""Recordings that are read again between two windows."""
LOOKS = (1 / 30, 1 / 6, 1 / 2, 1.0)
"""When a missing recording is looked for by itself, in parts of `chase_seconds`."""


class Upkeep:
    """Makes `updated` and `lost`."""

    def __init__(
        self,
        ctx: Context[OracleIsrConfig],
        register: Register,
        details: Details,
        finished: Finished,
        normaliser: Normaliser,
    ) -> None:
        self._ctx = ctx
        self._register = register
        self._details = details
        self._finished = finished
        self._normaliser = normaliser
        self._misses: dict[str, int] = {}

    # -- what may have changed

    async def revisit(self, now: datetime) -> None:
        """Read again the recordings whose time has come; `now`: the server's."""
        async with self._register.turn():
            self._register.known.forget_old(now)
            await self._register.commit([])

        async def one(id_: str) -> None:
            known = self._register.known.get(id_)
            if known is not None:
                await self._reread(id_, known, now)

        await some_at_once(one, self._register.known.due(now, AT_A_TIME))

    async def _reread(self, id_: str, known: Known, now: datetime) -> None:
        asked = {
            "recordingId": id_,
            "isrUcid": known.isr_ucid,
            "ingressCallId": known.ingress_call_id,
            "startTime": known.second,
        }
        bad: BadRecord | None = None
        try:
            found = await self._details.of(
                asked, self._finished.start_of(asked, instant(known.ended)), Turn.USUAL
            )
        except (NotNow, Unreadable) as error:
            self._misses[id_] = self._misses.get(id_, 0) + 1
            if self._misses[id_] < PATIENCE:
                return
            body = error.body if isinstance(error, Unreadable) else msgspec.json.encode(asked)
            found, bad = None, BadRecord(error.reason, body, "oracle_isr details")
        self._misses.pop(id_, None)
        if found is None and bad is None:
            self._ctx.counters.count("recordings_gone")
        await self._note(id_, known, found, bad, now)

    async def _note(
        self, id_: str, known: Known, found: Tree | None, bad: BadRecord | None, now: datetime
    ) -> None:
        content = known.digest if found is None else digest(found)
        stage = max(known.stage + 1, stage_at(instant(known.ended), now))
        async with self._register.turn():
            events = [] if bad is None else [self._ctx.dead_letter(bad)]
            if found is not None and content != known.digest:
                data = self._normaliser.recording(found, known.link, now)
                received = self._ctx.clock.now()
                events.append(self._normaliser.updated(data, content, known.link, received, "live"))
            self._register.known.note(id_, replace(known, digest=content, stage=stage))
            await self._register.commit(events)

    # -- what went missing

    async def chase(self, now: datetime) -> None:
        """Look for those that run no more and did not come up; what is not found in time is lost."""
        allowed = timedelta(seconds=self._ctx.config.chase_seconds)
        for entry in self._register.running.missing():
            assert entry.gone_at is not None
            at = allowed * LOOKS[min(entry.looked, len(LOOKS) - 1)]
            if now - entry.gone_at >= at:
                last = now - entry.gone_at >= allowed
                await self._look_for(entry, now, is_last=last)

    async def _look_for(self, entry: Running, now: datetime, *, is_last: bool) -> None:
        start = self._finished.start_of(entry.tree, now)
        found = await self._details.candidates(entry.tree, start, Turn.USUAL)
        listing = Listing()
        for tree in found:
            if self._register.running.find(tree) is entry:
                listing.take(tree, recording_id(tree), full="segments" in tree)
        published = await self._finished.publish(listing, now, "live", Turn.USUAL)
        async with self._register.turn():
            # Whoever came up is gone from it; what is found and cannot be read yet is not lost.
            left = self._register.running.find(entry.tree)
            if left is None or left.gone_at is None:
                return
            self._register.running.look(left)
            events = []
            if is_last and not published.waiting:
                received = self._ctx.clock.now()
                for id_ in left.ids[len(left.finished) :]:
                    tree = {**left.tree, "tmpRecordingId": id_}
                    events.append(self._normaliser.lost(tree, left.link, left.gone_at, received))
                self._register.running.remove(left)
            await self._register.commit(events)
