"""The writer's side of the spool: what waits to be committed, the commits, and what follows from each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import trio

from streamd.instant import Setbacks
from streamd.spool.accounts import Accounts
from streamd.spool.assembly import Handover
from streamd.spool.beat import Beat
from streamd.spool.directory import Ballast
from streamd.spool.feed import OUTCOME_SECONDS, Feed
from streamd.spool.lanes import Lanes
from streamd.spool.proofs import Proofs
from streamd.spool.rows import Row
from streamd.spool.sqlite import SpoolDiskFull
from streamd.spool.store import Numbers
from streamd.spool.thread import WriterThread
from streamd.spool.writer import Call, Moved, SpoolClosed, Writer, Written

TICK_SECONDS = 0.5  # a proof of life at least this often: the gap of a crash begins at the last one
DISK_FULL_SECONDS = 1.0  # between tries while the disk is full
_MANY_ROWS = 1000  # that many acknowledged ones are worth a commit of their own


class Committer:
    """Commits what is handed over, and lets go what is acknowledged; `write` must run for it.

    What it commits goes into `lanes`; `accounts` and `proofs` are told. `letters`: the topic of dead letters.
    """

    def __init__(
        self,
        writer: Writer,
        numbers: Numbers,
        accounts: Accounts,
        proofs: Proofs,
        lanes: Lanes,
        ballast: Ballast,
        setbacks: Setbacks,
        beat: Beat,
        letters: str,
    ) -> None:
        self.disk_full = False
        self.closed = False
        self.commits = 0
        self.numbers = numbers
        self.thread = WriterThread()
        self._writer = writer
        self._accounts = accounts
        self._proofs = proofs
        self._lanes = lanes
        self._ballast = ballast
        self._setbacks = setbacks
        self._beat = beat
        self._letters = letters
        self._queue: list[Call] = []
        self._asking: list[Feed] = []
        self._acknowledged: list[Row] = []
        self._work = trio.Event()
        self._writing = trio.Lock()

    async def hand_over(
        self, handovers: Sequence[Handover], leaving: Sequence[Row] = (), *, own: bool
    ) -> None:
        """Return when what the handovers bring is durable and the rows have left, all in one commit.

        Raises SpoolClosed, and what encoding an item raises: then nothing of this is committed.
        """
        if self.closed:
            raise SpoolClosed("the writer has ended")
        done = trio.Event()
        call = Call(handovers, leaving, own, done.set)
        self._queue.append(call)
        self._work.set()
        try:
            await done.wait()
        except trio.Cancelled:
            # The writer has it: who is cancelled mostly learns all the same that it is durable.
            with trio.move_on_after(OUTCOME_SECONDS, shield=True):
                await done.wait()
            if not call.committed:
                raise
        if call.error is not None:
            raise call.error
        if not call.committed:
            raise SpoolClosed("the writer has ended; what was handed over last may not be durable")

    def ask(self, feed: Feed) -> None:
        """Have a feed asked for what it has when the next commit begins."""
        if self.closed:
            feed.close()
        else:
            self._asking.append(feed)
            self._work.set()

    def acknowledge(self, rows: Iterable[Row]) -> None:
        """Let rows leave the spool with the next commit: Kafka has them, or their dead letters are in it."""
        self._acknowledged += rows
        if len(self._acknowledged) > _MANY_ROWS or self._accounts.waiting:
            self._work.set()

    async def write(self) -> None:
        """Commit for ever: when anything waits, in the beat, and each TICK_SECONDS for the proof of life."""
        try:
            while True:
                with trio.move_on_after(TICK_SECONDS):
                    await self._work.wait()
                self._work = trio.Event()
                if self._queue or self._asking or self._acknowledged or self._proofs:
                    async with self._writing:
                        self._beat.begin()
                        await self._commit()
                    await self._beat.rest()
        finally:
            self._close()

    def _close(self) -> None:
        """Let nobody wait for a commit that will not come."""
        self.closed = True
        for call in self._queue:
            call.done()
        for feed in self._asking:
            feed.close()
        self._accounts.waiting.unpark_all()

    async def _commit(self) -> None:
        """Commit all that waits now. Whatever ends this early leaves it waiting as it was.

        On a full disk the last room is for rows to leave and for streamd's own events, gaps above all.
        """
        asking, self._asking = self._asking, []
        self._queue += [call for feed in asking if (call := feed.take()) is not None]
        self._accounts.set_back(self._setbacks.take())
        alive, through = self._proofs.ask()
        while not await self._transact(list(self._queue), alive, through):
            self.disk_full = True
            await self.thread.run(self._ballast.release)
            own = [call for call in self._queue if call.own]
            if not await self._transact(own, {}, {}, in_need=True):
                await self._transact([], {}, {}, in_need=True)
            await trio.sleep(DISK_FULL_SECONDS)
        if self.disk_full:
            self.disk_full = False
            await self.thread.run(self._ballast.reserve)

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
            written = await self.thread.insist(
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
        sources = {each.origin.connector for call in calls if not call.own for each in call.handovers}
        self._beat.bring(sum(row.count for row in written.rows), len(sources))
        committed = set(calls)
        self._queue = [call for call in self._queue if call not in committed]
        self._accounts.come(written.rows, through)
        letters = [row for row in written.rows if row.topic == self._letters]
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
            call.done()

    async def assign(self, topic: str, partitions: int) -> None:
        """Commit what waits, and let a topic have so many partitions (Spool.assign)."""
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
            moved = await self.thread.insist(self._writer.move, topic, partitions, last_row)
        except SpoolDiskFull:
            self.disk_full = True
            await self.thread.run(self._ballast.release)
            return None
        if moved.usage is not None:
            self._accounts.count_anew(moved.usage, moved.last_row)
        self._lanes.begin_again(topic, moved.lanes, moved.last_row)
        return moved
