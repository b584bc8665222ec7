"""The data path on one screen.

    connector      await append(events, changes)           returns when both are durable
      spool.write        one commit for all that arrived meanwhile, fsynced
        lane.take          per topic and partition, in order, from memory or from the file
          kafka.publish      returns when each record is acknowledged, or refused for itself
        spool.acknowledge  the rows go in the writer's next commit

A refused record is replaced by its dead letter in one commit. Each partition has its own task, so one that
is stuck holds back nothing but its own rows.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import trio
from msgspec import UNSET, Struct, UnsetType

from streamd.connector import Clock
from streamd.events import AcceptedEvent
from streamd.model import DEAD_LETTER, Event, Record, Refused
from streamd.publish.kafka import Kafka
from streamd.runtime import dead_letter
from streamd.spool.lanes import Lane
from streamd.spool.spool import Spool
from streamd.spool.store import Row


class Pipeline:
    """Everything between a connector's `append` and Kafka's acknowledgement."""

    def __init__(self, spool: Spool, kafka: Kafka, prefix: str, clock: Clock) -> None:
        self.published = 0
        self._spool = spool
        self._kafka = kafka
        self._dead_letters = f"{prefix}.{DEAD_LETTER.topic}"
        self._clock = clock
        self._serving: set[str] = set()
        self._asked, self._wanted = trio.open_memory_channel[str](1024)

    def serve(self, topics: Iterable[str]) -> None:
        """Publish what the spool has and gets for these topics, from now on."""
        for topic in set(topics) - self._serving:
            self._serving.add(topic)
            self._asked.send_nowait(topic)

    async def run(self) -> None:
        """Publish for ever; cancelled, what is not acknowledged stays in the spool."""
        async with trio.open_nursery() as topics:
            async for topic in self._wanted:
                topics.start_soon(self._publish_topic, topic)

    async def _publish_topic(self, topic: str) -> None:
        while True:
            partitions = await self._kafka.partitions(topic)
            await self._spool.assign(topic, partitions)
            async with trio.open_nursery() as lanes:
                for partition in range(partitions):
                    lanes.start_soon(self._publish_lane, self._spool.lane(topic, partition))
                await self._kafka.partitions_changed(topic, partitions)
                lanes.cancel_scope.cancel()

    async def _publish_lane(self, lane: Lane) -> None:
        while True:
            rows = await lane.take()
            records = [record for row in rows for record in row.records or ()]
            refused = await self._kafka.publish(lane.topic, lane.partition, records)
            if refused:
                await self._bury(lane, rows, records, refused)
            else:
                self._spool.acknowledge(rows)
            self.published += len(records)

    async def _bury(
        self, lane: Lane, rows: list[Row], records: list[Record], refused: Iterable[Refused]
    ) -> None:
        """Let rows leave and put the dead letters of their refused records into the spool, in one commit."""
        origins = [row.origin for row in rows for _ in row.records or ()]
        letters = [(origins[no.index], self._letter(lane, records[no.index], no.reason)) for no in refused]
        last = len(letters) - 1
        for place, (origin, letter) in enumerate(letters):
            leaving = rows if place == last else ()
            await self._spool.append(origin, [letter], {}, own=True, leaving=leaving)

    def _letter(self, lane: Lane, record: Record, reason: str) -> Event:
        too_large_again = lane.topic == self._dead_letters
        payload = record.value or b""
        return dead_letter(
            self._clock,
            f"refused by Kafka: {reason}",
            f"{lane.topic}/{lane.partition}",
            payload,
            withheld=too_large_again,
            of=_accepted(lane.topic, record),
        )


class _Attributes(Struct):
    source: str | UnsetType = UNSET
    epoch: str | UnsetType = UNSET
    sequence: str | UnsetType = UNSET
    id: str | UnsetType = UNSET


def _accepted(topic: str, record: Record) -> AcceptedEvent:
    """Say which accepted event a record is, from its attributes in either mode and its headers."""
    headers = {name.removeprefix("ce_"): value.decode() for name, value in record.headers}
    structured = headers.get("content-type", "").startswith("application/cloudevents")
    found = msgspec.json.decode(record.value or b"{}", type=_Attributes) if structured else _Attributes()

    def attribute(name: str) -> str | None:
        value = getattr(found, name)
        return headers.get(name) if value is UNSET else value

    return AcceptedEvent(
        source=attribute("source"),
        epoch=attribute("epoch"),
        sequence=attribute("sequence"),
        id=attribute("id"),
        topic=topic,
    )
