"""What travels along the data path: streams, events, states, and the records they become.

An `Event` is what a connector's normalise code hands over; the spool numbers it and writes it as one
CloudEvents record (INTERFACE.md, "Events"). A `State` is the latest view of one entity for a compacted topic.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Time = Annotated[datetime, Meta(tz=True)]
"""An aware instant; in a schema it has the format `date-time`."""

Phase = Literal["snapshot", "live", "backfill"]
Cleanup = Literal["delete", "compact"]


class Stream(Struct, frozen=True):
    """One stream of a vendor: one topic, `<topic_prefix>.<vendor>.<name>`."""

    vendor: str
    name: str
    cleanup: Cleanup = "delete"

    @property
    def topic(self) -> str:
        """Give the topic's name without the prefix."""
        return f"{self.vendor}.{self.name}"


CONNECTORS = Stream("streamd", "connectors")
CONNECTORS_STATE = Stream("streamd", "connectors.state", "compact")
GAPS = Stream("streamd", "gaps", "compact")
DEAD_LETTER = Stream("streamd", "dead-letter")
CORE_STREAMS = (CONNECTORS, CONNECTORS_STATE, GAPS, DEAD_LETTER)


class Event(Struct, gc=False):
    """Something that happened, normalised, not yet numbered.

    `key` is what follows `<connector>|` in the Kafka key. `time` is the vendor's own time of it, None where
    the vendor gives none (then `received` stands in). `id` is None where the vendor's records do not
    identify themselves: the spool then gives one from epoch and sequence.
    """

    stream: Stream
    key: str
    type: str
    data: Any
    received: datetime
    subject: str | None = None
    time: datetime | None = None
    phase: Phase | None = None
    tenant: str | None = None
    id: str | None = None
    major: int = 1


class State(Struct, gc=False):
    """The latest view of one entity, for a compacted topic; `data` None: it is gone.

    It carries the number of the last event of stream `of` that was accepted before it, so it is handed
    over right behind the event that was merged into it. Of several for one key within one commit the last
    is written.
    """

    stream: Stream
    of: Stream
    key: str
    type: str
    data: Any | None
    received: datetime
    subject: str | None = None
    tenant: str | None = None
    major: int = 1


class Origin(Struct, frozen=True):
    """Whose events these are: the connector's name and its vendor."""

    connector: str
    vendor: str

    def source(self, stream: Stream) -> str:
        """Give the CloudEvents source of one of its streams."""
        return f"/{self.vendor}/{self.connector}/{stream.name}"


class Record(Struct, array_like=True, frozen=True, gc=False):
    """One Kafka record, as bytes. `timestamp` is the time of receipt in milliseconds since the epoch."""

    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int


class Refused(Struct, frozen=True):
    """A record that Kafka refused for itself: its place in the published list, and Kafka's reason."""

    index: int
    reason: str


class TopicSpec(Struct, frozen=True):
    """A topic that this configuration needs. `name` is whole; `config` goes to Kafka as it is."""

    name: str
    partitions: int
    replication_factor: int
    cleanup: Cleanup
    config: Mapping[str, str]
