"""What Kafka refuses: the record alone where it is the record's fault, and nothing for good otherwise."""

from __future__ import annotations

import time

import pytest
import trio

from streamd.model import Record
from streamd.simulators.kafka import PRODUCE

UNKNOWN_SERVER_ERROR, MESSAGE_TOO_LARGE, OUT_OF_ORDER, INVALID_RECORD = -1, 10, 45, 87


async def test_one_record_too_large_stops_nothing_else(connect, real_kafka, make_records, numbers_on) -> None:
    topic = f"{real_kafka.unique_prefix()}.large"
    await trio.to_thread.run_sync(real_kafka.create_topic, topic, 1, {"max.message.bytes": "2000"})
    kafka = await connect(real_kafka.bootstrap_servers, compression="none")
    records = make_records(0, 100)
    records[37] = Record(b"key", b"x" * 3000, (), records[0].timestamp)
    with trio.fail_after(30):
        refused = await kafka.publish(topic, 0, records)
        assert await kafka.publish(topic, 0, make_records(100, 110)) == ()
    assert [one.index for one in refused] == [37]
    assert "MESSAGE_SIZE_TOO_LARGE" in refused[0].reason
    assert await numbers_on(real_kafka.bootstrap_servers, topic) == [n for n in range(110) if n != 37]
    assert kafka.status().rebuilds == 0


async def test_a_record_out_of_time_waits_until_the_topic_takes_it(
    connect, real_kafka, make_records, numbers_on
) -> None:
    topic = f"{real_kafka.unique_prefix()}.time"
    await trio.to_thread.run_sync(real_kafka.create_topic, topic)
    kafka = await connect(real_kafka.bootstrap_servers)
    records = make_records(0, 9)
    records[0] = Record(b"key", b"0", (), int(time.time() * 1000) + 30 * 86_400_000)
    with trio.move_on_after(2) as patience:
        await kafka.publish(topic, 0, records)
    assert patience.cancelled_caught
    with trio.fail_after(30):
        assert await kafka.publish(topic, 0, make_records(0, 9)) == ()
    assert await numbers_on(real_kafka.bootstrap_servers, topic) == list(range(9))


async def test_a_record_of_a_million_times_the_usual_size_is_refused_alone(
    connect, real_kafka, make_records, numbers_on
) -> None:
    topic = f"{real_kafka.unique_prefix()}.huge"
    await trio.to_thread.run_sync(real_kafka.create_topic, topic)
    kafka = await connect(real_kafka.bootstrap_servers, compression="none")
    huge = Record(b"key", bytes(120 * 1024**2), (), 1_700_000_000_000)
    large = Record(b"key", bytes(20 * 1024**2), (), 1_700_000_000_000)
    with trio.fail_after(20):
        refused = await kafka.publish(topic, 0, [*make_records(0, 2), huge, large, *make_records(2, 4)])
    assert [one.index for one in refused] == [2, 3]
    assert await numbers_on(real_kafka.bootstrap_servers, topic) == [0, 1, 2, 3]


@pytest.mark.parametrize("code", [MESSAGE_TOO_LARGE, INVALID_RECORD])
async def test_every_record_can_be_refused_and_the_partition_lives_on(
    connect, embedded_kafka, make_records, numbers_on, code
) -> None:
    embedded_kafka.create_topic("t", 1)
    kafka = await connect(embedded_kafka.bootstrap_servers)
    with trio.fail_after(30):
        assert await kafka.publish("t", 0, make_records(0, 5)) == ()
        embedded_kafka.push_errors(PRODUCE, [code] * 7)
        refused = await kafka.publish("t", 0, make_records(5, 9))
        assert await kafka.publish("t", 0, make_records(9, 12)) == ()
    assert [one.index for one in refused] == [0, 1, 2, 3]
    assert await numbers_on(embedded_kafka.bootstrap_servers, "t") == [*range(5), *range(9, 12)]
    assert kafka.status().rebuilds == 0


@pytest.mark.parametrize("code", [UNKNOWN_SERVER_ERROR, 2, 13, 19, 29, 31, 43, 44, 56, 74, 75, 76, 89, 119])
async def test_whatever_is_not_the_records_fault_is_tried_until_it_passes(
    connect, embedded_kafka, make_records, numbers_on, code
) -> None:
    embedded_kafka.create_topic("t", 1)
    kafka = await connect(embedded_kafka.bootstrap_servers)
    with trio.fail_after(30):
        assert await kafka.publish("t", 0, make_records(0, 5)) == ()
        embedded_kafka.push_errors(PRODUCE, [code, code])
        assert await kafka.publish("t", 0, make_records(5, 9)) == ()
    assert await numbers_on(embedded_kafka.bootstrap_servers, "t") == list(range(9))
    assert kafka.status().rebuilds == 0
    assert kafka.status().connected


async def test_a_producer_that_no_longer_fits_is_replaced_and_order_is_kept(
    connect, embedded_kafka, make_records, numbers_on
) -> None:
    embedded_kafka.create_topic("t", 1)
    kafka = await connect(embedded_kafka.bootstrap_servers)
    with trio.fail_after(30):
        await kafka.publish("t", 0, make_records(0, 5))
        embedded_kafka.push_errors(PRODUCE, [OUT_OF_ORDER])
        assert await kafka.publish("t", 0, make_records(5, 9)) == ()
        await kafka.publish("t", 0, make_records(9, 12))
    assert await numbers_on(embedded_kafka.bootstrap_servers, "t") == list(range(12))
    assert kafka.status().rebuilds == 1


async def test_a_partition_poisoned_again_and_again_waits_alone(
    connect, embedded_kafka, make_records, numbers_on, nursery, quick, status_with
) -> None:
    for topic in ("bad", "good"):
        embedded_kafka.create_topic(topic, 1)
    kafka = await connect(embedded_kafka.bootstrap_servers)
    await kafka.publish("good", 0, make_records(0, 1))
    embedded_kafka.push_errors(PRODUCE, [OUT_OF_ORDER] * 4)
    done = trio.Event()

    async def publish_bad() -> None:
        await kafka.publish("bad", 0, make_records(0, 5))
        done.set()

    nursery.start_soon(publish_bad)
    await status_with(kafka, lambda status: "bad/0" in status.stuck)
    with trio.fail_after(30):
        await done.wait()
        await kafka.publish("good", 0, make_records(1, 3))
    assert await numbers_on(embedded_kafka.bootstrap_servers, "bad") == list(range(5))
    assert kafka.status().rebuilds == 4
    assert kafka.status().stuck == {}
