"""Each private part of aiokafka that we lean on is where it was, and does what it did."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from importlib.metadata import version
from time import monotonic
from typing import Any

import aiokafka.admin.client
import aiokafka.client
import aiokafka.conn
import aiokafka.errors
import aiokafka.producer.message_accumulator
import aiokafka.producer.sender
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from streamd.model import Record
from streamd.publish import codes, shims
from streamd.publish.connections import Connections
from tests.kafka.reader import consume_all

PLACE = TopicPartition("t", 0)
INVALID_RECORD = 87

Run = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]


async def with_a_producer(
    servers: list[str], topic: str, function: Callable[[Any], Coroutine[Any, Any, None]]
) -> None:
    """Call a coroutine function with a started producer that has metadata of the topic."""
    shims.install()
    Connections(1.0).begin()
    producer = AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True, acks="all")
    updates: list[bool] = []
    shims.prepare(producer, 0.1, updates.append)
    producer.client.set_topics([topic])
    await shims.start(producer, None)
    while not updates:
        await asyncio.sleep(0.01)
    try:
        await function(producer)
    finally:
        await shims.tear_down(producer, 1)


@pytest.fixture
def with_producer(embedded_kafka) -> Run:
    """Return a function that runs a coroutine function with a started producer, in an asyncio loop."""
    embedded_kafka.create_topic("t", 1)
    return lambda function: asyncio.run(with_a_producer(embedded_kafka.bootstrap_servers, "t", function))


def builder_of(producer: Any, count: int = 3) -> Any:
    builder = producer.create_batch()
    for number in range(count):
        builder.append(timestamp=1, key=b"k", value=b"%d" % number, headers=[])
    return builder


def test_the_version_is_the_one_whose_private_parts_are_known() -> None:
    assert version("aiokafka") == "0.14.0"


def test_refused_batches_fail_at_once_and_give_their_numbers_back(with_producer: Run, embedded_kafka) -> None:
    async def check(producer: Any) -> None:
        numbers = shims.sequences(producer)
        await shims.submit(producer, PLACE, builder_of(producer)).future
        assert numbers == {PLACE: 3}
        embedded_kafka.push_errors(0, [7])  # retriable, and yet not tried again by aiokafka
        batch = shims.submit(producer, PLACE, builder_of(producer))
        with pytest.raises(aiokafka.errors.RequestTimedOutError):
            await batch.future
        assert shims.is_sent(batch)
        assert numbers == {PLACE: 6}
        numbers[PLACE] = 3
        await shims.submit(producer, PLACE, builder_of(producer)).future
        assert numbers == {PLACE: 6}

    with_producer(check)


def test_a_new_producer_goes_on_under_the_former_identity(with_producer: Run, embedded_kafka) -> None:
    async def check(former: Any) -> None:
        await shims.submit(former, PLACE, builder_of(former)).future
        producer = AIOKafkaProducer(
            bootstrap_servers=embedded_kafka.bootstrap_servers, enable_idempotence=True, acks="all"
        )
        shims.prepare(producer, 0.1, lambda updated: None)
        embedded_kafka.track_requests()
        await shims.start(producer, former)
        await producer.partitions_for("t")
        await shims.submit(producer, PLACE, builder_of(producer)).future
        assert 22 not in {request.api_key for request in embedded_kafka.requests()}  # no InitProducerId
        assert shims.sequences(producer) is shims.sequences(former)
        assert shims.sequences(producer) == {PLACE: 6}
        await shims.tear_down(producer, 1)

    with_producer(check)


def test_a_batch_without_leader_does_not_expire_and_can_be_withdrawn(
    with_producer: Run, embedded_kafka
) -> None:
    async def check(producer: Any) -> None:
        assert producer._message_accumulator._batch_ttl == float("inf")
        embedded_kafka.set_leader("t", 0, -1)
        await producer.client.force_metadata_update()
        batch = shims.submit(producer, PLACE, builder_of(producer))
        await asyncio.sleep(0.3)
        assert not batch.future.done()
        assert not shims.is_sent(batch)
        shims.withdraw(producer, batch, codes.Abandoned())
        with pytest.raises(codes.Abandoned):
            await batch.future
        embedded_kafka.set_leader("t", 0, 1)
        await producer.client.force_metadata_update()
        await shims.submit(producer, PLACE, builder_of(producer)).future
        assert shims.sequences(producer) == {PLACE: 3}

    with_producer(check)


def test_a_real_broker_takes_sequence_numbers_that_wrap(real_kafka) -> None:
    topic = f"{real_kafka.unique_prefix()}.wrap"
    real_kafka.create_topic(topic)
    place = TopicPartition(topic, 0)

    async def check(producer: Any) -> None:
        numbers = shims.sequences(producer)
        numbers[place] = 2**31 - 2
        for _ in range(3):
            await shims.submit(producer, place, builder_of(producer)).future
        assert numbers[place] & shims.SEQUENCE_MASK == 7

    asyncio.run(with_a_producer(real_kafka.bootstrap_servers, topic, check))
    assert len(consume_all(real_kafka.bootstrap_servers, [topic])[topic]) == 9


def test_metadata_is_asked_for_at_an_interval(with_producer: Run, embedded_kafka) -> None:
    async def check(producer: Any) -> None:
        embedded_kafka.track_requests()
        began = monotonic()
        async with asyncio.timeout(30):
            for _ in range(3):
                await producer.client.force_metadata_update()
        asked = [request for request in embedded_kafka.requests() if request.api_key == 3]
        # Not by when each was received: on a busy machine that is later for one than for the next.
        assert len(asked) <= 1 + (monotonic() - began) / 0.09

    with_producer(check)


def test_asking_for_a_topic_does_not_make_it(with_producer: Run, embedded_kafka) -> None:
    async def check(producer: Any) -> None:
        producer.client.add_topic("typo")
        await producer.client.force_metadata_update()
        await producer.client.force_metadata_update()
        assert producer.client.cluster.partitions_for_topic("typo") is None

    with_producer(check)


def test_a_torn_down_producer_takes_no_batch_and_leaves_no_task(with_producer: Run, embedded_kafka) -> None:
    async def check(producer: Any) -> None:
        sender, metadata = shims.tasks(producer)
        embedded_kafka.broker_down()
        batch = shims.submit(producer, PLACE, builder_of(producer))
        async with asyncio.timeout(3):
            await shims.tear_down(producer, 2)
        assert sender.done()
        assert metadata.done()
        assert batch.future.exception() is not None
        with pytest.raises(aiokafka.errors.ProducerClosed):
            shims.submit(producer, PLACE, None)

    with_producer(check)


def test_errors_that_aiokafka_does_not_know_have_their_class() -> None:
    shims.install()
    assert aiokafka.errors.for_code(INVALID_RECORD) is codes.InvalidRecordError
    assert {aiokafka.errors.for_code(known.errno) for known in codes.UNKNOWN_TO_AIOKAFKA} == set(
        codes.UNKNOWN_TO_AIOKAFKA
    )


@pytest.mark.parametrize(
    "error", [ValueError("nonce"), AssertionError(), KeyError("r"), RuntimeError("token")]
)
def test_nothing_but_kafka_errors_and_os_errors_comes_out_of_connecting(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(*arguments: object, **more: object) -> None:
        raise error

    monkeypatch.setattr(shims, "_create_conn", fail)

    async def main() -> None:
        connections = Connections(1.0)
        connections.begin()
        with pytest.raises(aiokafka.errors.KafkaConnectionError, match=type(error).__name__):
            await aiokafka.client.create_conn("localhost", 1)
        assert connections.reason is not None

    shims.install()
    asyncio.run(main())


def test_refused_credentials_are_tried_again_ever_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    async def refuse(*arguments: object, **more: object) -> None:
        tries.append(asyncio.get_running_loop().time())
        raise aiokafka.errors.SaslAuthenticationFailed("wrong")

    monkeypatch.setattr(shims, "_create_conn", refuse)

    async def main() -> None:
        connections = Connections(60.0)
        connections.begin()
        while len(tries) < 3:
            with pytest.raises(aiokafka.errors.KafkaError):
                await aiokafka.client.create_conn("localhost", 1)
            await asyncio.sleep(0.02)
        assert "SASL_AUTHENTICATION_FAILED: wrong" in str(connections.reason)

    shims.install()
    asyncio.run(main())
    assert 0.9 < tries[1] - tries[0] < tries[2] - tries[1]


def test_the_loggers_of_aiokafka_are_slow_and_never_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    shims.install()
    shims.install()
    logger = logging.getLogger("aiokafka.conn")
    for number in range(50):
        logger.debug("password")
        logger.warning("number %s", number)
    assert not any("password" in record.message for record in caplog.records)
    assert len([record for record in caplog.records if record.name == "aiokafka.conn"]) <= 1


def test_the_step_of_oauthbearer_is_where_it_was() -> None:
    shims.install()
    authenticator = aiokafka.conn.OAuthAuthenticator(sasl_oauth_token_provider=None)
    authenticator._token_sent = True

    async def main() -> None:
        assert await authenticator.step(b"") is None
        with pytest.raises(aiokafka.errors.SaslAuthenticationFailed, match="invalid_token"):
            await authenticator.step(b'{"status":"invalid_token"}')

    asyncio.run(main())


def test_a_batch_is_filled_as_aiokafka_would_and_says_where_it_was_full() -> None:
    records = [Record(b"k%d" % n, b"x" * 100 if n % 3 else None, (("h", b"v"),), n) for n in range(20)]
    ours, theirs = (aiokafka.producer.message_accumulator.BatchBuilder(1000, 0) for _ in range(2))
    end = shims.fill(ours, records, 2, 20)
    added = 0
    for record in records[2:]:
        headers = list(record.headers)
        if theirs.append(timestamp=record.timestamp, key=record.key, value=record.value, headers=headers):
            added += 1
    assert 2 < end == 2 + added < 20
    assert ours.record_count() == theirs.record_count() == added
    assert bytes(ours._build()) == bytes(theirs._build())
