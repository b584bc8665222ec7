"""The Kafka of the bench: one that is named, or an Apache Kafka of its own; and what its topics hold."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from tests.kafka.choice import NAMED, choose
from tests.kafka.cluster import KafkaCluster, open_kafka_cluster
from tests.kafka.reader import PASSING

PARTITIONS = 6
# Just after a topic was made, or its broker was frozen, the broker may know less than it should.
_PASSING = PASSING | {KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.FENCED_LEADER_EPOCH, KafkaError._NOENT}
LOG_APPEND = {"message.timestamp.type": "LogAppendTime"}


class Topics:
    """How many records stand in a topic, asked by end offsets, so that counting costs nobody anything."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self._admin = cluster.admin()

    def records(self, topic: str) -> int:
        """Give the records that were ever appended to all partitions of a topic, 0 while there is none.

        Waits, at most 60 s, while a partition has no leader: a frozen broker's are elected anew.
        """
        deadline = time.monotonic() + 60
        while True:
            try:
                return self._count(topic)
            except KafkaException as refused:
                if refused.args[0].code() not in _PASSING or time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def _count(self, topic: str) -> int:
        known = self._admin.list_topics(timeout=10).topics
        if topic not in known:
            return 0
        latest = {TopicPartition(topic, number): OffsetSpec.latest() for number in known[topic].partitions}
        futures = self._admin.list_offsets(latest, request_timeout=10).values()
        return sum(future.result().offset for future in futures)


@contextmanager
def open_kafka() -> Iterator[tuple[KafkaCluster, str]]:
    """Yield a Kafka and what it is; raises Unavailable where none can be had.

    From then on SIGTERM, as of `timeout`, unwinds this process: its log would stay in memory.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    choice = choose()
    if choice.named:
        yield KafkaCluster(choice.named), f"the Kafka of {NAMED}"
        return
    kafka = choice.installed()
    with tempfile.TemporaryDirectory(prefix="streamd-bench-", dir=_memory()) as directory:
        properties = {"log.retention.bytes": 1 << 28, "log.segment.bytes": 1 << 26}
        with open_kafka_cluster(kafka, Path(directory) / "kafka", properties=properties) as cluster:
            yield cluster, choice.describe()


def _memory() -> str | None:
    """Give a place in memory for Kafka's log, where there is one.

    Kafka is another machine: on one disk with the spool, its writing would weigh on the spool's fsyncs.
    """
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


def cpus() -> int:
    """Give the CPUs that this process may use."""
    return len(os.sched_getaffinity(0))
