"""Batch exports end whole, whatever the platform does meanwhile (vendors/omilia.md sections 4 and 8)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from msgspec.structs import replace

from streamd.connectors.omilia import pace, rest
from streamd.connectors.omilia.account import open_exports
from streamd.connectors.omilia.config import ExportConfig
from streamd.connectors.omilia.errand import Errand
from streamd.connectors.omilia.export import MOST_EXPORTS, TRIES, Exporter
from streamd.errors import Rejected, Transient
from streamd.pull.windows import Window, floor_hour, slices
from streamd.simulators.omilia import OmiliaOptions, OmiliaSimulator, open_omilia_simulator
from tests.connectors.omilia.managing import PlatformClock, config_for, open_context, open_records
from tests.running import Running

HOUR = timedelta(hours=1)
# A second of ours is two minutes of the platform's: a job is READY after 0.05 s, a minute takes 0.5 s.
SCALE = 120.0


class Bench:
    def __init__(self, simulator: OmiliaSimulator, running: Running, exporter: Exporter) -> None:
        self.simulator = simulator
        self.running = running
        self.exporter = exporter

    def window(self, hours: float) -> Window:
        """Give so many hours up to the latest that can be exported."""
        end = floor_hour(self.simulator.now() - 2 * HOUR)
        return Window(end - hours * HOUR, end)

    def errand(
        self, hours: float = 6, name: str = "test", types: tuple[str, ...] = ("Dialog Data",)
    ) -> Errand:
        rest = slices(self.window(hours), 48 * HOUR)
        return Errand(name, list(types), rest, len(rest))

    @property
    def published(self) -> Counter[tuple[str, str, Any]]:
        """Count each record that was accepted, by what tells it from all others."""
        return Counter(
            (event["type"], event["subject"], event["id"])
            for event in self.running.events()
            if event["type"].startswith("streamd.dialog.")
        )

    def due(self, window: Window) -> int:
        """Count the records that an export of `window` holds."""
        begin, end = window.begin.timestamp() * 1000, window.end.timestamp() * 1000
        return sum(begin <= each.time < end for each in self.simulator.records)

    def calls(self, end: str) -> int:
        return sum(each.path.endswith(end) for each in self.simulator.requests)


@asynccontextmanager
async def open_exporter(directory: Path, simulator: OmiliaSimulator, **changes: Any) -> AsyncIterator[Bench]:
    config = config_for(simulator, **{"export": ExportConfig(poll_seconds=0.02), **changes})
    async with (
        open_context(directory, config, PlatformClock(simulator)) as running,
        open_exports(running.runtime) as exports,
    ):
        records = await open_records(running.runtime)
        yield Bench(simulator, running, Exporter(running.runtime, exports, records))


@asynccontextmanager
async def bench(
    directory: Path, *faults: str, hours: float = 12, calls: int = 40, **changes: Any
) -> AsyncIterator[Bench]:
    options = OmiliaOptions(time_scale=SCALE, faults=frozenset(faults))
    async with open_omilia_simulator(options) as simulator:
        if calls:
            simulator.history(hours, calls)
        async with open_exporter(directory, simulator, **changes) as opened:
            yield opened


async def test_an_export_brings_each_record_of_its_hours_once(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        errand = it.errand()
        done = await it.exporter.run(errand)
        due = it.due(errand.rest[0])
        assert due > 50
        assert done.total == due == len(it.published)
        assert max(it.published.values()) == 1
        assert {event["phase"] for event in it.running.events() if ".dialog." in event["type"]} == {
            "backfill"
        }
        assert it.calls("/jobs") < 12


async def test_an_export_again_publishes_nothing_and_counts_what_is_known(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        errand = it.errand(name="first")
        first = await it.exporter.run(errand)
        second = await it.exporter.run(replace(errand, name="second"))
        assert (second.total, second.known) == (0, first.total)


async def test_hours_without_records_end_well_and_no_zip_is_fetched(tmp_path: Path) -> None:
    async with bench(tmp_path, calls=0) as it:
        done = await it.exporter.run(it.errand())
        assert (done.total, done.rest) == (0, [])
        assert it.calls("/data/compressed") == 0


async def test_many_pages_are_fetched_at_the_largest_size(tmp_path: Path) -> None:
    async with bench(tmp_path, "file-records=1", calls=60) as it:
        errand = it.errand(8)
        done = await it.exporter.run(errand)
        assert done.total == it.due(errand.rest[0]) > 150
        assert 4 <= it.calls("/data/compressed") <= 5 + done.total // 50


async def test_more_than_two_days_are_cut_and_done_one_after_the_other(tmp_path: Path) -> None:
    async with bench(tmp_path, hours=120, calls=60) as it:
        errand = it.errand(100)
        assert len(errand.rest) == 3
        told: list[float] = []
        pages: list[tuple[str, str]] = []

        def tell(share: float, words: str) -> None:
            told.append(share)
            pages.extend(re.findall(r"page (\d+) of (\d+)", words))

        done = await it.exporter.run(errand, tell)
        assert done.total == sum(map(it.due, errand.rest))
        assert told == sorted(told)
        assert (told[0], told[-1]) == (0.0, 1.0)
        assert pages
        assert all(int(page) <= int(last) for page, last in pages)
        assert len(it.simulator.jobs) == 3


@pytest.mark.parametrize(
    "fault",
    [
        "create-500=1",
        "create-reset=1",
        "error-500:job-create=1",
        "error-500:job-list=2",
        "error-500:job-metadata=1",
        "gateway-html:job-data=1",
        "limited-429:job-list=1",
        "unavailable-503:job-data=1",
        "unauthorized-401:job-data=1",
        "zip-truncated=2",
        "zip-cut=2",
        "zip-bad-crc=2",
        "zip-empty=2",
        "unknown-state",
        "slow-states=10",
        "finished-late",
        "no-pagination",
        "unready-404",
        "types-legacy",
        "name-literal",
        "fraction-digits=0",
        "fraction-digits=6",
        "page-cap=1",
        "foreign-job=20",
        "zip-paths",
        "gzip-members",
        "audio-members",
        "blank-lines",
        "no-final-newline",
        "bom",
        "array-files",
        "same-bytes",
    ],
)
async def test_it_ends_whole_and_each_record_comes_once_through(tmp_path: Path, fault: str) -> None:
    async with bench(tmp_path, fault) as it:
        errand = it.errand()
        done = await it.exporter.run(errand)
        assert done.total == it.due(errand.rest[0]) == len(it.published)
        assert max(it.published.values()) == 1
        assert done.unread == 0


async def test_a_create_of_unknown_outcome_makes_no_second_job(tmp_path: Path) -> None:
    async with bench(tmp_path, "create-reset=1") as it:
        await it.exporter.run(it.errand())
        assert len(it.simulator.jobs) == 1


@pytest.mark.parametrize("faults", [("bad-byte",), ("bad-byte", "array-files")])
async def test_a_record_that_cannot_be_read_costs_no_other(tmp_path: Path, faults: Sequence[str]) -> None:
    async with bench(tmp_path, *faults) as it:
        errand = it.errand()
        done = await it.exporter.run(errand)
        assert done.total == it.due(errand.rest[0])
        assert done.unread == 0
        assert done.bad == len(it.running.events("dead_letter.written")) > 0


async def test_an_audit_record_without_a_type_is_known_by_stream_and_by_export(tmp_path: Path) -> None:
    async with bench(tmp_path, calls=0, data_types=["audit_events"]) as it:
        errand = it.errand(types=("audit",))
        records = [it.simulator.audit() for _ in range(2)]
        for record in records:
            content = msgspec.json.decode(record.payload)
            del content["message_type"]
            record.payload = msgspec.json.encode(content)
            record.time = int(errand.rest[0].begin.timestamp() * 1000)
        await it.exporter._records.accept(
            [records[0].payload], origin="test", received=it.simulator.now(), unnamed="audit_events"
        )
        done = await it.exporter.run(errand)
        assert (done.total, done.known, done.bad) == (1, 1, 0)


async def test_an_export_that_expires_between_pages_is_asked_for_again(tmp_path: Path) -> None:
    async with bench(tmp_path, "expires-after-page=1", "file-records=1", calls=60) as it:
        errand = it.errand(8)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(it.exporter.run, errand)
            await it.running.until(lambda: it.running.tally["exports_given_up"] >= 1)
            it.simulator.set_faults("file-records=1")
            await it.running.until(lambda: len(it.published) == it.due(errand.rest[0]))
        assert max(it.published.values()) == 1
        assert len(it.simulator.jobs) == it.running.tally["exports_created"] >= 2


async def test_an_export_that_is_not_ready_by_its_deadline_is_given_up(tmp_path: Path) -> None:
    export = ExportConfig(poll_seconds=0.02, deadline_seconds=60)
    async with bench(tmp_path, "failed-state", export=export) as it:
        errand = it.errand()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(it.exporter.run, errand)
            await it.running.until(lambda: it.running.tally["exports_given_up"] >= 1)
            it.simulator.set_faults()
        assert len(it.published) == it.due(errand.rest[0])


async def test_an_export_that_hangs_is_waited_for_even_beyond_its_deadline(tmp_path: Path) -> None:
    export = ExportConfig(poll_seconds=0.02, deadline_seconds=30)
    async with bench(tmp_path, "never-ready", export=export) as it:
        errand = it.errand()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(it.exporter.run, errand)
            await it.running.until(lambda: it.running.tally["exports_waited"] >= 3)
            assert len(it.simulator.jobs) == 1
            it.simulator.set_faults()
        assert len(it.published) == it.due(errand.rest[0])


async def test_a_ready_export_is_not_used_when_it_is_about_to_expire(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        errand = it.errand()
        with trio.move_on_after(5) as scope:
            await it.exporter.run(errand, lambda done, words: scope.cancel() if "page" in words else None)
        it.simulator.advance(23.5 * 3600)
        done = await it.exporter.run(errand)
        assert done.total == it.due(errand.rest[0])
        assert len(it.simulator.jobs) == 2


async def test_what_breaks_a_rule_is_refused_and_not_repeated(tmp_path: Path) -> None:
    async with bench(tmp_path, "types-v2") as it:
        with pytest.raises(Rejected, match="types"):
            await it.exporter.run(it.errand())
        assert it.calls("/jobs") == 2


async def test_a_zip_that_inflates_beyond_measure_is_dead_lettered_and_told(tmp_path: Path) -> None:
    async with bench(tmp_path, "zip-bomb=16") as it:
        done = await it.exporter.run(it.errand())
        assert done.unread == 1
        assert len(it.running.events("dead_letter.written")) == 1


async def test_a_page_that_no_export_gives_whole_is_left_out_in_the_end_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "ZIPS_A_MINUTE", 1000)  # it takes fifteen
    async with bench(tmp_path, "zip-truncated=1000", "zips-a-minute=1000") as it:
        done = await it.exporter.run(it.errand())
        assert (done.unread, done.total) == (1, 0)
        assert len(it.simulator.jobs) == MOST_EXPORTS
        assert len(it.running.events("dead_letter.written")) == 1


async def test_a_restart_goes_on_at_the_same_page_of_the_same_job(tmp_path: Path) -> None:
    options = OmiliaOptions(time_scale=SCALE, faults=frozenset(["file-records=1"]))
    async with open_omilia_simulator(options) as simulator:
        simulator.history(12, 60)
        async with open_exporter(tmp_path, simulator) as it:
            errand = it.errand(8)
            with trio.move_on_after(10) as scope:
                await it.exporter.run(
                    errand, lambda done, words: scope.cancel() if "page 3 " in words else None
                )
            before = len(it.published)
            assert 100 <= before < it.due(errand.rest[0])
        async with open_exporter(tmp_path, simulator) as it:
            await it.exporter.run(errand)
            assert len(it.published) == it.due(errand.rest[0])
            assert max(it.published.values()) == 1
            assert len(simulator.jobs) == 1
            pages = [each.path for each in simulator.requests if "compressed" in each.path]
            assert len(pages) == -(-len(it.published) // 50)


async def test_six_zips_take_more_than_a_minute_and_none_is_refused(tmp_path: Path) -> None:
    async with bench(tmp_path, "file-records=1", calls=120) as it:
        errand = it.errand(11)
        began = it.simulator.now()
        await it.exporter.run(errand)
        assert it.calls("/data/compressed") > 5
        assert it.simulator.now() - began > timedelta(minutes=1)
        assert not it.running.tally["rest_errors"]


async def test_two_errands_never_run_at_once(tmp_path: Path) -> None:
    async with bench(tmp_path) as it, trio.open_nursery() as nursery:
        nursery.start_soon(it.exporter.run, it.errand(name="one"))
        nursery.start_soon(it.exporter.run, it.errand(name="two"))
        await it.running.until(lambda: len(it.simulator.jobs) == 2)
        assert not it.running.tally["rest_errors"]


async def test_a_page_that_is_not_delivered_for_a_while_costs_no_export_and_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, tries = rest.Exports.fetch_zip, 0

    async def late(exports: rest.Exports, *what: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries <= TRIES * MOST_EXPORTS:
            raise Transient("data: 503")
        return await real(exports, *what)

    monkeypatch.setattr(rest.Exports, "fetch_zip", late)
    async with bench(tmp_path) as it:
        errand = it.errand()
        done = await it.exporter.run(errand)
        assert (done.unread, done.total) == (0, it.due(errand.rest[0]))
        assert len(it.simulator.jobs) == 1
