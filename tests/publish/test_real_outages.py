"""A real broker is killed, frozen and stopped under load: nothing is missing, doubled or out of order."""

from __future__ import annotations

import trio

from streamd.publish.settings import Settings
from tests.kafka.cluster import KafkaCluster

TROUBLES = (
    (KafkaCluster.kill, KafkaCluster.start),
    (KafkaCluster.pause, KafkaCluster.resume),
    (KafkaCluster.stop, KafkaCluster.start),
)


async def test_nothing_is_lost_doubled_or_out_of_order_whatever_happens_to_the_broker(
    connect, open_real_kafka, make_records, status_with, read_partitions
) -> None:
    cluster = await trio.to_thread.run_sync(open_real_kafka)
    await trio.to_thread.run_sync(cluster.create_topic, "t", 4)
    kafka = await connect(cluster.bootstrap_servers, settings=Settings(request_timeout=1.5, no_progress=1.5))
    acknowledged = dict.fromkeys(range(4), 0)

    async def publish_for_ever(partition: int) -> None:
        while True:
            start = acknowledged[partition]
            await kafka.publish("t", partition, make_records(start, start + 20))
            acknowledged[partition] = start + 20

    async def advance() -> None:
        goal = {partition: count + 200 for partition, count in acknowledged.items()}
        with trio.fail_after(30):
            while any(acknowledged[partition] < count for partition, count in goal.items()):
                await trio.sleep(0.01)

    async with trio.open_nursery() as load:
        for partition in acknowledged:
            load.start_soon(publish_for_ever, partition)
        for trouble, its_end in TROUBLES:
            await advance()
            rebuilds = kafka.status().rebuilds
            await trio.to_thread.run_sync(trouble, cluster)
            await status_with(kafka, lambda status: not status.connected)
            # Until the producer is replaced, its requests still in the broker's hands.
            await status_with(kafka, lambda status, rebuilds=rebuilds: status.rebuilds > rebuilds)
            await trio.to_thread.run_sync(its_end, cluster)
            await advance()
        load.cancel_scope.cancel()
    assert kafka.status().stuck == {}
    for partition, numbers in (await read_partitions(cluster.bootstrap_servers, "t")).items():
        assert len(numbers) >= acknowledged[partition]
        assert numbers == list(range(len(numbers)))


async def test_what_follows_an_abandoned_batch_is_not_taken_for_it(
    connect, open_real_kafka, make_records, numbers_on
) -> None:
    """The broker wakes up with the abandoned batch in its hands: same producer, same sequence numbers."""
    cluster = await trio.to_thread.run_sync(open_real_kafka)
    await trio.to_thread.run_sync(cluster.create_topic, "t")
    kafka = await connect(cluster.bootstrap_servers, settings=Settings(request_timeout=1.0))
    with trio.fail_after(30):
        await kafka.publish("t", 0, make_records(0, 3))
    cluster.pause()
    with trio.move_on_after(0.2):
        await kafka.publish("t", 0, make_records(100, 103))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kafka.publish, "t", 0, make_records(3, 6))
        await trio.sleep(2.0)
        cluster.resume()
    found = await numbers_on(cluster.bootstrap_servers, "t")
    assert [number for number in found if number < 100] == [0, 1, 2, 3, 4, 5]
