"""What an audit found."""

from __future__ import annotations

from msgspec import Struct

from streamd.events import GapData


class StreamFound(Struct, frozen=True):
    """One stream of one connector: `events` on Kafka, each once; `dead_lettered` are accepted events that
    Kafka refused; `trimmed` and `missing` count numbers that are not there."""

    connector: str
    stream: str
    source: str
    events: int
    duplicates: int
    dead_lettered: int
    trimmed: int
    missing: int


class Holes(Struct, frozen=True):
    """The numbers that were given and are nowhere."""

    connector: str
    stream: str
    source: str
    epoch: str
    numbers: list[int]


class GapFound(Struct, frozen=True):
    """The latest word on one gap."""

    connector: str
    gap: GapData


class Report(Struct, frozen=True):
    """All of it. `duplicates` counts records whose id was there before; `strange` those, by topic, that are
    no events of streamd."""

    streams: list[StreamFound]
    duplicates: int
    gaps: list[GapFound]
    holes: list[Holes]
    dead_letters: int
    strange: dict[str, int]
