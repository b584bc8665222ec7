"""Measure how Oracle ISR's recordings are caught up with: two requests at a time, one for each recording."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from tests.bench.measures import Plan
from tests.bench.processes import Child
from tests.bench.vendors import open_vendor_daemon

PART = "oracle_isr"
_A_HOUR = 4000  # recordings
_REPLY_SECONDS = 0.02  # of a server that is one: it looks into a database for each reply
_EVENTS = 2  # of a recording: started and ended


def measure_oracle(plan: Plan) -> None:
    """Measure against the simulator at its own pace, and at one as a server has it."""
    _catch_up(plan, plan.recordings, "the simulator's pace", [])
    few = min(plan.recordings, 1000)
    _catch_up(plan, few, f"{_REPLY_SECONDS * 1000:.0f} ms a reply", [f"slow-reply={_REPLY_SECONDS}"])


def _catch_up(plan: Plan, recordings: int, name: str, faults: Sequence[str]) -> None:
    hours = math.ceil(recordings / _A_HOUR)
    start = datetime.now(UTC) - timedelta(hours=hours)
    settings = {
        "options": {"log": False, "faults": list(faults)},
        "connector": {"start_from": f"{start:%Y-%m-%dT%H:%M:%SZ}", "poll_seconds": "5"},
    }
    plan.report.say(f"starting streamd, oracle_isr, {recordings:,} recordings")
    with open_vendor_daemon(
        plan.cluster,
        "oracle_isr",
        "oracle_isr.recordings",
        settings,
        profiled=plan.profile,
        live=False,
        prepare=partial(_record, hours=hours, recordings=recordings),
    ) as daemon:
        daemon.wait("the first are on Kafka", lambda: daemon.look().records > 0)
        daemon.mark()
        before = daemon.look()
        after = daemon.wait_until_published(int(0.95 * recordings) * _EVENTS, 600)
        done = (after.records - before.records) / _EVENTS
        daemon.show_profile(int(done))
        most_mib = daemon.peak_mib()
    report, spent, seconds = plan.report, after.used.since(before.used), after.at - before.at
    report.add(PART, f"caught up, {name}", done / seconds, "recordings/s")
    report.add(PART, f"CPU, {name}", spent.total / done * 1e6, "µs/recording")
    report.add(PART, f"CPU of one core, {name}", 100 * spent.total / seconds, "%", most=20)
    report.add(PART, f"RSS, the most, {name}", most_mib, "MiB")


def _record(platform: Child, hours: int, recordings: int) -> None:
    platform.ask(call="history", arguments={"hours": hours, "calls": recordings})
