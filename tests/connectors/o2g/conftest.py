"""The connector on a real spool, against the simulator or a scripted server; no Kafka."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from streamd.clock import SystemClock
from streamd.cloudevents import Envelope
from streamd.config import Secret
from streamd.connectors.o2g import CONNECTOR
from streamd.connectors.o2g.config import O2gConfig, Selector
from streamd.model import Record
from streamd.runtime import Runtime
from streamd.simulators.o2g import O2gOptions, O2gSimulator, digest, open_o2g_simulator
from streamd.spool.directory import DATABASE
from streamd.spool.spool import Spool
from streamd.spool.store import Store

NAME = "o2g-test"


class Tally:
    """Counters that a test can read."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def count(self, name: str, by: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + by

    def __getitem__(self, name: str) -> int:
        return self.counts.get(name, 0)


class Bench:
    """A running connector, and what it has accepted so far."""

    def __init__(self, spool: Spool, store: Store, runtime: Runtime, tally: Tally) -> None:
        self.spool = spool
        self.store = store
        self.runtime = runtime
        self.tally = tally

    @property
    def state(self) -> str:
        return self.runtime.status.state

    @property
    def reason(self) -> str:
        return self.runtime.status.reason or ""

    async def until(self, condition: Callable[[], Any], within: float = 15.0) -> None:
        with trio.fail_after(within):
            while not condition():
                await trio.sleep(0.02)

    async def until_state(self, state: str, within: float = 15.0) -> None:
        try:
            await self.until(lambda: self.state == state, within)
        except trio.TooSlowError:
            pytest.fail(f"{state} expected, but {self.state}: {self.reason}")

    def records(self) -> list[tuple[str, Record]]:
        rows = [
            row
            for size in self.store.lanes()
            for row in self.store.rows_after(size.topic, size.partition, 0, 2**62, 2**62)
        ]
        rows.sort(key=lambda row: row.id)
        return [(row.topic, record) for row in rows for record in row.records or ()]

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """Give the accepted events whose type ends in `kind`, in order, states left out."""
        found = [
            json.loads(record.value)
            for topic, record in self.records()
            if record.value is not None and not topic.endswith(".state")
        ]
        return [event for event in found if event["type"].endswith(kind)]

    def moments(self) -> list[str]:
        prefix = "streamd.connector."
        kinds = [event["type"] for event in self.events() if event["type"].startswith(prefix)]
        return [kind.removeprefix(prefix) for kind in kinds if kind != f"{prefix}progress"]

    def state_topic(self, stream: str) -> dict[str, dict[str, Any]]:
        """Give what a consumer of a state topic holds: key -> data."""
        table: dict[str, dict[str, Any]] = {}
        for topic, record in self.records():
            if topic.endswith(f"o2g.{stream}"):
                key = record.key.decode().removeprefix(f"{NAME}|")
                if record.value is None:
                    table.pop(key, None)
                else:
                    table[key] = json.loads(record.value)["data"]
        return table

    def calls(self) -> dict[str, str]:
        """Give the state topic of calls: login|callRef -> digest of what is known of the call."""
        return {key: digest(_bare(call)) for key, call in self.state_topic("calls.state").items()}

    def agents(self) -> dict[str, str]:
        return {login: digest(agent["state"]) for login, agent in self.state_topic("agents.state").items()}

    def gaps(self) -> dict[str, dict[str, Any]]:
        """Give each gap as it is now, by id, in the order of their opening."""
        return {event["data"]["gap_id"]: event["data"] for event in self.events() if ".gap." in event["type"]}


def _bare(call: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in call.items() if name not in ("login_name", "call_state")}


def true_calls(simulator: O2gSimulator) -> dict[str, str]:
    """Give the simulator's own calls in the form of `Bench.calls`."""
    return {f"{login}|{ref}": digest(call) for (login, ref), call in simulator.calls().items()}


def true_agents(simulator: O2gSimulator) -> dict[str, str]:
    return {login: digest(state) for login, state in simulator.truth()["agents"].items()}


@asynccontextmanager
async def open_bench(directory: Path, config: O2gConfig) -> AsyncIterator[Bench]:
    """Run the connector until the block is left; a second one in the same directory is a restart."""
    store = Store(directory / DATABASE, 2**30, SystemClock().now())
    spool = Spool(
        store,
        prefix="p",
        envelope=Envelope(store.epoch, "structured"),
        partitions=lambda topic: 6,
        clock=SystemClock(),
    )
    tally = Tally()
    try:
        runtime = Runtime(
            NAME,
            CONNECTOR,
            config,
            spool=spool,
            share=config.spool_bytes or 2**28,
            clock=SystemClock(),
            log=structlog.get_logger().bind(connector=NAME),
            counters=tally,
        )
        async with trio.open_nursery() as core:
            core.start_soon(spool.write)
            async with trio.open_nursery() as connectors:
                connectors.start_soon(runtime.run)
                yield Bench(spool, store, runtime, tally)
                connectors.cancel_scope.cancel()
            await spool.flush()
            core.cancel_scope.cancel()
    finally:
        store.close()


def config_for(*urls: str, **changes: Any) -> O2gConfig:
    """Make a configuration for the simulator's account, quick in all that has a deadline."""
    values: dict[str, Any] = {
        "type": "o2g",
        "urls": list(urls),
        "login": "admin",
        "password": Secret("simulated-password"),
        "selectors": [Selector(["telephony", "agent"], "all"), Selector(["system", "userManagement"])],
        "retry_min_seconds": 0.05,
        "retry_max_seconds": 0.2,
        "request_timeout_seconds": 5.0,
        "snapshot_limit_seconds": 2.0,
        "reopen_floor_seconds": 0.2,
    }
    return O2gConfig(**{**values, **changes})


@pytest.fixture
def quick() -> Callable[..., O2gConfig]:
    return config_for


@pytest.fixture
def bench(tmp_path: Path) -> Callable[[O2gConfig], Any]:
    """Open the connector in this test's own directory."""
    return lambda config: open_bench(tmp_path, config)


@pytest.fixture
def system(tmp_path: Path) -> Callable[..., Any]:
    """Open a simulator and the connector to it, with changes of the configuration."""

    @asynccontextmanager
    async def open_system(
        options: O2gOptions | None = None, **changes: Any
    ) -> AsyncIterator[tuple[O2gSimulator, Bench]]:
        async with (
            open_o2g_simulator(options or O2gOptions()) as simulator,
            open_bench(tmp_path, config_for(*simulator.base_urls, **changes)) as running,
        ):
            yield simulator, running

    return open_system


@pytest.fixture
def truth() -> Callable[[O2gSimulator], tuple[dict[str, str], dict[str, str]]]:
    """Give calls and agents as the simulator knows them, in the form of `Bench.calls` and `Bench.agents`."""
    return lambda simulator: (true_calls(simulator), true_agents(simulator))
