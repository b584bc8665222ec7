"""The connector on a real spool, against the simulator; no Kafka."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from streamd.config import Secret
from streamd.connectors.oracle_isr import CONNECTOR
from streamd.connectors.oracle_isr.config import OracleIsrConfig
from streamd.simulators.http import Respond, serve_connection
from streamd.simulators.oracle_isr import OracleIsrOptions, OracleIsrSimulator, open_oracle_isr_simulator
from tests.running import Running, open_running

NAME = "isr-test"


class Bench(Running):
    """The running connector as the tests of Oracle ISR look at it."""

    def recordings(self, kind: str) -> list[dict[str, Any]]:
        """Give the accepted events of one kind: started, ended, updated, lost."""
        return self.events(f"recording.{kind}")

    def ids(self, kind: str) -> list[str]:
        """Give the recording ids of one kind, in order."""
        return [event["data"].get("recording_id", "") for event in self.recordings(kind)]

    def calls(self, kind: str) -> list[str]:
        return [event["data"]["call_id"] for event in self.recordings(kind)]

    def gaps(self) -> dict[str, dict[str, Any]]:
        """Give each gap as it is now, by id, but the one before which nothing is claimed."""
        found = {
            event["data"]["gap_id"]: event["data"] for event in self.events() if ".gap." in event["type"]
        }
        return {gap_id: gap for gap_id, gap in found.items() if gap["cause"] != "new_spool"}

    def proof(self) -> datetime:
        """Give the watermark, by the recorder's clock."""
        stored = self.runtime.state("cursor")
        return (
            datetime.fromisoformat(json.loads(stored)["watermark"])
            if stored
            else datetime.min.replace(tzinfo=UTC)
        )

    def twice(self) -> list[str]:
        """Give the ids of events that were accepted more than once."""
        counted = Counter(event["id"] for event in self.events() if ".recording." in event["type"])
        return [id_ for id_, count in counted.items() if count > 1]


@asynccontextmanager
async def open_bench(directory: Path, config: OracleIsrConfig) -> AsyncIterator[Bench]:
    """Run the connector until the block is left; a second one in the same directory is a restart."""
    async with open_running(directory, NAME, CONNECTOR, config) as parts:
        yield Bench(*parts)


def config_for(simulator: OracleIsrSimulator, **changes: Any) -> OracleIsrConfig:
    """Make a configuration for the simulator's account."""
    options = simulator.options
    return quick_config(simulator.base_url, options.user_email, options.password, **changes)


def quick_config(url: str, user: str, secret: str, **changes: Any) -> OracleIsrConfig:
    """Make a configuration that is quick in all that has a deadline."""
    values: dict[str, Any] = {
        "type": "oracle_isr",
        "base_url": url,
        "user_email": user,
        "password": Secret(secret),
        "poll_seconds": 0.1,
        "settle_seconds": 0.0,
        "overlap_seconds": 30.0,
        "retry_min_seconds": 0.02,
        "retry_max_seconds": 0.1,
        "relogin_seconds": 0.2,
        "request_timeout_seconds": 5.0,
    }
    return OracleIsrConfig(**{**values, **changes})


@pytest.fixture
def quick() -> Callable[..., OracleIsrConfig]:
    return config_for


@pytest.fixture
def bench(tmp_path: Path) -> Callable[[OracleIsrConfig], Any]:
    """Open the connector in this test's own directory, or in another one."""

    def open_one(config: OracleIsrConfig, directory: Path | None = None) -> Any:
        place = directory or tmp_path
        place.mkdir(exist_ok=True)
        return open_bench(place, config)

    return open_one


@pytest.fixture
def simulated() -> Callable[..., Any]:
    """Open a simulator that does only what it is told to."""

    def open_one(*faults: str, **options: Any) -> Any:
        settings = {"rate": 0, "gap_seconds": 0.3, **options, "faults": frozenset(faults)}
        return open_oracle_isr_simulator(OracleIsrOptions(**settings))

    return open_one


@pytest.fixture
def system(tmp_path: Path, simulated: Callable[..., Any]) -> Callable[..., Any]:
    """Open a simulator, and the connector to it with changes of its configuration."""

    @asynccontextmanager
    async def open_system(
        *faults: str, options: dict[str, Any] | None = None, **changes: Any
    ) -> AsyncIterator[tuple[OracleIsrSimulator, Bench]]:
        async with (
            simulated(*faults, **(options or {})) as simulator,
            open_bench(tmp_path, config_for(simulator, **changes)) as running,
        ):
            yield simulator, running

    return open_system


@pytest.fixture
def scripted() -> Callable[..., Any]:
    """Serve what a function answers; gives the configuration that reaches it."""

    @asynccontextmanager
    async def open_one(respond: Respond, **changes: Any) -> AsyncIterator[OracleIsrConfig]:
        async with trio.open_nursery() as nursery:
            serve = partial(trio.serve_tcp, partial(serve_connection, respond=respond), 0, host="127.0.0.1")
            [listener] = await nursery.start(serve)
            url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
            yield quick_config(url, "stream@example.net", "p4ssword-of-the-scripted-server", **changes)
            nursery.cancel_scope.cancel()

    return open_one
