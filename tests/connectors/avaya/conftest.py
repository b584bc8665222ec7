"""The connector on a real spool, against the simulator or a scripted server; no Kafka."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from streamd.clock import SystemClock
from streamd.cloudevents import Envelope
from streamd.config import Secret
from streamd.connectors.avaya import CONNECTOR
from streamd.connectors.avaya.config import AvayaConfig
from streamd.model import Record
from streamd.runtime import Runtime
from streamd.simulators.avaya import AvayaOptions, AvayaSimulator, open_avaya_simulator
from streamd.spool.directory import DATABASE
from streamd.spool.spool import Spool
from streamd.spool.store import Store

NAME = "avaya-test"


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

    def table(self) -> dict[str, dict[str, str]]:
        """Give what a consumer of the state topic holds: key -> measures."""
        table: dict[str, dict[str, str]] = {}
        for topic, record in self.records():
            if not topic.endswith("avaya.measures.state"):
                continue
            key = record.key.decode().removeprefix(f"{NAME}|")
            if record.value is None:
                table.pop(key, None)
            else:
                table[key] = json.loads(record.value)["data"]["measures"]
        return table


@asynccontextmanager
async def open_bench(directory: Path, config: AvayaConfig) -> AsyncIterator[Bench]:
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
            share=2**28,
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


def config_for(base_url: str, **changes: Any) -> AvayaConfig:
    """Make a configuration for the simulator's account, quick in all that has a deadline."""
    values: dict[str, Any] = {
        "type": "avaya",
        "base_url": base_url,
        "account_id": "ABCDEF",
        "client_id": "streamd",
        "client_secret": Secret("simulated-secret"),
        "appkey": Secret("simulated-appkey"),
        "measure_producers": ["Queue_itd_1.0.0"],
        "retry_min_seconds": 0.05,
        "retry_max_seconds": 0.2,
        "snapshot_quiet_seconds": 0.2,
        "snapshot_settle_seconds": 0.1,
        "snapshot_proof_seconds": 0.4,
        "requests_per_second": 500.0,
    }
    return AvayaConfig(**{**values, **changes})


def truth_of(simulator: AvayaSimulator, *producers: str) -> dict[str, dict[str, str]]:
    """Give the simulator's own table by canonical keys; only for ids that need no escaping."""
    return {
        f"{account}|{source}|{producer}|" + "&".join(f"{name}={value}" for name, value in keys): measures
        for (account, source, producer, keys), measures in simulator.truth().items()
        if producer in producers
    }


@pytest.fixture
def quick() -> Callable[..., AvayaConfig]:
    return config_for


@pytest.fixture
def bench(tmp_path: Path) -> Callable[[AvayaConfig], Any]:
    """Open the connector in this test's own directory."""
    return lambda config: open_bench(tmp_path, config)


@pytest.fixture
def system(tmp_path: Path) -> Callable[..., Any]:
    """Open a simulator and the connector to it, with changes of the configuration."""

    @asynccontextmanager
    async def open_system(
        options: AvayaOptions, **changes: Any
    ) -> AsyncIterator[tuple[AvayaSimulator, Bench]]:
        async with (
            open_avaya_simulator(options) as simulator,
            open_bench(tmp_path, config_for(simulator.base_url, **changes)) as running,
        ):
            yield simulator, running

    return open_system


@pytest.fixture
def truth() -> Callable[..., dict[str, dict[str, str]]]:
    return truth_of
