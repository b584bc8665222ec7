"""One connector's trouble is its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from streamd.errors import Transient
from tests.core import open_core


async def test_a_bug_in_one_connectors_proof_of_life_restarts_it_and_touches_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_core(tmp_path, monkeypatch, connectors=["paris", "rome"]) as core:
        await core.reach("paris", "live")
        await core.reach("rome", "live")
        before = core.lamps["rome"]

        async def break_the_proof(context: Any, link: Any) -> None:
            link.prove_with(lambda: 1 / 0)
            await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(core.lamps["paris"].obey, break_the_proof)
            await core.reach("paris", "lost")
        await core.switch("rome", 3)
        assert core.lamps["rome"] is before
        await core.reach("paris", "live")


async def test_a_crashing_session_is_parked_and_the_other_connector_runs_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamd.supervision._FIRST_WAIT", 0.01)
    async with open_core(tmp_path, monkeypatch, connectors=["paris", "rome"]) as core:

        async def crash(context: Any, link: Any) -> None:
            raise ZeroDivisionError

        for end in ("lost", "lost", "lost", "parked"):
            await core.reach("paris", "live")
            await core.lamps["paris"].obey(crash)
            await core.reach("paris", end)
        await core.switch("rome", 3)
        await core.daemon.reload()
        await core.reach("paris", "live")


async def test_a_session_taken_out_of_the_configuration_leaves_no_open_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_core(tmp_path, monkeypatch, connectors=["paris"]) as core:
        core.lamps["paris"].name = "old"  # as a measure producer that was configured before

        async def lose(context: Any, link: Any) -> None:
            raise Transient("gone")

        await core.lamps["paris"].obey(lose)
        await core.reach("paris", "live")
        await core.daemon.fleet.restart("paris")  # its session bears the configured name again
        await core.reach("paris", "live")
        with trio.fail_after(30):
            while core.daemon.fleet.runtimes["paris"].gaps.open_count:
                await trio.sleep(0.01)
