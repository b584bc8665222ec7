"""The connector on a real spool, against the simulator or a scripted server; no Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from streamd.config import Secret
from streamd.connectors.o2g import CONNECTOR
from streamd.connectors.o2g.config import O2gConfig, Selector
from streamd.simulators.o2g import O2gOptions, O2gSimulator, digest, open_o2g_simulator
from tests.running import Running, open_running

NAME = "o2g-test"


class Bench(Running):
    """The running connector as the tests of O2G look at it."""

    def calls(self) -> dict[str, str]:
        """Give the state topic of calls: login|callRef -> digest of what is known of the call."""
        return {key: digest(_bare(call)) for key, call in self.state_topic("o2g.calls.state").items()}

    def agents(self) -> dict[str, str]:
        return {
            login: digest(agent["state"]) for login, agent in self.state_topic("o2g.agents.state").items()
        }

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
    async with open_running(directory, NAME, CONNECTOR, config) as parts:
        yield Bench(*parts)


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
