"""What the tests of publishing share: a connected Kafka, records that can be told apart, and a judge."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any

import pytest
import trio

from streamd.config import KafkaConfig
from streamd.model import Record, TopicSpec
from streamd.publish.health import KafkaStatus
from streamd.publish.kafka import Kafka
from streamd.publish.settings import Settings
from tests.kafka.reader import consume_all


@pytest.fixture
def quick() -> Settings:
    """Give settings with which nothing takes long."""
    return Settings(
        request_timeout=2.0,
        retry_backoff=0.1,
        poll=0.1,
        metadata_age=1.0,
        stuck_after=0.2,
        slow_retry_max=0.5,
        park_max=0.5,
    )


@pytest.fixture
def make_records() -> Callable[..., list[Record]]:
    """Return a function that gives records with the numbers `start` to `stop` as their values."""

    def make(start: int, stop: int, size: int = 0) -> list[Record]:
        # Of now: after a crash the broker forgets a producer whose newest records are older than a day.
        now = int(time.time() * 1000)
        return [
            Record(b"key", str(number).encode().rjust(size, b" "), (("n", b"1"),), now)
            for number in range(start, stop)
        ]

    return make


@pytest.fixture
def connect(nursery: trio.Nursery, quick: Settings) -> Callable[..., Awaitable[Kafka]]:
    """Return a function that opens a running Kafka, ended with the test."""

    async def open_one(
        bootstrap_servers: Sequence[str],
        specs: Iterable[TopicSpec] = (),
        settings: Settings = quick,
        nursery: trio.Nursery = nursery,
        **keys: Any,
    ) -> Kafka:
        config = KafkaConfig(bootstrap_servers=list(bootstrap_servers), **keys)
        kafka = Kafka(config, {spec.name: spec for spec in specs}, settings)
        await nursery.start(lambda task_status: kafka.run(task_status=task_status))
        return kafka

    return open_one


@pytest.fixture
def numbers_on() -> Callable[..., Awaitable[list[int]]]:
    """Return a function that reads the numbers on a topic, each partition's in order."""

    async def read(bootstrap_servers: Sequence[str], topic: str) -> list[int]:
        read_all = partial(consume_all, list(bootstrap_servers), [topic], seconds=20)
        records = (await trio.to_thread.run_sync(read_all))[topic]
        return [int(record.value or b"-1") for record in records]

    return read


@pytest.fixture
def read_partitions() -> Callable[..., Awaitable[dict[int, list[int]]]]:
    """Return a function that reads the numbers on a topic by partition, in order."""

    async def read(bootstrap_servers: Sequence[str], topic: str) -> dict[int, list[int]]:
        read_all = partial(consume_all, list(bootstrap_servers), [topic], seconds=20)
        records = (await trio.to_thread.run_sync(read_all))[topic]
        numbers: dict[int, list[int]] = {}
        for record in records:
            numbers.setdefault(record.partition, []).append(int(record.value or b"-1"))
        return numbers

    return read


@pytest.fixture
def status_with() -> Callable[..., Awaitable[KafkaStatus]]:
    """Return a function that waits until the status is as a predicate wants it."""

    async def wait(kafka: Kafka, wanted: Callable[[KafkaStatus], object], seconds: float = 30) -> KafkaStatus:
        with trio.move_on_after(seconds):
            while not wanted(kafka.status()):
                await trio.sleep(0.01)
        status = kafka.status()
        assert wanted(status), status
        return status

    return wait
