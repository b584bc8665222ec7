"""A day of 5,000 calls, a fault every few minutes of it, 30 times kill -9: each row is on Kafka once."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import trio

from streamd.simulators.huawei_aicc import HuaweiOptions, identify, open_huawei_simulator
from tests import judge
from tests.warm import WarmDaemon

CALLS, KILLS, SCALE = 5000, 30, 600.0
ROWS = {"huawei_aicc.cdrs": "call", "huawei_aicc.recordings": "record"}
CORE = ("streamd.connectors", "streamd.connectors.state", "streamd.gaps", "streamd.dead-letter")
# What is compared of a row's content: columns that the simulator changes, and such as no zone has a part in.
COMPARED = (
    "agent_id",
    "callee_no",
    "release_cause",
    "leave_reason",
    "task_status",
    "task_result",
    "file_name",
)
ALWAYS = ("changed-rows=20",)
FAULTS = (
    ("gateway-502:query=1",),
    ("zip-truncated=1",),
    ("callback-never=1",),
    ("query-reset=1",),
    ("zip-cut=1", "callback-repeat=2"),
    ("zip-bad-crc=1", "callback-forged=1"),
    ("query-code:0300045=1",),
    ("callback-early",),
    ("query-code:0300009=1",),
    ("never-ready=1",),
    ("gateway-418:download=1", "callback-unknown=1"),
)


def content(columns: dict[str, Any]) -> tuple[str, ...]:
    return tuple(columns.get(name, "") for name in COMPARED)


async def test_a_day_of_faults_and_kills_ends_with_each_row_once(
    kafka: Any, tmp_path: Any, consume_all: Callable[..., Any]
) -> None:
    dice = random.Random(20240501)
    prefix = kafka.unique_prefix()
    topics = [f"{prefix}.{topic}" for topic in (*ROWS, *CORE)]
    if not kafka.real:
        for topic in topics:
            kafka.create_topic(topic, 6)
    async with open_huawei_simulator(HuaweiOptions(time_scale=SCALE, faults=frozenset(ALWAYS))) as simulator:
        simulator.history(24.0, CALLS)
        start = (simulator.now() - timedelta(hours=25)).isoformat()
        table = simulator.connector_table(
            "aicc",
            start_from=start,
            step_seconds="1800",
            catch_up_seconds="1800",
            lookback_seconds="3600",
            look_seconds="0.2",
            poll_seconds="0.1",
            callback_wait_seconds="0.5",
            job_seconds="2",
            retry_min_seconds="0.05",
            retry_max_seconds="0.5",
        )
        daemon = WarmDaemon(tmp_path, simulator.ingress_table() + table, kafka.bootstrap_servers, prefix)
        faults = itertools.cycle(FAULTS)
        try:
            with trio.fail_after(400):
                for _ in range(KILLS):
                    daemon.start()
                    simulator.set_faults(*ALWAYS, *next(faults))
                    before = len(simulator.jobs)
                    with trio.move_on_after(10):
                        while len(simulator.jobs) == before:
                            await trio.sleep(0.01)
                    await trio.sleep(dice.uniform(0.0, 0.3))
                    daemon.kill()
                simulator.set_faults(*ALWAYS)
                daemon.start()
                while simulator.never_handed():
                    await trio.sleep(0.2)
                await daemon.until("live")
                asked = len(simulator.jobs)
                while len(simulator.jobs) < asked + 2:
                    await trio.sleep(0.05)
                truth, handed = simulator.truth(), simulator.handed()
                await daemon.drained()
            assert await daemon.stop() == 0, daemon.tail()
        finally:
            daemon.close()
        found = await trio.to_thread.run_sync(consume_all, kafka.bootstrap_servers, topics)
        given = simulator.handed()
    on = {topic.removeprefix(f"{prefix}."): judge.events(records) for topic, records in found.items()}
    rows: dict[Any, dict[int, Any]] = defaultdict(dict)
    for topic, kind in ROWS.items():
        for event in on[topic]:
            if event["type"] != "streamd.call.ended":
                rows[identify(kind, event["data"])].setdefault(event["data"]["revision"], []).append(event)
    assert set(truth) <= set(rows)
    assert set(rows) <= set(given)
    for identity, revisions in rows.items():
        assert sorted(revisions) == list(range(1, len(revisions) + 1))
        assert all(len({event["id"] for event in same}) == 1 for same in revisions.values())
        told = [content(revisions[number][0]["data"]) for number in sorted(revisions)]
        assert set(told) <= {content(each) for each in given[identity]}, identity
        if identity in handed and len(handed[identity]) == 1:
            assert len(told) == 1, identity
    ended = {
        event["data"]["call_id"] for event in on["huawei_aicc.cdrs"] if event["type"] == "streamd.call.ended"
    }
    assert {identity.call_id for identity in truth if identity.part == "-1"} <= ended
    gaps = judge.gaps(found[f"{prefix}.streamd.gaps"])
    assert [each for each in gaps if each["cause"] != "new_spool"] == []
    assert on["streamd.dead-letter"] == []
    numbered = [event for topic in (*ROWS, "streamd.connectors") for event in on[topic]]
    assert judge.missing_numbers(numbered) == {}
