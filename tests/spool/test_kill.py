"""SIGKILL at any moment: what append confirmed is there, and the numbers have no hole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.spool.rig import TOPIC, Rig

_CHILD = """
import sys, trio
from itertools import count
from pathlib import Path
from streamd.spool.rows import by_connector
from tests.spool.rig import ORIGIN, OTHER, TOPIC, Rig, event, number_of, state

async def appending(spool, origin, calls):
    for call in calls:
        given = [call * 10 + each for each in range(call % 7 + 1)]
        items = [*(event(number, f"k{number % 10}") for number in given), state(call)]
        await spool.append(origin, items, {"last": str(call).encode()})
        print("confirmed", origin.connector, call, *given, flush=True)

async def publishing(spool, partition):
    while True:
        for row in (await spool.lane(TOPIC, partition).take())[::2]:
            for origin, records in by_connector(row.shares, row.records):
                print("published", origin.connector, row.id, *map(number_of, records), flush=True)
            spool.acknowledge([row])

async def main():
    spool = Rig(Path(sys.argv[1])).spool(partitions=2, cache_bytes=5000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spool.write)
        nursery.start_soon(publishing, spool, 0)
        print("ready", flush=True)
        for origin in (ORIGIN, OTHER):
            nursery.start_soon(appending, spool, origin, count(int(sys.argv[2])))

trio.run(main)
"""


@pytest.mark.parametrize("seed", range(4))
def test_after_a_kill_all_that_was_confirmed_is_there_and_numbered_without_a_hole(
    tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    confirmed: dict[str, set[int]] = {"emea": set(), "paris": set()}
    published: dict[str, set[int]] = {"emea": set(), "paris": set()}
    for life in range(5):
        last = {"emea": -1, "paris": -1}
        for word, connector, call, *given in _killed(tmp_path, life * 1_000_000, dice.uniform(0.0, 0.15)):
            {"confirmed": confirmed, "published": published}[word][connector] |= set(map(int, given))
            if word == "confirmed":
                last[connector] = int(call)
        rig = Rig(tmp_path)
        store = rig.store()
        assert not store.fresh
        assert all(int(store.state(connector, "last") or b"-1") >= last[connector] for connector in last)
        numbers = store.numbers()
        rig.close()
        for connector, vendor in (("emea", "avaya"), ("paris", "o2g")):
            events = [each for each in rig.events(TOPIC) if each["connector"] == connector]
            waiting = {each["data"]["n"]: int(each["sequence"]) for each in events}
            assert len(waiting) == len(events)
            assert confirmed[connector] <= waiting.keys() | published[connector]
            # Rows that were published may have left; each number between is given to one event.
            assert len(set(waiting.values())) == len(events)
            accepted = numbers.get((connector, "measures"), 0)
            assert len(waiting.keys() | published[connector]) == accepted
            assert all(1 <= sequence <= accepted for sequence in waiting.values())
            assert all(each["source"] == f"/{vendor}/{connector}/measures" for each in events)


def _killed(home: Path, first: int, seconds: float) -> list[list[str]]:
    """Let a child append and publish for a while, kill it, and give the lines that it had printed."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", _CHILD, str(home), str(first)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(seconds)  # the moment of the kill is the input of this test
        child.send_signal(signal.SIGKILL)
        lines = child.stdout.read().splitlines(keepends=True)
    assert child.returncode == -signal.SIGKILL
    return [line.split() for line in lines if line.endswith("\n")]
