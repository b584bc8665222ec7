"""Look again at single recordings: those that may have changed, and those that went missing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from streamd.connector import Context
from streamd.connectors.oracle_isr.config import OracleIsrConfig
from streamd.connectors.oracle_isr.details import Details
from streamd.connectors.oracle_isr.face import Turn
from streamd.connectors.oracle_isr.finished import Finished
from streamd.connectors.oracle_isr.known import instant, stage_at
from streamd.connectors.oracle_isr.listing import Listing
from streamd.connectors.oracle_isr.normalise import Normaliser, digest
from streamd.connectors.oracle_isr.register import Register
from streamd.connectors.oracle_isr.retrieval import Reading, Retrieval, in_batches
from streamd.connectors.oracle_isr.running import Running
from streamd.connectors.oracle_isr.wire import recording_id
from streamd.model import Event

AT_A_TIME = 1000
"""Recordings that are read again before it is asked anew which are due."""
LOOKS = (1 / 30, 1 / 6, 1 / 2, 1.0)
"""When a missing recording is looked for by itself, in parts of `chase_seconds`."""


class Upkeep:
    """Makes `updated` and `lost`."""

    def __init__(
        self,
        ctx: Context[OracleIsrConfig],
        register: Register,
        details: Details,
        retrieval: Retrieval,
        finished: Finished,
        normaliser: Normaliser,
    ) -> None:
        self._ctx = ctx
        self._register = register
        self._details = details
        self._retrieval = retrieval
        self._finished = finished
        self._normaliser = normaliser

    # -- what may have changed

    async def revisit(self, now: datetime) -> bool:
        """Read again the recordings whose time has come; return whether more may be due. `now`: the server's.

        One request for each: a list has neither location, nor custom data, nor what else changes (section 2).
        Where they come faster than the server answers, what is late skips the readings that its next one
        takes in (`stage_at`): at worst each recording is read twice more.
        """

        async def note(readings: list[Reading]) -> None:
            await self._note(readings, now)

        due = self._register.known.due(now, AT_A_TIME)
        await in_batches(self._reread, due, note)
        return len(due) == AT_A_TIME

    async def forget_old(self, now: datetime) -> None:
        """Forget the recordings that nothing is expected of any more."""
        async with self._register.turn():
            self._register.known.forget_old(now)
            await self._register.commit([])

    async def _reread(self, id_: str) -> Reading | None:
        """Read one; None: it is to be tried again."""
        known = self._register.known.get(id_)
        if known is None:
            return None
        asked = {
            "recordingId": id_,
            "isrUcid": known.isr_ucid,
            "ingressCallId": known.ingress_call_id,
            "startTime": known.second,
        }
        start = self._finished.start_of(asked, instant(known.ended))
        reading = await self._retrieval.read(id_, asked, start, Turn.BEHIND, is_listed=False)
        if reading is not None and reading.found is None and reading.bad is None:
            self._ctx.counters.count("recordings_gone")
        return reading

    async def _note(self, readings: Sequence[Reading], now: datetime) -> None:
        """Publish what has changed, and when each is read next."""
        async with self._register.turn():
            events: list[Event] = []
            for each in readings:
                known = self._register.known.get(each.id)
                if known is None:
                    continue
                content = known.digest if each.found is None else digest(each.found)
                if each.bad is not None:
                    events.append(self._ctx.dead_letter(each.bad))
                if each.found is not None and content != known.digest:
                    # In the hour that autumn has twice it is read as when it ended.
                    ended = instant(known.ended)
                    data = self._normaliser.recording(each.found, known.link, ended)
                    received = self._ctx.clock.now()
                    events.append(self._normaliser.updated(data, content, known.link, received, "live"))
                stage = max(known.stage + 1, stage_at(instant(known.ended), now))
                self._register.known.note(each.id, replace(known, digest=content, stage=stage))
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
            alike = self._register.running.find(tree)
            if alike is not None and alike.link == entry.link:
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
