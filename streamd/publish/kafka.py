"""Kafka as the trio side sees it. Behind it, one thread with an asyncio loop of its own (LIBRARIES.md, 2.3).

Whole batches cross over by `call_soon_threadsafe`, their outcomes come back by `run_sync_soon`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import trio
from aiokafka import TopicPartition

from streamd.config import KafkaConfig
from streamd.model import Record, Refused, TopicSpec
from streamd.publish import shims
from streamd.publish.admin import TopicReport, describe_topics, make_topics, open_admin
from streamd.publish.connections import try_connection
from streamd.publish.crossing import Crossing
from streamd.publish.health import Health, KafkaStatus
from streamd.publish.lanes import Lane
from streamd.publish.producer import Link
from streamd.publish.settings import Settings
from streamd.publish.topics import Topics

T = TypeVar("T")


class Kafka:
    """The daemon's connection to Kafka.

    `specs` are the topics that this configuration needs, by whole name. All methods but `run` need `run` to
    be running; they wait through every trouble of Kafka, and raise Transient when the thread has ended.
    """

    def __init__(
        self, config: KafkaConfig, specs: Mapping[str, TopicSpec], settings: Settings | None = None
    ) -> None:
        self._config = config
        self._specs = specs
        self._settings = settings or Settings()
        self._health = Health()
        self._crossing = Crossing()
        self._side: _AsyncioSide | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the thread until cancelled; started when its loop turns, whether Kafka is there or not.

        After cancellation it takes at most some 3 s to end; what was not acknowledged then has an unknown
        fate. Raises what ended the asyncio side, which is a bug.
        """
        await self._crossing.run(self._main, task_status=task_status)

    async def partitions(self, topic: str) -> int:
        """Give the topic's number of partitions, as soon as it exists; make it where that is configured."""
        return await self._cross(lambda side: side.topics.partitions(topic))

    async def partitions_changed(self, topic: str, known: int) -> int:
        """Wait until the topic has another number of partitions than `known`; give it."""
        return await self._cross(lambda side: side.topics.partitions_changed(topic, known))

    async def publish(self, topic: str, partition: int, records: Sequence[Record]) -> tuple[Refused, ...]:
        """Put records on one partition, in order; give those that Kafka refused for themselves.

        Returns when all others are acknowledged by all in-sync replicas; nothing but the caller's
        cancellation ends the trying. Cancelled, it returns at once and the fate of the records is unknown.
        One call at a time for each partition.
        """
        place = TopicPartition(topic, partition)
        return await self._cross(lambda side: side.lane(place).publish(records))

    async def alive(self) -> None:
        """Return when the asyncio loop has taken a turn."""
        await self._cross(lambda side: asyncio.sleep(0))

    def status(self) -> KafkaStatus:
        """Give how it stands with Kafka, at any time."""
        return self._health.snapshot()

    async def _cross(self, call: Callable[[_AsyncioSide], Coroutine[Any, Any, T]]) -> T:
        return await self._crossing.call(lambda: call(self._there()))

    def _there(self) -> _AsyncioSide:
        assert self._side is not None, "run() is started before anything else"
        return self._side

    async def _main(self, started: Callable[[], None]) -> None:
        """Be the asyncio side, until cancelled."""
        shims.install()
        asyncio.get_running_loop().set_exception_handler(self._on_loop_error)
        self._side = _AsyncioSide(self._config, self._specs, self._settings, self._health)
        started()
        await self._side.run()

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self._health.unexpected(message=context.get("message"), error=repr(error) if error else None)


class _AsyncioSide:
    """What lives on the asyncio loop."""

    def __init__(
        self, config: KafkaConfig, specs: Mapping[str, TopicSpec], settings: Settings, health: Health
    ) -> None:
        self.link = Link(config, specs, settings, health)
        self.topics = Topics(config, specs, self.link, settings, health)
        self._settings = settings
        self._health = health
        self._large = asyncio.Lock()
        self._lanes: dict[TopicPartition, Lane] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.link.run())
            group.create_task(self.topics.run())

    def lane(self, place: TopicPartition) -> Lane:
        lane = self._lanes.get(place)
        if lane is None:
            lane = Lane(place, self.link, self._large, self._settings, self._health)
            self._lanes[place] = lane
        return lane


async def probe(config: KafkaConfig) -> None:
    """Connect to Kafka once, for `streamd check --online`; the first server that answers will do.

    Raises Rejected (certificate, credentials) or Transient, each with the true reason.
    """
    await _in_a_thread(lambda: try_connection(config, Settings()))


async def describe(config: KafkaConfig, specs: Mapping[str, TopicSpec]) -> list[TopicReport]:
    """Report on the topics of `specs`, in their order. Raises Transient or Rejected."""

    async def ask() -> list[TopicReport]:
        async with open_admin(config, Settings()) as admin:
            return await describe_topics(admin, list(specs.values()), {})

    return await _in_a_thread(ask)


async def create(config: KafkaConfig, specs: Mapping[str, TopicSpec]) -> list[TopicReport]:
    """Make the topics that are missing, then report on all. Raises Transient or Rejected."""

    async def make() -> list[TopicReport]:
        async with open_admin(config, Settings()) as admin:
            return await make_topics(admin, list(specs.values()), Settings())

    return await _in_a_thread(make)


async def _in_a_thread(ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a bounded piece of asyncio; cancelled, it is left to end by itself."""
    shims.install()

    def run() -> T:
        return asyncio.run(ask())

    return await trio.to_thread.run_sync(run, abandon_on_cancel=True)
