"""The durable queue between receiving and Kafka: append, commit, take, acknowledge.

`append` returns when its events and state are committed together, fsynced. The writer commits whenever it is
idle and rested: what arrived meanwhile is the next batch. Acknowledged rows go in the next commit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime

import trio

from streamd.cloudevents import Envelope
from streamd.connector import Clock
from streamd.errors import StreamdError
from streamd.instant import Setbacks
from streamd.model import CORE_STREAMS, DEAD_LETTER, Event, Origin, State
from streamd.spool.accounts import Accounts, Usage
from streamd.spool.assembly import Handover
from streamd.spool.beat import Beat
from streamd.spool.directory import Ballast
from streamd.spool.lanes import Lane, Lanes
from streamd.spool.proofs import Proof, Proofs
from streamd.spool.rows import Row
from streamd.spool.sqlite import SpoolDiskFull
from streamd.spool.store import Numbers, Store
from streamd.spool.thread import WriterThread
from streamd.spool.writer import Call, Moved, Writer, Written

TICK_SECONDS = 0.5  # a proof of life at least this often: the gap of a crash begins at the last one
DISK_FULL_SECONDS = 1.0  # between tries while the disk is full
_DRAIN_SECONDS = 0.05
_OUTCOME_SECONDS = 1.0  # a cancelled append waits so long for a commit, which takes some ms
_MANY_ROWS = 1000  # that many acknowledged ones are worth a commit of their own
_NOBODY = Origin("", "")


class SpoolClosed(StreamdError):
    """The writer has ended, with the daemon's core: nothing can be accepted any more."""


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
        observe: Callable[[float], None] = lambda seconds: None,
        beat: Beat | None = None,
    ) -> None:
        """`observe` is told the duration of each commit in seconds, in the writer's thread; `beat` keeps
        them apart."""
        self.epoch = store.epoch
        self.directory = store.path.parent
        self.disk_full = False
        self.closed = False
        self.commits = 0
        self.numbers: Numbers = store.numbers()
        self._store = store
        self._writer = Writer(store, envelope, prefix, partitions, observe)
        self._dead_letters = f"{prefix}.{DEAD_LETTER.topic}"
        own = [f"{prefix}.{stream.topic}" for stream in CORE_STREAMS if stream != DEAD_LETTER]
        self._accounts = Accounts(store.usage(), store.last_row(), own)
        self._queue: list[Call] = []
        self._acknowledged: list[Row] = []
        self._work = trio.Event()
        self._writing = trio.Lock()
        self._thread = WriterThread()
        self._beat = beat
        self._clock = clock
        self._setbacks = Setbacks(clock)
        self._proofs = Proofs(store.alive(), clock)
        self._ballast = Ballast(store.path.parent)
        self._ballast.reserve()
        self._lanes = Lanes(store, cache_bytes, self._accounts.last_row)

    # -- accepting

    async def append(
        self,
        origin: Origin,
        items: Sequence[Event | State],
        changes: Mapping[str, bytes | None],
        *,
        own: bool = False,
    ) -> None:
        """Commit `items` and `changes` together; return when both are durable.

        Waits while the connector's share is used up; streamd's `own` events have a room of their own.
        Cancelled after hand-over it returns as ever if that is committed within _OUTCOME_SECONDS, else the
        outcome is unknown. Raises SpoolClosed, and what encoding an item raises (TypeError, ValueError …):
        then nothing of this call is committed.
        """
        usage = self.usage(origin.connector)
        while items and not self.closed and not usage.has_room(own):
            await usage.waiting.park()
        await self._hand_over([Handover(origin, items, changes)], own=own)

    async def replace(self, rows: Sequence[Row], letters: Iterable[tuple[Origin, Event]]) -> None:
        """Let rows leave that Kafka refused, and put their dead letters into the spool, in one commit.

        Never waits for room: the rows that leave may be what fills it. `complete_through` does not pass
        what the rows held back before the letters have left too.
        """
        await self._hand_over([Handover(origin, [letter], {}) for origin, letter in letters], rows, own=True)

    async def _hand_over(
        self, handovers: Sequence[Handover], leaving: Sequence[Row] = (), *, own: bool
    ) -> None:
        if self.closed:
            raise SpoolClosed("the writer has ended")
        call = Call(handovers, leaving, own)
        self._queue.append(call)
        self._work.set()
        try:
            await call.done.wait()
        except trio.Cancelled:
            # The writer has it: who is cancelled mostly learns all the same that it is durable.
            with trio.move_on_after(_OUTCOME_SECONDS, shield=True):
                await call.done.wait()
            if not call.committed:
                raise
        if call.error is not None:
            raise call.error
        if not call.committed:
            raise SpoolClosed("the writer has ended; what was handed over last may not be durable")

    def acknowledge(self, rows: Iterable[Row]) -> None:
        """Let rows leave the spool with the next commit: Kafka has them, or their dead letters are in it."""
        self._acknowledged += rows
        if len(self._acknowledged) > _MANY_ROWS or any(usage.waiting for usage in self._accounts.usages()):
            self._work.set()

    def prove_with(self, origin: Origin, session: str, proof: Callable[[], Proof]) -> None:
        """Ask `proof` for this session's proof of life with each commit."""
        self._proofs.add(origin.connector, session, proof)

    def forget(self, origin: Origin, session: str) -> None:
        """Ask that session no more; what it proved stays."""
        self._proofs.remove(origin.connector, session)

    def keep_only(self, origin: Origin, sessions: Collection[str]) -> None:
        """Forget, with the next commit, what a connector's other sessions have ever proven."""
        self._proofs.keep_only(origin.connector, sessions)

    # -- committing

    async def write(self) -> None:
        """Commit for ever: when anything waits, in the beat, and each TICK_SECONDS for the proof of life."""
        try:
            while True:
                with trio.move_on_after(TICK_SECONDS):
                    await self._work.wait()
                self._work = trio.Event()
                if self._queue or self._acknowledged or self._proofs:
                    began = trio.current_time()
                    async with self._writing:
                        await self._commit()
                    if self._beat is not None:
                        await self._beat.rest(began)
        finally:
            self._close()

    def _close(self) -> None:
        """Let nobody wait for a commit that will not come."""
        self.closed = True
        for call in self._queue:
            call.done.set()
        for usage in self._accounts.usages():
            usage.waiting.unpark_all()

    async def drain(self) -> None:
        """Return when everything accepted has left the spool and that is committed."""
        while any(usage.rows for usage in self._accounts.usages()):
            await self.flush()
            await trio.sleep(_DRAIN_SECONDS)

    async def published(self, connector: str) -> None:
        """Return when all that a connector had appended before has left, or its dead letters have.

        Raises SpoolClosed.
        """
        await trio.lowlevel.checkpoint()
        marks = self._accounts.complete(connector)
        fence = marks.fence()
        while not marks.has_left(fence):
            if self.closed:
                raise SpoolClosed("the writer has ended; what was handed over last may not be on Kafka")
            await self.usage(connector).waiting.park()

    async def flush(self) -> None:
        """Return when all that was handed over or acknowledged before is committed."""
        await self._hand_over([Handover(_NOBODY, [], {})], own=True)

    async def _commit(self) -> None:
        """Commit all that waits now. Whatever ends this early leaves it waiting as it was.

        On a full disk the last room is for rows to leave and for streamd's own events, gaps above all.
        """
        self._accounts.set_back(self._setbacks.take())
        alive, through = self._proofs.ask()
        while not await self._transact(list(self._queue), alive, through):
            self.disk_full = True
            await self._thread.run(self._ballast.release)
            own = [call for call in self._queue if call.own]
            if not await self._transact(own, {}, {}, in_need=True):
                await self._transact([], {}, {}, in_need=True)
            await trio.sleep(DISK_FULL_SECONDS)
        if self.disk_full:
            self.disk_full = False
            await self._thread.run(self._ballast.reserve)

    async def _transact(
        self,
        calls: list[Call],
        alive: Mapping[tuple[str, str], datetime | None],
        through: Mapping[str, datetime | None],
        *,
        in_need: bool = False,
    ) -> bool:
        """Commit these calls, and let rows leave that Kafka has; tell whether the disk had room for it."""
        leaving = list(self._acknowledged)
        last_row = self._accounts.last_row
        try:
            written = await self._thread.insist(
                self._writer.transact, calls, leaving, alive, last_row, in_need
            )
        except SpoolDiskFull:
            return False
        self._settle(calls, written, leaving, through)
        return True

    def _settle(
        self,
        calls: list[Call],
        written: Written,
        leaving: Sequence[Row],
        through: Mapping[str, datetime | None],
    ) -> None:
        """Account for a commit; then those who waited for it may go on."""
        self.commits += 1
        self.numbers |= written.numbers
        if self._beat is not None:
            self._beat.bring(sum(row.count for row in written.rows))
        committed = set(calls)
        self._queue = [call for call in self._queue if call not in committed]
        self._accounts.come(written.rows, through)
        letters = [row for row in written.rows if row.topic == self._dead_letters]
        for call in calls:
            if call.error is None and call.leaving:
                self._accounts.hold_back(call.leaving, letters)
                self._accounts.leave(call.leaving)
        del self._acknowledged[: len(leaving)]
        self._accounts.leave(leaving)
        for row in written.rows:
            self._lanes.of(row.topic, row.partition).put(row)
        for call in calls:
            call.committed = call.error is None
            call.done.set()

    # -- publishing

    async def assign(self, topic: str, partitions: int) -> None:
        """Learn from Kafka how many partitions a topic has, and begin its lanes again from the file.

        What waits for it is moved to where its keys belong, if the number is news. Nobody may be taking
        from the topic's lanes meanwhile; what was taken and not acknowledged is given again.
        """
        while True:
            async with self._writing:
                await self._commit()
                moved = await self._move(topic, partitions)
            if moved is not None:
                return
            await trio.sleep(DISK_FULL_SECONDS)

    async def _move(self, topic: str, partitions: int) -> Moved | None:
        """Move what waits for a topic, if need be; None: the disk had no room for that."""
        last_row = self._accounts.last_row
        try:
            moved = await self._thread.insist(self._writer.move, topic, partitions, last_row)
        except SpoolDiskFull:
            self.disk_full = True
            await self._thread.run(self._ballast.release)
            return None
        if moved.last_row != last_row:
            self._accounts.count_anew(moved.usage, moved.last_row)
        self._lanes.begin_again(topic, moved.lanes, moved.last_row)
        return moved

    def lane(self, topic: str, partition: int) -> Lane:
        """Give what waits for one partition."""
        return self._lanes.of(topic, partition)

    def topics(self) -> set[str]:
        """Give the topics for which anything waits."""
        return self._lanes.topics()

    # -- looking

    @property
    def locked(self) -> bool:
        """Tell whether another process keeps the file locked, so that nothing can be accepted."""
        return self._thread.locked

    def usage(self, connector: str) -> Usage:
        """Give what a connector has in the spool, and its share."""
        return self._accounts.usage(connector)

    def alive(self, origin: Origin, session: str) -> datetime | None:
        """Give a session's last proof of life, from before a restart too."""
        return self._proofs.alive.get((origin.connector, session))

    def complete_through(self, connector: str) -> datetime | None:
        """Give the instant before which all that the connector accepted has left the spool; never later than
        now."""
        through = self._accounts.complete(connector).through
        return through and min(through - self._setbacks.pending, self._clock.now())

    def state(self, connector: str, name: str) -> bytes | None:
        """Give one committed value of the keyed state."""
        return self._store.state(connector, name)

    def states(self, connector: str, prefix: str) -> dict[str, bytes]:
        """Give the committed names that begin with `prefix`, with their values."""
        return self._store.states(connector, prefix)

    async def answers(self) -> None:
        """Return when the writer's thread has answered, for the watchdog."""
        await self._thread.run(lambda: None)
