"""Read topics from their first record to their end, over a connection of its own; on the asyncio side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streamd.config import KafkaConfig
from streamd.errors import Rejected
from streamd.publish import shims
from streamd.publish.admin import open_admin
from streamd.publish.connections import Connections, arguments_or_rejected
from streamd.publish.settings import Settings

_MOST_RECORDS = 5000  # at a time
_WAIT_MS = 500


class Taker(Protocol):
    """Who is told what is there."""

    def begin(self, topic: str, partition: int, offset: int) -> None:
        """Be told a partition's first offset."""
        ...

    def take(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
    ) -> None:
        """Be given one record; those of a partition come in order."""
        ...

    def close(self) -> None:
        """Be told that the ends are reached: nothing later is to be looked for."""
        ...

    def behind(self) -> int:
        """Count what is looked for at the close and has not come yet."""
        ...


def read_all(
    config: KafkaConfig, taker: Taker, *, patience: float, progress: Callable[[int, int], None]
) -> None:
    """Give `taker` every record of the topics under the prefix, up to the ends as they are now.

    While the taker is `behind` then, what comes on is read too, until for `patience` seconds nothing has come
    that it looks for. `progress(read, all)` is told of the records. Raises Rejected or Transient.
    """
    asyncio.run(_read_all(config, taker, patience, progress))


async def _read_all(
    config: KafkaConfig, taker: Taker, patience: float, progress: Callable[[int, int], None]
) -> None:
    settings = Settings()
    partitions = await _partitions(config, settings)
    connections = Connections(settings.credentials_retry_max)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=config.bootstrap_servers,
        client_id=f"{config.client_id}-audit",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=int(settings.request_timeout * 1000),
        **arguments_or_rejected(config),
    )
    try:
        connections.begin()
        async with asyncio.timeout(settings.start_timeout):
            await consumer.start()
        await _read(consumer, partitions, taker, patience, progress)
    except (KafkaError, OSError) as error:
        raise connections.plainly(error) from error
    finally:
        await shims.end_within(consumer.stop(), settings.teardown)
        connections.end()


async def _partitions(config: KafkaConfig, settings: Settings) -> list[TopicPartition]:
    """Give the partitions of the topics under the prefix. Raises Rejected where there are none."""
    prefix = f"{config.topic_prefix}."
    async with open_admin(config, settings) as admin:
        topics = [topic for topic in await admin.list_topics() if topic.startswith(prefix)]
        described = await admin.describe_topics(topics) if topics else []
    partitions = [
        TopicPartition(answer["topic"], partition["partition"])
        for answer in described
        for partition in answer["partitions"]
    ]
    if not partitions:
        raise Rejected(f"it has no topic that begins with {prefix}, or shows us none")
    return partitions


async def _read(
    consumer: Any,
    partitions: list[TopicPartition],
    taker: Taker,
    patience: float,
    progress: Callable[[int, int], None],
) -> None:
    begins = await consumer.beginning_offsets(partitions)
    ends = await consumer.end_offsets(partitions)
    for place, offset in begins.items():
        taker.begin(place.topic, place.partition, offset)
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    read, expected = 0, sum(ends[place] - begins[place] for place in partitions)

    async def take() -> None:
        nonlocal read
        batches = await consumer.getmany(timeout_ms=_WAIT_MS, max_records=_MOST_RECORDS)
        for place, records in batches.items():
            for record in records:
                taker.take(place.topic, place.partition, record.key, record.value, record.headers)
            read += len(records)
        progress(read, max(read, expected))

    left = {place for place in partitions if ends[place] > begins[place]}
    while left:
        await take()
        # A position moves past what compaction and transactions left out, too.
        left = {place for place in left if await consumer.position(place) < ends[place]}
    taker.close()
    behind, last = taker.behind(), time.monotonic()
    while behind and time.monotonic() - last < patience:
        await take()
        before, behind = behind, taker.behind()
        if behind < before:
            last = time.monotonic()
