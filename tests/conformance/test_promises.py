"""What is missed while streamd is away, by every vendor: after a crash, a clean stop, and a lost spool."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from streamd import events
from streamd.registry import all_types
from streamd.spool.directory import DATABASE
from tests.conformance.test_conformance import VENDORS, Bench, system

# What is promised of each vendor (README and INTERFACE.md); of another one, what it declares.
PROMISED = {
    "avaya": "lost",
    "o2g": "lost",
    "omilia": "pending",
    "oracle_isr": "refetched",
    "huawei_aicc": "refetched",
}


def losses_of(vendor: str) -> str:
    return PROMISED.get(vendor, all_types()[vendor].losses)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def gaps(bench: Bench) -> list[dict[str, Any]]:
    """Give each gap as it is now, in the order of their opening."""
    told = (events.GAP_OPENED, events.GAP_CLOSED, events.GAP_HEALED)
    found = [event["data"] for event in bench.events() if event["type"] in told]
    return list({gap["gap_id"]: gap for gap in found}.values())


def by_cause(bench: Bench, cause: str) -> list[dict[str, Any]]:
    return [gap for gap in gaps(bench) if gap["cause"] == cause]


async def live_for_a_while(bench: Bench) -> None:
    """Be live until that is proven on the disk, for every session."""
    await bench.until_state("live")
    origin = bench.runtime.origin
    began = datetime.now(UTC)
    names = list(bench.runtime.status.sessions)
    losses = losses_of(origin.vendor)

    def proven() -> bool:
        proofs = [bench.spool.alive(origin, name) for name in names]
        return all(proof is not None and (losses == "refetched" or proof > began) for proof in proofs)

    await bench.until(proven)


def as_a_crash_leaves_it(bench: Bench, directory: Path) -> None:
    """Copy the spool as it is committed now: no goodbye is in it."""
    directory.mkdir()
    with (
        closing(sqlite3.connect(bench.store.path)) as here,
        closing(sqlite3.connect(directory / DATABASE)) as there,
    ):
        here.backup(there)


def lose_the_spool(directory: Path) -> None:
    for file in directory.glob(f"{DATABASE}*"):
        file.unlink()


def assert_declared(vendor: str, found: list[dict[str, Any]], ended: datetime, begun: datetime) -> None:
    """See that a time without streamd is inside gaps, or is walked later."""
    losses = losses_of(vendor)
    if losses == "refetched":
        assert found == []
        return
    assert found
    for gap in found:
        assert instant(gap["from"]) <= ended
        assert gap["to"] is None or begun <= instant(gap["to"])
        assert gap["events"] == ("pending" if losses == "pending" else "lost")


@pytest.mark.parametrize("vendor", VENDORS)
async def test_the_time_after_a_crash_is_a_gap_from_the_last_proof_of_life_on_or_is_walked_later(
    vendor: str, tmp_path: Path
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    async with system(vendor, before) as (_, bench):
        await live_for_a_while(bench)
        crashed = datetime.now(UTC)
        as_a_crash_leaves_it(bench, after)
        through = bench.spool.alive(bench.runtime.origin, next(iter(bench.runtime.status.sessions)))
    begun = datetime.now(UTC)
    async with system(vendor, after) as (_, bench):
        await bench.until_state("live")
        assert_declared(vendor, by_cause(bench, "crash"), crashed, begun)
        if losses_of(vendor) == "refetched":
            assert through is not None
            assert through <= crashed


@pytest.mark.parametrize("vendor", VENDORS)
async def test_the_time_after_a_clean_stop_is_a_gap_or_is_walked_later(vendor: str, tmp_path: Path) -> None:
    async with system(vendor, tmp_path) as (_, bench):
        await live_for_a_while(bench)
        stopped = datetime.now(UTC)
    begun = datetime.now(UTC)
    async with system(vendor, tmp_path) as (_, bench):
        await bench.until_state("live")
        assert by_cause(bench, "crash") == []
        assert_declared(vendor, by_cause(bench, "stopped"), stopped, begun)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_lost_spool_is_a_gap_before_which_nothing_is_claimed_in_a_later_epoch(
    vendor: str, tmp_path: Path
) -> None:
    async with system(vendor, tmp_path) as (_, bench):
        await bench.until_state("live")
        epoch = bench.spool.epoch
    lose_the_spool(tmp_path)
    async with system(vendor, tmp_path) as (_, bench):
        await bench.until_state("live")
        assert bench.spool.epoch > epoch
        found = gaps(bench)
        assert {gap["cause"] for gap in found} == {"new_spool"}
        assert all(gap["from"] is None for gap in found)
        assert [gap["scope"] for gap in found if gap["scope"]]
        assert bench.spool.numbers
