"""Look again at single recordings: those that may have changed, and those that went missing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from streamd.connector import Context
from streamd.connectors.oracle_isr.config import OracleIsrConfig
from streamd.connectors.oracle_isr.details import Details
from streamd.connectors.oracle_isr.face import NotNow, Turn, Unreadable, some_at_once
from streamd.connectors.oracle_isr.finished import BATCH, PATIENCE, Finished
from streamd.connectors.oracle_isr.known import Known, instant, stage_at
from streamd.connectors.oracle_isr.listing import Listing
from streamd.connectors.oracle_isr.normalise import Normaliser, digest
from streamd.connectors.oracle_isr.register import Register
from streamd.connectors.oracle_isr.running import Running
from streamd.connectors.oracle_isr.wire import Tree, recording_id
from streamd.errors import BadRecord
from streamd.model import Event

AT_A_TIME = 1000
"""Recordings that are read again before it is asked anew which are due."""
LOOKS = (1 / 30, 1 / 6, 1 / 2, 1.0)
"""When a missing recording is looked for by itself, in parts of `chase_seconds`."""


class _Read(NamedTuple):
    """A recording that was read again: what it was, and is; `found` None: it is gone, or `bad`."""

    id: str
    known: Known
    found: Tree | None
    bad: BadRecord | None = None


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

    async def revisit(self, now: datetime) -> bool:
        """Read again the recordings whose time has come; return whether more may be due. `now`: the server's.

        One request for each: a list has neither location, nor custom data, nor what else changes (section 2).
        Where they come faster than the server answers, what is late skips the readings that its next one
        takes in (`stage_at`): at worst each recording is read twice more.
        """
        due = self._register.known.due(now, AT_A_TIME)
        for first in range(0, len(due), BATCH):
            await self._note(await self._reread_some(due[first : first + BATCH]), now)
        return len(due) == AT_A_TIME

    async def forget_old(self, now: datetime) -> None:
        """Forget the recordings that nothing is expected of any more."""
        async with self._register.turn():
            self._register.known.forget_old(now)
            await self._register.commit([])

    async def _reread_some(self, ids: Sequence[str]) -> list[_Read]:
        """Read some again; what is missing of them is to be tried again."""
        read: list[_Read] = []

        async def one(id_: str) -> None:
            known = self._register.known.get(id_)
            if known is not None and (found := await self._reread(id_, known)) is not None:
                read.append(found)

        await some_at_once(one, ids)
        return read

    async def _reread(self, id_: str, known: Known) -> _Read | None:
        """Read one; None: it is to be tried again."""
        asked = {
            "recordingId": id_,
            "isrUcid": known.isr_ucid,
            "ingressCallId": known.ingress_call_id,
            "startTime": known.second,
        }
        start = self._finished.start_of(asked, instant(known.ended))
        try:
            found = await self._details.of(asked, start, Turn.BEHIND)
        except (NotNow, Unreadable) as error:
            self._misses[id_] = self._misses.get(id_, 0) + 1
            if self._misses[id_] < PATIENCE:
                return None
            del self._misses[id_]
            body = error.body if isinstance(error, Unreadable) else msgspec.json.encode(asked)
            return _Read(id_, known, None, BadRecord(error.reason, body, "oracle_isr details"))
        self._misses.pop(id_, None)
        if found is None:
            self._ctx.counters.count("recordings_gone")
        return _Read(id_, known, found)

    async def _note(self, read: Sequence[_Read], now: datetime) -> None:
        """Publish what has changed, and when each is read next."""
        async with self._register.turn():
            events: list[Event] = []
            for id_, known, found, bad in read:
                content = known.digest if found is None else digest(found)
                stage = max(known.stage + 1, stage_at(instant(known.ended), now))
                if bad is not None:
                    events.append(self._ctx.dead_letter(bad))
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
