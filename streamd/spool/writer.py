"""What the writer's thread does: put the items of all calls that wait into one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from time import perf_counter

import msgspec
from msgspec import Struct

from streamd.cloudevents import Envelope
from streamd.errors import StreamdError
from streamd.publish.partitioner import Partitioner
from streamd.spool.assembly import Assembly, Handover
from streamd.spool.rows import LaneSize, Row
from streamd.spool.store import Commit, Numbers, Store

_UNENCODABLE = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


class SpoolClosed(StreamdError):
    """The writer has ended, with the daemon's core: nothing can be accepted any more."""


class Call:
    """One call that waits for its commit, with the rows that leave in the same one. `own`: it is streamd's.

    When `done` is called, it is `committed`, or has an `error`, or the writer has ended before.
    """

    def __init__(
        self, handovers: Sequence[Handover], leaving: Sequence[Row], own: bool, done: Callable[[], None]
    ) -> None:
        self.handovers = handovers
        self.leaving = leaving
        self.own = own
        self.done = done
        self.committed = False
        self.error: Exception | None = None


class Written(Struct):
    """What one commit has put into the file. `topics`: the partition counts that it assumed."""

    rows: list[Row]
    numbers: Numbers
    topics: dict[str, int]


class Moved(Struct):
    """What waits after a topic's rows have moved. `usage` None: there were none."""

    last_row: int
    usage: dict[tuple[str, str], tuple[int, int, int]] | None
    lanes: list[LaneSize]


class Writer:
    """The writing side of a store. Everything here blocks, and one thread at a time may be in it."""

    def __init__(
        self,
        store: Store,
        envelope: Envelope,
        prefix: str,
        configured: Callable[[str], int],
        observe: Callable[[float], None],
    ) -> None:
        self._store = store
        self._envelope = envelope
        self._prefix = prefix
        self._configured = configured
        self._observe = observe
        self._partitioner = Partitioner()
        self._numbers = store.numbers()
        self._topics = store.topics()

    def transact(
        self,
        calls: Sequence[Call],
        leaving: Sequence[Row],
        alive: Mapping[tuple[str, str], datetime | None],
        last_row: int,
        in_need: bool,
    ) -> Written:
        """Commit what the calls have brought, but for those that cannot be encoded: they get their error.

        The last room on the disk is left to what is done `in_need`, for SQLite needs some even to delete.
        Raises SpoolDiskFull, SpoolCorrupt and SpoolUnusable, and then nothing of it has happened.
        """
        if not in_need:
            self._store.require_room()
        assumed: dict[str, int] = {}
        try:
            assembly = self._assemble(calls, assumed)
            rows = assembly.rows(last_row + 1)
        except _UNENCODABLE:
            self._blame(calls)
            assembly = self._assemble(calls, assumed)
            rows = assembly.rows(last_row + 1)
        deleted = [row.id for row in leaving]
        deleted += [row.id for call in calls if call.error is None for row in call.leaving]
        began = perf_counter()
        self._store.commit(Commit(rows, assembly.numbers, assembly.changes, alive, deleted, assumed))
        self._observe(perf_counter() - began)
        self._numbers |= assembly.numbers
        self._topics |= assumed
        return Written(rows, assembly.numbers, assumed)

    def _assemble(self, calls: Sequence[Call], assumed: dict[str, int]) -> Assembly:
        """Number and encode what the calls have brought.

        A topic of which Kafka has told nothing yet is assumed to be as configured, and that is kept: what
        waits for a key must stand in one partition, also when the configuration changes meanwhile.
        """

        def place(topic: str, key: bytes) -> int:
            partitions = self._topics.get(topic)
            if partitions is None:
                partitions = assumed.setdefault(topic, self._configured(topic))
            return self._partitioner.partition(key, partitions)

        assembly = Assembly(self._envelope, self._prefix, self._numbers, place)
        for call in calls:
            if call.error is None:
                for handover in call.handovers:
                    assembly.add(handover)
        return assembly

    def _blame(self, calls: Sequence[Call]) -> None:
        """Find whose items cannot be encoded: a bug in one connector is no other's trouble."""
        for call in calls:
            if call.error is None:
                try:
                    self._assemble([call], {}).rows(0)
                except _UNENCODABLE as error:
                    call.error = error

    def move(self, topic: str, partitions: int, last_row: int) -> Moved:
        """Put what waits for a topic where its keys belong now that it has `partitions`."""

        def place(key: bytes) -> int:
            return self._partitioner.partition(key, partitions)

        newest, usage = last_row, None
        if self._topics.get(topic) != partitions:
            self._store.require_room()
            newest = self._store.reassign(topic, partitions, place, last_row + 1) - 1
            self._topics[topic] = partitions
            usage = None if newest == last_row else self._store.usage()
        return Moved(newest, usage, self._store.lanes(topic))
