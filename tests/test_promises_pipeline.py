"""What was accepted leaves the spool when Kafka has it, or its dead letter; what is stuck is stuck alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio

from streamd import pipeline
from streamd.clock import SystemClock
from streamd.config import KafkaConfig
from streamd.model import DEAD_LETTER, Event, Stream
from streamd.pipeline import Pipeline
from streamd.publish.kafka import Kafka
from streamd.publish.partitioner import Partitioner
from streamd.publish.settings import Settings
from streamd.simulators.kafka import NO_LEADER, PRODUCE, EmbeddedKafka
from streamd.spool.spool import Spool
from tests.kafka.reader import consume_all
from tests.spool.rig import ORIGIN, OTHER, PREFIX, TOPIC, Rig, event

TOO_LARGE = 10
LETTERS = f"{PREFIX}.{DEAD_LETTER.topic}"
CALLS = Stream("o2g", "calls")
CALLS_TOPIC = f"{PREFIX}.{CALLS.topic}"
QUICK = Settings(retry_backoff=0.1, poll=0.1, stuck_after=0.2, slow_retry_max=0.5)


class Line:
    """A spool, and what brings it onto an embedded Kafka."""

    def __init__(self, rig: Rig, kafka: EmbeddedKafka, spool: Spool) -> None:
        self.spool = spool
        self._rig = rig
        self._kafka = kafka

    def waiting(self, topic: str) -> list[Any]:
        """Give what the spool's file holds of a topic: what `event` put into each record."""
        return [json.loads(bytes(each.value or b""))["data"].get("n") for each in self._rig.dumped(topic)]

    async def until_empty(self, *topics: str) -> None:
        with trio.fail_after(10):
            while any(self.waiting(topic) for topic in topics):
                await trio.sleep(0.02)

    async def on_kafka(self, topic: str) -> list[dict[str, Any]]:
        """Give the events that are on a topic."""
        read = partial(consume_all, self._kafka.bootstrap_servers, [topic], seconds=20)
        return [json.loads(record.value or b"") for record in (await trio.to_thread.run_sync(read))[topic]]


@pytest.fixture
def line(rig: Rig, embedded_kafka: EmbeddedKafka) -> Callable[..., Any]:
    @asynccontextmanager
    async def open_line(
        *topics: str, partitions: int = 1, missing: Iterable[str] = ()
    ) -> AsyncIterator[Line]:
        for topic in {*topics, LETTERS} - set(missing):
            embedded_kafka.create_topic(topic, partitions)
        spool = rig.spool(partitions=partitions)
        config = KafkaConfig(bootstrap_servers=embedded_kafka.bootstrap_servers)
        kafka = Kafka(config, {}, QUICK)
        publisher = Pipeline(spool, kafka, PREFIX, SystemClock())
        publisher.serve([*topics, LETTERS])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(spool.write)
            await nursery.start(kafka.run)
            nursery.start_soon(publisher.run)
            yield Line(rig, embedded_kafka, spool)
            nursery.cancel_scope.cancel()

    return open_line


def keys_of(partitions: int) -> list[str]:
    """Give a key of ORIGIN's for each partition."""
    place = Partitioner()
    place.serve(partitions)
    found: dict[int, str] = {}
    for number in range(100):
        found.setdefault(place[f"{ORIGIN.connector}|{number}".encode()] % partitions, str(number))
    return [found[partition] for partition in range(partitions)]


async def test_a_row_is_in_the_spool_until_kafka_has_acknowledged_it_and_no_longer(
    line: Any, embedded_kafka: EmbeddedKafka
) -> None:
    async with line(TOPIC) as it:
        await it.spool.append(ORIGIN, [event(1)], {})
        await it.until_empty(TOPIC)
        embedded_kafka.set_rtt(1500)
        embedded_kafka.track_requests()
        await it.spool.append(ORIGIN, [event(2)], {})
        with trio.fail_after(10):
            while all(request.api_key != PRODUCE for request in embedded_kafka.requests()):
                await trio.sleep(0.02)
        await it.spool.flush()  # what has left by now would be gone from the file
        assert it.waiting(TOPIC) == [2]
        embedded_kafka.set_rtt(0)
        await it.until_empty(TOPIC)
        assert [each["data"]["n"] for each in await it.on_kafka(TOPIC)] == [1, 2]


async def test_every_record_is_acknowledged_by_all_in_sync_replicas(
    line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aiokafka.conn import AIOKafkaConnection

    asked: list[int] = []
    send = AIOKafkaConnection.send

    def listen(connection: Any, request: Any, *arguments: Any, **more: Any) -> Any:
        if request.API_KEY == PRODUCE:
            asked.append(request.required_acks)
        return send(connection, request, *arguments, **more)

    monkeypatch.setattr(AIOKafkaConnection, "send", listen)
    async with line(TOPIC) as it:
        await it.spool.append(ORIGIN, [event(1)], {})
        await it.until_empty(TOPIC)
    assert asked
    assert set(asked) == {-1}


async def test_a_refused_record_leaves_the_spool_for_its_dead_letter_and_the_others_go_on(
    line: Any, embedded_kafka: EmbeddedKafka
) -> None:
    async with line(TOPIC) as it:
        await it.spool.append(ORIGIN, [event(1)], {})
        await it.until_empty(TOPIC)
        embedded_kafka.push_errors(PRODUCE, [TOO_LARGE])
        await it.spool.append(ORIGIN, [event(2)], {})
        await it.until_empty(TOPIC, LETTERS)
        await it.spool.append(ORIGIN, [event(3)], {})
        await it.until_empty(TOPIC, LETTERS)
        assert [each["data"]["n"] for each in await it.on_kafka(TOPIC)] == [1, 3]
        [letter] = await it.on_kafka(LETTERS)
        assert letter["data"]["of"]["sequence"] == f"{2:020}"
        assert letter["data"]["of"]["topic"] == TOPIC


async def test_of_a_row_that_connectors_share_the_letter_is_of_the_one_whose_record_was_refused(
    line: Any, embedded_kafka: EmbeddedKafka
) -> None:
    async with line(TOPIC) as it:
        await it.spool.append(ORIGIN, [event(0)], {})
        await it.until_empty(TOPIC)
        # Both records together, then each alone: the second is the one that Kafka refuses for good.
        embedded_kafka.push_errors(PRODUCE, [TOO_LARGE, 0, TOO_LARGE])
        async with trio.open_nursery() as together:
            for origin, number in ((ORIGIN, 1), (OTHER, 2)):
                together.start_soon(it.spool.append, origin, [event(number)], {})
        await it.until_empty(TOPIC, LETTERS)
        taken = [each["connector"] for each in await it.on_kafka(TOPIC)]
        [letter] = await it.on_kafka(LETTERS)
        assert sorted([*taken, letter["connector"]]) == ["emea", "emea", "paris"]
        assert letter["data"]["of"]["source"].split("/")[2] == letter["connector"]


async def test_a_dead_letter_is_in_the_spool_until_kafka_has_acknowledged_it(
    line: Any, embedded_kafka: EmbeddedKafka
) -> None:
    async with line(TOPIC, missing=[LETTERS]) as it:
        await it.spool.append(ORIGIN, [event(1)], {})
        await it.until_empty(TOPIC)
        embedded_kafka.push_errors(PRODUCE, [TOO_LARGE])
        await it.spool.append(ORIGIN, [event(2)], {})
        await it.until_empty(TOPIC)
        await it.spool.flush()
        assert len(it.waiting(LETTERS)) == 1
        embedded_kafka.create_topic(LETTERS, 1)
        await it.until_empty(LETTERS)
        [letter] = await it.on_kafka(LETTERS)
        assert letter["data"]["of"]["sequence"] == f"{2:020}"


async def test_a_dead_letter_that_is_refused_even_without_its_payload_is_tried_until_it_is_taken(
    line: Any, embedded_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "_REFUSED_SECONDS", 0.05)
    async with line(TOPIC) as it:
        await it.spool.append(ORIGIN, [event(1)], {})
        await it.until_empty(TOPIC)
        # The record, its letter, then three times the two bare ones: together, and each alone.
        embedded_kafka.push_errors(PRODUCE, [TOO_LARGE] * (2 + 3 * 3))
        await it.spool.append(ORIGIN, [event(2)], {})
        await it.until_empty(TOPIC, LETTERS)
        letters = await it.on_kafka(LETTERS)
        assert {each["data"]["of"]["topic"] for each in letters} == {TOPIC, LETTERS}


async def test_a_stuck_partition_and_a_missing_topic_hold_back_nothing_but_their_own(
    line: Any, embedded_kafka: EmbeddedKafka
) -> None:
    stuck, free = keys_of(2)
    async with line(TOPIC, CALLS_TOPIC, partitions=2, missing=[CALLS_TOPIC]) as it:
        await it.spool.append(ORIGIN, [event(0, stuck), event(0, free)], {})
        await it.until_empty(TOPIC)
        embedded_kafka.set_leader(TOPIC, 0, NO_LEADER)
        of_other = Event(CALLS, "k", "streamd.call.created", {"n": 9}, SystemClock().now())
        for number in range(1, 4):
            await it.spool.append(ORIGIN, [event(number, stuck), event(number, free)], {})
            await it.spool.append(OTHER, [of_other, event(10 * number, free)], {})
        with trio.fail_after(10):
            while it.waiting(TOPIC) != [1, 2, 3]:
                await trio.sleep(0.02)
        assert it.waiting(CALLS_TOPIC) == [9, 9, 9]
        embedded_kafka.set_leader(TOPIC, 0, 1)
        embedded_kafka.create_topic(CALLS_TOPIC, 2)
        await it.until_empty(TOPIC, CALLS_TOPIC)
        found = [each["data"]["n"] for each in await it.on_kafka(TOPIC)]
        assert sorted(found) == [0, 0, 1, 1, 2, 2, 3, 3, 10, 20, 30]
