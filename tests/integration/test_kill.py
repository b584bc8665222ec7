"""kill -9, again and again, under load: nothing that was sent goes missing without a word."""

from __future__ import annotations

import random
import time
from typing import Any

import trio

from streamd.simulators.avaya import AvayaOptions, open_avaya_simulator
from tests import judge
from tests.warm import WarmDaemon

KILLS = 50
PRODUCERS = ("Agent_itd_1.0.0", "Queue_itd_1.0.0")
SLACK_SECONDS = 2.0
QUICK = "ping_interval_seconds = 0.5\nsnapshot_settle_seconds = 0.5\n"


async def _connected_again(avaya: Any, before: int) -> None:
    """Wait until the simulator has confirmed a new socket for each producer."""
    with trio.fail_after(60):
        while len({entry.producer for entry in avaya.log[before:]}) < len(PRODUCERS):
            await trio.sleep(0.02)


async def test_fifty_kills_under_load_lose_nothing_that_no_gap_declares(site: Any) -> None:
    dice = random.Random(20261127)
    away = 0.0
    async with open_avaya_simulator(AvayaOptions(keys=30, rate=600, producers=PRODUCERS)) as avaya:
        daemon = site.daemon(avaya.connector_table() + QUICK, kind=WarmDaemon)
        daemon.start()
        await daemon.until("live")
        for _ in range(KILLS):
            await trio.sleep(dice.uniform(0.02, 0.8))
            daemon.kill()
            down, before = time.monotonic(), len(avaya.log)
            avaya.remove_keys(1, PRODUCERS[0], silent=True)
            avaya.add_keys(1, PRODUCERS[0], silent=True)
            daemon.start()
            await _connected_again(avaya, before)
            away += time.monotonic() - down
        await daemon.until("live")
        await daemon.healed()  # with that, stale keys are retired
        avaya.set_rate(0)
        await daemon.complete()
        truth, sent = avaya.truth(), list(avaya.log)
        assert await daemon.stop() == 0, daemon.tail()
    topics = await trio.to_thread.run_sync(site.read)
    measures = judge.events(topics["avaya.measures"])
    holes = judge.gaps(topics["streamd.gaps"])
    assert judge.undeclared(sent, measures, holes) == []
    assert judge.missing_numbers(measures + judge.events(topics["streamd.connectors"])) == {}
    assert judge.contradictions(measures) == []
    assert judge.latest(topics["avaya.measures.state"]) == truth
    ours = [hole for hole in holes if hole["cause"] not in ("new_spool", "stopped")]
    declared = sum(judge.instant(hole["to"]) - judge.instant(hole["from"]) for hole in ours)
    assert declared / len(PRODUCERS) <= away + SLACK_SECONDS * KILLS, (declared, away)
