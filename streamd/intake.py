"""The bounded buffer behind a socket that cannot wait: always takes, and says what it had to drop.

A vendor that cannot be asked to wait (Avaya, O2G) drops a client that stops reading. So its reader puts
everything here and never waits; the pump appends it to the spool as fast as that goes. When the buffer is
full, events are dropped and declared as a gap, while states are kept, the latest of each key: they converge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import trio

from streamd.connector import Context, Item, Link
from streamd.model import Event, State, Stream

MOST_ITEMS = 20_000  # about 30 MB of Avaya's messages
_KIND = "overflow"
_FLUSH_SECONDS = 2.0


class Intake:
    """The buffer of one session, in the order of `put_nowait`; dropped events leave a gap behind."""

    def __init__(self, ctx: Context[Any], link: Link, most: int = MOST_ITEMS) -> None:
        self.dropped = 0
        self._ctx = ctx
        self._link = link
        self._most = most
        self._items: list[Item] = []
        self._changes: dict[str, bytes | None] = {}
        self._held: dict[tuple[Stream, str], State] = {}
        self._oldest: datetime | None = None
        self._in_flight: datetime | None = None
        self._work = trio.Event()
        self._kept_until: datetime | None = None
        self._dropping_since: datetime | None = None
        self._declared = False

    def put_nowait(self, items: Sequence[Item], changes: Mapping[str, bytes | None], at: datetime) -> None:
        """Take what was received at `at`; never waits, never refuses."""
        if changes:
            self._changes.update(changes)
        if self._dropping_since is None and len(self._items) < self._most:
            self._items += items
            self._kept_until = at
            if self._oldest is None:
                self._oldest = at
        else:
            self._drop(items, at)
        self._work.set()

    def _drop(self, items: Sequence[Item], at: datetime) -> None:
        if self._dropping_since is None:
            self._dropping_since = self._kept_until or at
        for item in items:
            if isinstance(item, Event):
                self.dropped += 1
                self._ctx.counters.count("dropped_events")
            else:
                self._held.pop((item.stream, item.key), None)
                self._held[item.stream, item.key] = item

    async def run(self) -> None:
        """Pump for ever: append what is here, in order; declare what was dropped."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._declare)
            while True:
                await self._work.wait()
                await self._pump()

    async def flush(self) -> None:
        """Hand over what is left, within a short deadline, when the session ends."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _FLUSH_SECONDS):
            while self._items or self._changes or self._held or self._dropping_since:
                await self._pump()

    async def _pump(self) -> None:
        self._work = trio.Event()
        items, self._items = self._items, []
        changes, self._changes = self._changes, {}
        held, self._held = list(self._held.values()), {}
        since, count = self._dropping_since, self.dropped
        self._in_flight, self._oldest = self._oldest, None
        if since is not None:
            await self._open_gap(since)
        if items or held or changes:
            await self._ctx.append([*items, *held], changes)
        self._in_flight = None
        if since is not None and self.dropped == count:
            await self._close_gap(count)

    async def _declare(self) -> None:
        """Open the gap as soon as anything is dropped, although the pump itself may be stuck."""
        while True:
            await self._work.wait()
            if self._dropping_since is not None:
                await self._open_gap(self._dropping_since)
            await trio.sleep(0.1)

    async def _open_gap(self, since: datetime) -> None:
        if not self._declared:
            self._declared = True
            self._ctx.log.warning("intake_overflow", since=since.isoformat())
            await self._link.open_gap(_KIND, cause="overflow", since=since)

    async def _close_gap(self, count: int) -> None:
        """End the hole: from now on everything is kept again."""
        self._dropping_since = None
        self._declared = False
        self.dropped = 0
        now = self._ctx.clock.now()
        self._ctx.log.info("intake_recovered", dropped=count)
        await self._link.close_gap(_KIND, until=now, restored=True, count=count)

    def proof(self, transport: datetime | None) -> datetime | None:
        """Give the latest instant before which all that was received is committed or in a declared gap."""
        oldest = self._in_flight or self._oldest
        if self._dropping_since is not None and not self._declared:
            oldest = min(oldest or self._dropping_since, self._dropping_since)
        if transport is None or oldest is None:
            return transport
        return min(transport, oldest)
