"""Every fault of the simulator (vendors/huawei_aicc.md, section 7), and each row is published once."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import structlog
import trio

from streamd.connectors.huawei_aicc.config import DeepConfig
from streamd.connectors.huawei_aicc.past import WINDOWS_LEFT_OUT
from streamd.simulators.huawei_aicc import FAULTS
from streamd.transport.http import open_http

# Together in one run are faults that do not hide each other.
CALM = {
    "replies": ("response-too", "dashed-id", "error-data-empty", "query-flow=2", "download-flow=2"),
    "errors without data": ("error-data-absent", "download-flow=3", "no-file-29", "ready-after=60"),
    "errors with null": ("error-data-null", "query-flow=3", "no-file-11"),
    "slow": ("slow-query=0.3", "slow-body=0.3", "download-type-json"),
    "a lost reply": ("query-reset=1", "download-type-lower"),
    "clocks": ("skew-unchecked", "skew-limit=60", "callback-millis", "day-utc", "host-as-sent"),
    "callback: full host": ("to-full-host", "callback-dashed", "account-empty", "callback-billname"),
    "callback: sent full, signed bare": ("to-full-signed-bare", "account-never", "callback-filename"),
    "callback: sent bare, signed full": ("to-bare-signed-full", "callback-host-only", "callback-any-2xx"),
    "callback: bare host": ("to-bare-host", "account-absent", "callback-billfilename", "callback-delay=30"),
    "callback: paths": ("path-with-query", "callback-repeat=3"),
    "callback: early": ("callback-early",),
    "callback: reversed": ("callback-reversed=30", "callback-every=20", "callback-timeout=2"),
    "callback: answer lost": ("callback-answer-lost=2", "callback-every=20", "callback-tries=5"),
    "callback: false ones": ("callback-forged=3", "callback-unknown=3", "callback-wrong-name=3"),
    "zips": ("zip-truncated=1", "zip-paths", "download-type-mixed"),
    "a broken download": ("zip-cut=1",),
    "a wrong checksum": ("zip-bad-crc=2",),
    "gateway": ("gateway-418:query=1", "gateway-502:download=1", "gateway-200:query=1"),
    "gateway says no": ("gateway-403:query=1", "error-empty:download=1"),
    "server faults": ("query-code=2", "download-code=2"),
    "releases before 22.100": ("columns-18", "header", "bom", "crlf"),
    "releases before 23.100": ("columns-23", "quote-all", "no-final-newline", "suffix-always"),
    "releases to come": ("columns-29", "columns-more=3", "header", "blank-lines", "quoted-commas=2"),
    "charsets": ("gbk", "quoted-newlines=2", "crlf"),
    "chinese": ("chinese", "shuffled", "suffix-several", "file-rows=7"),
    "zones": ("rows-utc", "day-tenant", "duplicate-rows=2"),
    "windows by end": ("filter-end", "bounds-begin"),
    "windows by insertion": ("filter-insert", "bounds-both", "legs-with-the-call"),
    "windows by begin": ("filter-begin", "by-the-wall", "legs-as-they-end", "rows-tenant"),
    "no data: no entries": ("empty-no-entries",),
    "no data: a code to the query": ("empty-query-code",),
    "no data: a code to the download": ("empty-download-code",),
    "no data: no rows": ("empty-no-rows",),
    "no data: no id": ("empty-no-id",),
    "no data: no name": ("empty-no-name",),
    "no data: no zip": ("empty-no-zip",),
    "passes": ("first-pass", "callback-delay=10", "cdr-delay=20", "recording-period=30"),
    "other passes": ("second-pass", "lock-after=9", "lock-seconds=60", "lock-never", "gone-after=3600"),
    "no zone in dates": ("bad-dates=3",),
}
BROKEN = {
    "short rows": ("short-rows=2",),
    "broken rows": ("broken-rows=2",),
    "open quote": ("open-quote",),
    "bytes that are no text": ("bad-bytes=2",),
    "a member that nobody documented": ("zip-other-member",),
}


async def publish_history(simulator: Any, bench: Any) -> None:
    """Wait until each row of an hour, and two windows more, are published."""
    await bench.until(lambda: len(simulator.jobs) > 1 and set(bench.published()) >= set(simulator.truth()))


def opened(system: Any, *faults: str, **changes: Any) -> Any:
    options = {"time_scale": 300.0}
    return system(*faults, options=options, history=(1.0, 20), **changes)


def check(simulator: Any, bench: Any) -> None:
    assert bench.published() == Counter(simulator.truth().keys())
    assert {event["data"]["revision"] for event in bench.rows()} == {1}
    ended = Counter(event["data"]["call_id"] for event in bench.events("call.ended"))
    last = Counter(identity.call_id for identity in simulator.truth() if identity.part == "-1")
    assert ended == last
    assert bench.gaps() == {}


@pytest.mark.parametrize("name", CALM)
async def test_every_row_is_published_once_whatever_the_server_does(system: Any, name: str) -> None:
    changes = {"row_zone": "UTC"} if "rows-utc" in CALM[name] else {}
    async with opened(system, *CALM[name], **changes) as (simulator, bench):
        await publish_history(simulator, bench)
        check(simulator, bench)
        assert bench.tally["dead_letters"] == 0
        assert bench.tally["zone_doubts"] == 0


@pytest.mark.parametrize("name", BROKEN)
async def test_what_cannot_be_read_is_dead_lettered_once_and_costs_no_other_row(
    system: Any, name: str
) -> None:
    async with opened(system, *BROKEN[name]) as (simulator, bench):
        await publish_history(simulator, bench)
        check(simulator, bench)
        letters = [event["data"]["payload_sha256"] for event in bench.events("dead_letter.written")]
        assert letters
        assert len(set(letters)) == len(letters)


@pytest.mark.parametrize(("faults", "host"), [("host-bare", "127.0.0.1"), ("host-with-port", None)])
async def test_the_host_is_signed_as_the_server_wants_it(system: Any, faults: str, host: str | None) -> None:
    async with opened(system, faults, signing_host=host) as (simulator, bench):
        await publish_history(simulator, bench)
        check(simulator, bench)
        assert {entry.status for entry in simulator.requests} == {200}


@pytest.mark.parametrize("headers", [["host"], ["content-type", "host"]])
async def test_fewer_headers_can_be_signed(system: Any, headers: list[str]) -> None:
    async with opened(system, signed_headers=headers) as (simulator, bench):
        await publish_history(simulator, bench)
        check(simulator, bench)


async def test_without_a_callback_files_are_found_by_their_names(system: Any) -> None:
    async with opened(system, "callback-never", "ready-after=60", callback_wait_seconds=0.2) as (
        simulator,
        bench,
    ):
        await publish_history(simulator, bench)
        check(simulator, bench)
        assert bench.tally["callbacks_missed"] > 0


async def test_in_poll_mode_nothing_is_listened_for(system: Any) -> None:
    async with opened(system, "day-utc", callback=False) as (simulator, bench):
        await publish_history(simulator, bench)
        check(simulator, bench)
        assert {job.order.callback_url for job in simulator.jobs} == {"https://streamd.invalid/"}
        assert bench.tally["callbacks_missed"] == 0


@pytest.mark.parametrize("fault", ["path-slash", "path-empty"])
async def test_a_callback_url_without_a_path_may_be_signed_as_either(system: Any, fault: str) -> None:
    async with opened(system, fault, callback_path="/", callback_url="at the root") as (simulator, bench):
        await publish_history(simulator, bench)
        check(simulator, bench)
        assert bench.tally["callbacks_missed"] == 0


async def test_no_data_may_mean_no_callback_and_no_file(system: Any) -> None:
    """The window grows until a row is in it."""
    changes = {"job_seconds": 0.3, "callback_wait_seconds": 0.1, "lookback_seconds": 60.0}
    async with system("empty-no-callback", options={"time_scale": 300.0}, **changes) as (simulator, bench):
        await bench.until(lambda: bench.tally["jobs_again"] > 4)
        simulator.call()
        await bench.until(lambda: simulator.truth() and set(bench.published()) >= set(simulator.truth()))
        assert bench.state == "live"
        assert bench.gaps() == {}


async def test_a_window_that_is_as_long_as_it_gets_and_never_comes_is_a_gap_and_no_end(system: Any) -> None:
    changes = {"job_seconds": 0.3, "callback_wait_seconds": 0.1, "catch_up_seconds": 3600.0}
    options, ago = {"time_scale": 300.0}, timedelta(days=4)
    async with system("empty-no-callback", options=options, history=(0.1, 5), start_ago=ago, **changes) as (
        simulator,
        bench,
    ):
        await publish_history(simulator, bench)
        assert {gap["cause"] for gap in bench.gaps().values()} == {"export_never_came"}
        asked = Counter((job.order.begin, job.order.end) for job in simulator.jobs)
        assert max(asked.values()) == 3
        ends = [datetime.fromisoformat(gap[end]) for gap in bench.gaps().values() for end in ("from", "to")]
        assert max(ends) - min(ends) > timedelta(days=2)


async def test_a_day_without_a_file_is_no_gap_once_a_longer_window_has_one(system: Any) -> None:
    changes = {"job_seconds": 0.3, "callback_wait_seconds": 0.1}
    options, ago = {"time_scale": 300.0}, timedelta(days=2)
    async with system("empty-no-callback", options=options, history=(0.1, 5), start_ago=ago, **changes) as (
        simulator,
        bench,
    ):
        await publish_history(simulator, bench)
        assert bench.gaps() == {}
        assert max(job.order.end - job.order.begin for job in simulator.jobs) > timedelta(days=1)


NOTHING_IN_IT = ["no-rows", "no-entries", "no-id", "no-name", "no-zip", "query-code", "download-code"]


@pytest.mark.parametrize("answer", NOTHING_IN_IT)
async def test_a_window_of_which_the_server_says_that_it_is_empty_is_passed_at_once(
    system: Any, answer: str
) -> None:
    ago = timedelta(days=3)
    async with system(f"empty-{answer}", options={"time_scale": 300.0}, history=(0.1, 5), start_ago=ago) as (
        simulator,
        bench,
    ):
        await publish_history(simulator, bench)
        check(simulator, bench)
        asked = Counter(job.order.begin for job in simulator.jobs)
        assert set(asked.values()) == {1}
        assert bench.tally["jobs_again"] == 0


async def test_what_an_empty_answer_is_about_is_passed_and_no_more(system: Any) -> None:
    """The end of the window was pulled back before."""
    faults, ago = ("query-code:0300016=1", "empty-query-code"), timedelta(hours=11)
    with structlog.testing.capture_logs() as logs:
        async with system(
            *faults, history=(0.0, 0), start_ago=ago, step_seconds=36_000.0, look_seconds=600.0
        ) as (simulator, bench):
            begun = simulator.now() - ago + timedelta(hours=1)

            def watermark() -> datetime:
                [stored] = bench.runtime.states("walk/").values()
                return datetime.fromisoformat(json.loads(stored)["watermark"])

            await bench.until(lambda: bench.runtime.states("walk/") and watermark() > begun)
            passed, zone = watermark(), ZoneInfo(bench.runtime.config.request_zone)
    [ahead] = [each["end"] for each in logs if each["event"] == "window_ahead_of_server"]
    assert passed == datetime.fromisoformat(ahead).replace(tzinfo=zone) - timedelta(seconds=5)


async def test_that_there_is_no_file_is_believed_of_nobody_but_the_server(system: Any) -> None:
    async with opened(system, "callback-never", callback_auth="hint", callback_wait_seconds=2.0) as (
        simulator,
        bench,
    ):
        await bench.until(lambda: simulator.jobs)
        job = simulator.jobs[0]
        message = {"request": {"version": "2.0"}, "msgBody": {"responseId": job.response_id}}
        async with open_http(job.order.callback_url) as http:
            answer = await http.request("POST", job.order.callback_url, json=message)
        assert answer.status == 200
        simulator.set_faults()
        await publish_history(simulator, bench)
        check(simulator, bench)


async def test_a_file_that_is_never_ready_is_asked_for_again(system: Any) -> None:
    async with opened(system, "never-ready=1", job_seconds=1.0, callback_wait_seconds=0.2) as (
        simulator,
        bench,
    ):
        await publish_history(simulator, bench)
        check(simulator, bench)
        assert bench.tally["jobs_again"] == 1


async def test_a_window_that_is_too_long_is_halved_and_that_is_remembered(system: Any) -> None:
    async with opened(system, "span-days=1", start_ago=timedelta(days=2), catch_up_seconds=200_000.0) as (
        simulator,
        bench,
    ):
        await publish_history(simulator, bench)
        check(simulator, bench)
        assert all(job.order.end - job.order.begin <= timedelta(days=1) for job in simulator.jobs)
        refused = [entry for entry in simulator.requests if entry.code == "0300014"]
        assert len(refused) <= 2


async def test_a_zip_beyond_the_bounds_is_halved_then_dead_lettered_and_a_gap(system: Any) -> None:
    async with opened(system, "zip-bomb=64", max_inflated_bytes=4 << 20) as (_, bench):
        await bench.until(lambda: bench.gaps())
        gap = next(iter(bench.gaps().values()))
        assert gap["cause"] == "export_too_big"
        assert gap["events"] == "lost"
        assert bench.events("dead_letter.written")


# The live walk has read ten hours, and asks for nothing more as long as these tests run.
IDLE = {"step_seconds": 36_000.0, "job_seconds": 0.3, "callback_wait_seconds": 0.1}
LEFT_OUT = [("zip-bomb=64", "export_too_big"), ("never-ready", "export_never_came")]


def idle(system: Any, **changes: Any) -> Any:
    options, ago = {"time_scale": 300.0}, timedelta(hours=11)
    changes = {"max_inflated_bytes": 4 << 20, **IDLE, **changes}
    return system(options=options, history=(11.0, 40), start_ago=ago, **changes)


@pytest.mark.parametrize(("fault", "cause"), LEFT_OUT)
async def test_a_backfill_declares_what_is_too_big_or_never_comes_and_goes_on(
    system: Any, fault: str, cause: str
) -> None:
    async with idle(system) as (simulator, bench):
        await bench.until(lambda: bench.rows())
        simulator.set_faults(fault)
        begin = simulator.now() - timedelta(hours=4)
        end = begin + timedelta(minutes=2)
        with trio.fail_after(15):
            done = await bench.runtime.backfills.run(begin, end, lambda *_: None)
        gaps = [(gap["from"], gap["to"]) for gap in bench.gaps().values() if gap["cause"] == cause]
        stretches = [(datetime.fromisoformat(since), datetime.fromisoformat(until)) for since, until in gaps]
        within = sorted(each for each in stretches if each[1] <= end)  # the live walk meets the same
        assert done.left == {WINDOWS_LEFT_OUT: len(within)}
        assert (within[0][0], within[-1][1]) == (begin, end)
        assert all(earlier[1] == later[0] for earlier, later in pairwise(within))
        simulator.set_faults()
        asked = len(simulator.jobs)
        with trio.fail_after(15):
            again = await bench.runtime.backfills.run(begin - timedelta(hours=3), begin, lambda *_: None)
        assert set(again.left.values()) == {0}
        assert len(simulator.jobs) - asked < 20  # windows grow again once they fit


@pytest.mark.parametrize(("fault", "cause"), LEFT_OUT)
async def test_a_rereading_declares_what_is_too_big_or_never_comes(
    system: Any, fault: str, cause: str
) -> None:
    deep = DeepConfig(every_seconds=1.0, lookback_seconds=40_000.0)
    async with idle(system, deep=deep) as (simulator, bench):
        await bench.until(lambda: bench.rows())
        simulator.set_faults(fault)
        await bench.until(lambda: cause in {gap["cause"] for gap in bench.gaps().values()})
        assert bench.state == "live"


async def test_a_renumbered_row_is_a_row_of_its_own_and_no_row_is_lost(system: Any) -> None:
    async with opened(system, "renumbered") as (simulator, bench):
        await publish_history(simulator, bench)
        assert set(bench.published()) >= set(simulator.truth())


def test_every_fault_of_the_simulator_is_in_a_test() -> None:
    text = Path(__file__).read_text()
    others = {"unauthorized-401", "locked-403", "gateway-429", "callback-skew"}  # test_refusals.py
    others |= {"late-rows", "late-seconds", "changed-rows", "changed-seconds"}  # test_source.py
    missing = [name for name in FAULTS if f'"{name}' not in text and name not in others]
    assert missing == []
