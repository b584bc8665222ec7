"""Read topics back with another client than the one under test: the judge of what really is on Kafka."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

# What passes by itself while leaders change or brokers come back; all else is raised. Just after an election
# the leader does not know yet what was acknowledged: OFFSET_NOT_AVAILABLE, no end offset may be taken then.
PASSING = {
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
}


class Record(NamedTuple):
    """A record as Kafka has it; `timestamp` in milliseconds since 1970."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp: int
    partition: int
    offset: int


def consume_all(
    bootstrap_servers: list[str], topics: Iterable[str], *, seconds: float = 60, **settings: object
) -> dict[str, list[Record]]:
    """Return the records of each topic up to the end offsets at the call, each partition's in order.

    A topic that does not exist has no records. Blocks; TimeoutError when not all could be read in `seconds`.
    `settings` are librdkafka's, with underscores for the dots (`security_protocol`).
    """
    deadline = time.monotonic() + seconds
    records: dict[str, list[Record]] = {topic: [] for topic in topics}
    consumer = Consumer(
        {
            "bootstrap.servers": ",".join(bootstrap_servers),
            "group.id": f"judge-{uuid.uuid4()}",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "log_level": 0,
            **{name.replace("_", "."): value for name, value in settings.items()},
        }
    )
    try:
        waiting = _end_offsets(consumer, records, deadline)
        consumer.assign([TopicPartition(topic, part, OFFSET_BEGINNING) for topic, part in waiting])
        while waiting:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not read to the end in {seconds} s: {waiting}")
            for message in consumer.consume(num_messages=5000, timeout=0.1):
                _take(message, records, waiting)
    finally:
        consumer.close()
    return records


def _end_offsets(consumer: Consumer, topics: Iterable[str], deadline: float) -> dict[tuple[str, int], int]:
    """Return the end offset of every partition that has records."""
    known = consumer.list_topics(timeout=deadline - time.monotonic()).topics
    ends = {}
    for topic in topics:
        for partition in known[topic].partitions if topic in known else ():
            low, high = _watermarks(consumer, TopicPartition(topic, partition), deadline)
            if high > low:
                ends[topic, partition] = high
    return ends


def _watermarks(consumer: Consumer, partition: TopicPartition, deadline: float) -> tuple[int, int]:
    while time.monotonic() < deadline:
        try:
            watermarks = consumer.get_watermark_offsets(partition, timeout=5)
        except KafkaException as refused:
            if refused.args[0].code() not in PASSING:
                raise
            time.sleep(0.1)
        else:
            if watermarks is not None:
                return watermarks
    raise TimeoutError(f"no end offset of {partition}")


def _take(message: Message, records: dict[str, list[Record]], waiting: dict[tuple[str, int], int]) -> None:
    """Keep a record below the end, and strike the partition off `waiting` where its end is reached."""
    error = message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        if error.code() in PASSING:
            return
        raise KafkaException(error)
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    end = waiting.get((topic, partition))
    if end is None:
        return
    if error is None and offset < end:
        headers, (_, timestamp) = message.headers() or [], message.timestamp()
        records[topic].append(
            Record(message.key(), message.value(), list(headers), timestamp, partition, offset)
        )
    # The end of the partition (EOF) also comes where the last offsets hold no record any more.
    if offset + (error is None) >= end:
        del waiting[topic, partition]
