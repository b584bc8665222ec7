"""Turn what connectors handed over into the rows of a commit: number, encode, group by partition.

Runs in the writer's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count

from msgspec import Struct

from streamd.cloudevents import Envelope, Source
from streamd.model import Event, Origin, State, Stream
from streamd.publish.partitioner import Partitioner
from streamd.spool.rows import Row, TopicRows
from streamd.spool.store import Numbers


class Handover(Struct):
    """What one `append` brings."""

    origin: Origin
    items: Sequence[Event | State]
    changes: Mapping[str, bytes | None]


class Assembled(Struct):
    """What one commit is to bring."""

    rows: list[Row]
    numbers: Numbers
    changes: dict[tuple[str, str], bytes | None]


class _Source:
    """One stream of one connector: the last number given; of each key the last state that is not written yet,
    with the event merged into it."""

    __slots__ = ("name", "number", "records", "rows", "states")

    def __init__(self, name: tuple[str, str], records: Source, rows: TopicRows, number: int) -> None:
        self.name = name
        self.records = records
        self.rows = rows
        self.number = number
        self.states: dict[str, tuple[State, int]] = {}


class Assembly:
    """Makes commits, one after the other: each counts on from the one before, which must have been done."""

    def __init__(
        self,
        envelope: Envelope,
        prefix: str,
        given: Numbers,
        partitions: Callable[[str], int],
        partitioner: Partitioner,
    ) -> None:
        self._envelope = envelope
        self._prefix = prefix
        self._given = given
        self._partitions = partitions
        self._partitioner = partitioner
        self._topics: dict[str, TopicRows] = {}
        self._sources: dict[str, dict[Stream, _Source]] = {}
        self._numbers: Numbers = {}
        self._changes: dict[tuple[str, str], bytes | None] = {}

    def add(self, origin: Origin, handovers: Iterable[Handover]) -> None:
        """Number and encode all that one connector brings. Of several states of a key the last is written."""
        brought: list[_Source] = []
        stream = state_stream = of_stream = None  # those of the item before: most often they are the same
        for handover in handovers:
            for item in handover.items:
                if isinstance(item, Event):
                    if item.stream is not stream:
                        stream = item.stream
                        source = self._source(origin, stream)
                        brought.append(source)
                    source.number += 1
                    source.rows.put(origin, source.records.event(item, source.number))
                else:
                    if item.stream is not state_stream or item.of is not of_stream:
                        state_stream, of_stream = item.stream, item.of
                        latest = self._source(origin, state_stream)
                        merged = self._source(origin, of_stream)
                        brought.append(latest)
                    latest.states[item.key] = (item, merged.number)
            for name, value in handover.changes.items():
                self._changes[origin.connector, name] = value
        self._end(origin, brought)

    def _source(self, origin: Origin, stream: Stream) -> _Source:
        """Give the source of a stream; its connector may be of another vendor since a reload."""
        sources = self._sources.setdefault(origin.connector, {})
        source = sources.get(stream)
        if source is None or source.records.origin is not origin:
            topic = f"{self._prefix}.{stream.topic}"
            rows = self._topics.get(topic)
            if rows is None:
                rows = self._topics[topic] = TopicRows(topic, self._partitions(topic), self._partitioner)
            name = (origin.connector, stream.name)
            records = Source(self._envelope, origin, stream)
            source = sources[stream] = _Source(name, records, rows, self._given.get(name, 0))
        return source

    def _end(self, origin: Origin, sources: Iterable[_Source]) -> None:
        for source in sources:
            if source.states:
                for state, merged in source.states.values():
                    source.number += 1
                    source.rows.put(origin, source.records.state(state, source.number, merged))
                source.states.clear()
            self._given[source.name] = self._numbers[source.name] = source.number

    def take(self, first: int) -> Assembled:
        """Give what was added since the last time; the first row has id `first`."""
        ids = count(first)
        rows = [row for topic in self._topics.values() for row in topic.take(ids)]
        assembled = Assembled(rows, self._numbers, self._changes)
        self._numbers, self._changes = {}, {}
        return assembled
