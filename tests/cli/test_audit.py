"""`streamd audit`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from confluent_kafka import Producer

from streamd.__main__ import main
from tests.audit.test_book import EPOCH, STRUCTURED, event, progress

Capture = pytest.CaptureFixture[str]


def write(kafka: Any, prefix: str, *records: tuple[str, dict[str, Any]]) -> None:
    producer = Producer({"bootstrap.servers": ",".join(kafka.bootstrap_servers), "log_level": 0})
    for topic in ("avaya.measures", "streamd.connectors"):
        kafka.create_topic(f"{prefix}.{topic}", 2)
    for place, (topic, value) in enumerate(records):
        key, text = f"emea|{place}".encode(), json.dumps(value).encode()
        producer.produce(f"{prefix}.{topic}", text, key, partition=place % 2, headers=STRUCTURED)
    assert producer.flush(30) == 0


def audit(kafka: Any, prefix: str, *options: str) -> int:
    servers = ",".join(kafka.bootstrap_servers)
    return main(
        ["audit", "--bootstrap-servers", servers, "--topic-prefix", prefix, "--patience", "1", *options]
    )


def test_whole_topics_are_0(kafka: Any, capsys: Capture) -> None:
    prefix = kafka.unique_prefix()
    numbers = [("avaya.measures", event(number)) for number in range(1, 200)]
    write(kafka, prefix, *numbers, ("streamd.connectors", progress(1, measures=199)))
    assert audit(kafka, prefix) == 0
    out = capsys.readouterr().out
    assert "nothing is missing" in out
    assert ["emea", "measures", "199", "0", "0", "0", "0"] in [line.split() for line in out.splitlines()]


def test_a_hole_is_1_with_its_numbers_and_so_is_a_tail_that_does_not_come(
    kafka: Any, capsys: Capture
) -> None:
    prefix = kafka.unique_prefix()
    kept = [("avaya.measures", event(number)) for number in range(1, 11) if number != 4]
    write(kafka, prefix, *kept, kept[0], ("streamd.connectors", progress(1, measures=12)))
    assert audit(kafka, prefix, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["duplicates"] == 1
    assert report["gaps"] == []
    assert report["holes"] == [
        {
            "connector": "emea",
            "stream": "measures",
            "source": "/avaya/emea/measures",
            "epoch": EPOCH,
            "numbers": [4, 11, 12],
        }
    ]


def test_a_kafka_that_cannot_be_read_is_1_with_the_reason(capsys: Capture) -> None:
    assert main(["audit", "--bootstrap-servers", "127.0.0.1:1", "--topic-prefix", "p"]) == 1
    assert "error: Kafka cannot be read: " in capsys.readouterr().err


def test_one_of_the_two_options_alone_is_a_usage_error(capsys: Capture) -> None:
    assert main(["audit", "--topic-prefix", "p"]) == 2
    assert "go together" in capsys.readouterr().err


def test_a_prefix_that_no_topic_has_is_1(kafka: Any, capsys: Capture) -> None:
    assert audit(kafka, kafka.unique_prefix()) == 1
    assert "it has no topic that begins with" in capsys.readouterr().err
