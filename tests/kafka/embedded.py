"""The embedded Kafka in the shape that the tests know a cluster by."""

from __future__ import annotations

from collections.abc import Mapping

from streamd.simulators.kafka import EmbeddedKafka
from tests.kafka.cluster import unique_prefix


class EmbeddedCluster:
    """As KafkaCluster, without processes; `real` is False, and a topic's configuration has no effect."""

    real = False

    def __init__(self, embedded: EmbeddedKafka) -> None:
        self.embedded = embedded
        self.bootstrap_servers = embedded.bootstrap_servers

    def create_topic(self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> None:
        del config  # the mock brokers neither compact nor expire
        self.embedded.create_topic(name, partitions)

    def unique_prefix(self) -> str:
        return unique_prefix()
