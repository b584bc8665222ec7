"""The main job: Avaya to Kafka, by the daemon as it is run."""

from __future__ import annotations

import json
import sys
from typing import Any

import trio

from streamd.simulators.avaya import AvayaOptions, open_avaya_simulator
from tests import judge


async def test_every_message_is_on_kafka_in_order_and_the_state_topic_equals_the_truth(site: Any) -> None:
    async with open_avaya_simulator(AvayaOptions(keys=40, rate=400)) as avaya:
        daemon = site.daemon(avaya.connector_table() + "ping_interval_seconds = 0.5\n")
        daemon.start()
        await daemon.until("live")
        with trio.fail_after(60):
            while len(avaya.log) <= 1000:
                await trio.sleep(0.05)
        await daemon.healed()  # soon, while messages come
        avaya.set_rate(0)
        await daemon.complete()
        truth, sent = avaya.truth(), list(avaya.log)
        assert await daemon.stop() == 0, daemon.tail()
    topics = await trio.to_thread.run_sync(site.read)
    measures = judge.events(topics["avaya.measures"])
    assert len(sent) > 800
    assert judge.undeclared(sent, measures, ()) == []
    assert judge.latest(topics["avaya.measures.state"]) == truth
    everything = [
        event for topic in ("avaya.measures", "streamd.connectors") for event in judge.events(topics[topic])
    ]
    assert judge.missing_numbers(everything) == {}
    assert judge.contradictions(everything) == []
    assert topics["streamd.dead-letter"] == []
    assert [hole["cause"] for hole in judge.gaps(topics["streamd.gaps"])].count("new_spool") == 4
    servers = ",".join(site.kafka.bootstrap_servers)
    command = [sys.executable, "-m", "streamd", "audit", "--bootstrap-servers", servers]
    command += ["--topic-prefix", site.prefix, "--json"]
    audit = await trio.run_process(command, capture_stdout=True, check=False)
    assert audit.returncode == 0, audit.stdout
    assert json.loads(audit.stdout)["duplicates"] == 0
