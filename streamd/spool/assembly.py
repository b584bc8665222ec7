"""Turn what connectors handed over into the rows of a commit: number, encode, group by partition.

Runs in the writer's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count

from msgspec import Struct

from streamd.cloudevents import Envelope
from streamd.model import Event, Origin, State, Stream
from streamd.spool.rows import Place, Row, TopicRows
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


class _Source(Struct):
    """One stream of one connector: the last number given, and the last one `told` in an `Assembled`; of each
    key the last state that is not written yet, with the event merged into it."""

    name: tuple[str, str]
    rows: TopicRows
    number: int
    told: int
    states: dict[str, tuple[State, int]]


class Assembly:
    """Makes commits, one after the other: each counts on from the one before, which must have been done."""

    def __init__(
        self,
        envelope: Envelope,
        prefix: str,
        committed: Numbers,
        partitions: Callable[[str], int],
        place: Place,
    ) -> None:
        self._envelope = envelope
        self._prefix = prefix
        self._committed = committed
        self._partitions = partitions
        self._place = place
        self._topics: dict[str, TopicRows] = {}
        self._sources: dict[str, dict[Stream, _Source]] = {}
        self._numbers: Numbers = {}
        self._changes: dict[tuple[str, str], bytes | None] = {}

    def add(self, origin: Origin, handovers: Iterable[Handover]) -> None:
        """Number and encode all that one connector brings. Of several states of a key the last is written."""
        write = self._envelope.event
        connector = origin.connector
        sources = self._sources.setdefault(connector, {})
        stream = state_stream = of_stream = None  # those of the item before: most often they are the same
        for handover in handovers:
            for item in handover.items:
                if isinstance(item, Event):
                    if item.stream is not stream:
                        stream = item.stream
                        source = sources.get(stream) or self._open(connector, stream)
                    source.number += 1
                    source.rows.put(origin, write(item, origin, source.number))
                else:
                    if item.stream is not state_stream or item.of is not of_stream:
                        state_stream, of_stream = item.stream, item.of
                        states = (sources.get(state_stream) or self._open(connector, state_stream)).states
                        merged = sources.get(of_stream) or self._open(connector, of_stream)
                    states[item.key] = (item, merged.number)
            for name, value in handover.changes.items():
                self._changes[connector, name] = value
        self._end(origin, sources.values())

    def _open(self, connector: str, stream: Stream) -> _Source:
        topic = f"{self._prefix}.{stream.topic}"
        rows = self._topics.get(topic)
        if rows is None:
            rows = self._topics[topic] = TopicRows(topic, self._partitions(topic), self._place)
        name = (connector, stream.name)
        number = self._committed.get(name, 0)
        source = self._sources[connector][stream] = _Source(name, rows, number, number, {})
        return source

    def _end(self, origin: Origin, sources: Iterable[_Source]) -> None:
        write = self._envelope.state
        for source in sources:
            if source.states:
                for state, merged in source.states.values():
                    source.number += 1
                    source.rows.put(origin, write(state, origin, source.number, merged))
                source.states.clear()
            if source.number != source.told:
                self._numbers[source.name] = source.told = source.number

    def take(self, first: int) -> Assembled:
        """Give what was added since the last time; the first row has id `first`."""
        ids = count(first)
        rows = [row for topic in self._topics.values() for row in topic.take(ids)]
        assembled = Assembled(rows, self._numbers, self._changes)
        self._numbers, self._changes = {}, {}
        return assembled
