"""The connector against the honest simulator: what is told, when, and under which key and id."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from streamd.config import PrivacyConfig, Secret
from streamd.connectors.oracle_isr.walk import NOT_LISTED, NOT_READABLE
from streamd.pull.windows import LEFT_TO_WALK

# A second of ours is ten minutes of the recorder's: revisits, chases and sweeps come in seconds.
FAST = {"time_scale": 600.0, "gap_seconds": 60.0}


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def begun(running: Any, simulator: Any) -> Any:
    """Start a recording and wait until that is told."""
    before = len(running.recordings("started"))
    recording = simulator.start(ani="1001", dnis="2002")
    await running.until(lambda: len(running.recordings("started")) > before)
    return recording


async def test_a_recording_is_started_then_ended_under_one_key(system: Any) -> None:
    async with system() as (simulator, running):
        await running.until_state("live")
        recording = await begun(running, simulator)
        simulator.end(recording)
        await running.until(lambda: running.recordings("ended"))
        await trio.sleep(0.5)
        [started], [ended] = running.recordings("started"), running.recordings("ended")
        keys = {record.key for topic, record in running.records() if topic.endswith("oracle_isr.recordings")}
        assert running.recordings("lost") == running.recordings("updated") == []
        assert not running.gaps()
    assert started["data"]["call_id"] == ended["data"]["call_id"] == recording.call_key
    assert (started["subject"], ended["subject"]) == (str(recording.tmp_id), str(recording.recording_id))
    assert started["phase"] == ended["phase"] == "live"
    assert keys == {f"isr-test|{recording.call_key}".encode()}


async def test_a_call_that_is_shorter_than_a_poll_gives_both(system: Any) -> None:
    async with system() as (simulator, running):
        await running.until_state("live")
        recording = simulator.recorded(seconds=1)
        await running.until(lambda: running.recordings("ended"))
        kinds = [
            event["type"].rpartition(".")[2] for event in running.events() if ".recording." in event["type"]
        ]
        assert kinds == ["started", "ended"]
        assert running.calls("started") == running.calls("ended") == [recording.call_key]
        assert "segments" not in running.recordings("started")[0]["data"]


async def test_recordings_of_one_call_are_ended_each_and_none_is_lost(system: Any) -> None:
    async with system(options=FAST, chase_seconds=300.0) as (simulator, running):
        await running.until_state("live")
        one = await begun(running, simulator)
        other = simulator.start(beside=one)
        await running.until(lambda: other.listed_live)
        simulator.end(one)
        simulator.end(other)
        await running.until(lambda: len(running.recordings("ended")) == 2)
        chased = other.end + 600
        await running.until(lambda: running.proof().timestamp() > chased)
        assert running.recordings("lost") == []
        assert set(running.calls("ended")) == {one.call_key}
        assert set(running.ids("ended")) == {str(one.recording_id), str(other.recording_id)}
        assert not running.twice()


async def test_an_update_is_told_only_when_the_content_changed(system: Any) -> None:
    async with system(options={**FAST, "archive_seconds": math.inf}) as (simulator, running):
        await running.until_state("live")
        recording, still = simulator.recorded(), simulator.recorded()
        await running.until(lambda: len(running.recordings("ended")) == 2)
        await running.until(lambda: still.detailed >= 2)
        assert running.recordings("updated") == []
        simulator.change(recording, custom={"case": "4711"})
        simulator.advance(600)
        await running.until(lambda: running.recordings("updated"))
        await running.until(lambda: still.detailed >= 3)
        [updated] = running.recordings("updated")
        assert updated["data"]["custom_data_sets"][0]["value"] == "4711"
        assert updated["data"]["recording_id"] == str(recording.recording_id)
        assert not running.twice()


async def test_what_is_due_is_read_again_at_once_however_many_and_after_what_is_new(
    simulated: Any, bench: Any, quick: Any
) -> None:
    many = 300
    async with simulated() as simulator:
        start = simulator.now() - timedelta(seconds=40)
        simulator.history(30 / 3600, many)
        async with bench(quick(simulator, start_from=start)) as running:
            await running.until(lambda: len(running.recordings("ended")) == many, within=30)
        simulator.advance(61)
        new = simulator.recorded(ended_ago=5.0)
        asked = len(simulator.replies)
        async with bench(quick(simulator, poll_seconds=60.0)) as running:
            await running.until(lambda: all(each.detailed > 1 for each in simulator.recordings[:many]), 30)
            assert running.recordings("updated") == []
        again = [entry.ids[0] for entry in simulator.replies[asked:] if entry.shape == "one"]
        assert new.recording_id in again[:100]
        assert simulator.most_parallel <= 2


async def test_what_never_comes_up_is_lost_after_the_chase_and_only_what_was_seen(system: Any) -> None:
    async with system(options=FAST, chase_seconds=600.0) as (simulator, running):
        await running.until_state("live")
        recording = await begun(running, simulator)
        simulator.end(recording, gap=math.inf)
        simulator.notify()
        await running.until(lambda: running.recordings("lost"))
        await trio.sleep(0.5)
        [lost] = running.recordings("lost")
        assert lost["data"]["tmp_recording_id"] == str(recording.tmp_id)
        assert lost["data"]["call_id"] == recording.call_key
        assert running.recordings("ended") == []


HIDDEN = {
    "masked": PrivacyConfig(mask=["ani", "dnis"]),
    "hashed": PrivacyConfig(hash=["ani"], hash_key=Secret("a-key-of-this-test")),
    "dropped": PrivacyConfig(drop=["dnis"]),
}


@pytest.mark.parametrize("privacy", HIDDEN.values(), ids=HIDDEN)
async def test_what_is_missing_is_asked_for_by_its_call_whatever_hides_who_spoke(
    privacy: PrivacyConfig, system: Any
) -> None:
    async with system(options=FAST, privacy=privacy) as (simulator, running):
        await running.until_state("live")
        recording = await begun(running, simulator)
        simulator.end(recording, gap=math.inf)
        call = {"ingressCallId": recording.ingress_call_id}
        await running.until(lambda: any(call.items() <= each.query.items() for each in simulator.replies))
        [asked, *_] = [each.query for each in simulator.replies if call.items() <= each.query.items()]
        told = {"1001", "2002"} & {asked.get("from"), asked.get("to")}
        assert {asked.get("from"), asked.get("to")} - {None} == told


@pytest.mark.parametrize("how", ["ignored", "refused"])
@pytest.mark.parametrize("privacy", HIDDEN.values(), ids=HIDDEN)
async def test_a_server_before_6_4_is_asked_by_the_call_whatever_hides_who_spoke(
    privacy: PrivacyConfig, how: str, system: Any
) -> None:
    async with system(f"recordingid-{how}", privacy=privacy) as (simulator, running):
        await running.until_state("live")
        recordings = [simulator.recorded(ani="1001", dnis="2002") for _ in range(3)]
        await running.until(
            lambda: len(running.recordings("ended")) + len(running.events("dead_letter.written")) == 3
        )
        assert set(running.ids("ended")) == {str(each.recording_id) for each in recordings}


async def test_what_was_inserted_late_is_found_by_the_sweep(system: Any) -> None:
    async with system(options=FAST) as (simulator, running):
        await running.until_state("live")
        simulator.advance(4 * 3600)
        await running.until(lambda: running.proof() > simulator.now() - timedelta(hours=1))
        late = simulator.recorded(ended_ago=2 * 3600)
        simulator.advance(3600)
        await running.until(lambda: running.recordings("ended"), within=20)
        [ended] = running.recordings("ended")
        assert ended["phase"] == "backfill"
        assert ended["data"]["recording_id"] == str(late.recording_id)


async def test_what_happened_while_it_was_down_is_told_once_and_is_no_gap(
    simulated: Any, bench: Any, quick: Any
) -> None:
    async with simulated() as simulator:
        async with bench(quick(simulator)) as running:
            await running.until_state("live")
            one, across = await begun(running, simulator), await begun(running, simulator)
            simulator.end(one)
            await running.until(lambda: running.recordings("ended"))
        simulator.end(across)
        missed, live = simulator.recorded(seconds=1), simulator.start()
        async with bench(quick(simulator)) as running:
            await running.until(lambda: len(running.recordings("ended")) == 3)
            await running.until(lambda: len(running.recordings("started")) == 4)
            await trio.sleep(0.5)
            assert not running.twice()
            assert not running.gaps()
            assert running.recordings("lost") == []
            wanted = {str(each.recording_id) for each in (one, across, missed)}
            assert set(running.ids("ended")) == wanted
            assert running.calls("started").count(live.call_key) == 1


async def test_a_start_has_one_id_whether_it_was_seen_or_is_derived(
    simulated: Any, bench: Any, tmp_path: Path, quick: Any
) -> None:
    async with simulated() as simulator:
        begin = simulator.now() - timedelta(seconds=1)
        async with bench(quick(simulator)) as running:
            recording = await begun(running, simulator)
            simulator.end(recording)
            await running.until(lambda: running.recordings("ended"))
            seen = running.recordings("started") + running.recordings("ended")
        async with bench(quick(simulator, start_from=begin), tmp_path / "anew") as running:
            await running.until(lambda: running.recordings("ended"))
            derived = running.recordings("started") + running.recordings("ended")
    assert [each["id"] for each in seen] == [each["id"] for each in derived]


async def test_three_days_of_absence_are_caught_up_in_order(simulated: Any, bench: Any, quick: Any) -> None:
    async with simulated() as simulator:
        simulator.history(72, 150)
        start = simulator.now() - timedelta(hours=73)
        async with bench(quick(simulator, start_from=start)) as running:
            await running.until(lambda: len(running.recordings("ended")) == 150, within=30)
            await running.until(lambda: running.proof() > simulator.now() - timedelta(minutes=1))
            ended = running.recordings("ended")
            assert set(running.ids("ended")) == {str(each) for each in simulator.truth()}
            assert not running.twice()
            assert not running.gaps()
    hours = [instant(event["time"]) for event in ended]
    assert all(later > earlier - timedelta(hours=1) for earlier, later in pairwise(hours))
    phases = [event["phase"] for event in ended]
    assert phases == sorted(phases)  # backfill, and live at the end
    assert phases[0] == "backfill"


async def test_a_list_that_was_cut_is_divided_and_nothing_is_missing(
    simulated: Any, bench: Any, quick: Any
) -> None:
    async with simulated() as simulator:
        simulator.history(0.5, 130)
        start = simulator.now() - timedelta(hours=1)
        async with bench(quick(simulator, start_from=start, list_length=10)) as running:
            await running.until(lambda: len(running.recordings("ended")) == 130)
            assert not running.gaps()
            assert not running.twice()


@pytest.mark.parametrize("pass_", [0, 1])
async def test_a_cut_list_in_the_hour_that_autumn_has_twice_is_divided_by_number_and_the_walk_goes_on(
    simulated: Any, bench: Any, quick: Any, pass_: int
) -> None:
    begin = datetime(2024, 10, 27, pass_, 40, tzinfo=UTC)
    async with simulated("user-zone", starts_at=begin.timestamp()) as simulator:
        for _ in range(4):
            for number in range(5):
                simulator.recorded(ended_ago=60.0, dnis=f"200{number}")
        start, config = begin - timedelta(minutes=5), {"time_zone": "Europe/Berlin", "list_length": 10}
        async with bench(quick(simulator, start_from=start, **config)) as running:
            await running.until(lambda: len(running.recordings("ended")) == 20)
            await running.until(lambda: running.proof() > begin)
            assert {gap["cause"] for gap in running.gaps().values()} == {"list_cut"}
            simulator.advance(7200)
            after = simulator.recorded(seconds=1)
            await running.until(lambda: str(after.recording_id) in running.ids("ended"))


async def test_a_second_with_more_than_can_be_listed_is_a_declared_gap_and_the_walk_goes_on(
    simulated: Any, bench: Any, quick: Any
) -> None:
    async with simulated() as simulator:
        for _ in range(30):
            simulator.recorded(seconds=30, ended_ago=600.0, dnis="2002")
        after = simulator.recorded(seconds=30, ended_ago=60.0)
        start = simulator.now() - timedelta(hours=1)
        async with bench(quick(simulator, start_from=start, list_length=10)) as running:
            await running.until(lambda: str(after.recording_id) in running.ids("ended"))
            ended_at = datetime.fromtimestamp(simulator.recordings[0].end, UTC)
            await running.until(
                lambda: any(
                    instant(gap["from"]) <= ended_at <= instant(gap["to"]) for gap in running.gaps().values()
                )
            )
            gaps = running.gaps().values()
            assert {(gap["cause"], gap["events"]) for gap in gaps} == {("list_cut", "lost")}
            assert len(running.ids("ended")) > 10


async def test_each_second_that_is_not_listed_whole_is_declared_even_where_there_are_several(
    simulated: Any, bench: Any, quick: Any
) -> None:
    async with simulated() as simulator:
        full = [
            simulator.recorded(seconds=30, ended_ago=ago, dnis="2002")
            for ago in (600.0, 500.0, 400.0)
            for _ in range(30)
        ]
        start = simulator.now() - timedelta(minutes=20)
        async with bench(quick(simulator, start_from=start, list_length=10)) as running:
            await running.until(lambda: running.proof() > simulator.now() - timedelta(minutes=1))
            gaps = [(instant(gap["from"]), instant(gap["to"])) for gap in running.gaps().values()]
    for at in {datetime.fromtimestamp(each.end, UTC) for each in full}:
        assert any(begin <= at <= end for begin, end in gaps), at
    assert {end - begin for begin, end in gaps} == {timedelta(seconds=1)}


async def test_times_are_converted_from_the_servers_zone(system: Any) -> None:
    async with system("user-zone", time_zone="Europe/Berlin") as (simulator, running):
        await running.until_state("live")
        recording = await begun(running, simulator)
        simulator.end(recording)
        await running.until(lambda: running.recordings("ended"))
        [started], [ended] = running.recordings("started"), running.recordings("ended")
        assert abs(instant(started["time"]).timestamp() - recording.start) < 1
        assert abs(instant(ended["time"]).timestamp() - recording.end) < 0.001
        assert running.tally["zone_doubted"] == 0


@pytest.mark.parametrize("pass_", [0, 1])
async def test_what_happens_in_the_hour_that_autumn_has_twice_is_told_of_the_hour_that_it_is(
    system: Any, pass_: int
) -> None:
    begin = datetime(2024, 10, 27, pass_, 30, tzinfo=UTC)
    options = {"starts_at": begin.timestamp(), "time_scale": 60.0}
    config = {"time_zone": "Europe/Berlin", "settle_seconds": 120.0}
    async with system("user-zone", options=options, **config) as (simulator, running):
        await running.until_state("live")
        for _ in range(6):
            simulator.end(await begun(running, simulator), gap=0.0)
        await running.until(lambda: len(running.recordings("ended")) == 6)
        found = {each["data"]["recording_id"]: each for each in running.recordings("ended")}
        for recording in simulator.recordings:
            ended = found[str(recording.recording_id)]
            assert abs(instant(ended["data"]["start_time"]).timestamp() - recording.start) < 0.001
            assert abs(instant(ended["time"]).timestamp() - recording.end) < 0.001
        starts = [instant(each["time"]).timestamp() for each in running.recordings("started")]
        assert all(abs(at - each.start) < 1 for at, each in zip(starts, simulator.recordings, strict=True))
        assert running.tally["zone_doubted"] == 0


async def test_a_wrong_zone_is_a_warning(system: Any) -> None:
    async with system("user-zone", time_zone="UTC") as (simulator, running):
        await running.until_state("live")
        await begun(running, simulator)
        await running.until(lambda: running.tally["zone_doubted"])


async def test_a_server_whose_clock_differs_from_ours_is_a_warning(system: Any) -> None:
    async with system() as (simulator, running):
        await running.until_state("live")
        assert running.tally["clock_skewed"] == 0
        simulator.advance(3600)
        await running.until(lambda: running.tally["clock_skewed"])


async def test_a_recorder_that_is_ahead_of_us_is_no_clock_of_ours_that_went_back(
    simulated: Any, bench: Any, quick: Any
) -> None:
    async with simulated(starts_at=time.time() + 3600) as simulator:
        async with bench(quick(simulator)) as running:
            await running.until_state("live")
            through = running.runtime.progress().complete_through
            assert through is None or through <= datetime.now(UTC)
            simulator.recorded(seconds=1)
            await running.until(lambda: running.recordings("ended"))
        with structlog.testing.capture_logs() as logs:
            async with bench(quick(simulator)) as running:
                await running.until_state("live")
    assert "clock_behind" not in {entry["event"] for entry in logs}


async def test_what_ends_after_the_recorders_clock_went_back_is_told_and_nothing_else_again(
    system: Any,
) -> None:
    async with system(poll_seconds=0.5) as (simulator, running):
        await running.until_state("live")
        before = await begun(running, simulator)
        simulator.end(before)
        await running.until(lambda: running.recordings("ended"))
        ahead = running.proof()
        simulator.advance(-12 * 3600)
        await running.until(lambda: running.proof() < ahead - timedelta(hours=11))
        after = await begun(running, simulator)
        simulator.end(after)
        await running.until(lambda: len(running.recordings("ended")) == 2)
        assert running.ids("ended") == [str(before.recording_id), str(after.recording_id)]
        assert running.recordings("lost") == []
        assert not running.twice()


async def test_a_timed_poll_is_no_faster_than_configured_and_two_requests_run_at_most(
    simulated: Any, bench: Any, quick: Any
) -> None:
    async with simulated() as simulator:
        simulator.history(3, 100)
        start = simulator.now() - timedelta(hours=3)
        began = trio.current_time()
        async with bench(quick(simulator, start_from=start, poll_seconds=0.5)) as running:
            await running.until(lambda: len(running.recordings("ended")) == 100)
            await trio.sleep(1.5)
        looks = sum(entry.query.get("inProgress") == "true" for entry in simulator.replies)
        assert 3 <= looks <= 1 + (trio.current_time() - began) / 0.5
        assert simulator.most_parallel <= 2


async def test_the_watermark_stands_still_while_a_recording_is_missing(system: Any) -> None:
    async with system(options={"time_scale": 20.0}) as (simulator, running):
        await running.until_state("live")
        recording = await begun(running, simulator)
        simulator.end(recording, gap=math.inf)
        asked = len(simulator.replies)
        await running.until(lambda: len(simulator.replies) > asked + 8)
        proof = running.proof()
        await running.until(lambda: len(simulator.replies) > asked + 20)
        assert running.proof() == proof
        simulator.finish(recording)
        await running.until(lambda: running.recordings("ended"))
        await running.until(lambda: running.proof() > proof)


async def test_a_backfill_fetches_what_is_missing_and_leaves_the_cursor_alone(system: Any) -> None:
    async with system(poll_seconds=60.0) as (simulator, running):
        await running.until_state("live")
        await trio.sleep(0.3)
        simulator.history(5, 20)
        before, told = running.proof(), []
        since, until = simulator.now() - timedelta(hours=6), simulator.now()
        done = await running.runtime.backfills.run(since, until, lambda done, words: told.append(done))
        assert running.proof() == before
        assert set(done.left.values()) == {0}
        assert done.figures["published"] == len(running.recordings("ended")) == 20
        assert {event["phase"] for event in running.recordings("ended")} == {"backfill"}
        assert len(running.recordings("started")) == 20
        assert told == sorted(told)
        assert told[-1] == 1.0
        later = until + timedelta(hours=1)
        done = await running.runtime.backfills.run(since, later, lambda done, words: None)
        assert 3540 < done.figures[LEFT_TO_WALK] <= 3602  # the hour to come, by the server's own clock
        assert (done.figures["published"], done.figures["known"]) == (0, 20)
        assert not running.twice()


async def test_a_backfill_tells_the_seconds_that_are_not_listed_whole(system: Any) -> None:
    async with system(poll_seconds=60.0, list_length=10) as (simulator, running):
        await running.until_state("live")
        for _ in range(30):
            simulator.recorded(seconds=30, ended_ago=600.0, dnis="2002")
        since, until = simulator.now() - timedelta(minutes=20), simulator.now() - timedelta(minutes=5)
        done = await running.runtime.backfills.run(since, until, lambda done, words: None)
        ends = {int(each.end) for each in simulator.recordings}
        assert len(ends) <= done.left[NOT_LISTED] <= 2 * len(ends)  # a list's seconds may lie across two
        assert done.left[NOT_READABLE] == 0


async def test_a_backfill_that_is_cut_short_loses_nothing_of_what_is_live(system: Any) -> None:
    async with system() as (simulator, running):
        await running.until_state("live")
        simulator.history(5, 60)
        since, until = simulator.now() - timedelta(hours=6), simulator.now()
        with trio.move_on_after(0.3):
            await running.runtime.backfills.run(since, until, lambda done, words: None)
        recording = await begun(running, simulator)
        simulator.end(recording)
        await running.until(lambda: str(recording.recording_id) in running.ids("ended"))
        await running.runtime.backfills.run(since, until, lambda done, words: None)
        assert set(running.ids("ended")) == {str(each) for each in simulator.truth()}
        assert not running.twice()
