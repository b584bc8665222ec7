"""A crash between any two commits of an export: no page counts as taken whose records are not accepted."""

from __future__ import annotations

import json
import time
from pathlib import Path

import msgspec
import pytest
import trio

from streamd.connectors.omilia import callback, export
from streamd.connectors.omilia.errand import Errand
from streamd.simulators.omilia import OmiliaOptions, open_omilia_simulator
from tests.commits import crashes, watch
from tests.connectors.omilia.managing import PlatformClock, config_for, open_context, open_records
from tests.connectors.omilia.pushing import START, open_pushed, start
from tests.connectors.omilia.test_export import bench


async def test_a_crash_behind_any_commit_leaves_no_page_as_taken_whose_records_are_not_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "AT_ONCE", 10)  # so that a page takes many commits
    made = watch(monkeypatch)
    async with bench(tmp_path) as it:
        errand = it.errand()
        due = it.due(errand.rest[0])
        done = await it.exporter.run(errand)
    assert done.total == due > 50
    commits = 0
    for left in crashes(made):
        stored = left.state.get("errand/test")
        if stored is None:
            continue
        at = msgspec.json.decode(stored, type=Errand)
        published = sum(".dialog." in event["type"] for event in left.events)
        commits += published > 0
        assert at.total == published, "read again, they are known already: nobody would count them"
        assert published == due or (at.page == 1 and at.rest), "the page is left"
    assert commits > 5


async def test_a_push_of_what_another_one_is_committing_is_not_answered_200_before_that_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback, "ANSWER_SECONDS", 0.3)
    async with (
        open_omilia_simulator(OmiliaOptions()) as simulator,
        open_pushed(tmp_path, simulator, [START]) as pushed,
    ):
        await pushed.push(start("d0"))
        pushed.keep_out()
        answers: list[int] = []

        async def push() -> None:
            answers.append((await pushed.push(start("d1"))).status_code)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(push)
            nursery.start_soon(push)
        assert answers == [503, 503]
        pushed.let_in()
        assert (await pushed.push(start("d1"))).status_code == 200
        assert [event["data"]["id"] for event in pushed.dialogs()] == ["d0", "d1"]


async def test_a_push_on_its_way_into_the_spool_holds_the_proof_of_life_back(tmp_path: Path) -> None:
    async with (
        open_omilia_simulator(OmiliaOptions()) as simulator,
        open_pushed(tmp_path, simulator, [START]) as pushed,
        trio.open_nursery() as nursery,
    ):
        spool, origin = pushed.spool, pushed.runtime.origin
        await pushed.push(start("d0"))
        pushed.keep_out()
        nursery.start_soon(pushed.push, start("d1"))
        await pushed.until(lambda: spool.usage(origin.connector).waiting)
        came = pushed.runtime.clock.now()
        await trio.sleep(2.8)  # meanwhile the subscription is seen to be there, of 2 s ago
        assert spool.alive(origin, START) <= came
        pushed.let_in()
        await pushed.until(lambda: spool.alive(origin, START) > came)


async def test_a_record_that_is_delivered_again_after_a_crash_has_the_same_id(tmp_path: Path) -> None:
    made_at = int(time.time() * 1000)
    async with open_omilia_simulator(OmiliaOptions()) as simulator:
        async with open_pushed(tmp_path, simulator, [START]) as pushed:
            assert (await pushed.push(start("d1", time=made_at))).status_code == 200
        async with open_pushed(tmp_path, simulator, [START]) as pushed:
            assert (await pushed.push(start("d1", time=made_at), start("d2"))).status_code == 200
            first, *again = [event["id"] for event in pushed.dialogs() if event["data"]["id"] == "d1"]
            assert set(again) <= {first}
            assert {event["data"]["id"] for event in pushed.dialogs()} == {"d1", "d2"}


async def test_a_record_has_the_same_id_by_stream_and_by_export(tmp_path: Path) -> None:
    record = json.dumps(start("d1")).encode()
    ids = set()
    for phase in ("live", "backfill"):
        async with open_omilia_simulator(OmiliaOptions()) as simulator:
            (tmp_path / phase).mkdir()
            config = config_for(simulator)
            async with open_context(tmp_path / phase, config, PlatformClock(simulator)) as running:
                records = await open_records(running.runtime)
                await records.accept([record], origin=phase, received=simulator.now(), phase=phase)
                [event] = running.events("dialog.started")
                ids.add(event["id"])
    assert len(ids) == 1
