"""Kafka goes and comes back: nothing is missing, the order is kept, and the status says why."""

from __future__ import annotations

from contextlib import ExitStack

import msgspec
import pytest
import trio
from structlog.testing import capture_logs

from streamd.simulators.kafka import DISCONNECT, INIT_PRODUCER_ID, PRODUCE, open_embedded_kafka


def deduplicated(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


async def test_kafka_may_be_down_at_boot(
    connect, embedded_kafka, make_records, numbers_on, status_with, nursery
):
    embedded_kafka.create_topic("t", 1)
    embedded_kafka.broker_down()
    kafka = await connect(embedded_kafka.bootstrap_servers)
    with trio.fail_after(30):
        await kafka.alive()
    done = trio.Event()

    async def publish() -> None:
        assert await kafka.partitions("t") == 1
        await kafka.publish("t", 0, make_records(0, 3))
        done.set()

    nursery.start_soon(publish)
    status = await status_with(kafka, lambda status: "refused" in str(status.reason).lower())
    assert not status.connected
    embedded_kafka.broker_up()
    with trio.fail_after(30):
        await done.wait()
    assert kafka.status().connected
    assert kafka.status().reason is None
    assert await numbers_on(embedded_kafka.bootstrap_servers, "t") == [0, 1, 2]


async def test_brokers_that_go_and_come_back_cost_nothing_but_time(
    connect, embedded_kafka, make_records, numbers_on, status_with, nursery
):
    embedded_kafka.create_topic("t", 3)
    kafka = await connect(embedded_kafka.bootstrap_servers)
    finished = []

    async def publish(partition: int) -> None:
        for number in range(0, 300, 3):
            assert await kafka.publish("t", partition, make_records(number, number + 3)) == ()
            await trio.sleep(0.01)
        finished.append(partition)

    with capture_logs() as told:
        async with trio.open_nursery() as publishers:
            for partition in range(3):
                publishers.start_soon(publish, partition)
            await trio.sleep(0.2)
            embedded_kafka.broker_down()
            status = await status_with(kafka, lambda status: not status.connected)
            assert status.reason
            assert not finished
            embedded_kafka.broker_up()
            await status_with(kafka, lambda status: status.connected)
    events = [event["event"] for event in told]
    assert (events.count("kafka_lost"), events.count("kafka_recovered")) == (1, 1)
    assert kafka.status().rebuilds == 0
    assert kafka.status().stuck == {}
    found = await numbers_on(embedded_kafka.bootstrap_servers, "t")
    assert sorted(found) == sorted(list(range(300)) * 3)


async def test_a_lost_acknowledgement_neither_loses_nor_doubles(
    connect, embedded_kafka, make_records, numbers_on
):
    embedded_kafka.create_topic("t", 1)
    kafka = await connect(embedded_kafka.bootstrap_servers)
    with trio.fail_after(30):
        await kafka.publish("t", 0, make_records(0, 3))
        embedded_kafka.push_errors(PRODUCE, [DISCONNECT, DISCONNECT])
        assert await kafka.publish("t", 0, make_records(3, 6)) == ()
        assert await kafka.publish("t", 0, make_records(6, 9)) == ()
    assert await numbers_on(embedded_kafka.bootstrap_servers, "t") == list(range(9))
    assert kafka.status().rebuilds == 0


async def test_brokers_at_new_addresses_are_found_from_the_bootstrap_servers(
    connect, make_records, numbers_on, quick
):
    with ExitStack() as stack:
        former = stack.enter_context(open_embedded_kafka())
        latter = stack.enter_context(open_embedded_kafka())
        for cluster in former, latter:
            cluster.create_topic("t", 1)
        latter.broker_down()
        settings = msgspec.structs.replace(quick, no_progress=0.5)
        kafka = await connect([*former.bootstrap_servers, *latter.bootstrap_servers], settings=settings)
        with trio.fail_after(30):
            await kafka.publish("t", 0, make_records(0, 3))
        former.broker_down()
        latter.track_requests()
        latter.broker_up()
        with trio.fail_after(30):
            await kafka.publish("t", 0, make_records(3, 6))
        assert kafka.status().rebuilds >= 1
        # Another cluster: there, the former producer id may be somebody else's.
        assert INIT_PRODUCER_ID in {request.api_key for request in latter.requests()}
        assert await numbers_on(latter.bootstrap_servers, "t") == [3, 4, 5]


async def test_the_thread_ends_within_three_seconds_while_brokers_are_down(
    connect, embedded_kafka, make_records, status_with
):
    embedded_kafka.create_topic("t", 1)
    async with trio.open_nursery() as nursery:
        kafka = await connect(embedded_kafka.bootstrap_servers, nursery=nursery)
        await kafka.publish("t", 0, make_records(0, 3))
        embedded_kafka.broker_down()
        nursery.start_soon(kafka.publish, "t", 0, make_records(3, 6))
        await status_with(kafka, lambda status: not status.connected)
        started = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - started < 3


async def test_a_cancelled_publish_returns_at_once_and_what_follows_is_complete_and_in_order(
    connect, embedded_kafka, make_records, numbers_on, status_with
):
    embedded_kafka.create_topic("t", 1)
    kafka = await connect(embedded_kafka.bootstrap_servers)
    await kafka.publish("t", 0, make_records(0, 3))
    embedded_kafka.set_rtt(300)
    with trio.move_on_after(0.1) as cancelled:
        await kafka.publish("t", 0, make_records(3, 6))
    assert cancelled.cancelled_caught
    embedded_kafka.broker_down()
    with trio.move_on_after(0.1):
        await kafka.publish("t", 0, make_records(100, 103))
    started = trio.current_time()
    embedded_kafka.set_rtt(0)
    embedded_kafka.broker_up()
    with trio.fail_after(30):
        await kafka.publish("t", 0, make_records(6, 9))
    assert trio.current_time() - started < 10
    found = await numbers_on(embedded_kafka.bootstrap_servers, "t")
    assert found in ([0, 1, 2, 6, 7, 8], list(range(9)))


async def test_a_crash_of_the_asyncio_side_is_raised_and_ends_every_wait(
    embedded_kafka, connect, make_records
):
    async def crash() -> None:
        async with trio.open_nursery() as nursery:
            # A mechanism is missing, which the reading of the configuration does not let through.
            kafka = await connect(
                embedded_kafka.bootstrap_servers, nursery=nursery, security_protocol="SASL_PLAINTEXT"
            )
            await kafka.publish("t", 0, make_records(0, 1))

    with pytest.raises(ExceptionGroup) as caught:
        await crash()
    assert caught.group_contains(ValueError)
