"""The connector against the simulator, on a real spool: what it keeps, and what it leaves behind."""

from __future__ import annotations

from typing import Any

import trio

from streamd.simulators.o2g import O2gOptions


async def test_events_and_states_come_out_as_the_switchboards_own(system: Any, truth: Any) -> None:
    async with system(O2gOptions(rate=200.0)) as (simulator, running):
        await running.until_state("live")
        await trio.sleep(1.0)
        simulator.set_rate(0)
        await running.until(lambda: (running.calls(), running.agents()) == truth(simulator))
        sent = [each for each in simulator.log if each.package]
        published = [event for event in running.events() if event["source"].startswith("/o2g/o2g-test/")]
        assert len([each for each in published if each["data"].get("event_name")]) == len(sent)
