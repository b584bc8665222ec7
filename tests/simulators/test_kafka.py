"""The embedded Kafka, driven by the daemon's own client (aiokafka) and judged by librdkafka's."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

import aiokafka.client
import aiokafka.producer.sender
import pytest
import trio
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError
from confluent_kafka.admin import AdminClient

from streamd.simulators.kafka import (
    DISCONNECT,
    METADATA,
    NO_LEADER,
    PRODUCE,
    EmbeddedKafka,
    EmbeddedKafkaError,
    open_embedded_kafka,
)

NOT_LEADER = 6
TOPIC_AUTHORIZATION_FAILED = 29
DEADLINE_SECONDS = 20

# Taken while the tests are collected, before any of them has run a daemon, which changes these.
AS_IT_COMES = [
    (owner, name, getattr(owner, name))
    for owner, name in (
        (aiokafka.client, "MetadataRequest"),
        (aiokafka.client, "create_conn"),
        (aiokafka.producer.sender.SendProduceReqHandler, "_can_retry"),
    )
]

Use = Callable[[AIOKafkaProducer], Awaitable[None]]
Judge = Callable[..., dict]


@pytest.fixture(autouse=True)
def client_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use aiokafka without the daemon's changes (streamd/publish/shims.py): the broker is under test here."""
    for owner, name, original in AS_IT_COMES:
        monkeypatch.setattr(owner, name, original)


async def with_producer(kafka: EmbeddedKafka, use: Use) -> None:
    """Run `use` with a started producer, in an asyncio loop in another thread."""

    async def main() -> None:
        settings = {"acks": "all", "request_timeout_ms": 5000, "retry_backoff_ms": 50}
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, **settings) as producer:
            await asyncio.wait_for(use(producer), DEADLINE_SECONDS)

    await trio.to_thread.run_sync(lambda: asyncio.run(main()))


def existing_topics(kafka: EmbeddedKafka) -> dict[str, int]:
    """Return the topics with their numbers of partitions, asking in a way that creates none."""
    client = AdminClient({"bootstrap.servers": ",".join(kafka.bootstrap_servers)})
    topics = client.list_topics(timeout=DEADLINE_SECONDS).topics
    return {name: len(topic.partitions) for name, topic in topics.items()}


async def test_what_a_producer_was_acknowledged_is_read_back_whole(
    embedded_kafka: EmbeddedKafka, consume_all: Judge
) -> None:
    embedded_kafka.create_topic("calls", 3, replication=3)

    async def use(producer: AIOKafkaProducer) -> None:
        for n in range(50):
            await producer.send_and_wait("calls", b"%d" % n, key=b"a key", headers=[("n", b"%d" % n)])

    await with_producer(embedded_kafka, use)
    records = consume_all(embedded_kafka.bootstrap_servers, ["calls"])["calls"]
    assert [record.value for record in records] == [b"%d" % n for n in range(50)]
    assert [record.headers for record in records] == [[("n", b"%d" % n)] for n in range(50)]
    assert {record.key for record in records} == {b"a key"}
    assert {record.partition for record in records} < {0, 1, 2}
    assert [record.offset for record in records] == list(range(50))


async def test_the_judge_says_that_a_missing_topic_has_no_records(
    embedded_kafka: EmbeddedKafka, consume_all: Judge
) -> None:
    assert consume_all(embedded_kafka.bootstrap_servers, ["nowhere"]) == {"nowhere": []}
    assert "nowhere" not in existing_topics(embedded_kafka)


async def test_nothing_is_acknowledged_while_the_brokers_are_down_and_all_when_they_are_up(
    embedded_kafka: EmbeddedKafka, consume_all: Judge
) -> None:
    embedded_kafka.create_topic("calls", 1)

    async def use(producer: AIOKafkaProducer) -> None:
        await producer.send_and_wait("calls", b"before")
        embedded_kafka.broker_down()
        pending = await producer.send("calls", b"during")
        done, _ = await asyncio.wait([pending], timeout=0.3)
        assert not done
        embedded_kafka.broker_up()
        await pending

    await with_producer(embedded_kafka, use)
    records = consume_all(embedded_kafka.bootstrap_servers, ["calls"])["calls"]
    assert [record.value for record in records] == [b"before", b"during"]


@pytest.mark.parametrize("code", [NOT_LEADER, DISCONNECT])
async def test_a_pushed_error_is_answered_once_and_no_more(embedded_kafka: EmbeddedKafka, code: int) -> None:
    embedded_kafka.create_topic("calls", 1)

    async def use(producer: AIOKafkaProducer) -> None:
        await producer.send_and_wait("calls", b"first")
        embedded_kafka.push_errors(PRODUCE, [code, code])
        embedded_kafka.track_requests()
        await producer.send_and_wait("calls", b"second")

    await with_producer(embedded_kafka, use)
    assert [request.api_key for request in embedded_kafka.requests()].count(PRODUCE) == 3


async def test_a_partition_without_leader_takes_records_when_it_has_one_again(
    embedded_kafka: EmbeddedKafka,
) -> None:
    embedded_kafka.create_topic("calls", 1, replication=3)
    embedded_kafka.set_leader("calls", 0, NO_LEADER)

    async def use(producer: AIOKafkaProducer) -> None:
        sending = asyncio.create_task(producer.send_and_wait("calls", b"value"))
        done, _ = await asyncio.wait([sending], timeout=0.3)
        assert not done
        embedded_kafka.set_leader("calls", 0, 2)
        await sending

    await with_producer(embedded_kafka, use)


async def test_a_forbidden_topic_is_refused_until_it_is_allowed(embedded_kafka: EmbeddedKafka) -> None:
    embedded_kafka.create_topic("calls", 1)
    embedded_kafka.topic_error("calls", TOPIC_AUTHORIZATION_FAILED)

    async def use(producer: AIOKafkaProducer) -> None:
        with pytest.raises(TopicAuthorizationFailedError):
            await producer.send_and_wait("calls", b"value")
        embedded_kafka.topic_error("calls", 0)
        await producer.send_and_wait("calls", b"value")

    await with_producer(embedded_kafka, use)


async def test_a_round_trip_takes_the_time_that_was_set(embedded_kafka: EmbeddedKafka) -> None:
    embedded_kafka.create_topic("calls", 1)

    async def use(producer: AIOKafkaProducer) -> None:
        await producer.send_and_wait("calls", b"value")
        embedded_kafka.set_rtt(200)
        began = asyncio.get_running_loop().time()
        await producer.send_and_wait("calls", b"value")
        assert asyncio.get_running_loop().time() - began >= 0.2

    await with_producer(embedded_kafka, use)


async def test_a_producer_that_asks_for_an_unknown_topic_makes_it_with_4_partitions(
    embedded_kafka: EmbeddedKafka,
) -> None:
    async def use(producer: AIOKafkaProducer) -> None:
        await producer.send_and_wait("typo", b"value")

    await with_producer(embedded_kafka, use)
    assert existing_topics(embedded_kafka) == {"typo": 4}


async def test_only_the_last_5_mib_of_a_partition_are_kept(
    embedded_kafka: EmbeddedKafka, consume_all: Judge
) -> None:
    embedded_kafka.create_topic("calls", 1)

    async def use(producer: AIOKafkaProducer) -> None:
        for _ in range(8):
            await producer.send_and_wait("calls", bytes(900_000))

    await with_producer(embedded_kafka, use)
    records = consume_all(embedded_kafka.bootstrap_servers, ["calls"])["calls"]
    assert [record.offset for record in records] == [3, 4, 5, 6, 7]


def test_a_call_that_cannot_be_done_is_refused_with_its_reason(embedded_kafka: EmbeddedKafka) -> None:
    embedded_kafka.create_topic("calls", 1)
    with pytest.raises(EmbeddedKafkaError, match="TOPIC_ALREADY_EXISTS"):
        embedded_kafka.create_topic("calls", 1)
    with pytest.raises(EmbeddedKafkaError, match="0 partitions"):
        embedded_kafka.create_topic("none", 0)
    with pytest.raises(EmbeddedKafkaError, match="BROKER_NOT_AVAILABLE"):
        embedded_kafka.broker_down(9)
    with pytest.raises(EmbeddedKafkaError, match="UNKNOWN_TOPIC_OR_PART"):
        embedded_kafka.set_leader("calls", 7, 1)


def test_without_the_wheel_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka.cimpl", None)
    with pytest.raises(EmbeddedKafkaError, match=r"pip install 'streamd\[demo\]'"), open_embedded_kafka():
        pass


def test_requests_are_told_with_broker_kind_and_order(embedded_kafka: EmbeddedKafka) -> None:
    embedded_kafka.track_requests()
    existing_topics(embedded_kafka)
    requests = embedded_kafka.requests()
    assert METADATA in [request.api_key for request in requests]
    assert {request.broker for request in requests} <= {1, 2, 3}
    assert [request.timestamp for request in requests] == sorted(request.timestamp for request in requests)
