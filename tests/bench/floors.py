"""What the parts cost by themselves, each in a process of its own: the floors under the daemon's figures.

    python -m tests.bench.floors engine trio-websocket|sans-io URL     read and decode, nothing behind it
    python -m tests.bench.floors script SERVERS TOPIC URL              the plain script
    python -m tests.bench.floors batches SERVERS TOPIC                 aiokafka's send_batch

Each says `{"ready": true}` and answers every line on stdin with `{"done": N}`, the messages done so far; for
`batches` the line sets the records a second (`{"rate": N}`, -1: as fast as it goes).
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import trio
from aiokafka import AIOKafkaProducer

from streamd.cloudevents import Envelope, Source
from streamd.connectors.avaya.measure_types import Typing
from streamd.connectors.avaya.normalise import MEASURES, KeyTexts, normalise
from streamd.connectors.avaya.wire import MeasureMessage, authentication, decode
from streamd.model import Origin, Record
from streamd.transport.websocket import open_websocket
from tests.bench.messages import text

_HELLO = authentication("fdbec917-e76e-4645-8120-4eac46f29488", "token")
_PRODUCER = "Agent_itd_1.0.0"


class Counter:
    """How much is done, told to whoever asks on stdin; `rate` is what was asked for last."""

    def __init__(self) -> None:
        self.done = 0
        self.rate = 0.0

    def serve(self) -> None:
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            self.rate = json.loads(line).get("rate", self.rate)
            print(json.dumps({"done": self.done}), flush=True)


async def read_and_decode(engine: Any, url: str) -> None:
    """Do what every use of this engine has to do: read, decode, count."""
    counter = Counter()
    async with open_websocket(url, engine=engine) as websocket:
        await websocket.send(_HELLO)
        counter.serve()
        while True:
            for message in await websocket.receive():
                decode(message, "bench")
                counter.done += 1


class Measure(msgspec.Struct, rename="camel"):
    """What the script knows of a message."""

    keys: dict[str, str]
    measure_producer_id: str
    payload_type: str
    event_action: str
    measures: dict[str, str]


async def plain_script(servers: str, topic: str, url: str) -> None:
    """Do what a user would write instead: read, decode, encode, `send` with acks=all; nothing is kept.

    It is written to be quick: msgspec, compiled masking of `websockets`, zstd and a linger of 5 ms.
    """
    from websockets.asyncio.client import connect

    counter = Counter()
    producer = _producer(servers, linger_ms=5)
    await producer.start()
    read, write = msgspec.json.Decoder(Measure).decode, msgspec.json.Encoder().encode

    def count(future: asyncio.Future[Any]) -> None:
        future.result()
        counter.done += 1

    async with connect(url, compression=None) as websocket:
        await websocket.send(_HELLO)
        await websocket.recv()
        counter.serve()
        async for frame in websocket:
            message = read(frame)
            key = "&".join(message.keys.values()).encode()
            event = {
                "type": message.event_action,
                "producer": message.measure_producer_id,
                "received": datetime.now(UTC),
                "keys": message.keys,
                "data": message.measures,
            }
            sent = await producer.send(topic, write(event), key)
            sent.add_done_callback(count)


async def send_batches(servers: str, topic: str) -> None:
    """Send the daemon's own event records: each 20 ms a batch to each partition, or batches without end."""
    counter = Counter()
    producer = _producer(servers)
    await producer.start()
    partitions = sorted(await producer.partitions_for(topic))
    records = _records()
    counter.serve()

    async def submit(partition: int, count: Callable[[], int]) -> None:
        place = 0
        while True:
            wanted = count()
            if not wanted:
                await asyncio.sleep(0.02)
                continue
            batch = producer.create_batch()
            filled = 0
            while filled < wanted:
                record = records[(place + filled) % len(records)]
                if batch.append(key=record.key, value=record.value, timestamp=record.timestamp) is None:
                    break
                filled += 1
            place += filled
            future = await producer.send_batch(batch, topic, partition=partition)
            await future
            counter.done += filled
            if counter.rate >= 0:
                await asyncio.sleep(0.02)

    def due(share: int) -> Callable[[], int]:
        last = time.monotonic()

        def count() -> int:
            nonlocal last
            if counter.rate < 0:
                return 1000
            now = time.monotonic()
            number = int((now - last) * counter.rate / share)
            if number or not counter.rate:
                last = now
            return number

        return count

    await asyncio.gather(*(submit(partition, due(len(partitions))) for partition in partitions))


def _producer(servers: str, **settings: Any) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=servers,
        acks="all",
        enable_idempotence=True,
        compression_type="zstd",
        max_batch_size=256 * 1024,
        **settings,
    )


def _records() -> list[Record]:
    source = Source(Envelope("20260101T000000000000Z", "structured"), Origin("bench", "avaya"), MEASURES)
    texts, now, records = KeyTexts(), datetime.now(UTC), []
    for number in range(2000):
        (message,) = decode(text(_PRODUCER, number), "bench")
        assert isinstance(message, MeasureMessage)
        event = normalise(message, texts.of(message), now, Typing())
        records.append(source.event(event, number))
    return records


def main() -> None:
    match sys.argv[1:]:
        case ["engine", engine, url]:
            trio.run(read_and_decode, engine, url)
        case ["script", servers, topic, url]:
            asyncio.run(plain_script(servers, topic, url))
        case ["batches", servers, topic]:
            asyncio.run(send_batches(servers, topic))
        case unknown:
            sys.exit(f"not known: {unknown}")


if __name__ == "__main__":
    main()
