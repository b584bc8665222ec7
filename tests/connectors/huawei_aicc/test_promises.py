"""A crash between any two commits: the watermark and the seen set never run ahead of the rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamd.connectors.huawei_aicc import intake, seen
from streamd.connectors.huawei_aicc.cursor import Position
from streamd.connectors.huawei_aicc.rest import CcFs
from streamd.connectors.huawei_aicc.source import _open_http
from streamd.errors import Rejected
from streamd.simulators.huawei_aicc import HuaweiOptions, identify, open_huawei_simulator
from tests.commits import Left, Made, crashes, watch
from tests.connectors.huawei_aicc.conftest import KINDS, config_for, open_bench

SCALE = {"time_scale": 300.0}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Made]:
    monkeypatch.setattr(intake, "BATCH_ROWS", 5)  # so that an export takes many commits
    return watch(monkeypatch)


async def walked(system: Any) -> list[Any]:
    """Walk over two hours of calls that lie behind; give their rows."""
    async with system(options=SCALE, history=(1.0, 30)) as (simulator, bench):
        await bench.until(lambda: set(bench.published()) >= set(simulator.truth()))
        await bench.until(lambda: len(bench.events("connector.progress")) > 1)
        return list(simulator.rows)


def rows_of(events: list[dict[str, Any]]) -> Iterator[tuple[Any, str]]:
    """Give each row's identity, and the name of its call in the seen set."""
    for event in events:
        if event["type"] in KINDS:
            data = event["data"]
            yield identify(KINDS[event["type"]], data), seen._name(f"{data['cc_id']}|{data['call_id']}")


def watermark(left: Left) -> float | None:
    stored = next((value for name, value in left.state.items() if name.startswith("walk/")), None)
    return msgspec.json.decode(stored, type=Position).watermark.timestamp() if stored else None


async def test_a_crash_behind_any_commit_leaves_no_row_before_the_watermark_that_is_not_accepted(
    system: Any, made: list[Made]
) -> None:
    rows = await walked(system)
    moved = set()
    for left in crashes(made):
        at = watermark(left)
        if at is not None:
            begun = min(moved, default=at)
            moved.add(at)
            assert left.alive is None or left.alive.timestamp() <= at, "the proof of life is the watermark"
            due = {row.identity for row in rows if begun <= row.begin and row.end < at}
            assert due <= {identity for identity, _ in rows_of(left.events)}
    assert len(moved) > 1


async def test_a_row_is_noted_as_seen_in_the_commit_that_brings_it_and_in_no_other(
    system: Any, made: list[Made]
) -> None:
    rows = await walked(system)
    brought = set()
    for one in made:
        found = dict(rows_of(one.events))
        brought |= set(found)
        noted = {name for name, value in one.changes.items() if name.startswith(seen.PREFIX) and value}
        assert noted == set(found.values())
    assert brought >= {row.identity for row in rows if row.identity in brought}
    assert len(brought) > 20


async def test_whoever_asks_behind_a_refused_signature_sends_nothing_before_it_may_be_tried_again(
    system: Any,
) -> None:
    async with system("unauthorized-401=inf", options=SCALE) as (simulator, bench):
        await bench.until_state("refused")
        async with _open_http(bench.runtime.config) as http:
            cc, before = CcFs(bench.runtime, http), len(simulator.requests)
            for _ in range(5):
                with pytest.raises(Rejected):
                    await cc.look()
            assert len(simulator.requests) == before + 2
            cc.try_again()
            with pytest.raises(Rejected):
                await cc.look()
            assert len(simulator.requests) == before + 3


async def test_what_is_exported_again_after_all_is_lost_has_the_same_ids(tmp_path: Path) -> None:
    async with open_huawei_simulator(HuaweiOptions(**SCALE)) as simulator:
        simulator.history(1.0, 10)
        config = config_for(simulator, start_from=simulator.now() - timedelta(hours=1))
        ids: list[dict[Any, str]] = []
        for life in ("one", "other"):
            (tmp_path / life).mkdir()
            async with open_bench(tmp_path / life, config, simulator.ingress_port) as bench:
                await bench.until(lambda: set(bench.published()) >= set(simulator.truth()))
                found = [*bench.rows(), *bench.events("call.ended")]
                ids.append({(event["type"], _key(event)): event["id"] for event in found})
    common = ids[0].keys() & ids[1].keys()
    assert len(common) > 10
    assert {key: ids[0][key] for key in common} == {key: ids[1][key] for key in common}


def _key(event: dict[str, Any]) -> str:
    data = event["data"]
    return "|".join(str(data.get(name)) for name in ("call_id", "call_id_num", "device_no", "file_name"))
