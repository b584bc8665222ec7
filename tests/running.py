"""One connector at work on a real spool, without a Kafka, so that all it accepted can be read back."""

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
from streamd.config import ConnectorConfig
from streamd.connector import ConnectorType
from streamd.model import Record
from streamd.runtime import Runtime
from streamd.spool.directory import DATABASE
from streamd.spool.spool import Spool
from streamd.spool.store import Store


class Tally:
    """Counters that a test can read."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def count(self, name: str, by: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + by

    def __getitem__(self, name: str) -> int:
        return self.counts.get(name, 0)


class Running:
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

    async def until(self, condition: Callable[[], Any], within: float = 30.0) -> None:
        with trio.fail_after(within):
            while not condition():
                await trio.sleep(0.02)

    async def until_state(self, state: str, within: float = 30.0) -> None:
        try:
            await self.until(lambda: self.state == state, within)
        except trio.TooSlowError:
            pytest.fail(f"{state} expected, but {self.state}: {self.reason}")

    def records(self) -> list[tuple[str, Record]]:
        return accepted(self.store)

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

    def state_topic(self, name: str) -> dict[str, dict[str, Any]]:
        """Give what a consumer of the state topic `name` holds: key -> data."""
        table: dict[str, dict[str, Any]] = {}
        for topic, record in self.records():
            if topic.endswith(f".{name}"):
                key = record.key.decode().removeprefix(f"{self.runtime.origin.connector}|")
                if record.value is None:
                    table.pop(key, None)
                else:
                    table[key] = json.loads(record.value)["data"]
        return table


async def see_proof_held_back(running: Running, session: str, seconds: float) -> None:
    """Take the spool's room away while data comes: what is read and not committed must not be proven.

    Looks for `seconds`, in which proofs are asked for and would be given.
    """
    origin, spool = running.runtime.origin, running.spool
    began = running.runtime.clock.now()
    await running.until(lambda: (spool.alive(origin, session) or began) > began)
    usage = spool.usage(origin.connector)
    usage.share = 0
    await running.until(lambda: usage.waiting)
    stuck = running.runtime.clock.now()
    await trio.sleep(seconds)
    proven = spool.alive(origin, session)
    assert proven is not None
    assert proven <= stuck
    usage.share = 2**28
    await running.until(lambda: (spool.alive(origin, session) or stuck) > stuck)


def accepted(store: Store) -> list[tuple[str, Record]]:
    """Give (topic, record) of all that was accepted, in the order of acceptance."""
    rows = [
        row for size in store.lanes() for row in store.rows_after(size.topic, size.partition, 0, 2**62, 2**62)
    ]
    rows.sort(key=lambda row: row.id)
    return [(row.topic, record) for row in rows for record in row.records or ()]


def open_spool(store: Store, prefix: str) -> Spool:
    return Spool(
        store,
        prefix=prefix,
        envelope=Envelope(store.epoch, "structured"),
        partitions=lambda topic: 6,
        clock=SystemClock(),
    )


@asynccontextmanager
async def at_work(spool: Spool, runtime: Runtime) -> AsyncIterator[None]:
    """Run a connector until the block is left; then its goodbye is in the spool too."""
    async with trio.open_nursery() as core:
        core.start_soon(spool.write)
        async with trio.open_nursery() as connectors:
            connectors.start_soon(runtime.run)
            yield
            connectors.cancel_scope.cancel()
        await spool.flush()
        core.cancel_scope.cancel()


@asynccontextmanager
async def open_running(
    directory: Path, name: str, kind: ConnectorType[Any], config: ConnectorConfig
) -> AsyncIterator[tuple[Spool, Store, Runtime, Tally]]:
    """Run a connector until the block is left; a second one in the same directory is a restart."""
    store = Store(directory / DATABASE, 2**30, SystemClock().now())
    tally = Tally()
    try:
        spool = open_spool(store, "p")
        runtime = Runtime(
            name,
            kind,
            config,
            spool=spool,
            share=config.spool_bytes or 2**28,
            clock=SystemClock(),
            log=structlog.get_logger().bind(connector=name),
            counters=tally,
        )
        async with at_work(spool, runtime):
            yield spool, store, runtime, tally
    finally:
        store.close()
