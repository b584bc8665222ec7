"""The table of a Huawei connector: what its types cannot express is told with its path."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from streamd.config import PrivacyConfig, Secret
from streamd.connectors.huawei_aicc.config import HuaweiConfig, callback_path, check

GOOD: dict[str, Any] = {
    "type": "huawei_aicc",
    "base_url": "https://ccfs.example.net:18084",
    "access_key": Secret("AK"),
    "secret_key": Secret("SK"),
    "request_zone": "Asia/Shanghai",
}


def paths(**changes: Any) -> list[str]:
    return [problem.path for problem in check(HuaweiConfig(**{**GOOD, **changes}), "c")]


def test_a_plain_table_is_right() -> None:
    assert paths() == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("base_url", "ccfs.example.net"),
        ("access_key", Secret("a/b")),
        ("access_key", Secret("")),
        ("secret_key", Secret("")),
        ("request_zone", "Shanghai"),
        ("request_zone", "Asia"),
        ("row_zone", "../etc/passwd"),
        ("signed_headers", ["content-type"]),
        ("start_from", datetime(2024, 5, 1)),  # noqa: DTZ001 - without a zone
        ("callback_path", "hooks"),
        ("callback_path", "/hooks?a=b"),
        ("callback_url", "hooks"),
        ("step_seconds", 300_000.0),
        ("catch_up_seconds", 259_000.0),
        ("catch_up_seconds", 60.0),
        ("job_seconds", 60.0),
    ],
)
def test_a_mistake_is_told_at_its_key(key: str, value: Any) -> None:
    assert f"c.{key}" in paths(**{key: value})


def test_what_tells_rows_apart_can_only_be_hashed() -> None:
    rules = PrivacyConfig(drop=["caller_no", "cc_id"], mask=["call_id"], hash=["call_id_num"])
    assert paths(privacy=rules) == ["c.privacy.drop[1]", "c.privacy.mask[0]"]


def test_callbacks_come_to_a_path_with_the_connectors_name() -> None:
    assert callback_path(HuaweiConfig(**GOOD), "aicc") == "/huawei_aicc/aicc"
    assert callback_path(HuaweiConfig(**{**GOOD, "callback_path": "/x"}), "aicc") == "/x"


def test_neither_key_is_in_a_repr() -> None:
    shown = repr(
        HuaweiConfig(**{**GOOD, "access_key": Secret("accesskey1"), "secret_key": Secret("secretkey1")})
    )
    assert "accesskey1" not in shown
    assert "secretkey1" not in shown
