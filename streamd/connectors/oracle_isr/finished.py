"""Publish recordings that have ended: what is new of a list, read in full."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from streamd.connector import Context
from streamd.connectors.oracle_isr.config import OracleIsrConfig
from streamd.connectors.oracle_isr.face import Turn
from streamd.connectors.oracle_isr.known import SCHEDULE, Known, stage_at
from streamd.connectors.oracle_isr.listing import Listing
from streamd.connectors.oracle_isr.normalise import LinkName, Normaliser, digest, link_name
from streamd.connectors.oracle_isr.register import Register
from streamd.connectors.oracle_isr.retrieval import Reading, Retrieval, in_batches
from streamd.connectors.oracle_isr.wire import Tree, recording_id, start_second, text_of
from streamd.connectors.oracle_isr.zone import SECOND, Zone
from streamd.errors import BadRecord
from streamd.model import Event, Phase
from streamd.pull.windows import Window

# What both a list and details have: the beginning tells no more, whichever of them it is taken from.
_OF_A_BEGINNING = ("recordingId", "tmpRecordingId", "isrUcid", "ingressCallId", "ani", "dnis", "startTime")


class Published(NamedTuple):
    """What became of a list: how many recordings are new, known, and cannot be had yet."""

    new: int = 0
    known: int = 0
    waiting: int = 0


class Finished:
    """Makes `started` and `ended` of what is found finished, each recording once."""

    def __init__(
        self,
        ctx: Context[OracleIsrConfig],
        register: Register,
        retrieval: Retrieval,
        normaliser: Normaliser,
        zone: Zone,
        server_now: Callable[[], datetime],
    ) -> None:
        self._ctx = ctx
        self._server_now = server_now
        self._register = register
        self._retrieval = retrieval
        self._normaliser = normaliser
        self._zone = zone

    async def publish(self, listing: Listing, latest: datetime, phase: Phase, turn: Turn) -> Published:
        """Publish what is new of a list, about in the order of the starts, some at a time.

        `latest`: no time in it is well after that. Raises as `Face.search` does; what was published stays.
        """
        new = [id_ for id_ in listing.found if id_ not in self._register.known]
        new.sort(key=lambda id_: (text_of(listing.found[id_], "startTime") or "", id_))

        async def read(id_: str) -> Reading | None:
            tree = listing.found[id_]
            if id_ in listing.full:
                return Reading(id_, tree)
            start = self.start_of(tree, latest)
            return await self._retrieval.read(id_, tree, start, turn, is_listed=True)

        async def note(readings: list[Reading]) -> None:
            await self._publish(readings, latest, phase)

        waiting = await in_batches(read, new, note)
        if listing.odd:
            await self._bury(listing.odd)
        return Published(len(new) - waiting, len(listing.found) - len(new), waiting)

    def start_of(self, tree: Tree, latest: datetime) -> Window | None:
        """Give the second in which a recording started, as a search asks for it."""
        start = self._zone.read(start_second(tree), latest)
        return None if start is None else Window(start, start + SECOND)

    # -- publishing

    async def _publish(self, readings: Sequence[Reading], latest: datetime, phase: Phase) -> None:
        async with self._register.turn():
            events: list[Event] = []
            for each in readings:
                if each.found is not None:
                    events += self._events(each.found, latest, phase)
                elif each.bad is not None:
                    events.append(self._ctx.dead_letter(each.bad))
                    self._give_up(each.id)
            await self._register.commit(events)

    def _events(self, tree: Tree, latest: datetime, phase: Phase) -> list[Event]:
        """Make what is new of one recording, and know it."""
        known, running = self._register.known, self._register.running
        id_ = recording_id(tree)
        if id_ is None or id_ in known:  # meanwhile, by a backfill
            return []
        received, events = self._ctx.clock.now(), []
        entry = running.find(tree)
        link = entry.link if entry is not None else link_name(tree)
        data = self._normaliser.recording(tree, link, latest)
        if entry is None and not known.has_link(link):
            beginning = {name: tree[name] for name in _OF_A_BEGINNING if name in tree}
            begun = self._normaliser.recording(beginning, link, latest)
            begun.start_time = data.start_time  # which hour of two it means, the end tells
            events.append(self._normaliser.started(begun, link, received, phase))
        events.append(self._normaliser.ended(tree, data, link, received, phase))
        if entry is not None:
            running.finish(entry, id_)
        ended = data.end_time or _by_duration(data.start_time, data.duration) or latest
        self._know(id_, tree, link, ended)
        return events

    def _know(self, id_: str, tree: Tree, link: LinkName, ended: datetime) -> None:
        now, ingress = self._server_now(), text_of(tree, "ingressCallId")
        known = Known(
            noted=now.timestamp(),
            ended=ended.timestamp(),
            digest=digest(tree),
            call_id=link.call_id,
            second=start_second(tree),
            stage=stage_at(ended, now),
            isr_ucid=None if ingress else text_of(tree, "isrUcid"),
            ingress_call_id=ingress,
        )
        self._register.known.note(id_, known)

    def _give_up(self, id_: str) -> None:
        """Know one that is dead-lettered, so that it is not asked for any more."""
        now = self._server_now().timestamp()
        self._register.known.note(id_, Known(now, now, b"", f"rec:{id_}", "", len(SCHEDULE)))

    async def _bury(self, odd: Sequence[Tree]) -> None:
        """Dead-letter what was listed without an id: each content once, for it is listed again and again."""
        for tree in odd:
            content = digest(tree).hex()
            if content in self._register.known:
                continue
            async with self._register.turn():
                bad = BadRecord("a match without an id", msgspec.json.encode(tree), "oracle_isr list")
                self._give_up(content)
                await self._register.commit([self._ctx.dead_letter(bad)])


def _by_duration(start: datetime | None, milliseconds: int | None) -> datetime | None:
    if start is None or milliseconds is None or not 0 <= milliseconds < 10**10:
        return None
    return start + timedelta(milliseconds=milliseconds)
