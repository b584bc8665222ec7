"""A crash between any two commits: the cursor and what is known never run ahead of the events."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trio

from streamd.simulators.http import Request, Response, ok
from tests.commits import Left, crashes, watch
from tests.connectors.oracle_isr.test_trouble import LOGIN, NOTHING, in_full, listed


def ended_ids(events: list[dict[str, Any]]) -> set[str]:
    return {event["data"]["recording_id"] for event in events if event["type"] == "streamd.recording.ended"}


async def walked(simulated: Any, bench: Any, quick: Any) -> list[Any]:
    """Walk over some hours of recordings that ended before; give them."""
    async with simulated() as simulator:
        recordings = simulator.history(3.0, 30)
        start = datetime.fromtimestamp(min(each.start for each in recordings), UTC)
        async with bench(quick(simulator, start_from=start)) as running:
            await running.until(lambda: len(set(running.ids("ended"))) == len(recordings))
            await running.until(lambda: running.proof() > start)
        return list(recordings)


async def test_a_crash_behind_any_commit_leaves_no_recording_before_the_cursor_that_is_not_accepted(
    simulated: Any, bench: Any, quick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = watch(monkeypatch)
    recordings = await walked(simulated, bench, quick)
    ends = {str(each.recording_id): each.end for each in recordings}
    moved = set()
    for left in crashes(made):
        if "cursor" in left.state:
            at = watermark(left).timestamp()
            moved.add(at)
            assert left.alive is None or left.alive.timestamp() <= at, "the proof of life is the watermark"
            assert {id_ for id_, end in ends.items() if end < at} <= ended_ids(left.events)
    assert len(moved) > 2


async def test_a_recording_is_known_from_the_commit_on_that_brings_its_end_and_from_no_earlier_one(
    simulated: Any, bench: Any, quick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = watch(monkeypatch)
    recordings = await walked(simulated, bench, quick)
    known: set[str] = set()
    for left in crashes(made):
        known = {name.removeprefix("known/") for name in left.state if name.startswith("known/")}
        assert known == ended_ids(left.events)
    assert known == {str(each.recording_id) for each in recordings}


async def test_what_is_fetched_again_after_all_is_lost_has_the_same_ids(
    simulated: Any, bench: Any, quick: Any, tmp_path: Path
) -> None:
    async with simulated() as simulator:
        recordings = simulator.history(1.0, 10)
        start = datetime.fromtimestamp(min(each.start for each in recordings), UTC)
        ids = []
        for life in ("one", "other"):
            async with bench(quick(simulator, start_from=start), tmp_path / life) as running:
                await running.until(lambda: len(set(running.ids("ended"))) == len(recordings))
                found = [*running.recordings("started"), *running.recordings("ended")]
                ids.append({event["id"] for event in found})
    assert ids[0] == ids[1]
    assert len(ids[0]) == 2 * len(recordings)


async def test_the_walk_fetches_late_what_it_would_have_fetched_live_under_the_same_id(
    simulated: Any, bench: Any, quick: Any, tmp_path: Path
) -> None:
    found = []
    async with simulated() as simulator:
        start = datetime.fromtimestamp(simulator.now().timestamp() - 60, UTC)
        for life in ("live", "backfill"):
            async with bench(quick(simulator, start_from=start), tmp_path / life) as running:
                await running.until_state("live")
                if life == "live":
                    simulator.recorded()
                await running.until(lambda: running.recordings("ended"))
                found.append({(event["phase"], event["id"]) for event in running.recordings("ended")})
            simulator.advance(3 * 3600)
    [(phase, id_)], [(late, same)] = found
    assert (phase, late) == ("live", "backfill")
    assert id_ == same


@pytest.mark.parametrize("times", [3, 1000])
async def test_the_cursor_stands_still_until_what_is_listed_is_read_or_dead_lettered(
    scripted: Any, bench: Any, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    made, refused = watch(monkeypatch), 0

    async def respond(request: Request) -> Response:
        nonlocal refused
        match request.query:
            case _ if request.path.endswith("/login"):
                return LOGIN
            case {"inProgress": "true"}:
                return NOTHING
            case {"recordingId": "7"} if refused < times:
                refused += 1
                return ok({"result": {"code": 11, "message": "error retrieving file info"}})
            case {"recordingId": number}:
                return in_full(int(number))
        return listed(6, 7, 8)

    async with scripted(respond) as config, bench(config) as running:
        await running.until(lambda: running.proof().year > 2000)
        begun = running.proof()
        await running.until(lambda: running.proof() > begun)
    for left in crashes(made):
        if "cursor" in left.state and watermark(left) > begun:
            dead = [event for event in left.events if event["type"] == "streamd.dead_letter.written"]
            assert ended_ids(left.events) >= {"6", "8"}
            assert "7" in ended_ids(left.events) or dead


async def test_what_is_found_while_a_commit_fails_beside_it_is_not_lost(scripted: Any, bench: Any) -> None:
    running_one = {"tmpRecordingId": 1, "ingressCallId": "call-7", "startTime": "2024-05-01 06:00:00"}
    runs, looked_for, found = True, trio.Event(), trio.Event()

    async def respond(request: Request) -> Response:
        match request.query:
            case _ if request.path.endswith("/login"):
                return LOGIN
            case {"inProgress": "true"} if runs:
                return ok({"result": {"code": 0, "message": "ACK", "recording": running_one}})
            case {"ingressCallId": "call-7"}:
                looked_for.set()
                await found.wait()
                return in_full(7)
            case {"earliestEnd": end} if end.startswith("2023"):
                return in_full(9)
        return NOTHING

    async with scripted(respond, chase_seconds=1.0) as config, bench(config) as running:
        await running.until(lambda: running.recordings("started"))
        runs = False
        await looked_for.wait()
        usage = running.spool.usage(running.runtime.origin.connector)
        share, usage.share = usage.share, 0
        since, until = datetime(2023, 5, 1, tzinfo=UTC), datetime(2023, 5, 1, 1, tzinfo=UTC)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.runtime.backfills.run, since, until, lambda done, words: None)
            await running.until(lambda: usage.waiting)
            nursery.cancel_scope.cancel()  # what was known is read anew
        usage.share = share
        found.set()
        await running.until(lambda: running.recordings("ended") or running.recordings("lost"))
        assert running.ids("ended") == ["7"]
        await running.runtime.backfills.run(since, until, lambda done, words: None)
        assert running.ids("ended") == ["7", "9"], "what was not committed is not thought published"
        assert running.recordings("lost") == []


def watermark(left: Left) -> datetime:
    return datetime.fromisoformat(json.loads(left.state["cursor"])["watermark"])
