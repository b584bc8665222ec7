"""A connector whose sessions do what a test says, at work in the real Runtime on a real spool."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import trio

from streamd.config import ConnectorConfig
from streamd.connector import ConnectorType, Link, Losses
from streamd.events import PROGRESS
from streamd.runtime import Runtime
from streamd.spool.spool import Spool
from tests.spool.rig import ORIGIN, PREFIX, START, Rig

Act = Callable[[Link], Awaitable[None]]
CONNECTORS_TOPIC, GAPS_TOPIC = f"{PREFIX}.streamd.connectors", f"{PREFIX}.streamd.gaps"


class Script:
    """A session: each run does the next act; after the last one it stays as it is."""

    def __init__(
        self, *acts: Act, name: str = "s", scope: Sequence[str] = ("*",), stateful: bool = True
    ) -> None:
        self.name = name
        self.scope = scope
        self.stateful = stateful
        self.runs = 0
        self._acts = list(acts)

    async def run(self, link: Link) -> None:
        self.runs += 1
        if self._acts:
            await self._acts.pop(0)(link)
        else:
            await trio.sleep_forever()


class Record:
    """A log and counters that a test can read."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.counts: Counter[str] = Counter()

    def debug(self, event: str, **keys: Any) -> None:
        self.lines.append((event, keys))

    info = warning = error = debug

    def count(self, name: str, by: int = 1) -> None:
        self.counts[name] += by

    def times(self, event: str) -> int:
        return sum(line == event for line, _ in self.lines)


def runtime(
    spool: Spool, record: Record, clock: Any, *sessions: Script, losses: Losses = "lost", **config: Any
) -> Runtime:
    """Make the runtime of a connector that has these sessions."""

    @asynccontextmanager
    async def open_sessions(ctx: Any) -> AsyncIterator[Sequence[Script]]:
        yield sessions

    async def probe(ctx: Any) -> None: ...

    kind = ConnectorType(
        name=ORIGIN.vendor,
        config=ConnectorConfig,
        check=lambda config, path: (),
        streams=lambda config: (),
        schemas={},
        open=open_sessions,
        probe=probe,
        losses=losses,
    )
    return Runtime(
        ORIGIN.connector,
        kind,
        ConnectorConfig(type=ORIGIN.vendor, **config),
        spool=spool,
        share=64 * 1024**2,
        clock=clock,
        log=record,
        counters=record,
    )


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def told(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def fails(error: Exception) -> Act:
    async def act(link: Link) -> None:
        raise error

    return act


def lives(then: Exception | None = None, until: trio.Event | None = None) -> Act:
    """Connect, be live and prove all up to now; then, at `until`, fail."""

    async def act(link: Link) -> None:
        link.prove_with(now)
        await link.connected(now())
        await link.live()
        if until is not None:
            await until.wait()
        if then is None:
            await trio.sleep_forever()
        else:
            raise then

    return act


def now() -> datetime:
    return at(trio.current_time())


@asynccontextmanager
async def running(spool: Spool, *runtimes: Runtime) -> AsyncIterator[trio.CancelScope]:
    """Run the spool's writer and connectors; in the end they stop as the daemon stops them."""
    async with trio.open_nursery() as core:
        core.start_soon(spool.write)
        async with trio.open_nursery() as connectors:
            for each in runtimes:
                connectors.start_soon(each.run)
            try:
                yield connectors.cancel_scope
            except BaseException:
                clock = trio.lowlevel.current_clock()
                assert isinstance(clock, trio.testing.MockClock)
                clock.autojump_threshold = 0.01  # a test that fails does not wait for its deadlines
                raise
            connectors.cancel_scope.cancel()
        core.cancel_scope.cancel()


async def settled(spool: Spool) -> None:
    """Return when all that was begun before has come to a wait, after ten commits at most."""
    for _ in range(10):
        await spool.flush()
        await trio.testing.wait_all_tasks_blocked()


def moments(rig: Rig) -> list[str]:
    """Give the life-cycle events on the spool, without their prefix, in order."""
    types = (each["type"] for each in rig.events(CONNECTORS_TOPIC))
    return [type_.removeprefix("streamd.connector.") for type_ in types if type_ != PROGRESS]


def gaps(rig: Rig) -> list[tuple[str, dict[str, Any]]]:
    """Give the gap events on the spool: what happened, and the gap as of then."""
    return [(each["type"].removeprefix("streamd.gap."), each["data"]) for each in rig.events(GAPS_TOPIC)]


def gap_ids(rig: Rig) -> list[str]:
    """Give the ids of all gaps there have been, in order."""
    return list(dict.fromkeys(gap["gap_id"] for _, gap in gaps(rig)))
