"""The durable queue between receiving and Kafka: append, commit, take, acknowledge.

`append` returns when its events and state are committed together, fsynced. The writer commits whenever it is
idle: what arrived meanwhile is the next batch. Acknowledged rows go in the next commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import trio

from streamd.cloudevents import Envelope
from streamd.connector import Clock
from streamd.errors import StreamdError
from streamd.model import Event, Origin, State
from streamd.publish.partitioner import Partitioner
from streamd.spool.assembly import Assembly, Handover
from streamd.spool.completeness import Completeness
from streamd.spool.directory import Ballast
from streamd.spool.lanes import Cache, Lane
from streamd.spool.store import Commit, LaneSize, Numbers, Row, SpoolDiskFull, Store

T = TypeVar("T")
TICK_SECONDS = 0.5  # a proof of life at least this often: the gap of a crash begins at the last one
_PROOF_SECONDS = 0.1  # and not more often than this
_DISK_FULL_SECONDS = 1.0  # between tries while the disk is full
_DRAIN_SECONDS = 0.05
_NOBODY = Origin("", "")
_RESERVE_BYTES = 16 * 1024**2  # what streamd's own events may use beyond a connector's share


class SpoolClosed(StreamdError):
    """The writer has ended, with the daemon's core: nothing can be accepted any more."""


class Proof(NamedTuple):
    """What a session can say of itself: `alive`, what it proved (None: nothing new), and `through`, the
    instant before which all is handed over or inside a declared gap."""

    alive: datetime | None
    through: datetime


class Usage:
    """What a connector has in the spool."""

    def __init__(self, share: int) -> None:
        self.share = share
        self.bytes = self.rows = self.events = self.accepted = 0
        self.waiting = trio.lowlevel.ParkingLot()

    def add(self, row: Row, sign: int) -> None:
        self.bytes += sign * row.bytes
        self.rows += sign
        self.events += sign * row.count
        if self.bytes < self.share:
            self.waiting.unpark_all()


class Spool:
    """An open spool; `write` must run for anything to be committed."""

    def __init__(
        self,
        store: Store,
        *,
        prefix: str,
        envelope: Envelope,
        partitions: Callable[[str], int],
        clock: Clock,
        cache_bytes: int = 8 * 1024**2,
    ) -> None:
        self.epoch = store.epoch
        self.disk_full = False
        self.closed = False
        self.commits = 0
        self.numbers: Numbers = store.numbers()
        self._store = store
        self._prefix = prefix
        self._envelope = envelope
        self._configured = partitions
        self._clock = clock
        self._topics = store.topics()
        self._partitioner = Partitioner()
        self._last_row = store.last_row()
        self._queue: list[tuple[Handover, trio.Event]] = []
        self._acknowledged: list[Row] = []
        self._work = trio.Event()
        self._writing = trio.Lock()
        self._thread = trio.CapacityLimiter(1)
        self._proofs: dict[tuple[str, str], Callable[[], Proof]] = {}
        self._proven = 0.0
        self._alive = store.alive()
        self._usage: dict[str, Usage] = {}
        self._completeness: dict[str, Completeness] = {}
        self._cache = Cache(cache_bytes)
        self._ballast = Ballast(store.path.parent)
        self._ballast.reserve()
        self._lanes = {
            (size.topic, size.partition): Lane(size, store, self._cache, self._last_row)
            for size in store.lanes()
        }
        for connector, found in store.usage().items():
            usage = self.usage(connector)
            usage.bytes, usage.rows, usage.events = found

    # -- accepting

    async def append(
        self,
        origin: Origin,
        items: Sequence[Event | State],
        changes: Mapping[str, bytes | None],
        *,
        own: bool = False,
        leaving: Sequence[Row] = (),
    ) -> None:
        """Commit `items` and `changes` together; return when both are durable.

        Waits while the connector's share is used up; streamd's `own` events have a reserve beyond it.
        `leaving` rows leave the spool in the same commit. Cancelled after hand-over the outcome is unknown.
        """
        usage = self.usage(origin.connector)
        while items and not self.closed and usage.bytes >= usage.share + (_RESERVE_BYTES if own else 0):
            await usage.waiting.park()
        if self.closed:
            raise SpoolClosed("the writer has ended")
        done = trio.Event()
        self._queue.append((Handover(origin, items, changes), done))
        self._acknowledged += leaving
        self._work.set()
        await done.wait()
        if self.closed:
            raise SpoolClosed("the writer has ended; what was handed over last may not be durable")

    def acknowledge(self, rows: Iterable[Row]) -> None:
        """Let rows leave the spool with the next commit: Kafka has them, or their dead letters are in it."""
        self._acknowledged += rows
        if len(self._acknowledged) > 1000:
            self._work.set()

    def prove_with(self, origin: Origin, session: str, proof: Callable[[], Proof]) -> None:
        """Ask `proof` for this session's proof of life with each commit."""
        self._proofs[origin.connector, session] = proof

    def forget(self, origin: Origin, session: str) -> None:
        """Ask that session no more."""
        self._proofs.pop((origin.connector, session), None)

    # -- committing

    async def write(self) -> None:
        """Commit for ever: at once when anything waits, and each TICK_SECONDS for the proof of life."""
        try:
            while True:
                with trio.move_on_after(TICK_SECONDS):
                    await self._work.wait()
                self._work = trio.Event()
                if self._queue or self._acknowledged or self._proofs:
                    async with self._writing:
                        await self._commit()
        finally:
            self._close()

    def _close(self) -> None:
        """Let nobody wait for a commit that will not come."""
        self.closed = True
        for _, done in self._queue:
            done.set()
        for usage in self._usage.values():
            usage.waiting.unpark_all()

    async def drain(self) -> None:
        """Return when everything accepted has left the spool and that is committed."""
        while any(usage.rows for usage in self._usage.values()):
            await self.flush()
            await trio.sleep(_DRAIN_SECONDS)

    async def flush(self) -> None:
        """Return when all that was handed over or acknowledged before is committed."""
        await self.append(_NOBODY, [], {})

    async def _commit(self) -> None:
        queue, self._queue = self._queue, []
        deleted, self._acknowledged = self._acknowledged, []
        alive, through = self._prove()
        handovers = [handover for handover, _ in queue]
        while True:
            try:
                rows = await self._in_thread(self._transact, handovers, deleted, alive)
                break
            except SpoolDiskFull:
                deleted = await self._outlast_full_disk(deleted)
        self._settle(rows, deleted, through)
        for _, done in queue:
            done.set()

    def _prove(self) -> tuple[dict[tuple[str, str], datetime], dict[str, datetime]]:
        """Give (connector, session) -> alive and connector -> through, of the sessions now."""
        now = self._clock.monotonic()
        if now - self._proven < _PROOF_SECONDS:
            return {}, {}
        self._proven = now
        alive: dict[tuple[str, str], datetime] = {}
        through: dict[str, datetime] = {}
        for session, prove in self._proofs.items():
            proof = prove()
            if proof.alive is not None:
                alive[session] = proof.alive
            connector = session[0]
            through[connector] = min(proof.through, through.get(connector, proof.through))
        self._alive.update(alive)
        return alive, through

    def _transact(
        self, handovers: list[Handover], deleted: list[Row], alive: dict[tuple[str, str], datetime]
    ) -> list[Row]:
        assembly = Assembly(self._envelope, self._prefix, self.numbers, self._place)
        for handover in handovers:
            assembly.add(handover)
        rows = assembly.rows(self._last_row + 1)
        self._store.commit(
            Commit(rows, assembly.numbers, assembly.changes, alive, [row.id for row in deleted])
        )
        self.numbers.update(assembly.numbers)
        return rows

    def _settle(self, rows: list[Row], deleted: list[Row], through: dict[str, datetime]) -> None:
        self.commits += 1
        if self.disk_full:
            self.disk_full = False
            self._ballast.reserve()
        fresh: dict[str, int] = {}
        for row in rows:
            fresh[row.origin.connector] = fresh.get(row.origin.connector, 0) + 1
        last_row = rows[-1].id if rows else self._last_row
        for connector in fresh.keys() | through.keys():
            marks = self._complete(connector)
            marks.mark(last_row, fresh.get(connector, 0), through.get(connector))
        for row in deleted:
            self._complete(row.origin.connector).left(row.id)
            self.usage(row.origin.connector).add(row, -1)
        for row in rows:
            usage = self.usage(row.origin.connector)
            usage.add(row, 1)
            usage.accepted += row.count
            self.lane(row.topic, row.partition).put(row)
        self._last_row = last_row

    async def _outlast_full_disk(self, deleted: list[Row]) -> list[Row]:
        """Free what can be freed, then wait a moment; give the rows that are still to be deleted."""
        self.disk_full = True
        self._ballast.release()
        try:
            await self._in_thread(self._store.commit, Commit([], {}, {}, {}, [row.id for row in deleted]))
        except SpoolDiskFull:
            left = deleted
        else:
            self._settle([], deleted, {})
            self.disk_full = True
            left = []
        await trio.sleep(_DISK_FULL_SECONDS)
        return left

    async def _in_thread(self, work: Callable[..., T], *args: Any) -> T:
        return await trio.to_thread.run_sync(work, *args, limiter=self._thread)

    def _place(self, topic: str, key: bytes) -> int:
        return self._partitioner.partition(key, self.partitions(topic))

    # -- publishing

    def partitions(self, topic: str) -> int:
        """Give the partitions of a topic as Kafka told last, else as configured."""
        return self._topics.get(topic) or self._configured(topic)

    async def assign(self, topic: str, partitions: int) -> None:
        """Learn from Kafka how many partitions a topic has, and begin its lanes again from the file.

        What waits for it is moved to where its keys belong, if the number is news. Nobody may be taking
        from the topic's lanes meanwhile; what was taken and not acknowledged is given again.
        """
        async with self._writing:
            await self._commit()
            if self.partitions(topic) != partitions:
                await self._reassign(topic, partitions)
            elif topic not in self._topics:
                await self._in_thread(self._store.know, topic, partitions)
            self._topics[topic] = partitions
            sizes = await self._in_thread(self._store.lanes, topic)
            for known in [known for known in self._lanes if known[0] == topic]:
                self._lanes.pop(known).drop()
            for size in sizes:
                lane = Lane(size, self._store, self._cache, self._last_row)
                self._lanes[topic, size.partition] = lane

    async def _reassign(self, topic: str, partitions: int) -> None:
        def place(key: bytes) -> int:
            return self._partitioner.partition(key, partitions)

        first = self._last_row + 1
        self._last_row = await self._in_thread(self._store.reassign, topic, partitions, place, first) - 1
        for connector, (size, rows, events) in (await self._in_thread(self._store.usage)).items():
            usage = self.usage(connector)
            usage.bytes, usage.rows, usage.events = size, rows, events
            self._complete(connector).collapse(self._last_row, rows)

    def lane(self, topic: str, partition: int) -> Lane:
        """Give what waits for one partition."""
        lane = self._lanes.get((topic, partition))
        if lane is None:
            size = LaneSize(topic, partition, 0)
            lane = self._lanes[topic, partition] = Lane(size, self._store, self._cache, self._last_row)
        return lane

    def topics(self) -> set[str]:
        """Give the topics for which anything waits."""
        return {topic for topic, _ in self._lanes}

    # -- looking

    def usage(self, connector: str) -> Usage:
        """Give what a connector has in the spool, and its share."""
        return self._usage.setdefault(connector, Usage(_RESERVE_BYTES))

    def alive(self, origin: Origin, session: str) -> datetime | None:
        """Give a session's last proof of life, from before a restart too."""
        return self._alive.get((origin.connector, session))

    def complete_through(self, connector: str) -> datetime | None:
        """Give the instant before which all that the connector accepted has left the spool."""
        return self._complete(connector).through

    def state(self, connector: str, name: str) -> bytes | None:
        """Give one committed value of the keyed state."""
        return self._store.state(connector, name)

    def states(self, connector: str, prefix: str) -> dict[str, bytes]:
        """Give the committed names that begin with `prefix`, with their values."""
        return self._store.states(connector, prefix)

    async def answers(self) -> None:
        """Return when the writer's thread has answered, for the watchdog."""
        await self._in_thread(lambda: None)

    def _complete(self, connector: str) -> Completeness:
        found = self._completeness.get(connector)
        if found is None:
            found = Completeness(self._last_row, self.usage(connector).rows)
            self._completeness[connector] = found
        return found
