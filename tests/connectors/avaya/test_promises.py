"""A source that cannot wait says what it dropped, and its state topic is right again in the end."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio

from streamd.live.intake import Intake
from streamd.simulators.avaya import AvayaOptions
from tests.judge import instant
from tests.running import see_proof_held_back

QUEUE = "Queue_itd_1.0.0"


async def test_a_full_spool_drops_events_inside_a_gap_that_counts_them_and_the_state_converges(
    system: Any, truth: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamd.connectors.avaya.stream.PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr("streamd.connectors.avaya.stream.Intake", partial(Intake, most=200))
    monkeypatch.setattr("streamd.live.pace.MOST_UNCOMMITTED", 100)
    async with system(AvayaOptions(keys=30, producers=(QUEUE,), rate=1000.0)) as (simulator, running):
        await running.until_state("live")
        usage = running.spool.usage(running.runtime.origin.connector)
        usage.share = 0
        await running.until(lambda: running.tally["dropped_events"] > 200)
        simulator.remove_keys(3)
        simulator.set_rate(0)
        await trio.sleep(0.2)
        usage.share = 2**28
        await running.until(lambda: running.table() == truth(simulator, QUEUE))
        await running.until(lambda: [gap for gap in holes(running) if gap["to"]])
        [hole] = holes(running)
        arrived = len(running.events(".upserted")) + len(running.events("measure.deleted"))
        assert hole["count"] == running.tally["dropped_events"] == simulator.messages_sent - arrived
        assert instant(hole["from"]) < instant(hole["to"])
        assert (hole["scope"], hole["events"], hole["state"]) == ([QUEUE], "lost", "restored")


async def test_what_is_read_and_not_committed_holds_the_proof_of_life_back(
    system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamd.connectors.avaya.stream.BUSY_PING_SECONDS", 0.1)
    async with system(AvayaOptions(keys=5, producers=(QUEUE,), rate=200.0)) as (_, running):
        await running.until_state("live")
        await see_proof_held_back(running, QUEUE, 1.2)  # many pongs


def holes(running: Any) -> list[dict[str, Any]]:
    """Give the gaps of what was dropped, each as it is now."""
    found = [event["data"] for event in running.events() if ".gap." in event["type"]]
    return list({gap["gap_id"]: gap for gap in found if gap["cause"] == "overflow"}.values())
