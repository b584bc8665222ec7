"""Read the demo's topics along: the embedded Kafka keeps only the last 5 MiB of a partition."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

Identify = Callable[[Mapping[str, Any]], Hashable | None]


class Reader:
    """A consumer in a thread of its own, with another client library than the daemon's.

    Keeps counts, the gaps, the latest event of each type in full and who was seen, not the events.
    """

    def __init__(
        self, bootstrap_servers: Iterable[str], topics: Mapping[str, int], identify: Identify
    ) -> None:
        self.records: Counter[str] = Counter()
        self.arrived: Counter[Hashable] = Counter()
        self.duplicates = 0
        self.gaps: dict[bytes, dict[str, Any]] = {}
        self.samples: dict[str, dict[str, Any]] = {}
        self.failure: KafkaException | None = None
        self._numbers: dict[tuple[str, str], set[int]] = {}
        self._seen: set[tuple[str, str]] = set()
        self._identify = identify
        self._topics = topics
        self._stop = threading.Event()
        settings = {"bootstrap.servers": ",".join(bootstrap_servers), "group.id": "demo", "log_level": 0}
        self._consumer = Consumer(settings | {"enable.auto.commit": False})
        self._thread = threading.Thread(target=self._read, name="demo-reader")

    def start(self) -> None:
        """Read from the beginning of every partition."""
        self._consumer.assign(
            [
                TopicPartition(topic, partition, OFFSET_BEGINNING)
                for topic, partitions in self._topics.items()
                for partition in range(partitions)
            ]
        )
        self._thread.start()

    def close(self) -> None:
        """Read what is left, then stop."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def missing_numbers(self) -> int:
        """Count the sequence numbers that are not there, from 1 to the highest of each source."""
        return sum(max(numbers) - len(numbers) for numbers in self._numbers.values())

    def _read(self) -> None:
        while True:
            messages = self._consumer.consume(num_messages=1000, timeout=0.2)
            for message in messages:
                if message.error():
                    self.failure = KafkaException(message.error())
                else:
                    self._take(message)
            if self._stop.is_set() and not messages:
                return

    def _take(self, message: Any) -> None:
        topic = message.topic()
        self.records[topic] += 1
        if message.value() is None:
            return
        event = msgspec.json.decode(message.value())
        self.samples[event["type"]] = event
        if topic.endswith(".streamd.gaps"):
            self.gaps[message.key()] = event["data"]
        if "sequence" in event:
            source = (event["source"], event["epoch"])
            self._numbers.setdefault(source, set()).add(int(event["sequence"]))
        if (event["source"], event["id"]) in self._seen:
            self.duplicates += 1
            return
        self._seen.add((event["source"], event["id"]))
        identity = self._identify(event)
        if identity is not None:
            self.arrived[identity] += 1
