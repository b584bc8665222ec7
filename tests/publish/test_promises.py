"""What Kafka refuses for everyone changes nothing but time; its credentials are tried ever more slowly."""

from __future__ import annotations

from typing import Any

import aiokafka.errors
import pytest
import trio
from structlog.testing import capture_logs

from streamd.publish import connections, shims
from streamd.publish.connections import Connections
from streamd.publish.settings import Settings
from streamd.simulators.kafka import DISCONNECT, PRODUCE

# https://kafka.apache.org/protocol#protocol_error_codes
FOR_EVERYONE = {
    "down": DISCONNECT,
    "no such topic": 3,
    "leader not available": 5,
    "not the leader": 6,
    "timed out": 7,
    "broker not available": 8,
    "replica not available": 9,
    "coordinator not available": 15,
    "not enough replicas": 19,
    "not enough replicas after append": 20,
    "topic not authorized": 29,
    "cluster not authorized": 31,
    "disk full": 56,
    "a code that is not known": 119,
}


@pytest.mark.parametrize("code", FOR_EVERYONE.values(), ids=FOR_EVERYONE)
async def test_a_record_alone_in_its_batch_outlasts_what_kafka_refuses_for_everyone(
    connect: Any, embedded_kafka: Any, make_records: Any, numbers_on: Any, code: int
) -> None:
    embedded_kafka.create_topic("t", 1)
    kafka = await connect(embedded_kafka.bootstrap_servers)
    with trio.fail_after(10):
        assert await kafka.publish("t", 0, make_records(0, 1)) == ()
        embedded_kafka.push_errors(PRODUCE, [code, code])
        assert await kafka.publish("t", 0, make_records(1, 2)) == ()
    assert await numbers_on(embedded_kafka.bootstrap_servers, "t") == [0, 1]


class Time:
    """A clock that a test turns."""

    seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds


def test_refused_credentials_are_tried_again_after_twice_as_long_each_time_up_to_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Time()
    monkeypatch.setattr(connections, "time", clock)
    refusing = Connections(Settings().credentials_retry_max)
    waits = []
    for _ in range(9):
        refusing.failed("kafka", 9092, aiokafka.errors.SaslAuthenticationFailed("wrong"))
        failed_at = clock.seconds
        with pytest.raises(aiokafka.errors.KafkaConnectionError):
            refusing.opening()
        while _is_early(refusing):
            clock.seconds += 0.25
        waits.append(clock.seconds - failed_at)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def _is_early(refusing: Connections) -> bool:
    try:
        refusing.opening()
    except aiokafka.errors.KafkaConnectionError:
        return True
    return False


@pytest.mark.parametrize("down", [0, 2], ids=["from the first", "after Kafka was down"])
async def test_why_credentials_are_refused_is_in_the_status_and_once_in_the_log_however_often_they_are_tried(
    connect: Any, status_with: Any, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, down: int
) -> None:
    tries = []

    async def refuse(*arguments: object, **more: object) -> None:
        tries.append(arguments)
        if len(tries) <= down:
            raise ConnectionRefusedError
        raise aiokafka.errors.SaslAuthenticationFailed("wrong")

    monkeypatch.setattr(shims, "_create_conn", refuse)
    settings = Settings(retry_backoff=0.02, slow_retry_max=0.1, credentials_retry_max=0.05, poll=0.1)
    with capture_logs() as told:
        kafka = await connect(["127.0.0.1:1"], settings=settings)
        with trio.fail_after(10):
            while len(tries) < down + 4:
                await trio.sleep(0.02)
        status = await status_with(kafka, lambda status: "wrong" in str(status.reason))
    assert not status.connected
    assert "SASL_AUTHENTICATION_FAILED: wrong" in str(status.reason)
    reasons = [line["reason"] for line in told if line["event"] in ("kafka_lost", "kafka_refused")]
    assert reasons.count(status.reason) == 1
    assert len(reasons) == 1 + bool(down)
    nursery.cancel_scope.cancel()
