"""`streamd backfill` of an Omilia connector: the real daemon exports what an operator asks for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import trio

from streamd.simulators.omilia import OmiliaOptions, OmiliaSimulator, open_omilia_simulator
from tests.cli.process import command, environment
from tests.connectors.omilia.pushing import NAME, QUICK, identities
from tests.connectors.omilia.test_push_kill import TOPICS
from tests.daemon import DaemonProcess

HOUR = timedelta(hours=1)
SCALE = 20.0  # an export is READY after 0.3 s


def exported(simulator: OmiliaSimulator, begin: datetime, end: datetime) -> int:
    return sum(begin.timestamp() <= each.time / 1000 < end.timestamp() for each in simulator.records)


async def test_a_backfill_ends_when_all_that_was_missing_is_on_kafka_and_a_second_one_finds_nothing(
    kafka: Any, tmp_path: Path, consume_all: Callable[..., Any]
) -> None:
    prefix = kafka.unique_prefix()
    if not kafka.real:
        for topic in TOPICS:
            kafka.create_topic(f"{prefix}.{topic}", 3)
    async with open_omilia_simulator(OmiliaOptions(time_scale=SCALE)) as simulator:
        simulator.history(9, 20)
        table = simulator.connector_table(NAME, **QUICK, export="{ poll_seconds = 0.05 }")
        daemon = DaemonProcess(tmp_path, simulator.ingress_table() + table, kafka.bootstrap_servers, prefix)
        end = simulator.now().replace(minute=0, second=0, microsecond=0) - 3 * HOUR
        begin = end - 4 * HOUR
        asked = ("--from", begin.isoformat(), "--to", end.isoformat())

        async def backfill() -> str:
            done = await trio.run_process(
                command("backfill", tmp_path / "streamd.toml", NAME, *asked),
                capture_stdout=True,
                check=False,
                env=environment(),
            )
            assert done.returncode == 0, daemon.tail()
            return done.stdout.decode().splitlines()[-1]

        try:
            daemon.start()
            await daemon.until("live")
            live = simulator.call()
            with trio.fail_after(90):
                await simulator.settle()
                count = exported(simulator, begin, end)
                figures = "{} published, {} known, 0 dead_letters"
                assert await backfill() == f"{NAME}: all on Kafka: {figures.format(count, 0)}", daemon.tail()
                topic = f"{prefix}.omilia.dialogs"
                found = await trio.to_thread.run_sync(consume_all, kafka.bootstrap_servers, [topic])
                assert await backfill() == f"{NAME}: all on Kafka: {figures.format(0, count)}"
            assert await daemon.stop() == 0, daemon.tail()
        finally:
            daemon.close()
    events = [json.loads(record.value) for record in found[topic]]
    assert len(events) == count + len(live) > len(live)
    assert max(Counter(identities(events)).values()) == 1
    assert Counter(event["phase"] for event in events) == {"backfill": count, "live": len(live)}
