"""What waits, waits alone: a partition without leader, a missing topic, one that is forbidden."""

from __future__ import annotations

import trio

from streamd.model import TopicSpec
from streamd.simulators.kafka import METADATA, NO_LEADER

AUTO_PARTITIONS = 4  # of a topic that librdkafka's mock cluster makes by itself


async def test_a_partition_without_leader_stops_no_other_and_causes_no_storm(
    connect, embedded_kafka, make_records, numbers_on, nursery, status_with
) -> None:
    embedded_kafka.create_topic("t", 2)
    kafka = await connect(embedded_kafka.bootstrap_servers)
    with trio.fail_after(30):
        await kafka.publish("t", 0, make_records(0, 3))
        await kafka.publish("t", 1, make_records(0, 3))
    embedded_kafka.set_leader("t", 0, NO_LEADER)
    done = trio.Event()

    async def publish_stuck() -> None:
        await kafka.publish("t", 0, make_records(3, 6))
        done.set()

    nursery.start_soon(publish_stuck)
    await status_with(kafka, lambda status: status.stuck == {"t/0": "no leader"})
    embedded_kafka.track_requests()
    started = trio.current_time()
    with trio.fail_after(8):
        for number in range(3, 103):
            await kafka.publish("t", 1, make_records(number, number + 1))
    await trio.sleep_until(started + 1)
    asked = [request for request in embedded_kafka.requests() if request.api_key == METADATA]
    assert len(asked) <= 8 * (trio.current_time() - started)
    assert not done.is_set()

    embedded_kafka.set_leader("t", 0, 1)
    with trio.fail_after(30):
        await done.wait()
    assert kafka.status().stuck == {}
    assert kafka.status().rebuilds == 0
    found = await numbers_on(embedded_kafka.bootstrap_servers, "t")
    assert sorted(found) == sorted([*range(6), *range(103)])


async def test_a_missing_topic_is_waited_for_and_stops_no_other(
    connect, embedded_kafka, make_records, status_with, nursery
) -> None:
    embedded_kafka.create_topic("there", 1)
    specs = [TopicSpec(name, 1, -1, "delete", {}) for name in ("there", "missing")]
    kafka = await connect(embedded_kafka.bootstrap_servers, specs, create_topics=False)
    found = trio.Event()

    async def wait_for_it() -> None:
        assert await kafka.partitions("missing") == 3
        found.set()

    nursery.start_soon(wait_for_it)
    await status_with(kafka, lambda status: status.stuck == {"missing": "no such topic"})
    with trio.fail_after(30):
        assert await kafka.partitions("there") == 1
        await kafka.publish("there", 0, make_records(0, 3))
    embedded_kafka.create_topic("missing", 3)
    with trio.fail_after(30):
        await found.wait()
    await status_with(kafka, lambda status: status.stuck == {})


async def test_a_topic_that_is_asked_for_while_the_connection_opens_is_found(connect, embedded_kafka) -> None:
    embedded_kafka.create_topic("configured", 1)
    embedded_kafka.create_topic("former", 2)
    kafka = await connect(embedded_kafka.bootstrap_servers, [TopicSpec("configured", 1, -1, "delete", {})])
    with trio.fail_after(10):
        assert await kafka.partitions("former") == 2


async def test_a_missing_topic_that_is_not_configured_any_more_is_waited_for_with_a_reason(
    connect, embedded_kafka, status_with, nursery
) -> None:
    kafka = await connect(embedded_kafka.bootstrap_servers, create_topics=False)
    nursery.start_soon(kafka.partitions, "former")
    await status_with(kafka, lambda status: "needs it no more" in status.stuck.get("former", ""))
    embedded_kafka.create_topic("former", 1)
    await status_with(kafka, lambda status: status.stuck == {})


async def test_a_kafka_that_takes_no_request_to_make_topics_makes_them_when_they_are_asked_for(
    connect, embedded_kafka, status_with
) -> None:
    kafka = await connect(embedded_kafka.bootstrap_servers, [TopicSpec("t", 1, -1, "delete", {})])
    with trio.fail_after(30):
        assert await kafka.partitions("t") == AUTO_PARTITIONS
    await status_with(kafka, lambda status: status.stuck == {})


async def test_a_partition_that_is_not_there_is_waited_for(
    connect, embedded_kafka, make_records, status_with, nursery
) -> None:
    embedded_kafka.create_topic("t", 1)
    kafka = await connect(embedded_kafka.bootstrap_servers)
    nursery.start_soon(kafka.publish, "t", 5, make_records(0, 1))
    await status_with(kafka, lambda status: "only 1 partition" in status.stuck.get("t/5", ""))
    with trio.fail_after(30):
        await kafka.publish("t", 0, make_records(0, 1))
    nursery.cancel_scope.cancel()
