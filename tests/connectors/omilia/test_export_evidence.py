"""What was published is known after a restart, for as long as the spool is the same."""

from __future__ import annotations

import random
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
import trio

from streamd.clock import SystemClock
from streamd.connectors.omilia.evidence import KEPT, Evidence
from streamd.model import Phase
from streamd.simulators.omilia import open_omilia_simulator
from tests.connectors.omilia.managing import PlatformClock, config_for, open_context, open_records
from tests.running import Tally

NOW = datetime(2026, 2, 10, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
NAMES = {f"{NOW:%Y%m%d%H}"}


class Kept:
    """The part of a connector's context that evidence needs."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.values: dict[str, bytes | None] = {}
        self.time = NOW
        self.clock = self
        self.log = structlog.get_logger()
        self.counters = self.tally = Tally()

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return SystemClock().monotonic()

    def directory(self) -> Path:
        return self.home

    def state(self, name: str) -> bytes | None:
        return self.values.get(name)

    async def append(self, items: object, changes: dict[str, bytes | None]) -> None:
        self.values |= changes


async def opened(kept: Kept) -> Evidence:
    evidence = Evidence(kept)  # type: ignore[arg-type]
    await evidence.open()
    return evidence


async def holds(evidence: Evidence, key: int, at: datetime | None) -> bool:
    return key in await evidence.known([(key, at)])


async def test_what_was_noted_is_held_after_a_restart_under_its_hour(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    first = await opened(kept)
    first.note([(1, NOW), (2**64 - 1, NOW - HOUR)])
    for evidence in (first, await opened(kept)):
        assert await holds(evidence, 1, NOW + timedelta(minutes=29))
        assert await holds(evidence, 2**64 - 1, NOW - HOUR)
        assert not await holds(evidence, 2, NOW)
        assert not await holds(evidence, 1, NOW - HOUR)


async def test_what_is_noted_after_its_hour_was_read_is_held_too(tmp_path: Path) -> None:
    evidence = await opened(Kept(tmp_path))
    assert not await holds(evidence, 7, NOW)
    evidence.note([(7, NOW)])
    assert await holds(evidence, 7, NOW)


async def test_what_tells_no_time_is_held_after_a_restart_for_as_long(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    first = await opened(kept)
    assert not await holds(first, 7, None)
    first.note([(7, None)])
    second = await opened(kept)
    kept.time = NOW + KEPT - HOUR
    for evidence in (first, second, await opened(kept)):
        evidence.note([])
        assert await holds(evidence, 7, None)
        assert not await holds(evidence, 7, NOW)
        assert not await holds(evidence, 8, None)
    kept.time = NOW + KEPT + 24 * HOUR
    evidence.note([])
    assert {each.name for each in (tmp_path / "ids").iterdir()} == {"spool"}


async def test_an_hour_that_was_read_takes_as_many_more_as_come(tmp_path: Path) -> None:
    evidence = await opened(Kept(tmp_path))
    for begin in range(0, 5000, 500):
        assert not await holds(evidence, begin + 1, NOW)
        evidence.note([(key + 1, NOW) for key in range(begin, begin + 500)])
    assert len(await evidence.known([(key + 1, NOW) for key in range(5000)])) == 5000


async def test_while_many_ids_are_read_others_have_their_turn_and_what_is_noted_meanwhile_is_held(
    tmp_path: Path,
) -> None:
    kept, ids = Kept(tmp_path), 100_000
    (await opened(kept)).note([])
    (tmp_path / "ids" / f"{NOW:%Y%m%d%H}").write_bytes(random.randbytes(8 * ids))
    evidence = await opened(kept)
    turns = 0

    async def note() -> None:
        nonlocal turns
        while NAMES.isdisjoint(evidence._loaded):
            evidence.note([(turns * 20 + number, NOW) for number in range(20)])
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(note)
        await evidence.known([(1, NOW)])
    assert turns > 40
    noted = [(number, NOW) for number in range(turns * 20)]
    assert len(await evidence.known(noted)) == len(noted)


async def test_an_hour_that_was_looked_into_takes_17_bytes_an_id(tmp_path: Path) -> None:
    kept, ids = Kept(tmp_path), 100_000
    (await opened(kept)).note([])
    (tmp_path / "ids" / f"{NOW:%Y%m%d%H}").write_bytes(random.randbytes(8 * ids))
    evidence = await opened(kept)
    tracemalloc.start()
    try:
        await holds(evidence, 1, NOW)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 17 * ids + 20_000


async def test_what_was_looked_into_is_forgotten_beyond_the_room_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamd.connectors.omilia.evidence._MOST_LOADED", 3000)
    evidence = await opened(Kept(tmp_path))
    evidence.note([(hour, NOW - hour * HOUR) for hour in range(1, 10)])
    for hour in range(1, 10):
        assert await holds(evidence, hour, NOW - hour * HOUR)
    assert sum(each.most for each in evidence._loaded.values()) <= 3000


async def test_many_hours_can_be_looked_into(tmp_path: Path) -> None:
    evidence = await opened(Kept(tmp_path))
    evidence.note([(number, NOW - number * HOUR) for number in range(100)])
    assert len(await evidence.known([(number, NOW - number * HOUR) for number in range(100)])) == 100


async def test_a_file_that_a_power_cut_has_torn_is_used_and_goes_on(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    (await opened(kept)).note([(1, NOW), (2, NOW)])
    file = tmp_path / "ids" / "2026021012"
    file.write_bytes(file.read_bytes()[:-3])
    (await opened(kept)).note([(3, NOW)])
    evidence = await opened(kept)
    assert [await holds(evidence, number, NOW) for number in (1, 2, 3)] == [True, False, True]


async def test_a_new_spool_begins_anew(tmp_path: Path) -> None:
    (await opened(Kept(tmp_path))).note([(1, NOW)])
    assert not await holds(await opened(Kept(tmp_path)), 1, NOW)


async def test_what_is_too_old_is_deleted(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    evidence = await opened(kept)
    evidence.note([(1, NOW)])
    kept.time += KEPT + HOUR
    evidence.note([(2, kept.time)])
    assert {each.name for each in (tmp_path / "ids").iterdir()} == {"spool", f"{kept.time:%Y%m%d%H}"}


async def test_times_far_from_now_make_no_files(tmp_path: Path) -> None:
    evidence = await opened(Kept(tmp_path))
    evidence.note([(abs(number), NOW + number * 100 * HOUR) for number in range(-1000, 1000)])
    assert len(list((tmp_path / "ids").iterdir())) < 10


async def test_a_disk_that_takes_nothing_stops_nobody(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    (tmp_path / "ids").write_bytes(b"in the way")
    evidence = await opened(kept)
    evidence.note([(1, NOW)])
    assert kept.tally["evidence_errors"] == 2
    assert not await holds(evidence, 1, NOW)


async def test_a_record_without_a_time_is_published_once_although_an_export_brings_it_after_a_restart(
    tmp_path: Path,
) -> None:
    async with open_omilia_simulator() as simulator:
        voices = [each.payload for each in simulator.voices()]
        outcomes: list[tuple[int, int]] = []
        phases: tuple[Phase, ...] = ("live", "live", "backfill")
        for phase in phases:
            clock = PlatformClock(simulator)
            async with open_context(tmp_path, config_for(simulator), clock) as running:
                records = await open_records(running.runtime)
                outcome = await records.accept(voices, origin="test", received=clock.now(), phase=phase)
                outcomes.append((outcome.accepted, outcome.repeated))
        assert outcomes == [(2, 0), (0, 2), (0, 2)]
