"""All that calls for one group keeps to one pace (vendors/omilia.md, section 6)."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from streamd.clock import SystemClock
from streamd.connectors.omilia import pace
from streamd.connectors.omilia.account import open_exports
from streamd.connectors.omilia.pace import pace_of
from streamd.simulators.omilia import open_omilia_simulator
from tests.connectors.omilia.managing import config_for, open_context

MINUTE = 0.5


async def test_two_connectors_of_one_group_call_no_more_often_than_one_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "MINUTE_SECONDS", MINUTE)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with open_omilia_simulator() as simulator:
        config = config_for(simulator, requests_per_minute=6)
        async with (
            open_context(tmp_path / "one", config, SystemClock()) as one,
            open_context(tmp_path / "two", config, SystemClock()) as two,
            open_exports(one.runtime) as exports,
            open_exports(two.runtime) as others,
        ):
            began = trio.current_time()
            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(exports.subscriptions)
                    nursery.start_soon(others.subscriptions)
            assert trio.current_time() - began > MINUTE, "the seventh call waits for the next minute"


def test_groups_and_platforms_have_a_pace_each() -> None:
    clock = SystemClock()
    first = pace_of("https://eu1-a.ocp.ai", "acme", clock, 60)
    assert pace_of("https://EU1-A.ocp.ai/", "acme", clock, 60) is first
    assert pace_of("https://eu1-a.ocp.ai", "other", clock, 60) is not first
    assert pace_of("https://us1-a.ocp.ai", "acme", clock, 60) is not first
