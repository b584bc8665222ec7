"""Turn what connectors handed over into the rows of one commit: number, encode, group by partition.

Runs in the writer's thread. Pure but for the numbers, which count on only when the commit is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count

from msgspec import Struct

from streamd.cloudevents import Envelope
from streamd.model import Event, Origin, Record, State, Stream
from streamd.spool.rows import Group, Row, cut
from streamd.spool.store import Numbers

Place = Callable[[str, bytes], int]
"""(whole topic name, key) -> partition."""


class Handover(Struct):
    """What one `append` brings."""

    origin: Origin
    items: Sequence[Event | State]
    changes: Mapping[str, bytes | None]


class _Source(Struct):
    """One stream of one connector in this commit: the last number given, its records by partition, and the
    last state of each key with the event merged into it."""

    origin: Origin
    stream: Stream
    topic: str
    number: int
    lanes: dict[int, list[Record]]
    states: dict[str, tuple[State, int]]


class Assembly:
    """The rows and numbers of one commit in the making."""

    def __init__(self, envelope: Envelope, prefix: str, numbers: Numbers, place: Place) -> None:
        self.changes: dict[tuple[str, str], bytes | None] = {}
        self._envelope = envelope
        self._prefix = prefix
        self._committed = numbers
        self._place = place
        self._sources: dict[tuple[str, Stream], _Source] = {}

    def add(self, handover: Handover) -> None:
        """Number and encode one hand-over."""
        origin = handover.origin
        write = self._envelope.event
        stream = state_stream = of_stream = None  # those of the item before: most often they are the same
        for item in handover.items:
            if isinstance(item, Event):
                if item.stream is not stream:
                    stream, source = item.stream, self._source(origin, item.stream)
                source.number += 1
                self._put(source, write(item, origin, source.number))
            else:
                if item.stream is not state_stream or item.of is not of_stream:
                    state_stream, states = item.stream, self._source(origin, item.stream).states
                    of_stream, merged = item.of, self._source(origin, item.of)
                states[item.key] = (item, merged.number)
        for name, value in handover.changes.items():
            self.changes[origin.connector, name] = value

    def rows(self, first: int) -> list[Row]:
        """Give the rows, the first with id `first`. Of several states of one key only the last is written."""
        write = self._envelope.state
        for source in self._sources.values():
            for state, merged in source.states.values():
                source.number += 1
                self._put(source, write(state, source.origin, source.number, merged))
            source.states.clear()
        lanes: dict[tuple[str, int], list[Group]] = {}
        for source in self._sources.values():
            for partition, records in source.lanes.items():
                lanes.setdefault((source.topic, partition), []).append((source.origin, records))
        ids = count(first)
        return [Row(next(ids), *lane, *held) for lane, groups in lanes.items() for held in cut(groups)]

    @property
    def numbers(self) -> Numbers:
        """Give the last number of each source that got any."""
        return {
            (connector, stream.name): source.number
            for (connector, stream), source in self._sources.items()
            if source.lanes
        }

    def _source(self, origin: Origin, stream: Stream) -> _Source:
        source = self._sources.get((origin.connector, stream))
        if source is None:
            topic = f"{self._prefix}.{stream.topic}"
            number = self._committed.get((origin.connector, stream.name), 0)
            source = _Source(origin, stream, topic, number, {}, {})
            self._sources[origin.connector, stream] = source
        return source

    def _put(self, source: _Source, record: Record) -> None:
        partition = self._place(source.topic, record.key)
        lane = source.lanes.get(partition)
        if lane is None:
            source.lanes[partition] = [record]
        else:
            lane.append(record)
