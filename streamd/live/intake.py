"""The bounded buffer behind a socket that cannot wait: always takes, and says what it had to drop.

A vendor that cannot be asked to wait (Avaya, O2G) drops a client that stops reading. So its reader puts
everything here and never waits; each commit of the spool takes what is here. When the buffer is full, events
are dropped and declared as a gap, while states are kept, the latest of each key: they converge.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import trio
from msgspec import Raw
from msgspec.json import Encoder

from streamd.connector import Context, Feed, Item, Link
from streamd.instant import Instant
from streamd.live.hole import Hole
from streamd.model import Event, State, Stream

MOST_ITEMS = 20_000  # about 30 MB of Avaya's messages
# Of one append: until its commit is done, all its records stand in memory several times over. But so many
# that slow commits keep up with a busy socket: while a backlog drains, 2,000 items may take 200 ms.
MOST_AT_ONCE = 5_000
_KIND = "overflow"
_encode = Encoder().encode
_FLUSH_SECONDS = 2.0
# What is received now was sent up to so long before, and a gap speaks of what the vendor sent.
UNDERWAY_SECONDS = 0.5


class _Put:
    """What was received together and waits. `at` is not later than that of any put behind it."""

    def __init__(self, items: Sequence[Item], changes: Mapping[str, bytes | None], at: Instant) -> None:
        self.items = items
        self.changes = changes
        self.at = at


def _write_data(items: Sequence[Item]) -> None:
    """Encode the data of all items where they are.

    It is in the CPU's caches now, and not where the records are made, by another thread some commits later;
    and its objects take several times the room of their JSON.
    """
    for item in items:
        if item.data is not None:
            item.data = Raw(_encode(item.data))


class Intake:
    """The buffer of one session, in the order of `put_nowait`; dropped events leave a gap behind."""

    def __init__(
        self,
        ctx: Context[Any],
        link: Link,
        most: int = MOST_ITEMS,
        underway_seconds: float = UNDERWAY_SECONDS,
    ) -> None:
        self._ctx = ctx
        self._link = link
        self._most = most
        self._underway = timedelta(seconds=underway_seconds)
        self._puts: deque[_Put] = deque()
        self._waiting = 0  # items in `_puts`
        self._given = 0  # items that are under way into the spool
        # What could not be dropped while there was no room; it follows what waits as soon as there is some.
        self._held: dict[tuple[Stream, str], State] = {}
        self._held_changes: dict[str, bytes | None] = {}
        self._held_at: Instant | None = None
        self._returned: _Put | None = None  # what was held last, while it is not committed
        self._kept_until: datetime | None = None
        self._uncommitted: list[Instant] = []
        self._hole: Hole | None = None
        self._overflowed = trio.Event()
        self._finishing = trio.lowlevel.ParkingLot()
        self._feed: Feed | None = None  # while there is a worker
        self._in_hand = 0
        self._flush_by: float | None = None

    @property
    def uncommitted(self) -> int:
        """Count the items that wait here or are under way into the spool."""
        return self._waiting + self._given

    @property
    def dropped(self) -> int:
        """Count what was dropped in the hole that is not closed yet."""
        return self._hole.count if self._hole else 0

    def put_nowait(
        self,
        items: Sequence[Item],
        changes: Mapping[str, bytes | None],
        at: Instant,
        sent_after: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        """Take what was received at `at`; never waits, never refuses but what is no JSON (TypeError).

        `sent_after` is asked where there is no room: all that the vendor sent before it was put here already
        (None: not known). What was slow to be read was sent long before it was received, and a gap has to
        begin before that.
        """
        if not items and not changes:
            return
        _write_data(items)
        if self._waiting < self._most:
            self._enqueue(_Put(items, changes, at))
            self._kept_until = at.wall
        else:
            self._drop(items, at, sent_after)
            self._held_changes.update(changes)
        if self._feed is not None:
            self._feed.offer()

    def _enqueue(self, put: _Put) -> None:
        for earlier in reversed(self._puts):
            if earlier.at.monotonic <= put.at.monotonic:
                break
            earlier.at = put.at
        self._puts.append(put)
        self._waiting += len(put.items)

    def _drop(self, items: Sequence[Item], at: Instant, sent_after: Callable[[], datetime | None]) -> None:
        """Keep the states, the latest of each key; there is room for nothing else."""
        if self._held_at is None or at.monotonic < self._held_at.monotonic:
            self._held_at = at
        events = 0
        for item in items:
            if isinstance(item, Event):
                events += 1
            else:
                self._held[item.stream, item.key] = item
        if events:
            if self._hole is None:
                since = min(self._kept_until or at.wall, at.wall) - self._underway
                since = min(sent_after() or since, since)
                self._hole = Hole(at.before(since))
                self._overflowed.set()
            self._hole.drop(events, at.wall)
            self._ctx.counters.count("dropped_events", events)

    async def run(self) -> None:
        """Append what comes and declare what is dropped, for ever; when cancelled, first what is left."""
        async with trio.open_nursery() as nursery:
            worker = self._start(nursery)
            try:
                await trio.sleep_forever()
            finally:
                await self._finish(worker)

    async def flush(self) -> None:
        """Hand over what is left when the session ends, within a short deadline that `run` shares."""
        with trio.CancelScope(shield=True):
            while self._has_work and trio.current_time() < self._deadline():
                async with trio.open_nursery() as nursery:
                    worker = None if self._feed else self._start(nursery)
                    await self._finish(worker)

    def _start(self, nursery: trio.Nursery) -> trio.CancelScope:
        self._feed = self._ctx.feed(self._give)
        scope = trio.CancelScope(shield=True)
        nursery.start_soon(self._work_in, self._feed, scope)
        return scope

    async def _work_in(self, feed: Feed, scope: trio.CancelScope) -> None:
        try:
            with scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(feed.run)
                    nursery.start_soon(self._declare)
        finally:
            self._feed, self._in_hand, self._given = None, 0, 0
            self._finishing.unpark_all()  # nobody works on what may be left

    async def _finish(self, worker: trio.CancelScope | None) -> None:
        with trio.CancelScope(shield=True, deadline=self._deadline()):
            while self._feed is not None and self._has_work:
                await self._finishing.park()
        if worker is not None:
            worker.cancel()

    def _deadline(self) -> float:
        if self._flush_by is None:
            self._flush_by = trio.current_time() + _FLUSH_SECONDS
        return self._flush_by

    @property
    def _has_work(self) -> bool:
        waits = self._puts or self._held_at is not None
        return bool(waits) or self._hole is not None or self._in_hand > 0

    def _give(self) -> tuple[Sequence[Item], Mapping[str, bytes | None], Callable[[], None]] | None:
        """Give what is here, in order; where it is not committed, `proof` stays where it is."""
        hole = self._hole
        end_hole = partial(hole.end, hole.count, self._ctx.clock.now()) if hole is not None else None
        taken = self._take()
        if not taken:
            return None
        first = taken[0]
        items, changes = first.items, first.changes
        if len(taken) > 1:
            items = [item for put in taken for item in put.items]
            changes = {name: value for put in taken for name, value in put.changes.items()}
        self._uncommitted.append(first.at)
        self._given += len(items)
        self._in_hand += 1
        return items, changes, partial(self._note_kept, taken, len(items), end_hole)

    def _note_kept(self, taken: list[_Put], items: int, end_hole: Callable[[], None] | None) -> None:
        """Note that what was given is committed, and with it, perhaps, all that a hole held back."""
        self._uncommitted.remove(taken[0].at)
        if self._returned in taken:
            self._returned = None
        if end_hole is not None and self._held_at is None and self._returned is None:
            end_hole()
        self._given -= items
        self._in_hand -= 1
        self._note_idle()
        if self._puts and self._feed is not None:
            self._feed.offer()

    def _take(self) -> list[_Put]:
        """Take what goes at once from what waits."""
        taken: list[_Put] = []
        room = MOST_AT_ONCE
        while self._puts and room > 0:
            put = self._puts.popleft()
            taken.append(put)
            room -= len(put.items)
            self._waiting -= len(put.items)
            if self._held_at is not None and self._waiting < self._most:
                self._returned = _Put([*self._held.values()], self._held_changes, self._held_at)
                self._held, self._held_changes, self._held_at = {}, {}, None
                self._enqueue(self._returned)
        return taken

    async def _declare(self) -> None:
        """Open a gap as soon as anything is dropped, although the spool may be stuck; close it in the end."""
        while True:
            while self._hole is None:
                await self._overflowed.wait()
                self._overflowed = trio.Event()
            hole = self._hole
            if not hole.declared:
                since = hole.since.told(self._ctx.clock)
                self._ctx.log.warning("intake_overflow", since=since.isoformat())
                await self._link.open_gap(_KIND, cause="overflow", since=since)
                hole.declared = True
            while not hole.over.is_set():
                await hole.over.wait()
            self._hole = None  # what is dropped from here on is another one
            self._in_hand += 1
            self._ctx.log.info("intake_recovered", dropped=hole.count)
            await self._link.close_gap(_KIND, until=hole.until, restored=True, count=hole.count)
            self._in_hand -= 1
            self._note_idle()

    def _note_idle(self) -> None:
        if self._flush_by is not None and not self._has_work:
            self._finishing.unpark_all()

    def proof(self, transport: datetime | None) -> datetime | None:
        """Give the latest instant before which all that was sent is committed or in a declared gap.

        `transport`: the instant before which all that the vendor sent has been put here.
        """
        if transport is None:
            return None
        bounds = [transport]
        if self.waiting_since is not None:
            bounds.append(self.waiting_since - self._underway)
        if self._hole is not None and not self._hole.declared:
            bounds.append(self._hole.since.told(self._ctx.clock))
        return min(bounds)

    @property
    def waiting_since(self) -> datetime | None:
        """Give when the oldest was received of what is here and not committed; None: there is nothing."""
        waiting = [*self._uncommitted]
        if self._puts:
            waiting.append(self._puts[0].at)
        if self._held_at is not None:
            waiting.append(self._held_at)
        return min((at.told(self._ctx.clock) for at in waiting), default=None)
