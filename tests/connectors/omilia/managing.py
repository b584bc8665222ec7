"""What manages subscriptions and exports, on a real spool against the real simulator; nobody is pushed to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from streamd.config import Secret
from streamd.connector import Clock, ConnectorType, Link, Session
from streamd.connectors.omilia.config import OmiliaConfig
from streamd.connectors.omilia.evidence import Evidence
from streamd.connectors.omilia.records import Records
from streamd.live.herald import Herald
from streamd.runtime import Runtime
from streamd.simulators.omilia import OmiliaSimulator
from streamd.spool.directory import DATABASE
from streamd.spool.store import Store
from tests.connectors.omilia.watching import Watched
from tests.running import Tally, at_work, open_spool

NAME = "omilia-test"


class PlatformClock:
    """The simulator's clock, for streamd: it runs as fast, and jumps with it."""

    def __init__(self, simulator: OmiliaSimulator) -> None:
        self._simulator = simulator
        self._began = simulator.now()

    def now(self) -> datetime:
        return self._simulator.now()

    def monotonic(self) -> float:
        return (self._simulator.now() - self._began).total_seconds()


def config_for(simulator: OmiliaSimulator, **changes: Any) -> OmiliaConfig:
    """Make a configuration for the simulator's account, quick in all that has a deadline."""
    values: dict[str, Any] = {
        "type": "omilia",
        "exports_url": simulator.exports_url,
        "iam_url": simulator.iam_url,
        "group": "acme_prod",
        "username": "streamd",
        "password": Secret("simulated-password"),
        "data_types": ["dialog_start", "dialog_step", "dialog_end"],
        "auth_id": "omilia-acme",
        "auth_secret": Secret("simulated push secret"),
        "requests_per_minute": 100_000,
        "retry_min_seconds": 0.02,
        "retry_max_seconds": 0.1,
        "request_timeout_seconds": 2.0,
    }
    return OmiliaConfig(**{**values, **changes})


class Idle:
    """A session that does nothing; its herald is what the gaps of one data type are told through."""

    stateful = False

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self.scope = [name]
        self.herald: Herald | None = None
        self._clock = clock

    async def run(self, link: Link) -> None:
        self.herald = Herald(link)
        await link.connected(self._clock.now())
        self.herald.assess_nowait()
        await self.herald.run()


class Managed(Watched):
    """What a connector gets from streamd, as `runtime`, and the heralds of its idle sessions."""

    heralds: Mapping[str, Herald]


@asynccontextmanager
async def open_context(directory: Path, config: OmiliaConfig, clock: Any) -> AsyncIterator[Managed]:
    """Give what a connector gets from streamd, with an idle session for each data type."""
    sessions = [Idle(each, clock) for each in config.data_types]

    @asynccontextmanager
    async def idle_sessions(ctx: Any) -> AsyncIterator[Sequence[Session]]:
        yield sessions

    async def probe(ctx: Any) -> None: ...

    kind = ConnectorType(
        name="omilia",
        config=OmiliaConfig,
        check=lambda config, path: (),
        streams=lambda config: (),
        schemas={},
        open=idle_sessions,
        probe=probe,
        losses="pending",
    )
    store = Store(directory / DATABASE, 2**30, clock.now())
    tally = Tally()
    try:
        spool = open_spool(store, "p")
        runtime = Runtime(
            NAME,
            kind,
            config,
            spool=spool,
            share=2**28,
            clock=clock,
            log=structlog.get_logger().bind(connector=NAME),
            counters=tally,
        )
        async with at_work(spool, runtime):
            managed = Managed(spool, store, runtime, tally)
            await managed.until_state("live")
            managed.heralds = {each.name: each.herald for each in sessions if each.herald is not None}
            yield managed
    finally:
        store.close()


async def open_records(ctx: Any) -> Records:
    """Give what takes records to the spool."""
    evidence = Evidence(ctx)
    await evidence.open()
    return Records(ctx, evidence)
