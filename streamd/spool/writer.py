"""What the writer's thread does: put the items of all calls that wait into one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from time import perf_counter

import msgspec
from msgspec import Struct

from streamd.cloudevents import Envelope
from streamd.errors import StreamdError
from streamd.model import Origin
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
        self._topics = store.topics()
        self._assumed: dict[str, int] = {}
        self._assembly: Assembly | None = None

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
        assembly, self._assembly = self._assembly or self._new_assembly(), None  # until this is committed
        try:
            self._add(calls, assembly)
        except _UNENCODABLE:
            self._blame(calls)
            assembly = self._new_assembly()
            self._add(calls, assembly)
        brought = assembly.take(last_row + 1)
        deleted = [row.id for row in leaving]
        deleted += [row.id for call in calls if call.error is None for row in call.leaving]
        assumed = self._assumed
        began = perf_counter()
        self._store.commit(Commit(brought.rows, brought.numbers, brought.changes, alive, deleted, assumed))
        self._observe(perf_counter() - began)
        self._topics |= assumed
        self._assembly, self._assumed = assembly, {}
        return Written(brought.rows, brought.numbers, assumed)

    def _new_assembly(self) -> Assembly:
        """Begin anew from what is committed."""
        self._assumed = {}
        return Assembly(
            self._envelope, self._prefix, self._store.numbers(), self._partitions, self._partitioner
        )

    def _partitions(self, topic: str) -> int:
        """Give the partitions of a topic.

        One of which Kafka has told nothing yet is assumed to be as configured, and that is kept: what waits
        for a key must stand in one partition, also when the configuration changes meanwhile.
        """
        known = self._topics.get(topic)
        if known is None:
            known = self._assumed.setdefault(topic, self._configured(topic))
        return known

    def _add(self, calls: Sequence[Call], assembly: Assembly) -> None:
        """Number and encode what the calls have brought, connector by connector."""
        brought: dict[Origin, list[Handover]] = {}
        for call in calls:
            if call.error is None:
                for handover in call.handovers:
                    brought.setdefault(handover.origin, []).append(handover)
        for origin, handovers in brought.items():
            assembly.add(origin, handovers)

    def _blame(self, calls: Sequence[Call]) -> None:
        """Find whose items cannot be encoded: a bug in one connector is no other's trouble."""
        for call in calls:
            if call.error is None:
                try:
                    self._add([call], self._new_assembly())
                except _UNENCODABLE as error:
                    call.error = error

    def move(self, topic: str, partitions: int, last_row: int) -> Moved:
        """Put what waits for a topic where its keys belong now that it has `partitions`."""
        newest, usage = last_row, None
        if self._topics.get(topic) != partitions:
            self._store.require_room()
            newest = self._store.reassign(topic, partitions, self._partitioner, last_row + 1) - 1
            self._topics[topic] = partitions
            self._assembly = None
            usage = None if newest == last_row else self._store.usage()
        return Moved(newest, usage, self._store.lanes(topic))
