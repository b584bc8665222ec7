"""The walk: catch-up in order, crashes between any two stages, changed and late rows, backfill, any bytes."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel

from streamd.connectors.huawei_aicc.config import DeepConfig
from streamd.connectors.huawei_aicc.cursor import Reading
from streamd.connectors.huawei_aicc.jobs import PREFIX, Job
from streamd.connectors.huawei_aicc.past import WINDOWS_LEFT_OUT
from streamd.pull.ledger import Ledger
from streamd.pull.windows import LEFT_TO_WALK
from streamd.simulators.huawei_aicc import HuaweiOptions, identify, open_huawei_simulator
from tests.connectors.huawei_aicc.conftest import KINDS, config_for, open_bench
from tests.judge import instant

SCALE = {"time_scale": 300.0}


def whole(simulator: Any, bench: Any) -> bool:
    return bool(simulator.truth()) and set(bench.published()) >= set(simulator.truth())


async def test_every_row_is_published_once_after_its_callback_and_the_watermark_follows(system: Any) -> None:
    async with system() as (simulator, bench):
        await bench.until_state("live")
        for _ in range(4):
            simulator.call()
            await trio.sleep(0.3)
        await simulator.settle()
        await bench.until(lambda: whole(simulator, bench))
        assert set(bench.published()) == set(simulator.truth())
        assert max(bench.published().values()) == 1
        assert bench.tally["callbacks_missed"] == 0
        assert {event["phase"] for event in bench.rows()} == {"live"}
        proof = bench.spool.alive(bench.runtime.origin, "exports")
        await bench.until(lambda: bench.spool.alive(bench.runtime.origin, "exports") > proof)


async def test_three_days_of_absence_are_caught_up_in_order_a_day_at_a_time(system: Any) -> None:
    ago = timedelta(days=3)
    async with system(options=SCALE, history=(72.0, 200), start_ago=ago) as (simulator, bench):
        await bench.until(lambda: whole(simulator, bench))
        assert max(bench.published().values()) == 1
        longest = max(job.order.end - job.order.begin for job in simulator.jobs)
        assert timedelta(hours=23) < longest <= timedelta(days=1, seconds=601)
        begins = [job.order.begin for job in simulator.jobs]
        assert begins == sorted(begins)
        windows = defaultdict(list)  # by when they were taken in
        for event in bench.events("call.ended"):
            windows[event["receivedtime"]].append(int(event["data"]["call_id"].partition("-")[0]))
        in_order = [windows[at] for at in sorted(windows, key=instant)]
        # Calls that last over the end of a window end in the next one.
        assert all(max(earlier) - min(later) < 3600 for earlier, later in pairwise(in_order))
        assert {event["phase"] for event in bench.rows()} >= {"backfill"}
        assert bench.gaps() == {}


async def test_rows_of_one_call_come_in_the_order_of_its_legs_under_one_key(system: Any) -> None:
    async with system("shuffled", options=SCALE, history=(1.0, 20)) as (simulator, bench):
        await bench.until(lambda: whole(simulator, bench))
        legs = defaultdict(list)
        for event in bench.rows():
            if event["type"] == "streamd.cdr.recorded":
                legs[event["data"]["call_id"]].append(int(event["data"]["call_id_num"]))
        for found in legs.values():
            assert found == [*range(1, len(found)), -1]


@pytest.mark.parametrize("stage", ["planned", "requested", "announced", "downloaded"])
async def test_a_crash_in_any_stage_repeats_work_and_loses_none(tmp_path: Path, stage: str) -> None:
    faults = {"planned": "slow-query=1", "requested": "ready-after=900", "announced": "slow-body=1"}
    options = HuaweiOptions(time_scale=300.0, faults=frozenset([faults.get(stage, "slow-body=0.05")]))
    async with open_huawei_simulator(options) as simulator:
        simulator.history(1.0, 20)
        changes = {"poll_seconds": 30.0, "callback_wait_seconds": 30.0, "job_seconds": 60.0}
        config = config_for(simulator, start_from=simulator.now() - timedelta(hours=1), **changes)
        async with open_bench(tmp_path, config, simulator.ingress_port) as bench:
            job = await reached(bench, stage)
        simulator.set_faults()
        async with open_bench(tmp_path, config, simulator.ingress_port) as bench:
            await bench.until(lambda: whole(simulator, bench))
            assert max(bench.published().values()) == 1
            if stage in ("announced", "downloaded"):
                assert [each.response_id for each in simulator.jobs].count(job.response_id) == 1


async def reached(bench: Any, stage: str) -> Job:
    """Wait until the live job is in that stage, and stop its connector there."""
    ledger = Ledger(bench.runtime, PREFIX, Job)
    with trio.fail_after(15):
        while True:
            job = ledger.get("live")
            if job is not None and job.stage == stage:
                return job
            await trio.lowlevel.checkpoint()


async def test_a_restart_publishes_nothing_twice(tmp_path: Path) -> None:
    async with open_huawei_simulator(HuaweiOptions(time_scale=300.0)) as simulator:
        simulator.history(1.0, 20)
        config = config_for(simulator, start_from=simulator.now() - timedelta(hours=1))
        for _ in range(3):
            async with open_bench(tmp_path, config, simulator.ingress_port) as bench:
                before = len(simulator.jobs)
                await bench.until(lambda: whole(simulator, bench) and len(simulator.jobs) > before + 1)  # noqa: B023
                assert max(bench.published().values()) == 1
                assert bench.gaps() == {}


async def test_a_row_that_has_changed_is_published_again_one_revision_on(system: Any) -> None:
    async with system(options=SCALE, history=(1.0, 10), lookback_seconds=20_000.0) as (simulator, bench):
        await bench.until(lambda: whole(simulator, bench))
        row = next(each for each in simulator.rows if each.kind == "record")
        for revision in (2, 3):
            simulator.change(row)
            await bench.until(lambda: revisions(bench, row.identity) == list(range(1, revision + 1)))  # noqa: B023
        assert sum(bench.published().values()) == len(simulator.truth()) + 2


async def test_a_row_that_has_changed_is_published_again_also_after_our_clock_was_put_back(
    tmp_path: Path,
) -> None:
    async with open_huawei_simulator(HuaweiOptions(**SCALE)) as simulator:
        simulator.history(1.0, 10)
        start = simulator.now() - timedelta(hours=1)
        config = config_for(simulator, start_from=start, lookback_seconds=20_000.0, callback_auth="hint")
        async with open_bench(tmp_path, config, simulator.ingress_port, timedelta(days=1)) as bench:
            await bench.until(lambda: whole(simulator, bench))
        row = next(each for each in simulator.rows if each.kind == "record")
        simulator.change(row)
        async with open_bench(tmp_path, config, simulator.ingress_port) as bench:
            await bench.until(lambda: revisions(bench, row.identity) == [1, 2], within=10)


async def test_rows_that_are_written_after_the_servers_clock_went_back_are_told(system: Any) -> None:
    ago, changes = timedelta(days=2), {"lookback_seconds": 7200.0}
    async with system(options=SCALE, history=(1.0, 10), start_ago=ago, **changes) as (simulator, bench):
        await bench.until(lambda: whole(simulator, bench))
        simulator.advance(-12 * 3600)
        call = simulator.call()
        new = {row.identity for row in call.rows}
        await bench.until(lambda: set(bench.published()) >= new)
        assert set(bench.published().values()) == {1}


def revisions(bench: Any, identity: Any) -> list[int]:
    found = [each for each in bench.rows() if identify(KINDS[each["type"]], each["data"]) == identity]
    assert len({each["id"] for each in found}) == len(found)
    return [each["data"]["revision"] for each in found]


async def test_rows_that_are_written_late_are_found_by_reading_the_last_days_again(system: Any) -> None:
    deep = DeepConfig(every_seconds=0.5, lookback_seconds=40_000.0)
    faults, changes = ("late-rows=2", "late-seconds=1200"), {"deep": deep, "lookback_seconds": 120.0}
    async with system(*faults, options=SCALE, history=(1.0, 5), **changes) as (simulator, bench):
        await bench.until_state("live")
        for _ in range(10):
            simulator.call()
        await simulator.settle()
        await bench.until(lambda: whole(simulator, bench))
        assert max(bench.published().values()) == 1


async def test_the_last_days_are_read_again_also_after_our_clock_was_put_back(tmp_path: Path) -> None:
    async with open_huawei_simulator(HuaweiOptions(**SCALE)) as simulator:
        simulator.history(1.0, 5)
        deep = DeepConfig(every_seconds=0.5, lookback_seconds=40_000.0)
        config = config_for(simulator, start_from=simulator.now() - timedelta(hours=1), deep=deep)
        async with open_bench(tmp_path, config, simulator.ingress_port, timedelta(days=1)) as bench:
            await bench.until(lambda: whole(simulator, bench))
        async with open_bench(tmp_path, config, simulator.ingress_port) as bench:
            readings = Ledger(bench.runtime, "deep/", Reading)

            def is_over() -> bool:
                [reading] = readings.all().values()
                return reading.done <= bench.runtime.clock.now()

            assert not is_over()
            await bench.until(is_over)


async def test_backfill_publishes_what_is_new_and_leaves_the_live_walk_where_it_is(system: Any) -> None:
    async with system(options=SCALE, history=(30.0, 40), start_ago=timedelta(minutes=1)) as (
        simulator,
        bench,
    ):
        await bench.until(lambda: len(simulator.jobs) > 1)
        assert not whole(simulator, bench)
        now = simulator.now()
        said: list[float] = []
        walked = bench.spool.alive(bench.runtime.origin, "exports")
        backfill = bench.runtime.backfills.run
        begin, end = now - timedelta(hours=31), now + timedelta(hours=1)
        done = await backfill(begin, end, lambda done, words: said.append(done))
        assert 0 < done.figures[LEFT_TO_WALK] <= 3631  # the hour to come, and what has not settled
        assert done.left[WINDOWS_LEFT_OUT] == 0
        await bench.until(lambda: whole(simulator, bench))
        assert done.figures["published"] >= len(simulator.truth()) - 20
        again = await backfill(now - timedelta(hours=31), now, lambda done, words: said.append(done))
        assert again.figures["published"] == 0
        assert again.figures["known"] >= done.figures["published"]
        assert said[0] == 0.0
        assert said[-1] == 1.0
        assert max(bench.published().values()) == 1
        assert bench.spool.alive(bench.runtime.origin, "exports") >= walked
        assert {event["phase"] for event in bench.rows("backfill")} == {"backfill"}


async def test_a_wrong_row_zone_is_warned_of(system: Any) -> None:
    async with system(options=SCALE, history=(1.0, 10), row_zone="UTC") as (simulator, bench):
        await bench.until(lambda: whole(simulator, bench))
        await bench.until(lambda: bench.tally["zone_doubts"] > 0)


@pytest.mark.parametrize(
    ("zone", "night", "reading"),
    [
        ("Europe/Berlin", "2024-10-27T00:00", "first-pass"),
        ("Europe/Berlin", "2024-10-27T00:00", "second-pass"),
        ("Europe/Berlin", "2024-03-31T00:00", "first-pass"),
        ("Australia/Lord_Howe", "2024-04-06T14:00", "second-pass"),
        ("Asia/Kathmandu", "2024-10-27T00:00", "first-pass"),
    ],
)
async def test_no_row_is_lost_in_the_night_when_clocks_change(
    system: Any, zone: str, night: str, reading: str
) -> None:
    starts = datetime.fromisoformat(night).replace(tzinfo=UTC)
    options = {"time_scale": 2400.0, "time_zone": zone, "starts_at": starts.timestamp()}
    changes = {"step_seconds": 900.0, "lookback_seconds": 1200.0, "poll_seconds": 0.02}
    async with system(reading, options=options, history=(1.0, 10), **changes) as (simulator, bench):
        for _ in range(12):
            simulator.call()
            await trio.sleep(0.2)
        await bench.until(lambda: simulator.now() > starts + timedelta(hours=3) and whole(simulator, bench))
        assert max(bench.published().values()) == 1
