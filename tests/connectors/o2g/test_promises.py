"""What is not committed is not proven, and who can wait drops nothing."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio

from streamd.live.intake import Intake
from streamd.simulators.o2g import O2gOptions
from tests.running import see_proof_held_back


async def test_what_is_read_and_not_committed_holds_the_proof_of_life_back(system: Any) -> None:
    async with system(O2gOptions(rate=200.0)) as (_, running):
        await running.until_state("live")
        await see_proof_held_back(running, "events", 1.5)  # many lines


async def test_with_when_full_wait_no_stuck_spool_is_long_enough_to_drop_anything(
    system: Any, truth: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamd.connectors.o2g.stream.PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr("streamd.connectors.o2g.stream.Intake", partial(Intake, most=400))
    monkeypatch.setattr("streamd.live.pace.MOST_UNCOMMITTED", 100)
    async with system(O2gOptions(rate=500.0), when_full="wait") as (simulator, running):
        await running.until_state("live")
        usage = running.spool.usage(running.runtime.origin.connector)
        usage.share = 0
        await trio.sleep(1.5)  # far beyond that patience
        simulator.set_rate(0)
        assert running.tally["dropped_events"] == 0
        usage.share = 2**28
        await running.until(lambda: (running.calls(), running.agents()) == truth(simulator))
        assert {gap["cause"] for gap in running.gaps().values()} == {"new_spool"}
