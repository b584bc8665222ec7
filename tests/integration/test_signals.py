"""The daemon is told to stop, to read its configuration again, killed, and started on what it left."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from streamd.simulators.avaya import AvayaOptions, AvayaSimulator, open_avaya_simulator
from tests import judge
from tests.daemon import DaemonProcess
from tests.integration.conftest import Site
from tests.kafka.embedded import EmbeddedCluster
from tests.kafka.reader import Record

QUEUE = "Queue_itd_1.0.0"
MEASURES, STATE = "avaya.measures", "avaya.measures.state"
QUICK = (
    "snapshot_settle_seconds = 0.5\nretry_min_seconds = 0.1\nretry_max_seconds = 0.5\n"
    "ping_interval_seconds = 0.5\n"
)
Topics = Mapping[str, Sequence[Record]]


@asynccontextmanager
async def avaya_at(rate: float, **more: Any) -> AsyncIterator[AvayaSimulator]:
    options = AvayaOptions(**{"keys": 20, "rate": rate, "producers": (QUEUE,), **more})
    async with open_avaya_simulator(options) as avaya:
        yield avaya


async def read(site: Site) -> dict[str, list[Record]]:
    return await trio.to_thread.run_sync(site.read)


async def rested(site: Site, daemon: DaemonProcess, avaya: AvayaSimulator) -> dict[str, list[Record]]:
    """Let all of it come to rest, stop the daemon, and give what is on Kafka."""
    await daemon.healed()  # soon, while messages come
    avaya.set_rate(0)
    await daemon.complete()
    assert await daemon.stop() == 0, daemon.tail()
    return await read(site)


def complete(topics: Topics, sent: Sequence[Any], *, epochs: int = 1) -> None:
    """Assert that nothing is missing without a word, by what was sent and by the numbers."""
    measures = judge.events(topics[MEASURES])
    numbered = measures + judge.events(topics["streamd.connectors"])
    holes = judge.gaps(topics["streamd.gaps"])
    lost = [(entry.sent_at, entry.keys) for entry in judge.undeclared(sent, measures, holes)]
    assert lost == [], judge.spans(holes)
    assert judge.missing_numbers(numbered) == {}
    assert judge.contradictions(numbered) == []
    assert len({event["epoch"] for event in numbered}) == epochs


async def test_sigterm_under_load_drains_and_a_restart_goes_on_where_it_ended(site: Site) -> None:
    async with avaya_at(300) as avaya:
        daemon = site.daemon(avaya.connector_table() + QUICK)
        daemon.start()
        await daemon.until("live")
        await daemon.healed()
        assert await daemon.stop() == 0, daemon.tail()
        topics = await read(site)
        complete(topics, avaya.log)
        last = judge.events(topics["streamd.connectors"])[-2:]
        assert [event["type"].rpartition(".")[2] for event in last] == ["stopped", "progress"]
        assert last[-1]["data"]["state"] == "stopped"
        measured = max(event["sequence"] for event in judge.events(topics[MEASURES]))
        assert last[-1]["data"]["last"]["measures"]["sequence"] == measured
        [stopped] = [hole for hole in judge.gaps(topics["streamd.gaps"]) if hole["to"] is None]
        assert stopped["cause"] == "stopped"
        avaya.remove_keys(2, silent=True)
        daemon.start()
        await daemon.until("live")
        await daemon.healed()
        topics = await rested(site, daemon, avaya)
        complete(topics, avaya.log)
        assert judge.latest(topics[STATE]) == avaya.truth()
        [again] = [h for h in judge.gaps(topics["streamd.gaps"]) if h["gap_id"] == stopped["gap_id"]]
        assert again["from"] == stopped["from"] < again["to"]
        assert (again["healed_by"], again["state"]) == ("snapshot", "restored")
        follower = min(e["sequence"] for e in judge.events(topics[MEASURES]) if e["sequence"] > measured)
        assert int(follower) == int(measured) + 1


async def test_while_kafka_is_down_a_stop_keeps_everything_and_a_second_signal_cuts_the_wait_short(
    embedded_kafka: Any, own_site: Any
) -> None:
    site = own_site(EmbeddedCluster(embedded_kafka))
    async with avaya_at(100) as avaya:
        daemon = site.daemon(avaya.connector_table() + QUICK)
        daemon.start()
        await daemon.until("live")
        embedded_kafka.broker_down()
        await trio.sleep(2)
        daemon.terminate()
        await daemon.logged("draining")
        await trio.sleep(0.5)
        daemon.terminate()
        assert await daemon.ended() == 0, daemon.tail()
        assert "drain_cut_short" in daemon.tail()
        sent = list(avaya.log)
        daemon.start()
        with trio.fail_after(60):
            while not (await waiting(daemon)) > len(sent) // 2:
                await trio.sleep(0.1)
        assert await daemon.stop() == 0, daemon.tail()  # its patience for Kafka ends by itself
        embedded_kafka.broker_up()
        daemon.start()
        await daemon.until("live")
        topics = await rested(site, daemon, avaya)
        complete(topics, avaya.log)
        assert judge.latest(topics[STATE]) == avaya.truth()


async def waiting(daemon: DaemonProcess) -> int:
    """Give how many events wait in the spool; none while there is no answer yet."""
    await daemon.until("live")
    return sum(each["spool"]["events"] for each in (await daemon.status())["connectors"].values())


async def test_sighup_touches_the_changed_connector_alone_and_a_bad_configuration_none(site: Site) -> None:
    async with avaya_at(50) as first, avaya_at(50) as second:
        tables = [first.connector_table("first") + QUICK, second.connector_table("second") + QUICK]
        daemon = site.daemon("".join(tables))
        daemon.start()
        await daemon.until("live")
        await daemon.healed()
        daemon.configure("".join(tables) + "snapshot_quiet_seconds = 'ten'\n")
        daemon.hang_up()
        await daemon.logged("reload_refused")
        daemon.configure(tables[0] + tables[1] + "snapshot_quiet_seconds = 5\n")
        daemon.hang_up()
        await daemon.logged("reloaded")
        await daemon.until("live")
        await daemon.healed()
        first.set_rate(0)
        topics = await rested(site, daemon, second)
    told = judge.events(topics["streamd.connectors"])
    moments = Counter((event["connector"], event["type"].rpartition(".")[2]) for event in told)
    assert moments["first", "connected"] == moments["first", "stopped"] == 1
    assert moments["second", "connected"] == moments["second", "stopped"] == 2
    [hole] = [h for h in judge.gaps(topics["streamd.gaps"]) if h["cause"] == "reconfigured"]
    assert hole["state"] == "restored"


async def test_a_second_daemon_on_the_same_state_is_refused_and_the_first_goes_on(site: Site) -> None:
    async with avaya_at(50) as avaya:
        daemon = site.daemon(avaya.connector_table() + QUICK)
        daemon.start()
        await daemon.until("live")
        command = [sys.executable, "-m", "streamd", "run", "--config", str(daemon.directory / "streamd.toml")]
        ended = await trio.run_process(command, check=False, capture_stdout=True, capture_stderr=True)
        assert ended.returncode == 1
        assert f"in use by another streamd (pid {daemon.pid})" in ended.stderr.decode()
        await daemon.until("live")
        topics = await rested(site, daemon, avaya)
        complete(topics, avaya.log)


async def test_a_spool_found_corrupt_after_a_kill_is_set_aside_and_a_new_epoch_begins_with_a_gap(
    site: Site,
) -> None:
    async with avaya_at(100) as avaya:
        daemon = site.daemon(avaya.connector_table() + QUICK)
        daemon.start()
        await daemon.until("live")
        await daemon.healed()
        avaya.set_rate(0)  # what is not on Kafka by now would be lost with the spool
        await daemon.complete()
        daemon.kill()
        avaya.set_rate(100)
        spool = daemon.state / "spool.db"
        with sqlite3.connect(spool) as database:  # what is in its write-ahead log has to be in the file
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        with spool.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * 65536)
        daemon.start()
        await daemon.until("live")
        await daemon.healed()
        assert list(daemon.state.glob("spool.db.corrupt-*"))
        topics = await rested(site, daemon, avaya)
    events = judge.events(topics[MEASURES])
    latter = max(event["epoch"] for event in events)
    complete(topics, avaya.log, epochs=2)
    begun = [hole for hole in judge.gaps(topics["streamd.gaps"]) if hole["cause"] == "new_spool"]
    assert [hole["from"] for hole in begun] == [None, None]
    assert min(event["sequence"] for event in events if event["epoch"] == latter) == f"{1:020}"
    assert judge.latest(topics[STATE]) == avaya.truth()


async def test_a_full_share_drops_events_inside_a_declared_gap_and_the_state_converges(
    own_real_kafka: Any, own_site: Any
) -> None:
    site = own_site(own_real_kafka)
    async with avaya_at(3000) as avaya:
        small = "spool_bytes = 1048576\n"
        daemon = site.daemon(avaya.connector_table() + QUICK + small)
        daemon.start()
        await daemon.until("live")
        await daemon.healed()
        await trio.to_thread.run_sync(own_real_kafka.kill)
        await daemon.logged("intake_overflow", 90)
        avaya.remove_keys(2)
        await trio.sleep(2)
        await trio.to_thread.run_sync(own_real_kafka.start)
        await daemon.logged("intake_recovered")
        topics = await rested(site, daemon, avaya)
        complete(topics, avaya.log)
        truth = avaya.truth()
    [hole] = [hole for hole in judge.gaps(topics["streamd.gaps"]) if hole["cause"] == "overflow"]
    arrived = len({event["id"] for event in judge.events(topics[MEASURES])})
    assert hole["count"] == len(avaya.log) - arrived > 0
    assert hole["state"] == "restored"
    assert judge.latest(topics[STATE]) == truth


async def test_in_binary_mode_the_attributes_are_headers_and_the_value_is_the_data(site: Site) -> None:
    async with avaya_at(100) as avaya:
        daemon = site.daemon(avaya.connector_table() + QUICK, "cloudevents_mode = 'binary'")
        daemon.start()
        await daemon.until("live")
        await trio.sleep(1)
        topics = await rested(site, daemon, avaya)
        structured = {topic: [_structured(record) for record in found] for topic, found in topics.items()}
        complete(structured, avaya.log)
        assert judge.latest(structured[STATE]) == avaya.truth()
    record = topics[MEASURES][0]
    headers = dict(record.headers)
    assert headers["content-type"] == b"application/json"
    assert {"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_sequence"} <= headers.keys()
    assert json.loads(record.value)["measure_producer_id"] == QUEUE


def _structured(record: Record) -> Record:
    """Turn a binary record into what it would be in structured mode."""
    if record.value is None:
        return record
    headers = dict(record.headers)
    attributes = {
        name.removeprefix("ce_"): (value or b"").decode()
        for name, value in headers.items()
        if name.startswith("ce_")
    }
    event = {**attributes, "data": json.loads(record.value)}
    return record._replace(value=msgspec.json.encode(event))
