"""The connector on a real spool, against the simulator or a scripted server; no Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from streamd.config import Secret
from streamd.connectors.avaya import CONNECTOR
from streamd.connectors.avaya.config import AvayaConfig
from streamd.simulators.avaya import AvayaOptions, AvayaSimulator, open_avaya_simulator
from tests.running import Running, open_running

NAME = "avaya-test"


class Bench(Running):
    """The running connector as the tests of Avaya look at it."""

    def table(self) -> dict[str, dict[str, str]]:
        """Give what a consumer of the state topic holds: key -> measures."""
        return {key: row["measures"] for key, row in self.state_topic("avaya.measures.state").items()}


@asynccontextmanager
async def open_bench(directory: Path, config: AvayaConfig) -> AsyncIterator[Bench]:
    """Run the connector until the block is left; a second one in the same directory is a restart."""
    async with open_running(directory, NAME, CONNECTOR, config) as parts:
        yield Bench(*parts)


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
