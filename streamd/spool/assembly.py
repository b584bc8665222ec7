"""Turn what connectors handed over into the rows of one commit: number, encode, group by partition.

Runs in the writer's thread. Pure but for the numbers, which count on only when the commit is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count

from msgspec import Struct

from streamd.cloudevents import Envelope
from streamd.model import Event, Origin, Record, State, Stream
from streamd.spool.rows import Row, record_bytes
from streamd.spool.store import Numbers

_ROW_BYTES = 256 * 1024  # a row is what one Kafka batch takes; larger groups become several rows

Place = Callable[[str, bytes], int]
"""(whole topic name, key) -> partition."""


class Handover(Struct):
    """What one `append` brings."""

    origin: Origin
    items: Sequence[Event | State]
    changes: Mapping[str, bytes | None]


class Assembly:
    """The rows and numbers of one commit in the making."""

    def __init__(self, envelope: Envelope, prefix: str, numbers: Numbers, place: Place) -> None:
        self.numbers: Numbers = {}
        self.changes: dict[tuple[str, str], bytes | None] = {}
        self._envelope = envelope
        self._prefix = prefix
        self._committed = numbers
        self._place = place
        self._lanes: dict[tuple[Origin, str], dict[int, list[Record]]] = {}
        self._states: dict[tuple[str, Stream, str], tuple[Origin, State, int]] = {}

    def add(self, handover: Handover) -> None:
        """Number and encode one hand-over."""
        origin = handover.origin
        encode = self._envelope.event
        stream: Stream | None = None
        for item in handover.items:
            if isinstance(item, Event):
                if item.stream is not stream:  # most often it is that of the event before
                    stream = item.stream
                    source = (origin.connector, stream.name)
                    number = self._last(source)
                    topic, lanes = self._lanes_of(origin, stream)
                number += 1
                record = encode(item, origin, number)
                self.numbers[source] = number
                self._write(topic, lanes, record)
            else:
                merged = self._last((origin.connector, item.of.name))
                self._states[origin.connector, item.stream, item.key] = (origin, item, merged)
        for name, value in handover.changes.items():
            self.changes[origin.connector, name] = value

    def rows(self, first: int) -> list[Row]:
        """Give the rows, the first with id `first`. Of several states of one key only the last is written."""
        for origin, state, merged in self._states.values():
            source = (origin.connector, state.stream.name)
            number = self.numbers[source] = self._last(source) + 1
            topic, lanes = self._lanes_of(origin, state.stream)
            self._write(topic, lanes, self._envelope.state(state, origin, number, merged))
        self._states.clear()
        ids = count(first)
        return [
            Row(next(ids), origin, topic, partition, len(records), size, records)
            for (origin, topic), lanes in self._lanes.items()
            for partition, lane in lanes.items()
            for records, size in cut(lane)
        ]

    def _last(self, source: tuple[str, str]) -> int:
        number = self.numbers.get(source)
        return self._committed.get(source, 0) if number is None else number

    def _lanes_of(self, origin: Origin, stream: Stream) -> tuple[str, dict[int, list[Record]]]:
        topic = f"{self._prefix}.{stream.topic}"
        return topic, self._lanes.setdefault((origin, topic), {})

    def _write(self, topic: str, lanes: dict[int, list[Record]], record: Record) -> None:
        partition = self._place(topic, record.key)
        lane = lanes.get(partition)
        if lane is None:
            lane = lanes[partition] = []
        lane.append(record)


def cut(records: Iterable[Record]) -> Iterable[tuple[list[Record], int]]:
    """Cut a partition's records into rows, each with its size in bytes."""
    row: list[Record] = []
    size = 0
    for record in records:
        length = record_bytes(record)
        if row and size + length > _ROW_BYTES:
            yield row, size
            row, size = [], 0
        row.append(record)
        size += length
    if row:
        yield row, size
