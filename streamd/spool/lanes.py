"""The one read path for publishing: per partition, in order, from a bounded cache or else from the file."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import trio

from streamd.spool.rows import LaneSize, Row
from streamd.spool.sqlite import SpoolCorrupt
from streamd.spool.store import Store

TAKE_BYTES = 1024 * 1024
"""About what one `take` gives, and the most that one lane may have in the cache: a partition that is stuck
leaves room for the others."""


class Cache:
    """How many bytes of committed rows may stay in memory, over all lanes; and who reads the file."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0
        self.reading = trio.CapacityLimiter(1)  # the store has one connection for it


class Lane:
    """What waits for one partition of one topic.

    Rows enter the cache only while nothing waits in the file behind it, so the cached rows always come
    before those that are only in the file: `take` gives the first and then reads the second.
    """

    def __init__(self, size: LaneSize, store: Store, cache: Cache, newest: int) -> None:
        self.topic = size.topic
        self.partition = size.partition
        self._store = store
        self._cache = cache
        self._cached: deque[Row] = deque()
        self._cached_bytes = 0
        self._in_file = size.rows
        self._taken = 0
        self._newest = newest
        self._filled = trio.Event()
        if size.rows:
            self._filled.set()

    def put(self, row: Row) -> None:
        """Add a row that was committed just now."""
        self._newest = row.id
        if not self._in_file and self._has_room(row.bytes):
            self._cached.append(row)
            self._count(row.bytes)
        else:
            self._in_file += 1
        self._filled.set()

    def _has_room(self, size: int) -> bool:
        return self._cached_bytes < TAKE_BYTES and self._cache.used + size <= self._cache.most

    def _count(self, size: int) -> None:
        self._cached_bytes += size
        self._cache.used += size

    async def take(self) -> list[Row]:
        """Wait for rows and give the next ones, about TAKE_BYTES at most. They stay in the spool.

        One task at a time. Raises SpoolCorrupt where the file does not give what was put into it.
        """
        await self._filled.wait()
        rows = self._take_cached() or await self._read()
        if not self.has_rows:
            self._filled = trio.Event()
        return rows

    def _take_cached(self) -> list[Row]:
        rows: list[Row] = []
        size = 0
        while self._cached and size < TAKE_BYTES:
            row = self._cached.popleft()
            self._taken = row.id
            self._count(-row.bytes)
            size += row.bytes
            rows.append(row)
        return rows

    async def _read(self) -> list[Row]:
        rows = await trio.to_thread.run_sync(
            self._store.rows_after, self.topic, self.partition, self._taken, self._newest, TAKE_BYTES,
            limiter=self._cache.reading,
        )  # fmt: skip
        if not rows:
            raise SpoolCorrupt(f"rows of {self.topic}/{self.partition} are missing")
        self._in_file -= len(rows)
        self._taken = rows[-1].id
        return rows

    @property
    def has_rows(self) -> bool:
        """Tell whether `take` would give rows at once."""
        return bool(self._cached or self._in_file)

    def drop(self) -> None:
        """Let go of the cached rows; nobody takes from this lane any more."""
        self._count(-self._cached_bytes)
        self._cached.clear()


class Lanes:
    """The lanes of all partitions. `newest`: the id of the last row there is."""

    def __init__(self, store: Store, cache_bytes: int, newest: int) -> None:
        self._store = store
        self.cache = Cache(cache_bytes)
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._open(store.lanes(), newest)

    def _open(self, sizes: Iterable[LaneSize], newest: int) -> None:
        for size in sizes:
            self._lanes[size.topic, size.partition] = Lane(size, self._store, self.cache, newest)

    def of(self, topic: str, partition: int) -> Lane:
        """Give the lane of one partition."""
        if (topic, partition) not in self._lanes:
            self._open([LaneSize(topic, partition, 0)], 0)
        return self._lanes[topic, partition]

    def begin_again(self, topic: str, sizes: Iterable[LaneSize], newest: int) -> None:
        """Exchange the lanes of a topic for what the file has of it now."""
        for known in [known for known in self._lanes if known[0] == topic]:
            self._lanes.pop(known).drop()
        self._open(sizes, newest)

    def topics(self) -> set[str]:
        """Give the topics for which anything waits, or has waited."""
        return {topic for topic, _ in self._lanes}
