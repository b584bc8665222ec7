"""Keep the books of what is on the topics: records in, a report out. No I/O.

A number that was given to an accepted event is on Kafka, stands in a dead letter, or was there until the
topic's retention took it; every other one is a hole (INTERFACE.md, "Events": `sequence`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from streamd.audit.numbers import Numbers
from streamd.audit.report import GapFound, Holes, Report, StreamFound
from streamd.events import DEAD_LETTER_WRITTEN, PROGRESS, DeadLetterData, GapData, Position
from streamd.model import GAPS

_STRUCTURED = b"application/cloudevents+json"

Headers = Sequence[tuple[str, bytes]]
Counted = tuple[str, str]
"""A CloudEvents source and an epoch: what has numbers of its own."""


class _Event(Struct):
    """What the books need of an event; a state record has neither epoch nor sequence."""

    id: str
    source: str
    type: str
    epoch: str | UnsetType = UNSET
    sequence: str | UnsetType = UNSET
    data: Raw = Raw(b"null")


class _Last(Struct):
    """What the books need of a progress event's data."""

    last: dict[str, Position]


class _Stream(Struct):
    """One source's own books."""

    topic: str | None = None
    events: int = 0
    duplicates: int = 0
    dead_lettered: int = 0


_event = msgspec.json.Decoder(_Event).decode
_last = msgspec.json.Decoder(_Last).decode
_gap = msgspec.json.Decoder(GapData).decode
_letter = msgspec.json.Decoder(DeadLetterData).decode


class Book:
    """What was read so far, of one `<topic_prefix>`."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._begins: dict[tuple[str, int], int] = {}
        self._streams: defaultdict[str, _Stream] = defaultdict(_Stream)
        self._numbers: defaultdict[Counted, Numbers] = defaultdict(Numbers)
        self._first: dict[tuple[str, int, Counted], int] = {}
        self._last: defaultdict[Counted, int] = defaultdict(int)
        self._through: dict[Counted, int] | None = None
        self._awaited: dict[Counted, list[int]] = {}
        self._ids: set[int] = set()
        self._gaps: dict[bytes, GapFound] = {}
        self._strange: defaultdict[str, int] = defaultdict(int)

    def begin(self, topic: str, partition: int, offset: int) -> None:
        """Note the first offset that a partition still has: beyond 0, retention took what was before."""
        self._begins[topic, partition] = offset

    def take(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers
    ) -> None:
        """Enter one record. What is no event of streamd is counted as strange."""
        if value is None:
            return
        try:
            event = _read(value, dict(headers))
            self._enter(topic, partition, key or b"", event)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
            self._strange[topic] += 1

    def _enter(self, topic: str, partition: int, key: bytes, event: _Event) -> None:
        if event.type == PROGRESS:
            self._note_last(event.source, _last(event.data).last)
        if event.sequence is UNSET or event.epoch is UNSET:
            return
        if topic == f"{self._prefix}.{GAPS.topic}":
            self._gaps[key] = GapFound(event.source.split("/")[2], _gap(event.data))
            return
        if event.type == DEAD_LETTER_WRITTEN:
            self._note_letter(_letter(event.data))
        stream = self._streams[event.source]
        stream.topic = topic
        counted, number = (event.source, event.epoch), int(event.sequence)
        if not self._numbers[counted].add(number) or self._is_known(event):
            stream.duplicates += 1
        else:
            stream.events += 1
        first = self._first.get((topic, partition, counted), number)
        self._first[topic, partition, counted] = min(first, number)

    def _is_known(self, event: _Event) -> bool:
        """Tell whether an id of the vendor's own was there before, under another number."""
        if event.id == f"{event.epoch}-{event.sequence}":
            return False
        known = hash((event.source, event.id))
        if known in self._ids:
            return True
        self._ids.add(known)
        return False

    def _note_last(self, source: str, last: Mapping[str, Position]) -> None:
        """`source` is that of the connector's own progress: the other streams' differ in the last part."""
        for stream, position in last.items():
            counted = (f"{source.rpartition('/')[0]}/{stream}", position.epoch)
            self._last[counted] = max(self._last[counted], int(position.sequence))

    def _note_letter(self, letter: DeadLetterData) -> None:
        """Enter the number of what Kafka refused. A state's is that of the last event in it, and no count."""
        of = letter.of
        if of is not None and of.source and of.epoch and of.sequence and not of.source.endswith(".state"):
            self._streams[of.source].dead_lettered += self._numbers[of.source, of.epoch].add(int(of.sequence))

    # -- what came of it

    def close(self) -> None:
        """Look for what has a number by now, for what a running daemon accepts later is on its way to Kafka.

        Of that a partition may show much already and another one nothing yet.
        """
        self._through = {counted: self._given(counted) for counted in self._counted()}
        self._awaited = {counted: self._lost(counted)[1] for counted in self._through}

    def behind(self) -> int:
        """Count what was looked for at the close and has not come yet."""
        for counted, awaited in self._awaited.items():
            seen = self._numbers[counted]
            self._awaited[counted] = [number for number in awaited if number not in seen]
        return sum(map(len, self._awaited.values()))

    def report(self) -> Report:
        """Give what was found."""
        holes: list[Holes] = []
        trimmed: defaultdict[str, int] = defaultdict(int)
        for counted in self._counted():
            taken, lost = self._lost(counted)
            trimmed[counted[0]] += taken
            if lost:
                holes.append(Holes(*_names(counted[0]), counted[0], counted[1], lost))
        streams = [
            StreamFound(
                *_names(source),
                source,
                each.events,
                each.duplicates,
                each.dead_lettered,
                trimmed[source],
                sum(len(hole.numbers) for hole in holes if hole.source == source),
            )
            for source, each in sorted(self._streams.items())
        ]
        return Report(
            streams=streams,
            duplicates=sum(each.duplicates for each in streams),
            gaps=sorted(self._gaps.values(), key=lambda found: (found.connector, found.gap.gap_id)),
            holes=holes,
            dead_letters=sum(each.events for each in streams if each.stream == "dead-letter"),
            strange=dict(self._strange),
        )

    def _counted(self) -> list[Counted]:
        """Give what has numbers without a hole; the topic of the gaps is compacted."""
        return [each for each in sorted(set(self._numbers) | set(self._last)) if not self._is_gaps(each[0])]

    def _given(self, counted: Counted) -> int:
        """Give the last number that is known to be given: on Kafka, or of a progress event."""
        return max(self._numbers[counted].highest, self._last[counted])

    def _lost(self, counted: Counted) -> tuple[int, list[int]]:
        """Give how many numbers retention may have taken, and those that are missing without it."""
        through = self._given(counted) if self._through is None else self._through.get(counted, 0)
        missing = list(self._numbers[counted].missing(through))
        limit = self._trimmed_below(counted)
        lost = [number for number in missing if number >= limit]
        return len(missing) - len(lost), lost

    def _trimmed_below(self, counted: Counted) -> float:
        """Give the number below which retention may have taken any: each partition has lost what came before
        its first record. One that has nothing left of this source may have had all of it."""
        topic = self._topic(counted[0])
        partitions = [partition for name, partition in self._begins if name == topic]
        taken = [partition for partition in partitions if self._begins[topic, partition]]
        return max((self._first.get((topic, each, counted), float("inf")) for each in taken), default=0)

    def _topic(self, source: str) -> str:
        known = self._streams[source].topic if source in self._streams else None
        vendor, _, stream = source.strip("/").split("/", 2)
        core = f"{self._prefix}.streamd.{stream}"
        theirs = f"{self._prefix}.{vendor}.{stream}"
        names = {name for name, _ in self._begins}
        return known or (core if core in names and theirs not in names else theirs)

    def _is_gaps(self, source: str) -> bool:
        return source.rpartition("/")[2] == GAPS.name


def _names(source: str) -> tuple[str, str]:
    """Give connector and stream out of `/<vendor>/<connector>/<stream>`."""
    _, connector, stream = source.strip("/").split("/", 2)
    return connector, stream


def _read(value: bytes, headers: Mapping[str, bytes]) -> _Event:
    """Read a record of either CloudEvents mode. Raises ValueError, DecodeError (one too)."""
    if headers.get("content-type") == _STRUCTURED:
        return _event(value)
    ce: dict[str, Any] = {
        name.removeprefix("ce_"): text.decode() for name, text in headers.items() if name.startswith("ce_")
    }
    if not {"id", "source", "type"} <= ce.keys():
        raise ValueError("no CloudEvent")
    return _Event(
        ce["id"], ce["source"], ce["type"], ce.get("epoch", UNSET), ce.get("sequence", UNSET), Raw(value)
    )
