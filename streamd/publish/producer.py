"""The life of the producer, on the asyncio side: opened, watched, torn down and opened again, for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, LeaderNotAvailableError

from streamd.config import KafkaConfig
from streamd.errors import Rejected, Transient
from streamd.publish import shims
from streamd.publish.connections import Connections, arguments_or_rejected
from streamd.publish.health import Health
from streamd.publish.settings import Settings


class Link:
    """The one connection to Kafka that all lanes and topics share.

    `producer` is None while there is none. Whoever waits for a change in it or in the cluster's metadata
    awaits `changed`.
    """

    def __init__(
        self, config: KafkaConfig, topics: Iterable[str], settings: Settings, health: Health
    ) -> None:
        self.producer: shims.Producer | None = None
        self.in_flight: dict[TopicPartition, shims.Batch] = {}
        self._config = config
        self._settings = settings
        self._health = health
        self._topics = set(topics)
        self._former: shims.Producer | None = None  # whose identity the next producer goes on with
        self._waiting = 0
        self._progress = time.monotonic()
        self._pulse = asyncio.get_running_loop().create_future()
        self._ending = asyncio.get_running_loop().create_future()
        self._opening = Connections(settings.credentials_retry_max)

    # -- life

    async def run(self) -> None:
        """Keep a producer until cancelled, then tear it down within `settings.teardown`."""
        delay = 0.0
        while True:
            self.producer = await self._open()
            self.producer.client.set_topics(self._topics)  # those, too, that are wanted since it was made
            born = time.monotonic()
            self._changed()
            reason = await self._live(self.producer)
            self._health.rebuilding(reason)
            healthy = time.monotonic() - born > self._settings.healthy
            await asyncio.sleep(0.0 if healthy else delay)
            delay = 0.0 if healthy else self._settings.rebuild_pause

    async def _open(self) -> shims.Producer:
        """Give a started producer, however long it takes."""
        delay = self._settings.retry_backoff
        while True:
            producer = await self._try_to_open()
            if not isinstance(producer, (Rejected, Transient)):
                return producer
            self._health.unreachable(producer.reason, refused=isinstance(producer, Rejected))
            await asyncio.sleep(delay)
            delay = min(2 * delay, self._settings.slow_retry_max / 2)

    async def _try_to_open(self) -> shims.Producer | Rejected | Transient:
        try:
            arguments = arguments_or_rejected(self._config)
        except Rejected as error:
            return error
        self._opening.begin()
        producer = self._create(arguments)
        try:
            async with asyncio.timeout(self._settings.start_timeout):
                await shims.start(producer, self._former)
        except (KafkaError, OSError) as error:
            await self._close(producer)
            return self._opening.plainly(error)
        except asyncio.CancelledError:
            await self._close(producer)
            raise
        return producer

    async def _close(self, producer: shims.Producer) -> None:
        self._opening.end()
        await shims.tear_down(producer, self._settings.teardown)

    def _create(self, arguments: dict[str, Any]) -> shims.Producer:
        settings, config = self._settings, self._config
        producer = AIOKafkaProducer(
            bootstrap_servers=config.bootstrap_servers,
            client_id=config.client_id,
            acks="all",
            enable_idempotence=True,
            compression_type=None if config.compression == "none" else config.compression,
            max_batch_size=settings.batch_bytes,
            request_timeout_ms=int(settings.request_timeout * 1000),
            retry_backoff_ms=int(settings.retry_backoff * 1000),
            metadata_max_age_ms=int(settings.metadata_age * 1000),
            **arguments,
        )
        shims.prepare(producer, settings.metadata_interval, self._on_metadata)
        producer.client.set_topics(self._topics)
        return producer

    async def _live(self, producer: shims.Producer) -> str:
        """Watch over a producer to its end and tear it down; give the reason of the end."""
        self._ending = asyncio.get_running_loop().create_future()
        self._former = producer
        self._progress = time.monotonic()
        self._health.reached()
        try:
            return await self._watch(producer)
        finally:
            self.producer = None
            await self._close(producer)
            self._changed()

    async def _watch(self, producer: shims.Producer) -> str:
        sender, metadata = shims.tasks(producer)
        cluster = shims.cluster_of(producer)
        while True:
            await asyncio.wait(
                {sender, metadata, self._ending}, timeout=self._settings.poll, return_when="FIRST_COMPLETED"
            )
            if self._ending.done():
                return str(self._ending.result())
            if sender.done() or metadata.done():
                return "aiokafka's sender or metadata task has ended"
            if shims.cluster_of(producer) != cluster:
                self._former = None
                return "another cluster answers"
            if self._waiting or not self._health.reachable:
                self.refresh()
            busy = self._waiting or self.in_flight or not self._health.reachable
            if busy and time.monotonic() - self._progress > self._settings.no_progress:
                return "no progress"

    def _on_metadata(self, updated: bool) -> None:
        if updated:
            self.note_progress()
            self._health.reached()
            self._withdraw_leaderless()
        else:
            reason = self._opening.reason or "no known broker answers"
            self._health.unreachable(reason, refused=self._opening.is_refused)
        self._changed()

    def _withdraw_leaderless(self) -> None:
        """Take back what is queued for a partition without leader: it would slow down all others (trap 3)."""
        for place, batch in self.in_flight.items() if self.producer is not None else ():
            if not shims.is_sent(batch) and not self.has_leader(place):
                shims.withdraw(self.producer, batch, LeaderNotAvailableError())

    # -- for lanes and topics

    def note_progress(self) -> None:
        """Note that Kafka has just done something for us."""
        self._progress = time.monotonic()

    def rebuild(self, producer: shims.Producer, reason: str) -> None:
        """End this producer and its identity, unless that has happened already."""
        if producer is self._former:
            self._former = None
        if producer is self.producer:
            self.producer = None
            self._ending.set_result(reason)

    def want(self, topic: str) -> None:
        """Have metadata of the topic from now on."""
        if topic not in self._topics:
            self._topics.add(topic)
            if self.producer is not None:
                self.producer.client.set_topics(self._topics)

    def refresh(self) -> None:
        """Have metadata asked for soon: an error says that what we know may be out of date."""
        if self.producer is not None:
            self.producer.client.force_metadata_update()

    def count(self, topic: str) -> int | None:
        """Give the topic's number of partitions, None where it is not known to exist."""
        if self.producer is None:
            return None
        partitions = self.producer.client.cluster.partitions_for_topic(topic)
        return len(partitions) if partitions else None

    def is_forbidden(self, topic: str) -> bool:
        """Tell whether Kafka hides the topic from us, existing or not."""
        return self.producer is not None and topic in self.producer.client.cluster.unauthorized_topics

    def has_leader(self, place: TopicPartition) -> bool:
        """Tell whether the partition has a leader that is known."""
        if self.producer is None:
            return False
        leader = self.producer.client.cluster.leader_for_partition(place)
        return leader is not None and leader != -1

    async def changed(self, seconds: float | None = None, *, urgent: bool = True) -> None:
        """Wait for the next change, at most `seconds`; urgent: have metadata asked for meanwhile."""
        self._waiting += urgent
        try:
            await asyncio.wait([self._pulse], timeout=seconds)
        finally:
            self._waiting -= urgent

    def _changed(self) -> None:
        self._pulse.set_result(None)
        self._pulse = asyncio.get_running_loop().create_future()
