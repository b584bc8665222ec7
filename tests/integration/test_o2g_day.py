"""A day of a switchboard over TLS with a fault every second: on Kafka is what happened, or a declared gap."""

from __future__ import annotations

import itertools
import json
import random
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio
import trustme

from streamd.simulators.o2g import O2gOptions, O2gSimulator, digest, open_o2g_simulator
from tests import judge
from tests.daemon import DaemonProcess
from tests.warm import WarmDaemon

CALLS = 2000
RATE = 900.0
EVENTS = ("o2g.telephony", "o2g.agent", "o2g.system")
STATES = ("o2g.calls.state", "o2g.agents.state")
CORE = ("streamd.connectors", "streamd.connectors.state", "streamd.gaps", "streamd.dead-letter")
FAULTS = ("kill", "clean", "rst", "restart", "kill", "fin", "expire", "link")
SLACK_SECONDS = 2.0


class Day:
    """The faults of a day, and for how long each interrupted the events."""

    def __init__(self, simulator: O2gSimulator, daemon: DaemonProcess) -> None:
        self.away = 0.0
        self.faults: Counter[str] = Counter()
        self._simulator = simulator
        self._daemon = daemon

    async def strike(self, name: str) -> None:
        self.faults[name] += 1
        await getattr(self, f"_{name}")()

    @asynccontextmanager
    async def _interruption(self) -> AsyncIterator[None]:
        """Measure until there is a channel that was not there before."""
        began, before = time.monotonic(), {each.number for each in self._simulator.channels}
        yield
        with trio.fail_after(30):
            while not {each.number for each in self._simulator.channels} - before:
                await trio.sleep(0.01)
        self.away += time.monotonic() - began

    async def _clean(self) -> None:
        async with self._interruption():
            await self._simulator.drop_channels("clean")

    async def _fin(self) -> None:
        async with self._interruption():
            await self._simulator.drop_channels("fin")

    async def _rst(self) -> None:
        async with self._interruption():
            await self._simulator.drop_channels("rst")

    async def _kill(self) -> None:
        async with self._interruption():
            self._daemon.kill()
            self._daemon.start()

    async def _restart(self) -> None:
        async with self._interruption():
            self._simulator.restart()

    async def _expire(self) -> None:
        async with self._interruption():
            self._simulator.expire_sessions()

    async def _link(self) -> None:
        began = time.monotonic()
        self._simulator.set_link(up=False)
        await trio.sleep(0.5)
        self._simulator.set_link(up=True)
        self.away += time.monotonic() - began


def folded(events: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Fold the event topic into the calls that are under way, as a consumer would: login|callRef -> state."""
    users: dict[str, dict[str, str]] = {}
    for event in events:
        data = event["data"]
        calls, ref = users.setdefault(data["login_name"], {}), data.get("call_ref")
        match event["type"]:
            case "streamd.user.snapshot":
                calls.clear()
                calls.update({each["call_ref"]: each["call_state"] for each in data["state"]["calls"]})
            case "streamd.call.created" | "streamd.call.modified":
                calls[ref] = data["call_state"]
            case "streamd.call.removed":
                calls.pop(ref, None)
    return {f"{login}|{ref}": state for login, calls in users.items() for ref, state in calls.items()}


def undeclared(simulator: O2gSimulator, events: Iterable[Mapping[str, Any]], holes: list[Any]) -> list[Any]:
    """Give the lines that are neither on Kafka nor inside a declared gap, also of those that nobody heard."""
    arrived: Counter[Any] = Counter()
    for event in {(event["source"], event["id"]): event for event in events}.values():
        data = event["data"]
        if "synthetic" not in data:
            arrived[data.get("login_name", ""), digest(data)] += 1
    wanted = {topic.removeprefix("o2g.") for topic in EVENTS}
    # Of lines that are the same, those outside every gap are the ones that must have arrived.
    spans = [(judge.instant(hole["from"]), judge.instant(hole["to"])) for hole in holes]
    missing = []
    for entry in (*simulator.log, *simulator.unheard):
        if entry.package in wanted and not any(begin <= entry.sent_at <= end for begin, end in spans):
            arrived[entry.login, entry.marker] -= 1
            if arrived[entry.login, entry.marker] < 0:
                missing.append(entry)
    return missing


def latest(records: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """Give what a compacted topic ends with: key without the connector's name -> data."""
    table = {record.key.decode().partition("|")[2]: record.value for record in records}
    return {key: json.loads(value)["data"] for key, value in table.items() if value is not None}


def bare(call: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in call.items() if name not in ("login_name", "call_state")}


async def test_a_day_of_faults_ends_with_the_switchboards_truth(
    kafka: Any, tmp_path: Any, consume_all: Callable[..., Any]
) -> None:
    dice = random.Random(20261128)
    prefix = kafka.unique_prefix()
    topics = [f"{prefix}.{topic}" for topic in EVENTS + STATES + CORE + ("o2g.unknown",)]
    if not kafka.real:
        for topic in topics:
            kafka.create_topic(topic, 6)
    authority, server = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(server)
    options = O2gOptions(
        users=30, agents=6, rate=RATE, calls=CALLS, heartbeat_seconds=1.0, ssl_context=server
    )
    async with open_o2g_simulator(options) as simulator:
        table = simulator.connector_table(
            ca_file=f'"{tmp_path}/authority.pem"',
            retry_min_seconds="0.1",
            retry_max_seconds="1.0",
            snapshot_limit_seconds="5.0",
        )
        daemon = WarmDaemon(tmp_path, table, kafka.bootstrap_servers, prefix)
        try:
            simulator.set_faults("session-seconds=3")
            daemon.start()
            await daemon.until("live")
            day = Day(simulator, daemon)
            with trio.fail_after(400):
                for fault in itertools.cycle(dice.sample(FAULTS, len(FAULTS))):
                    if simulator.calls_started >= CALLS and day.faults.keys() == set(FAULTS):
                        break
                    await trio.sleep(dice.uniform(0.5, 1.5))
                    await day.strike(fault)
            simulator.set_rate(0)
            await daemon.until("live")
            await daemon.healed()
            await daemon.complete()
            truth = simulator.truth()["agents"]
            calls = {f"{login}|{ref}": digest(call) for (login, ref), call in simulator.calls().items()}
            assert await daemon.stop() == 0, daemon.tail()
        finally:
            daemon.close()
        found = await trio.to_thread.run_sync(consume_all, kafka.bootstrap_servers, topics)
        on = {topic.removeprefix(f"{prefix}."): records for topic, records in found.items()}
        states = latest(on["o2g.calls.state"])
        assert {key: digest(bare(call)) for key, call in states.items()} == calls
        agents = {login: digest(agent["state"]) for login, agent in latest(on["o2g.agents.state"]).items()}
        assert agents == {login: digest(state) for login, state in truth.items()}
        telephony = judge.events(on["o2g.telephony"])
        assert folded(telephony) == {key: call["call_state"] for key, call in states.items()}
        events = [event for topic in EVENTS for event in judge.events(on[topic])]
        holes = judge.gaps(on["streamd.gaps"])
        assert undeclared(simulator, events, holes) == []
        assert judge.missing_numbers(events + judge.events(on["streamd.connectors"])) == {}
    ours = [hole for hole in holes if hole["cause"] not in ("new_spool", "stopped")]
    declared = sum(judge.instant(hole["to"]) - judge.instant(hole["from"]) for hole in ours)
    assert declared <= day.away + SLACK_SECONDS * day.faults.total(), (declared, day.away, day.faults)
