"""Every mistake in the table is told, and no token goes where it must not."""

from __future__ import annotations

from typing import Any

import pytest

from streamd.config import Secret
from streamd.connectors.avaya.config import AvayaConfig, check, endpoint_refusal

EMEA = "https://eu.api.avayacloud.com"


def problems(config: AvayaConfig) -> dict[str, str]:
    return {problem.path: problem.message for problem in check(config, "connectors.a")}


@pytest.fixture
def table(quick: Any) -> Any:
    return lambda **changes: quick(changes.pop("base_url", EMEA), **changes)


def test_a_complete_table_has_no_problem(table: Any) -> None:
    assert problems(table(snapshot_quiet_seconds=10.0)) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("base_url", "http://eu.api.avayacloud.com"),
        ("base_url", "eu.api.avayacloud.com"),
        ("base_url", "https://"),
        ("base_url", "https://eu.api.avayacloud.com:port"),
        ("base_url", "https://user:pw@eu.api.avayacloud.com"),
        ("base_url", "https://eu.api.avayacloud.com?x=1"),
        ("account_id", "ABCDE"),
        ("account_id", "ABCDE1"),
        ("account_id", "ABCDEFG"),
        ("account_id", "ÄBCDEF"),
        ("client_secret", Secret("")),
        ("appkey", Secret("")),
        ("measure_producers", []),
        ("endpoint_hosts", []),
        ("retry_max_seconds", 0.01),
    ],
)
def test_a_value_that_cannot_be_meant_is_a_problem_at_its_key(table: Any, key: str, value: Any) -> None:
    found = problems(table(**{key: value}))
    assert set(found) == {f"connectors.a.{key}"}


@pytest.mark.parametrize(
    ("key", "value", "path"),
    [
        ("measure_producers", ["a", ""], "measure_producers[1]"),
        ("measure_producers", ["x" * 37], "measure_producers[0]"),
        ("measure_producers", ["a", "b", "a"], "measure_producers[2]"),
        ("extensions", {"measureProducerId": "a"}, "extensions.measureProducerId"),
        ("extensions", {"a": "x" * 257}, "extensions.a"),
        ("extensions", {str(number): "x" for number in range(50)}, "extensions"),
        ("endpoint_hosts", ["https://avayacloud.com"], "endpoint_hosts[0]"),
        ("endpoint_hosts", ["*.avayacloud.com"], "endpoint_hosts[0]"),
        ("endpoint_hosts", ["."], "endpoint_hosts[0]"),
    ],
)
def test_a_bad_item_is_named_with_its_place(table: Any, key: str, value: Any, path: str) -> None:
    assert f"connectors.a.{path}" in problems(table(**{key: value}))


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:80"])
def test_plain_http_is_for_loopback_only(table: Any, url: str) -> None:
    assert problems(table(base_url=url)) == {}


def test_insecure_allows_plain_http_elsewhere(table: Any) -> None:
    assert problems(table(base_url="http://avaya.example.net", insecure=True)) == {}


def test_secrets_print_as_stars(table: Any) -> None:
    assert "simulated" not in repr(table(websocket_headers={"appkey": Secret("simulated-appkey")}))


def test_a_snapshot_limit_below_the_quiet_is_accepted_for_then_the_limit_rules(table: Any) -> None:
    assert problems(table(snapshot_quiet_seconds=10.0, snapshot_limit_seconds=5.0)) == {}


@pytest.mark.parametrize(
    ("base_url", "endpoint", "is_allowed"),
    [
        (EMEA, "wss://eu.cc.avayacloud.com/ws", True),
        (EMEA, "wss://eu.cc.avayacloud.net/ws", False),
        ("https://10.1.2.3", "wss://10.1.2.3/ws", True),
        ("https://10.1.2.3", "wss://10.1.2.4/ws", False),
        ("http://127.0.0.1:1", "ws://127.0.0.2:9/ws", True),
        ("http://localhost:1", "ws://[::1]:9/ws", True),
        ("http://localhost:1", "wss://localhost.example.net/ws", False),
        ("https://10.1.2.3", "wss://127.0.0.1/ws", False),
    ],
)
def test_by_default_a_token_goes_to_the_base_urls_own_domain_and_on_loopback_to_all_of_it(
    table: Any, base_url: str, endpoint: str, is_allowed: bool
) -> None:
    assert (endpoint_refusal(table(base_url=base_url), endpoint) is None) is is_allowed


@pytest.mark.parametrize(
    "endpoint",
    [
        "wss://eu.cc.avayacloud.com/ws/notification/v1/analytics/realtime",
        "wss://EU.CC.AVAYACLOUD.COM./ws",
        "wss://avayacloud.com:443/ws",
    ],
)
def test_an_endpoint_of_that_domain_over_tls_is_allowed(table: Any, endpoint: str) -> None:
    assert endpoint_refusal(table(), endpoint) is None


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "wss://",
        "wss://evilavayacloud.com/ws",
        "wss://avayacloud.com.evil.net/ws",
        "wss://evil.net/avayacloud.com",
        "wss://eu.cc.avayacloud.com@evil.net/ws",
        "wss://user@eu.cc.avayacloud.com/ws",
        "ws://eu.cc.avayacloud.com/ws",
        "https://eu.cc.avayacloud.com/ws",
        "wss://127.0.0.1/ws",
        "wss://[evil",
        "wss://eu.cc.avayacloud.com:99999999/ws",
    ],
)
def test_any_other_endpoint_gets_no_token(table: Any, endpoint: str) -> None:
    assert endpoint_refusal(table(), endpoint) is not None


def test_a_plain_websocket_is_for_loopback_and_for_insecure(table: Any) -> None:
    loopback = table(base_url="http://127.0.0.1:1")
    assert endpoint_refusal(loopback, "ws://127.0.0.1:1/ws") is None
    assert endpoint_refusal(loopback, "ws://eu.cc.avayacloud.com/ws") is not None
    insecure = table(base_url="http://avaya.example.net", insecure=True)
    assert endpoint_refusal(insecure, "ws://ws.example.net/ws") is None
