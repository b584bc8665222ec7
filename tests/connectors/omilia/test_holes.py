"""What was missed is fetched, and each gap is told to its end (vendors/omilia.md sections 3c, 3d and 4)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio

from streamd.connectors.omilia.account import open_exports
from streamd.connectors.omilia.arrivals import Arrivals
from streamd.connectors.omilia.config import ExportConfig
from streamd.connectors.omilia.holes import NOT_EXPORTED, UNREAD, UNSPELT, Holes
from streamd.connectors.omilia.records import Records
from streamd.errors import Rejected
from streamd.simulators.omilia import OmiliaOptions, OmiliaSimulator, open_omilia_simulator
from streamd.simulators.omilia.records import Record
from tests.connectors.omilia.managing import Managed, PlatformClock, config_for, open_context, open_records

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SCALE = 600.0  # a second of ours is ten minutes of the platform's
TYPES = ("dialog_start", "dialog_step", "dialog_end")


class Bench:
    def __init__(self, simulator: OmiliaSimulator, running: Managed, records: Records, holes: Holes) -> None:
        self.simulator = simulator
        self.running = running
        self.records = records
        self.holes = holes
        self.arrivals = Arrivals(TYPES, running.runtime.clock)

    async def declare(self, begin: datetime, end: datetime, *types: str, cause: str = "crash") -> None:
        for kind in types or TYPES:
            link = self.running.heralds[kind].link
            await link.declare_gap(cause=cause, since=begin, until=end, events="pending")

    async def receive(self, chosen: Callable[[Record], bool]) -> int:
        """Take the chosen records in as if they had been pushed; count them."""
        records = [each.payload for each in self.simulator.records if chosen(each)]
        now = self.running.runtime.clock.now()
        await self.records.accept(records, origin="test", received=now)
        return len(records)

    @property
    def gaps(self) -> list[dict[str, Any]]:
        """Give each gap that was ever pending as it is now, in the order of their opening."""
        found = {
            each["data"]["gap_id"]: each["data"] for each in self.running.events() if ".gap." in each["type"]
        }
        return [gap for gap in found.values() if gap["from"] is not None]

    @property
    def published(self) -> list[str]:
        return [each["id"] for each in self.running.events() if each["type"].startswith("streamd.dialog.")]

    def count(self, begin: datetime, end: datetime, *types: str) -> int:
        return sum(
            begin.timestamp() <= each.time / 1000 < end.timestamp() and each.message_type in (types or TYPES)
            for each in self.simulator.records
        )

    async def until_settled(self, gaps: int) -> None:
        def settled() -> bool:
            return len(self.gaps) == gaps and all(gap["events"] != "pending" for gap in self.gaps)

        await self.running.until(settled)


@asynccontextmanager
async def open_holes(directory: Path, simulator: OmiliaSimulator, **changes: Any) -> AsyncIterator[Bench]:
    config = config_for(simulator, **{"export": ExportConfig(poll_seconds=0.02), **changes})
    async with (
        open_context(directory, config, PlatformClock(simulator)) as running,
        open_exports(running.runtime) as exports,
        trio.open_nursery() as nursery,
    ):
        await exports.subscriptions()  # as the sessions do: now the platform's time is known
        records = await open_records(running.runtime)
        arrivals = Arrivals(config.data_types, running.runtime.clock)
        healing = Holes(running.runtime, exports, records, arrivals)
        for kind, herald in running.heralds.items():
            healing.join(kind, herald)
        bench = Bench(simulator, running, records, healing)
        bench.arrivals = arrivals
        nursery.start_soon(healing.run)
        yield bench
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def bench(
    directory: Path, *faults: str, hours: float = 12, calls: int = 40, **changes: Any
) -> AsyncIterator[Bench]:
    async with open_omilia_simulator(OmiliaOptions(time_scale=SCALE, faults=frozenset(faults))) as simulator:
        simulator.history(hours, calls)
        async with open_holes(directory, simulator, **changes) as opened:
            yield opened


async def test_a_young_hole_is_compared_after_redelivery_and_only_what_is_missing_is_published(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, calls=80) as it:
        end = it.simulator.now()
        begin = end - 2 * HOUR
        known = await it.receive(lambda each: each.time / 1000 < begin.timestamp())
        await it.declare(begin, end)
        await trio.sleep(0.2)
        assert not it.simulator.jobs
        it.simulator.advance(4 * 3600)
        await it.until_settled(3)
        assert len(set(it.published)) == len(it.published) == len(it.simulator.records)
        assert len(it.published) - known == it.count(begin, end) > 0
        assert {(gap["events"], gap["healed_by"]) for gap in it.gaps} == {("recovered", "backfill")}
        assert [gap["count"] for gap in it.gaps] == [it.count(begin, end, kind) for kind in TYPES]
        assert len(it.simulator.jobs) == 1


async def test_a_hole_that_redelivery_has_filled_is_verified_and_healed_by_it(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        end = it.simulator.now()
        await it.declare(end - 2 * HOUR, end)
        it.simulator.advance(900)
        await it.receive(lambda each: True)
        for stream in it.arrivals.streams.values():
            now = it.running.runtime.clock.now()
            stream.accepted(stream.come(), now - HOUR)
        it.simulator.advance(4 * 3600)
        await it.until_settled(3)
        assert {(gap["events"], gap["healed_by"]) for gap in it.gaps} == {("recovered", "redelivery")}
        assert len(it.published) == len(it.simulator.records)


async def test_an_old_hole_is_exported_at_once_and_its_rest_once_that_can_be_had(tmp_path: Path) -> None:
    async with bench(tmp_path, hours=34, calls=100) as it:
        end = it.simulator.now()
        await it.declare(end - 30 * HOUR, end, "dialog_step")
        await it.running.until(lambda: len(it.published) > 0)
        await it.running.until(lambda: not it.holes.errands)
        first = len(it.published)
        assert it.gaps[0]["events"] == "pending"
        it.simulator.advance(4 * 3600)
        await it.until_settled(1)
        assert len(it.published) > first
        assert len(set(it.published)) == len(it.published)
        assert it.gaps[0]["count"] == len(it.published) >= it.count(end - 30 * HOUR, end, "dialog_step")
        assert len(it.simulator.jobs) == 2


async def test_what_is_older_than_sixty_days_is_declared_lost_and_the_rest_recovered(tmp_path: Path) -> None:
    async with bench(tmp_path, "retention-400", hours=24 * 62, calls=200) as it:
        end = it.simulator.now() - 57 * DAY
        await it.declare(end - 5 * DAY, end, "dialog_end")
        await it.until_settled(2)
        pending, lost = it.gaps
        assert (lost["events"], lost["cause"], lost["scope"]) == ("lost", "not_kept", ["dialog_end"])
        assert (pending["events"], pending["healed_by"]) == ("recovered", "backfill")
        assert lost["to"] == pending["from"]
        begin = datetime.fromisoformat(pending["from"])
        assert it.simulator.now() - begin < 60 * DAY
        assert pending["count"] >= it.count(begin, end, "dialog_end") > 0


async def test_a_hole_of_which_nothing_is_kept_is_lost(tmp_path: Path) -> None:
    async with bench(tmp_path, calls=0) as it:
        end = it.simulator.now() - 61 * DAY
        await it.declare(end - DAY, end, "dialog_end")
        await it.until_settled(2)
        assert [gap["events"] for gap in it.gaps] == ["lost", "lost"]
        assert not it.simulator.jobs


async def test_a_type_that_cannot_be_exported_is_judged_by_whether_redelivery_came(tmp_path: Path) -> None:
    types = ["audit_events", "vb_enrolment"]
    async with bench(tmp_path, data_types=types) as it:
        end = it.simulator.now()
        await it.declare(end - HOUR, end, *types)
        now = it.running.runtime.clock.now()
        audit = it.arrivals.streams["audit_events"]
        audit.accepted(audit.come(), now - HOUR)
        it.simulator.advance(2 * 3600)
        await it.until_settled(2)
        assert [(gap["events"], gap["healed_by"]) for gap in it.gaps] == [
            ("recovered", "redelivery"),
            ("lost", None),
        ]


async def test_a_hole_whose_export_has_files_that_nobody_can_read_is_lost(tmp_path: Path) -> None:
    async with bench(tmp_path, "zip-bomb=16") as it:
        end = it.simulator.now() - 4 * HOUR
        await it.declare(end - 25 * HOUR, end, "dialog_end")
        await it.until_settled(1)
        assert it.gaps[0]["events"] == "lost"
        assert it.running.events("dead_letter.written")


async def test_a_restart_during_an_export_settles_the_gap_once_and_repeats_nothing(tmp_path: Path) -> None:
    options = OmiliaOptions(time_scale=SCALE, faults=frozenset(["file-records=1"]))
    async with open_omilia_simulator(options) as simulator:
        simulator.history(30, 60)
        end = simulator.now() - 4 * HOUR
        async with open_holes(tmp_path, simulator) as it:
            await it.declare(end - 24 * HOUR, end, "dialog_step")
            await it.running.until(lambda: len(it.published) >= 50)
        async with open_holes(tmp_path, simulator) as it:
            await it.running.until(lambda: it.gaps[0]["events"] != "pending")
            assert len(simulator.jobs) == 1
            assert len(it.running.events("gap.healed")) == 1
            assert it.gaps[0]["count"] == len(it.published) == len(set(it.published))


async def test_a_refusal_is_told_and_tried_again_slowly_with_a_new_plan(tmp_path: Path) -> None:
    async with bench(tmp_path, "forbidden-403:job-create=1") as it:
        end = it.simulator.now() - 4 * HOUR
        await it.declare(end - 24 * HOUR, end)
        await it.running.until(lambda: it.running.tally["rest_errors"] == 1)
        await it.running.until_state("degraded")
        assert "exports: export: 403" in it.running.reason
        await trio.sleep(0.3)
        assert it.running.tally["rest_errors"] == 1
        assert not it.holes.errands


async def test_a_refused_export_shows_in_the_state_and_is_asked_for_again_at_once_on_a_nudge(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, "forbidden-403:job-create=1") as it:
        end = it.simulator.now() - 4 * HOUR
        await it.declare(end - 24 * HOUR, end)
        await it.running.until_state("degraded")
        it.running.runtime.nudge.give()
        await it.running.until_state("live")
        await it.until_settled(3)


async def test_an_export_that_is_never_accepted_keeps_no_other_hole_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamd.connectors.omilia.plan.RETENTION", 100 * DAY)  # this contract keeps less
    async with bench(tmp_path, "retention-400") as it:
        now = it.simulator.now()
        await it.declare(now - 70 * DAY, now - 70 * DAY + HOUR, "dialog_step")
        await it.declare(now - 28 * HOUR, now - 4 * HOUR, "dialog_step")
        await it.running.until(lambda: [gap["events"] for gap in it.gaps] == ["pending", "recovered"])
        await it.running.until_state("degraded")
        assert "exports: export: 400" in it.running.reason


# -- by hand


async def test_a_backfill_by_hand_publishes_what_is_missing_and_says_how_far_it_is(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        now = it.simulator.now()
        known = await it.receive(lambda each: each.message_type == "dialog_start")
        told: list[tuple[float, str]] = []
        done = await it.holes.backfill(now - 8 * HOUR, now - 5 * HOUR, lambda *each: told.append(each))
        assert done.figures["published"] == len(it.published) - known > 0
        assert done.figures["known"] > 0
        assert set(done.left.values()) == {0}
        assert told[-1][0] == 1.0
        assert any("waiting for the export" in words for _, words in told)
        assert not it.holes.errands


async def test_a_backfill_says_what_cannot_be_had(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        now = it.simulator.now()
        done = await it.holes.backfill(now - 4 * HOUR, now, lambda done, words: None)
        assert done.left[NOT_EXPORTED] >= 2
        with pytest.raises(Rejected, match="2 hours"):
            await it.holes.backfill(now - HOUR, now, lambda done, words: None)
        with pytest.raises(Rejected, match="60 days"):
            await it.holes.backfill(now - 70 * DAY, now - 69 * DAY, lambda done, words: None)


@pytest.mark.parametrize(("style", "left"), [("legacy", 1), ("v2", 0)])
async def test_a_backfill_says_of_how_many_data_types_it_brings_nothing(
    style: Any, left: int, tmp_path: Path
) -> None:
    changes = {"data_types": [*TYPES, "audit_events"], "export": ExportConfig(0.02, types_style=style)}
    async with bench(tmp_path, **changes) as it:
        now = it.simulator.now()
        done = await it.holes.backfill(now - 8 * HOUR, now - 5 * HOUR, lambda done, words: None)
        assert done.left == {UNREAD: 0, NOT_EXPORTED: 0, UNSPELT: left}


async def test_a_backfill_says_how_many_files_it_could_not_read(tmp_path: Path) -> None:
    async with bench(tmp_path, "zip-bomb=16") as it:
        now = it.simulator.now()
        done = await it.holes.backfill(now - 8 * HOUR, now - 5 * HOUR, lambda done, words: None)
        assert done.left == {UNREAD: 1, NOT_EXPORTED: 0, UNSPELT: 0}


async def test_a_backfill_that_was_broken_off_goes_on_where_it_was(tmp_path: Path) -> None:
    async with bench(tmp_path, "file-records=1", calls=60) as it:
        now = it.simulator.now()

        def stop(done: float, words: str) -> None:
            if "page 2 " in words:
                scope.cancel()

        with trio.CancelScope() as scope:
            await it.holes.backfill(now - 11 * HOUR, now - 3 * HOUR, stop)
        assert scope.cancelled_caught
        done = await it.holes.backfill(now - 11 * HOUR, now - 3 * HOUR, lambda done, words: None)
        assert done.figures["published"] == len(it.published) == len(set(it.published))
        assert len(it.simulator.jobs) == 1


# -- the audit


async def test_the_audit_finds_and_repairs_what_was_missed_without_a_sign(tmp_path: Path) -> None:
    options = OmiliaOptions(time_scale=SCALE)
    async with (
        open_omilia_simulator(options) as simulator,
        open_holes(tmp_path, simulator, audit="daily") as it,
    ):
        await it.running.until(lambda: it.running.runtime.state("audit/next") is not None)
        simulator.advance(2 * 86400 + 4 * 3600)
        simulator.history(40, 100)
        missed = [each for each in simulator.records if each.message_type == "dialog_step"][::7]
        await it.receive(lambda each: each not in missed)
        # Shortly before midnight the day after it is due, too: only the first one is judged.
        await it.running.until(lambda: bool(it.gaps) and it.gaps[0]["events"] != "pending")
        first_day = datetime.fromisoformat(it.gaps[0]["from"])
        in_day = [m for m in missed if 0 <= m.time / 1000 - first_day.timestamp() < 86400]
        assert it.running.tally["audit_missed"] >= len(in_day) > 0
        gap = it.gaps[0]
        assert (gap["cause"], gap["events"], gap["healed_by"], gap["count"], gap["scope"]) == (
            "audit",
            "recovered",
            "backfill",
            len(in_day),
            ["dialog_step"],
        )


async def test_the_audit_of_a_whole_day_finds_nothing_and_says_nothing(tmp_path: Path) -> None:
    options = OmiliaOptions(time_scale=SCALE)
    async with (
        open_omilia_simulator(options) as simulator,
        open_holes(tmp_path, simulator, audit="daily") as it,
    ):
        await it.running.until(lambda: it.running.runtime.state("audit/next") is not None)
        before = it.running.runtime.state("audit/next")
        simulator.advance(2 * 86400 + 4 * 3600)
        simulator.history(60, 60)
        await it.receive(lambda each: True)
        await it.running.until(lambda: it.running.runtime.state("audit/next") != before)
        assert not it.gaps
        assert len(it.published) == len(simulator.records)
