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

import trio
from msgspec.structs import replace

from streamd.connector import Clock
from streamd.dead_letters import refused, slimmed
from streamd.model import DEAD_LETTER, Event, Record
from streamd.publish.kafka import Kafka
from streamd.spool.lanes import Lane
from streamd.spool.rows import Row
from streamd.spool.spool import Spool

_REFUSED_SECONDS = 10.0


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
        """Publish what comes: each commit's rows, and what was committed while Kafka was at work together."""
        while True:
            published = await self._publish(lane, await lane.take())
            self.published += published

    async def _publish(self, lane: Lane, rows: list[Row]) -> int:
        """Return when the rows are on Kafka, or dead letters of theirs in the spool; count the records."""
        now = int(self._clock.now().timestamp() * 1000)
        records = [
            # What our clock, since set back, stamped ahead of now gets a time that Kafka takes.
            record if record.timestamp <= now else replace(record, timestamp=now)
            for row in rows
            for record in row.records or ()
        ]
        for row in rows:
            row.records = None  # acknowledged rows wait for the next commit: without what is in them
        while noes := await self._kafka.publish(lane.topic, lane.partition, records):
            origins = [share.origin for row in rows for share in row.shares for _ in range(share.count)]
            letters = [
                (origins[no.index], letter)
                for no in noes
                for letter in self._letters(lane.topic, records[no.index], no.reason)
            ]
            if letters:
                await self._spool.replace(rows, letters)
                return len(records)
            await trio.sleep(_REFUSED_SECONDS)  # not even a bare dead letter is taken: that is the topic
        self._spool.acknowledge(rows)
        return len(records)

    def _letters(self, topic: str, record: Record, reason: str) -> list[Event]:
        now = self._clock.now()
        if topic == self._dead_letters:
            return slimmed(topic, record, reason, now)
        return [refused(topic, record, reason, now)]
