"""Read one topic from its end in a process of its own, and say how long its messages were under way.

    python -m tests.bench.watcher SERVERS TOPIC

A line on stdin gets a line with what came since the last one: `arrived` are the milliseconds from sending to
this reader, `appended` those to the broker's log (the topic has LogAppendTime; whole milliseconds).
"""

from __future__ import annotations

import json
import sys
import threading
import time

from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from tests.bench.messages import sent_at


def quantiles(values: list[float]) -> dict[str, float]:
    """Give count, p50, p99 and max."""
    if not values:
        return {"count": 0}
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)

    return {"count": len(ordered), "p50": at(0.5), "p99": at(0.99), "max": round(ordered[-1], 1)}


def main() -> None:
    servers, topic = sys.argv[1:]
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": "bench", "enable.auto.commit": False, "log_level": 0}
    )
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, OFFSET_END) for number in partitions])
    arrived: list[float] = []
    appended: list[float] = []

    def read() -> None:
        while True:
            message = consumer.poll(1.0)
            if message is None or message.error() is not None:
                continue
            now = time.time()
            sent = sent_at(message.value() or b"")
            if sent:
                arrived.append((now - sent) * 1000)
                appended.append(message.timestamp()[1] - sent * 1000)

    threading.Thread(target=read, daemon=True).start()
    print(json.dumps({"partitions": len(partitions)}), flush=True)
    for _ in sys.stdin:
        done, stored = arrived.copy(), appended.copy()
        arrived.clear()
        appended.clear()
        print(json.dumps({"arrived": quantiles(done), "appended": quantiles(stored)}), flush=True)


if __name__ == "__main__":
    main()
