"""What is asked for next, and how long is remembered what was published."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from streamd.config import Secret
from streamd.connectors.huawei_aicc.config import HuaweiConfig
from streamd.connectors.huawei_aicc.plan import LONGEST, kept_for, live_job, pace_of

NOW = datetime(2024, 5, 10, tzinfo=UTC)
CONFIG = HuaweiConfig(
    type="huawei_aicc",
    base_url="https://ccfs.example.net",
    access_key=Secret("AK"),
    secret_key=Secret("SK"),
    request_zone="Asia/Shanghai",
)


def test_rows_are_remembered_as_long_as_a_reading_reaches_them_be_it_put_off() -> None:
    lookback = timedelta(seconds=CONFIG.lookback_seconds)
    usual = timedelta(hours=48) + lookback
    assert kept_for(CONFIG, None, NOW) == usual
    assert kept_for(CONFIG, NOW - timedelta(hours=10), NOW) == usual
    assert kept_for(CONFIG, NOW - timedelta(days=5), NOW) == timedelta(days=5) + lookback


def test_a_window_that_waits_grows_to_what_is_caught_up_at_once() -> None:
    pace = pace_of(CONFIG, LONGEST)
    for behind, hours in ((2, 2.0), (20, 20.0), (60, 24.0)):
        job = live_job(pace, NOW - timedelta(hours=behind) - pace.settle, NOW)
        assert job is not None
        assert job.end - job.begin == timedelta(hours=hours) + pace.overlap
