"""The Apache Kafka that the tests start is there, and can be stopped, killed, frozen and forbidden."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaException, Producer

from tests.kafka.cluster import KafkaCluster
from tests.kafka.embedded import EmbeddedCluster

Judge = Callable[..., dict]
DEADLINE_SECONDS = 30


def produce(
    servers: list[str], topic: str, *values: bytes, seconds: float = DEADLINE_SECONDS, **settings: str
) -> None:
    """Produce and return when all is acknowledged; KafkaException when one is refused or not in `seconds`."""
    refused = []
    timeout = {"message.timeout.ms": int(seconds * 1000), "log_level": 0}
    named = {name.replace("_", "."): value for name, value in settings.items()}
    producer = Producer({"bootstrap.servers": ",".join(servers), "acks": "all", **timeout, **named})
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: error and refused.append(error))
    producer.flush()
    if refused:
        raise KafkaException(refused[0])


def test_the_kafka_of_the_run_gives_back_what_it_took(
    kafka: KafkaCluster | EmbeddedCluster, consume_all: Judge
) -> None:
    topic = f"{kafka.unique_prefix()}.calls"
    kafka.create_topic(topic, 3, {"retention.ms": "60000"})
    produce(kafka.bootstrap_servers, topic, *(b"%d" % n for n in range(100)))
    records = consume_all(kafka.bootstrap_servers, [topic])[topic]
    assert sorted(int(record.value) for record in records) == list(range(100))


def test_a_topic_is_not_made_by_asking_for_it(real_kafka: KafkaCluster) -> None:
    topic = f"{real_kafka.unique_prefix()}.typo"
    if not real_kafka.brokers:
        pytest.skip("the named cluster has its own mind about it")
    with pytest.raises(KafkaException):
        produce(real_kafka.bootstrap_servers, topic, b"value", seconds=1)
    assert topic not in real_kafka.topics()


def test_a_broker_comes_back_after_a_stop_and_after_a_kill_with_its_ports_and_data(
    own_real_kafka: KafkaCluster, consume_all: Judge
) -> None:
    own_real_kafka.create_topic("calls")
    produce(own_real_kafka.bootstrap_servers, "calls", b"before")
    own_real_kafka.restart()
    produce(own_real_kafka.bootstrap_servers, "calls", b"stopped")
    own_real_kafka.kill()
    assert not own_real_kafka.brokers[0].running
    own_real_kafka.start()
    produce(own_real_kafka.bootstrap_servers, "calls", b"killed")
    records = consume_all(own_real_kafka.bootstrap_servers, ["calls"])["calls"]
    assert [record.value for record in records] == [b"before", b"stopped", b"killed"]


def test_a_frozen_broker_answers_nothing_until_it_is_resumed(own_real_kafka: KafkaCluster) -> None:
    own_real_kafka.create_topic("calls")
    own_real_kafka.pause()
    with pytest.raises(KafkaException, match="_MSG_TIMED_OUT"):
        produce(own_real_kafka.bootstrap_servers, "calls", b"value", seconds=0.5)
    own_real_kafka.resume()
    produce(own_real_kafka.bootstrap_servers, "calls", b"value")


def test_three_brokers_take_records_with_one_of_them_killed(
    open_real_kafka: Callable[..., KafkaCluster], consume_all: Judge
) -> None:
    cluster = open_real_kafka(brokers=3)
    cluster.create_topic("calls", 6)
    produce(cluster.bootstrap_servers, "calls", *[b"value"] * 30)
    cluster.brokers[0].kill()
    produce(cluster.bootstrap_servers, "calls", *[b"value"] * 30)
    assert len(consume_all(cluster.bootstrap_servers, ["calls"])["calls"]) == 60


def test_a_user_may_write_what_is_allowed_and_nothing_else(
    open_real_kafka: Callable[..., KafkaCluster],
) -> None:
    cluster = open_real_kafka(users={"streamd": "a password"})
    cluster.create_topic("cc.calls")
    cluster.create_topic("other")
    cluster.allow("streamd", "WRITE", "cc.", prefix=True)
    login = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_username": "streamd"}
    login["sasl_password"] = "a password"
    produce(cluster.sasl_bootstrap_servers, "cc.calls", b"value", **login)
    with pytest.raises(KafkaException, match="TOPIC_AUTHORIZATION_FAILED"):
        produce(cluster.sasl_bootstrap_servers, "other", b"value", **login)
    cluster.forbid("streamd", "WRITE", "cc.", prefix=True)
    with pytest.raises(KafkaException, match="TOPIC_AUTHORIZATION_FAILED"):
        produce(cluster.sasl_bootstrap_servers, "cc.calls", b"value", **login)
