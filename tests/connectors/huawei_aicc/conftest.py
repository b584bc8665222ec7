"""The connector on a real spool and a real ingress, against the simulator; no Kafka."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from streamd.clock import SystemClock
from streamd.config import Secret
from streamd.connectors.huawei_aicc import CONNECTOR
from streamd.connectors.huawei_aicc.config import DeepConfig, HuaweiConfig, callback_path
from streamd.ingress.claims import Claims
from streamd.runtime import Runtime
from streamd.simulators.huawei_aicc import (
    HuaweiOptions,
    HuaweiSimulator,
    Identity,
    identify,
    open_huawei_simulator,
)
from streamd.spool.directory import DATABASE
from streamd.spool.store import Store
from streamd.transport.connection import Limits
from streamd.transport.listening import open_tcp_listeners
from streamd.transport.server import serve_service
from tests.running import Running, Tally, at_work, open_spool

NAME = "aicc-test"
KINDS = {"streamd.cdr.recorded": "call", "streamd.recording.available": "record"}


class WrongClock(SystemClock):
    """A clock that is so much ahead."""

    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        return super().now() + self._ahead


class Bench(Running):
    """The running connector as the tests of Huawei look at it."""

    def rows(self, phase: str = "") -> list[dict[str, Any]]:
        """Give what was published of rows, call ends left out."""
        found = [event for event in self.events() if event["type"] in KINDS]
        return [event for event in found if event["phase"].startswith(phase)]

    def published(self) -> Counter[Identity]:
        """Count the rows that were published, by what the simulator calls them."""
        return Counter(identify(KINDS[event["type"]], event["data"]) for event in self.rows())

    def gaps(self) -> dict[str, dict[str, Any]]:
        """Give each gap as it is now, but for the first of the spool."""
        found = {
            event["data"]["gap_id"]: event["data"] for event in self.events() if ".gap." in event["type"]
        }
        return {name: gap for name, gap in found.items() if gap["cause"] != "new_spool"}


@asynccontextmanager
async def open_bench(
    directory: Path, config: HuaweiConfig, port: int, clock_ahead: timedelta = timedelta(0)
) -> AsyncIterator[Bench]:
    """Run the connector until the block is left; a second one in the same directory is a restart.

    `clock_ahead`: by which its own clock is wrong.
    """
    store = Store(directory / DATABASE, 2**30, SystemClock().now())
    tally, claims = Tally(), Claims(public_url=f"http://127.0.0.1:{port}")
    claims._owners = {callback_path(config, NAME): NAME}
    try:
        async with trio.open_nursery() as nursery:
            if config.callback:
                listeners = await open_tcp_listeners(f"127.0.0.1:{port}")
                nursery.start_soon(serve_service, claims, listeners, Limits())
            spool = open_spool(store, "p")
            runtime = Runtime(
                NAME,
                CONNECTOR,
                config,
                spool=spool,
                share=2**28,
                clock=WrongClock(clock_ahead),
                log=structlog.get_logger().bind(connector=NAME),
                counters=tally,
                ingress=claims,
            )
            async with at_work(spool, runtime):
                yield Bench(spool, store, runtime, tally)
            nursery.cancel_scope.cancel()
    finally:
        store.close()


def config_for(simulator: HuaweiSimulator, **changes: Any) -> HuaweiConfig:
    """Make a configuration for the simulator's account, quick in all that has a deadline."""
    options = simulator.options
    values: dict[str, Any] = {
        "type": "huawei_aicc",
        "base_url": simulator.base_url,
        "access_key": Secret(options.access_key),
        "secret_key": Secret(options.secret_key),
        "account_id": options.account_ids[0],
        "request_zone": options.time_zone,
        "start_from": simulator.now(),
        "step_seconds": 60.0,
        "lookback_seconds": 600.0,
        "settle_seconds": 30.0,
        "callback_wait_seconds": 5.0,
        "job_seconds": 10.0,
        "poll_seconds": 0.05,
        "look_seconds": 0.2,
        "retry_min_seconds": 0.05,
        "retry_max_seconds": 0.2,
        "request_timeout_seconds": 5.0,
        "deep": DeepConfig(),
    }
    return HuaweiConfig(**{**values, **changes})


# The simulator's callbacks are httpx requests, whose bodies are async generators: one that is cut short when
# the simulator ends is left to the garbage collector.
_CUT_SHORT = "ignore:Exception ignored in. <async_generator object ByteStream"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(
                pytest.mark.filterwarnings(f"{_CUT_SHORT}:pytest.PytestUnraisableExceptionWarning")
            )


@pytest.fixture
def system(tmp_path: Path) -> Callable[..., Any]:
    """Open a simulator with `faults` and the connector to it, with changes of both.

    `history`: hours and calls that lie behind, which the connector walks over from `start_ago` on.
    """

    @asynccontextmanager
    async def open_system(
        *faults: str,
        options: Mapping[str, Any] | None = None,
        history: tuple[float, int] | None = None,
        start_ago: timedelta = timedelta(hours=1),
        clock_ahead: timedelta = timedelta(0),
        **changes: Any,
    ) -> AsyncIterator[tuple[HuaweiSimulator, Bench]]:
        given = HuaweiOptions(**{"time_scale": 60.0, "faults": frozenset(faults), **(options or {})})
        async with open_huawei_simulator(given) as simulator:
            if history is not None:
                simulator.history(*history)
                changes = {"start_from": simulator.now() - start_ago, **changes}
            if "callback_url" in changes:
                changes["callback_url"] = f"http://127.0.0.1:{simulator.ingress_port}"
            config = config_for(simulator, **changes)
            async with open_bench(tmp_path, config, simulator.ingress_port, clock_ahead) as bench:
                yield simulator, bench

    return open_system
