"""The table: what is wrong with one is told, and what `check --online` tries."""

from __future__ import annotations

import math
from typing import Any

import pytest

from streamd.config import PrivacyConfig, Secret
from streamd.connectors.oracle_isr import CONNECTOR
from streamd.connectors.oracle_isr.config import OracleIsrConfig, check, face_url, warn
from streamd.errors import Rejected, Transient
from streamd.probe import ProbeContext


def table(**changes: Any) -> OracleIsrConfig:
    values: dict[str, Any] = {
        "type": "oracle_isr",
        "base_url": "https://isr.example.net:8443",
        "user_email": "stream@example.net",
        "password": Secret("s3cret"),
    }
    return OracleIsrConfig(**{**values, **changes})


def test_a_plain_table_has_no_mistake() -> None:
    assert check(table(), "t") == []


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"base_url": "http://isr.example.net"}, "t.base_url"),
        ({"password": Secret("")}, "t.password"),
        ({"poll_seconds": 4.9}, "t.poll_seconds"),
        ({"poll_seconds": 0.0}, "t.poll_seconds"),
        ({"poll_seconds": math.nan}, "t.poll_seconds"),
        ({"poll_seconds": math.inf}, "t.poll_seconds"),
        ({"time_zone": "Mars/Olympus"}, "t.time_zone"),
        ({"time_zone": "../etc"}, "t.time_zone"),
        ({"chase_seconds": 3600.0}, "t.chase_seconds"),
        ({"retry_max_seconds": 0.1}, "t.retry_max_seconds"),
        ({"notification_path_secret": Secret("")}, "t.notification_path_secret"),
        ({"notification_path_secret": Secret("with/a/slash-in-it")}, "t.notification_path_secret"),
        ({"notification_sources": ["192.0.2.0/24"]}, "t.notification_sources"),
        ({"privacy": PrivacyConfig(mask=["ingressCallId"])}, "t.privacy.mask[0]"),
        ({"privacy": PrivacyConfig(drop=["ani", "segments"])}, "t.privacy.drop[1]"),
        ({"privacy": PrivacyConfig(drop=["segments[].filename", "segments[]"])}, "t.privacy.drop[1]"),
    ],
)
def test_a_mistake_is_told_with_its_path(changes: dict[str, Any], path: str) -> None:
    assert [problem.path for problem in check(table(**changes), "t")] == [path]


def test_an_odd_source_is_told() -> None:
    keys = {
        "notification_path_secret": Secret("x" * 16),
        "notification_sources": ["10.0.0.0/8", "everywhere"],
    }
    assert [each.path for each in check(table(**keys), "t")] == ["t.notification_sources[1]"]


def test_notifications_come_to_a_path_of_the_connector_and_its_secret() -> None:
    config = table(notification_path_secret=Secret("x" * 16))
    assert CONNECTOR.paths("isr-london", config) == [f"/oracle_isr/isr-london/{'x' * 16}"]
    assert CONNECTOR.paths("isr-london", table()) == []


def test_the_root_of_face_is_added_unless_a_path_is_given() -> None:
    assert face_url("https://isr:8443/") == "https://isr:8443/Face"
    assert face_url("https://proxy/isr/Face/") == "https://proxy/isr/Face"


async def test_the_probe_logs_in_and_searches(simulated: Any, quick: Any) -> None:
    async with simulated() as simulator:
        await CONNECTOR.probe(ProbeContext("isr-test", quick(simulator)))
        with pytest.raises(Rejected):
            await CONNECTOR.probe(ProbeContext("isr-test", quick(simulator, password=Secret("wrong"))))
        simulator.set_faults("reset:login=2")
        with pytest.raises(Transient):
            await CONNECTOR.probe(ProbeContext("isr-test", quick(simulator)))


def test_a_notification_secret_that_can_be_guessed_is_warned_of() -> None:
    assert warn(table(notification_path_secret=Secret("x" * 16)), "t") == []
    [warning] = warn(table(notification_path_secret=Secret("short")), "t")
    assert warning.path == "t.notification_path_secret"
