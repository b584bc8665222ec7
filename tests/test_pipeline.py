"""Refused by Kafka: a dead letter in one commit, and nothing lost when that is refused, too."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import trio

from streamd.clock import SystemClock
from streamd.config import KafkaConfig
from streamd.model import DEAD_LETTER, Event
from streamd.pipeline import Pipeline
from streamd.publish.kafka import Kafka
from tests.spool.rig import MEASURES, ORIGIN, Rig, event

LETTERS = DEAD_LETTER.topic


class Line:
    """A spool, a pipeline and a real Kafka whose topics take records up to a size each."""

    def __init__(self, rig: Rig, kafka: Any, limits: dict[str, int]) -> None:
        self.prefix = kafka.unique_prefix()
        self.rig = rig
        self._kafka = kafka
        for topic, limit in limits.items():
            config = {"max.message.bytes": str(limit)}
            kafka.create_topic(f"{self.prefix}.{topic}", 2, config)
        self._topics = [f"{self.prefix}.{topic}" for topic in limits]

    async def publish(self, events: list[Event], consume: Callable[..., Any]) -> dict[str, list[Any]]:
        """Accept the events, publish until the spool is empty, and read what is on Kafka."""
        spool = self.rig.spool(partitions=2, prefix=self.prefix)
        config = KafkaConfig(bootstrap_servers=self._kafka.bootstrap_servers, compression="none")
        kafka = Kafka(config, {})
        pipeline = Pipeline(spool, kafka, self.prefix, SystemClock())
        pipeline.serve(self._topics)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(spool.write)
            await nursery.start(kafka.run)
            nursery.start_soon(pipeline.run)
            await spool.append(ORIGIN, events, {})
            with trio.fail_after(20):
                await spool.drain()
            nursery.cancel_scope.cancel()
        found = await trio.to_thread.run_sync(consume, self._kafka.bootstrap_servers, self._topics)
        return {
            topic.removeprefix(f"{self.prefix}."): [json.loads(record.value) for record in records]
            for topic, records in found.items()
        }


def huge(size: int) -> Event:
    data = {"n": 99, "text": "x" * size}
    return Event(MEASURES, "huge", "streamd.measure.upserted", data, SystemClock().now())


async def test_a_refused_record_leaves_a_letter_with_its_bytes_and_number_and_the_others_go_on(
    rig: Rig, real_kafka: Any, consume_all: Callable[..., Any]
) -> None:
    line = Line(rig, real_kafka, {"avaya.measures": 2000, LETTERS: 1_000_000})
    events = (
        [event(n, key="huge") for n in range(5)] + [huge(3000)] + [event(n, key="huge") for n in range(5, 9)]
    )
    found = await line.publish(events, consume_all)
    assert [each["data"]["n"] for each in found["avaya.measures"]] == list(range(9))
    [letter] = found[LETTERS]
    refused = json.loads(base64.b64decode(letter["data"]["payload_base64"]))
    assert refused["data"]["n"] == 99
    of = letter["data"]["of"]
    assert (of["source"], of["sequence"], of["id"]) == (refused["source"], refused["sequence"], refused["id"])
    assert of["topic"] == f"{line.prefix}.avaya.measures"


async def test_a_letter_too_large_for_its_topic_goes_without_its_bytes_and_no_number_is_missing(
    rig: Rig, real_kafka: Any, consume_all: Callable[..., Any]
) -> None:
    line = Line(rig, real_kafka, {"avaya.measures": 2000, LETTERS: 2500})
    found = await line.publish([event(1), huge(3000), event(2)], consume_all)
    assert sorted(each["data"]["n"] for each in found["avaya.measures"]) == [1, 2]
    letters = found[LETTERS]
    assert all("payload_base64" not in letter["data"] for letter in letters)
    accepted = {letter["sequence"] for letter in letters}
    refused = {
        letter["data"]["of"]["sequence"]
        for letter in letters
        if letter["data"]["of"]["topic"].endswith(LETTERS)
    }
    assert accepted | refused == {f"{n:020}" for n in range(1, len(accepted | refused) + 1)}
    assert any(letter["data"]["of"]["topic"].endswith("avaya.measures") for letter in letters)
