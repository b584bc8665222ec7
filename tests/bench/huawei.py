"""Measure a Huawei export: a zip of many CDR rows, from its first byte to Kafka's acknowledgement."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import partial

from tests.bench.measures import Plan
from tests.bench.processes import Child
from tests.bench.vendors import open_vendor_daemon

PART = "huawei_aicc"
_ROWS_A_CALL = 4  # and one event more: the call's end
_READY_SECONDS = 5  # from the request for an export to its callback


def measure_huawei(plan: Plan) -> None:
    """Measure the CPU of each row, and memory."""
    start = datetime.now(UTC) - timedelta(hours=2)
    settings = {
        "options": {"faults": [f"ready-after={_READY_SECONDS}"]},
        "connector": {"start_from": f"{start:%Y-%m-%dT%H:%M:%SZ}", "data_type": '"call"'},
    }
    plan.report.say(f"starting streamd, huawei_aicc, {plan.rows:,} rows")
    with open_vendor_daemon(
        plan.cluster,
        "huawei_aicc",
        "huawei_aicc.cdrs",
        settings,
        profiled=plan.profile,
        prepare=partial(_make_rows, rows=plan.rows),
    ) as daemon:
        daemon.wait("an export is asked for", lambda: daemon.platform.ask(count="jobs")["result"] > 0)
        time.sleep(_READY_SECONDS / 2)
        idle_mib = daemon.resident_mib()
        daemon.mark()
        before = daemon.look()
        daemon.wait("the zip is sent", lambda: daemon.platform.ask(count="exports")["result"] > 0, 300)
        sent = time.monotonic()
        calls = -(-plan.rows // _ROWS_A_CALL)
        rows = calls * _ROWS_A_CALL
        after = daemon.wait_until_published(rows + calls, 300)
        daemon.show_profile(rows)
        most_mib = daemon.peak_mib()
    report, spent = plan.report, after.used.since(before.used)
    report.add(PART, "zip on disk to Kafka", rows / (after.at - sent), "rows/s")
    report.add(PART, f"CPU, {rows:,} rows", spent.total / rows * 1e6, "µs/row", most=40)
    report.add(PART, f"of it system, {rows:,} rows", spent.system / rows * 1e6, "µs/row")
    report.add(PART, "records", after.records / rows, "per row")
    report.add(PART, "idle RSS", idle_mib, "MiB")
    report.add(PART, f"RSS, the most, {rows:,} rows", most_mib, "MiB", most=150)


def _make_rows(platform: Child, rows: int) -> None:
    platform.ask(call="bulk", arguments={"rows": rows})
