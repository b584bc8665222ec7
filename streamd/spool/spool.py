"""The durable queue between receiving and Kafka: append, commit, take, acknowledge.

`append` returns when its events and state are committed together, fsynced. The writer commits whenever it is
idle and rested: what arrived meanwhile is the next batch. Acknowledged rows go in the next commit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime

import trio

from streamd.cloudevents import Envelope
from streamd.connector import Clock, Give
from streamd.instant import Setbacks
from streamd.model import CORE_STREAMS, DEAD_LETTER, Event, Origin, State
from streamd.spool.accounts import Accounts, Usage
from streamd.spool.assembly import Handover
from streamd.spool.beat import Beat
from streamd.spool.committer import Committer
from streamd.spool.directory import Ballast
from streamd.spool.feed import Feed
from streamd.spool.lanes import Lane, Lanes
from streamd.spool.proofs import Proof, Proofs
from streamd.spool.rows import Row
from streamd.spool.store import Numbers, Store
from streamd.spool.writer import SpoolClosed, Writer

_DRAIN_SECONDS = 0.05
_NOBODY = Origin("", "")

__all__ = ["Spool", "SpoolClosed"]


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
        self._store = store
        self._clock = clock
        self._setbacks = Setbacks(clock)
        self._proofs = Proofs(store.alive(), clock)
        own = [f"{prefix}.{stream.topic}" for stream in CORE_STREAMS if stream != DEAD_LETTER]
        self._accounts = Accounts(store.usage(), store.last_row(), own)
        self._lanes = Lanes(store, cache_bytes, self._accounts.last_row)
        self._beat = beat or Beat(0.0, 0.0)
        ballast = Ballast(store.path.parent)
        ballast.reserve()
        self._committer = Committer(
            Writer(store, envelope, prefix, partitions, observe),
            store.numbers(),
            self._accounts,
            self._proofs,
            self._lanes,
            ballast,
            self._setbacks,
            self._beat,
            f"{prefix}.{DEAD_LETTER.topic}",
        )

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
        Cancelled after hand-over it returns as ever if that is committed within a second, else the
        outcome is unknown. Raises SpoolClosed, and what encoding an item raises (TypeError, ValueError …):
        then nothing of this call is committed.
        """
        usage = self.usage(origin.connector)
        while items and not self.closed and not usage.has_room(own):
            await usage.waiting.park()
        await self._committer.hand_over([Handover(origin, items, changes)], own=own)

    def feed(self, origin: Origin, give: Give) -> Feed:
        """Have `give` asked for what a source has when a commit begins, while the feed runs."""
        return Feed(origin, give, self.usage(origin.connector), self._committer)

    async def replace(self, rows: Sequence[Row], letters: Iterable[tuple[Origin, Event]]) -> None:
        """Let rows leave that Kafka refused, and put their dead letters into the spool, in one commit.

        Never waits for room: the rows that leave may be what fills it. `complete_through` does not pass
        what the rows held back before the letters have left too.
        """
        handovers = [Handover(origin, [letter], {}) for origin, letter in letters]
        await self._committer.hand_over(handovers, rows, own=True)

    def acknowledge(self, rows: Iterable[Row]) -> None:
        """Let rows leave the spool with the next commit: Kafka has them, or their dead letters are in it."""
        self._committer.acknowledge(rows)

    def prove_with(self, origin: Origin, session: str, proof: Callable[[], Proof]) -> None:
        """Ask `proof` for this session's proof of life with each commit."""
        self._proofs.add(origin.connector, session, proof)

    def forget(self, origin: Origin, session: str) -> None:
        """Ask that session no more; what it proved stays."""
        self._proofs.remove(origin.connector, session)

    def keep_only(self, origin: Origin, sessions: Collection[str]) -> None:
        """Forget, with the next commit, what a connector's other sessions have ever proven."""
        self._proofs.keep_only(origin.connector, sessions)

    # -- at work

    async def write(self) -> None:
        """Commit for ever: when anything waits, in the beat, and twice a second for the proof of life."""
        await self._committer.write()

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
        marks = self._accounts.usage(connector).marks
        fence = marks.fence()
        while not marks.has_left(fence):
            if self.closed:
                raise SpoolClosed("the writer has ended; what was handed over last may not be on Kafka")
            await self.usage(connector).waiting.park()

    async def flush(self) -> None:
        """Return when all that was handed over or acknowledged before is committed."""
        await self._committer.hand_over([Handover(_NOBODY, [], {})], own=True)

    # -- publishing

    async def assign(self, topic: str, partitions: int) -> None:
        """Learn from Kafka how many partitions a topic has, and begin its lanes again from the file.

        What waits for it is moved to where its keys belong, if the number is news. Nobody may be taking
        from the topic's lanes meanwhile; what was taken and not acknowledged is given again.
        """
        await self._committer.assign(topic, partitions)

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
        return self._committer.thread.locked

    @property
    def disk_full(self) -> bool:
        """Tell whether the disk has no room but the last, which is for what frees it and for gaps."""
        return self._committer.disk_full

    @property
    def closed(self) -> bool:
        """Tell whether the writer has ended, so that nothing can be accepted."""
        return self._committer.closed

    @property
    def commits(self) -> int:
        """Count the commits since it was opened."""
        return self._committer.commits

    @property
    def numbers(self) -> Numbers:
        """Give the last committed number of each source."""
        return self._committer.numbers

    def usage(self, connector: str) -> Usage:
        """Give what a connector has in the spool, and its share."""
        return self._accounts.usage(connector)

    def alive(self, origin: Origin, session: str) -> datetime | None:
        """Give a session's last proof of life, from before a restart too."""
        return self._proofs.alive.get((origin.connector, session))

    def complete_through(self, connector: str) -> datetime | None:
        """Give the instant before which all that the connector accepted has left the spool; never later than
        now."""
        through = self._accounts.usage(connector).marks.through
        return through and min(through - self._setbacks.pending, self._clock.now())

    def state(self, connector: str, name: str) -> bytes | None:
        """Give one committed value of the keyed state."""
        return self._store.state(connector, name)

    def states(self, connector: str, prefix: str) -> dict[str, bytes]:
        """Give the committed names that begin with `prefix`, with their values."""
        return self._store.states(connector, prefix)

    def states_of(self, connector: str, names: Sequence[str]) -> dict[str, bytes]:
        """Give those of these names that are committed, with their values, in one look-up."""
        return self._store.states_of(connector, names)

    async def answers(self) -> None:
        """Return when the writer's thread has answered, for the watchdog."""
        await self._committer.thread.run(lambda: None)
