"""Topics on a real broker: made as configured, made again, and compared with what is wanted."""

from __future__ import annotations

import trio
from confluent_kafka.admin import ConfigResource, NewPartitions

from streamd.config import KafkaConfig
from streamd.model import TopicSpec
from streamd.publish.kafka import create, describe


def specs_of(*specs: TopicSpec) -> dict[str, TopicSpec]:
    return {spec.name: spec for spec in specs}


async def policy_of(cluster, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    admin = cluster.admin()
    entries = await trio.to_thread.run_sync(admin.describe_configs([resource])[resource].result)
    return {key: entries[key].value for key in ("cleanup.policy", "retention.ms")}


async def test_a_missing_topic_is_made_as_configured_and_again_when_it_vanishes(
    connect, real_kafka, make_records, numbers_on, nursery
) -> None:
    topic = f"{real_kafka.unique_prefix()}.calls.state"
    spec = TopicSpec(topic, 3, -1, "compact", {"retention.ms": "86400000"})
    kafka = await connect(real_kafka.bootstrap_servers, [spec])
    with trio.fail_after(30):
        assert await kafka.partitions(topic) == 3
        assert await policy_of(real_kafka, topic) == {"cleanup.policy": "compact", "retention.ms": "86400000"}
        await kafka.publish(topic, 2, make_records(0, 3))
    await trio.to_thread.run_sync(real_kafka.delete_topic, topic)
    with trio.fail_after(30):
        await kafka.publish(topic, 2, make_records(3, 6))
    assert await policy_of(real_kafka, topic) == {"cleanup.policy": "compact", "retention.ms": "86400000"}
    assert await numbers_on(real_kafka.bootstrap_servers, topic) == [3, 4, 5]
    assert kafka.status().rebuilds == 0


async def test_more_partitions_are_noticed(connect, real_kafka, nursery, quick) -> None:
    topic = f"{real_kafka.unique_prefix()}.grows"
    kafka = await connect(real_kafka.bootstrap_servers, [TopicSpec(topic, 2, -1, "delete", {})])
    with trio.fail_after(30):
        assert await kafka.partitions(topic) == 2
        admin = real_kafka.admin()
        growth = admin.create_partitions([NewPartitions(topic, 5)])[topic]
        await trio.to_thread.run_sync(growth.result)
        assert await kafka.partitions_changed(topic, 2) == 5


async def test_a_wrong_cleanup_policy_is_a_warning_and_stops_nothing(
    connect, real_kafka, make_records, status_with
) -> None:
    topic = f"{real_kafka.unique_prefix()}.agents.state"
    await trio.to_thread.run_sync(real_kafka.create_topic, topic)
    kafka = await connect(real_kafka.bootstrap_servers, [TopicSpec(topic, 1, -1, "compact", {})])
    with trio.fail_after(30):
        assert await kafka.partitions(topic) == 1
        await kafka.publish(topic, 0, make_records(0, 3))
    status = await status_with(kafka, lambda status: topic in status.warnings)
    assert "cleanup.policy is delete, it must be compact" in status.warnings[topic]
    assert status.stuck == {}


async def test_topics_are_reported_and_made_on_request(real_kafka) -> None:
    prefix = real_kafka.unique_prefix()
    await trio.to_thread.run_sync(real_kafka.create_topic, f"{prefix}.there")
    specs = specs_of(
        TopicSpec(f"{prefix}.missing", 4, -1, "compact", {}),
        TopicSpec(f"{prefix}.there", 2, -1, "compact", {}),
        TopicSpec(f"{prefix}.impossible", 1, 17, "delete", {}),
    )
    config = KafkaConfig(bootstrap_servers=real_kafka.bootstrap_servers)
    missing, there, impossible = await describe(config, specs)
    assert (missing.exists, missing.partitions, missing.cleanup, missing.problems) == (False, None, None, ())
    assert (there.exists, there.partitions, there.cleanup) == (True, 1, "delete")
    assert there.retention_ms == 7 * 86_400_000
    assert len(there.problems) == 2
    assert not impossible.exists

    made, _, impossible = await create(config, specs)
    assert (made.exists, made.partitions, made.cleanup, made.problems) == (True, 4, "compact", ())
    assert "INVALID_REPLICATION_FACTOR" in impossible.problems[0]
    assert not impossible.exists
