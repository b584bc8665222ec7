"""A day of a recorder with faults all over, the daemon killed thirty times: on Kafka is what happened."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import trio

from streamd.simulators.kafka import open_embedded_kafka
from streamd.simulators.oracle_isr import (
    Fate,
    OracleIsrOptions,
    OracleIsrSimulator,
    open_oracle_isr_simulator,
)
from tests import judge
from tests.daemon import DaemonProcess
from tests.kafka.embedded import EmbeddedCluster
from tests.warm import WarmDaemon

CALLS = 5000
KILLS = 30
SCALE = 2400.0  # a day in 36 seconds
NAME = "isr-day"
TOPICS = (
    "oracle_isr.recordings",
    "streamd.connectors",
    "streamd.connectors.state",
    "streamd.gaps",
    "streamd.dead-letter",
)
# A moment each; what a day is made of beside them is in LIFE.
MOMENTS = (
    *("code-10:details=2", "code-11:details=2", "code-15:details=1", "nack:details=2", "code-20:details=2"),
    *("error-500:details=3", "unavailable-503:details=1", "gateway-html:details=2", "tomcat-200:details=2"),
    *("empty-body:details=2", "reset:details=3", "unauthorized-401:details=1", "xml-utf8", "xml-utf16-le"),
    *("json-text", "order-newest", "errors-xml", "none-empty-list", "match-without-ucid", "slow-reply=0.05"),
)
LIFE = ("short=5", "split=20", "pause=20", "shared-call=50", "lost=200", "same-second", "no-ingress=40")
NOTIFICATIONS = ("notify-duplicate=5", "notify-lost=2", "notify-shuffled=5", "notify-forged=1")
# As a destination is set up for hints: a segment's events say nothing more.
HINTED = frozenset({"RECORDING_STARTED_EVENT", "RECORDING_ENDED_EVENT"})


def of_kind(events: Iterable[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    return [event for event in events if event["type"] == f"streamd.recording.{kind}"]


async def a_day(simulator: OracleIsrSimulator, daemon: DaemonProcess, dice: random.Random) -> None:
    """Let it pass: each time the daemon is killed shortly after it asked again."""
    for _ in range(KILLS):
        answered = len(simulator.replies)
        with trio.fail_after(30):
            while len(simulator.replies) < answered + 4:
                await trio.sleep(0.02)
        await trio.sleep(dice.uniform(0.0, 0.9))  # thirty times some second: all over the day
        simulator.set_faults(*LIFE, *NOTIFICATIONS, dice.choice(MOMENTS))
        daemon.kill()
        daemon.start()
    simulator.set_faults(*LIFE)


async def test_a_day_of_faults_ends_with_every_recording_once_and_none_invented(
    tmp_path: Path, consume_all: Callable[..., Any]
) -> None:
    dice = random.Random(20261128)
    options = OracleIsrOptions(
        rate=CALLS / 30,
        calls=CALLS,
        call_seconds=180.0,
        time_scale=SCALE,
        faults=frozenset(LIFE),
        notify_events=HINTED,
    )
    with open_embedded_kafka() as embedded:
        kafka = EmbeddedCluster(embedded)
        prefix = kafka.unique_prefix()
        for topic in TOPICS:
            kafka.create_topic(f"{prefix}.{topic}", 6)
        async with open_oracle_isr_simulator(options) as simulator:
            simulator.notify_to(simulator.ingress_url(NAME))
            table = simulator.connector_table(
                NAME,
                start_from=simulator.now().isoformat(timespec="seconds").replace("+00:00", "Z"),
                poll_seconds="5",
                retry_min_seconds="0.05",
                retry_max_seconds="0.5",
                relogin_seconds="1",
            )
            daemon = WarmDaemon(tmp_path, table + simulator.ingress_table(), kafka.bootstrap_servers, prefix)
            try:
                daemon.start()
                await a_day(simulator, daemon, dice)
                await daemon.until("live")
                with trio.fail_after(300):
                    await simulator.settle()
                    await caught_up(simulator, daemon)
                await daemon.drained()
                assert await daemon.stop() == 0, daemon.tail()
                truth = simulator.truth()
                lost = simulator.of_fate(Fate.LOST)
                known = {each.call_key for each in simulator.recordings}
            finally:
                daemon.close()
            found = await trio.to_thread.run_sync(
                consume_all, kafka.bootstrap_servers, [f"{prefix}.{topic}" for topic in TOPICS]
            )
    events = judge.events(found[f"{prefix}.oracle_isr.recordings"])
    events = list({(event["source"], event["id"]): event for event in events}.values())
    ended = Counter(event["data"]["recording_id"] for event in of_kind(events, "ended"))
    wanted = {str(each) for each in truth}
    assert wanted - ended.keys() == set()
    assert {id_: count for id_, count in ended.items() if count > 1} == {}
    assert {event["data"]["call_id"] for event in events} <= known
    began = {event["data"]["call_id"] for event in of_kind(events, "started")}
    assert {event["data"]["call_id"] for event in of_kind(events, "ended")} <= began
    missing = {event["data"]["tmp_recording_id"] for event in of_kind(events, "lost")}
    assert missing <= {str(each.tmp_id) for each in lost}
    for id_, count in Counter(event["data"]["recording_id"] for event in of_kind(events, "updated")).items():
        assert count < truth[int(id_)].revision
    assert not [hole for hole in judge.gaps(found[f"{prefix}.streamd.gaps"]) if hole["cause"] != "new_spool"]
    assert judge.missing_numbers([*events, *judge.events(found[f"{prefix}.streamd.connectors"])]) == {}


async def caught_up(simulator: OracleIsrSimulator, daemon: DaemonProcess) -> None:
    """Wait until every finished recording is read and committed: each window waits for the one before."""
    while any(not each.detailed for each in simulator.truth().values()):
        await trio.sleep(0.1)
    asked = windows(simulator)
    while windows(simulator) < asked + 3:
        simulator.notify()  # brings the next poll forward
        await trio.sleep(0.1)
    assert daemon.pid


def windows(simulator: OracleIsrSimulator) -> int:
    return sum("latestEnd" in each.query for each in simulator.replies)
