"""Clusters of real Apache Kafka for the tests: KRaft, every broker a controller, too, on loopback."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from tests.kafka.broker import Broker
from tests.kafka.configuration import broker_properties, choose_ports
from tests.kafka.distribution import Distribution, distribution, only_one_at_a_time


class KafkaCluster:
    """A running Apache Kafka: `bootstrap_servers` are its plain listeners, `brokers` the processes.

    Started with users, `sasl_bootstrap_servers` take SASL PLAIN over plain text and forbid all but what
    `allow` allows; the plain listeners stay free for the test itself. All calls block. A cluster that was
    only named to the tests has no `brokers`.
    """

    real = True

    def __init__(
        self,
        bootstrap_servers: list[str],
        brokers: Sequence[Broker] = (),
        sasl_bootstrap_servers: Sequence[str] = (),
    ) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.sasl_bootstrap_servers = list(sasl_bootstrap_servers)
        self.brokers = list(brokers)

    def start(self) -> None:
        """Start every broker, on the same ports and data as before, and return when all answer."""
        for broker in self.brokers:
            broker.start(wait=False)
        for broker in self.brokers:
            broker.wait_until_ready()

    def stop(self) -> None:
        """Stop every broker cleanly; those that miss their quorum for it are killed after 15 s."""
        for broker in self.brokers:
            broker.terminate()
        for broker in self.brokers:
            broker.stop(seconds=15)

    def kill(self) -> None:
        for broker in self.brokers:
            broker.kill()

    def pause(self) -> None:
        for broker in self.brokers:
            broker.pause()

    def resume(self) -> None:
        for broker in self.brokers:
            broker.resume()

    def restart(self) -> None:
        self.stop()
        self.start()

    def create_topic(
        self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None, replication: int = -1
    ) -> None:
        """Create a topic and return when every partition has a leader; KafkaException when it is refused."""
        client = self.admin()
        topic = NewTopic(name, partitions, replication, config=dict(config or {}))
        client.create_topics([topic])[name].result(30)
        while not _led(client, name, partitions):
            pass  # list_topics inside is the wait: it takes a round trip

    def delete_topic(self, name: str) -> None:
        client = self.admin()
        client.delete_topics([name])[name].result(30)

    def topics(self) -> dict[str, int]:
        """Return the topics that exist, with their numbers of partitions."""
        return {
            name: len(topic.partitions) for name, topic in self.admin().list_topics(timeout=30).topics.items()
        }

    def allow(self, user: str, operation: str, topic: str, *, prefix: bool = False) -> None:
        """Allow `user` an operation (WRITE, CREATE, DESCRIBE …) on a topic, or on all that begin so."""
        binding = AclBinding(*_acl(user, operation, topic, prefix))
        client = self.admin()
        client.create_acls([binding])[binding].result(30)

    def forbid(self, user: str, operation: str, topic: str, *, prefix: bool = False) -> None:
        """Take back what `allow` allowed."""
        binding = AclBindingFilter(*_acl(user, operation, topic, prefix))
        client = self.admin()
        client.delete_acls([binding])[binding].result(30)

    def unique_prefix(self) -> str:
        """Return a topic prefix that no other test uses."""
        return unique_prefix()

    def admin(self) -> AdminClient:
        """Return an admin client; keep it until its futures are done, they end with it."""
        return AdminClient({"bootstrap.servers": ",".join(self.bootstrap_servers), "log_level": 0})


@contextmanager
def open_kafka_cluster(
    kafka: Distribution,
    directory: Path,
    *,
    brokers: int = 1,
    properties: Mapping[str, object] | None = None,
    users: Mapping[str, str] | None = None,
) -> Iterator[KafkaCluster]:
    """Start a cluster under `directory` and kill it at the end.

    `properties` are added to every broker's own and `users` are names and passwords.
    """
    ports = choose_ports(brokers)
    started = []
    for index in range(brokers):
        own = {**broker_properties(index, ports, users or {}), **(properties or {})}
        started.append(Broker(kafka, directory / f"broker-{index + 1}", ports.plain[index], own))
    cluster = KafkaCluster(_addresses(ports.plain), started, _addresses(ports.sasl) if users else ())
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()


def installed_kafka() -> Distribution:
    """Return the Kafka of this machine, prepared to start quickly; raise Unavailable with the reason."""
    kafka = distribution()
    with only_one_at_a_time(kafka.home):
        if not kafka.class_archive.exists():
            _archive_classes(kafka)
    return kafka


def _archive_classes(kafka: Distribution) -> None:
    """Let the JVM write down the classes that a broker loads between its start and a clean stop."""
    with tempfile.TemporaryDirectory(dir=kafka.home) as directory:
        archive = Path(directory) / "classes.jsa"
        recorded = dataclasses.replace(kafka, record_classes=archive)
        with open_kafka_cluster(recorded, Path(directory) / "cluster") as cluster:
            cluster.create_topic("warm-up")
            cluster.stop()
        os.rename(archive, kafka.class_archive)


def _acl(user: str, operation: str, topic: str, prefix: bool) -> tuple[object, ...]:
    pattern = ResourcePatternType.PREFIXED if prefix else ResourcePatternType.LITERAL
    allow = AclPermissionType.ALLOW
    return ResourceType.TOPIC, topic, pattern, f"User:{user}", "*", AclOperation[operation], allow


def _led(client: AdminClient, name: str, partitions: int) -> bool:
    topic = client.list_topics(timeout=30).topics.get(name)
    return topic is not None and sum(part.leader >= 0 for part in topic.partitions.values()) >= partitions


def _addresses(ports: Sequence[int]) -> list[str]:
    return [f"127.0.0.1:{port}" for port in ports]


def unique_prefix() -> str:
    return f"t{os.urandom(5).hex()}"
