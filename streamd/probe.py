"""Log in to Kafka and to each vendor once, for `check --online`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Literal

import trio
from msgspec import Struct

from streamd.backfill import Backfills
from streamd.clock import SystemClock
from streamd.config import Config, ConnectorConfig
from streamd.config.derived import enabled
from streamd.connector import NO_CHANGES, Changes, Feed, Give, Item, Log
from streamd.dead_letters import undecodable
from streamd.errors import BadRecord, Rejected, Transient
from streamd.ingress.claims import Claims
from streamd.model import Event, Origin
from streamd.publish import kafka
from streamd.registry import all_types
from streamd.status import SubscriptionStatus
from streamd.telemetry import logger

Outcome = Literal["ok", "refused", "unreachable"]
# A probe is a few requests, each with the connector's own timeout.
REQUESTS = 4
KAFKA_SECONDS = 30.0


class Probed(Struct, frozen=True):
    """How one of them answered."""

    name: str
    kind: str
    outcome: Outcome
    reason: str


class AppendingFeed:
    """A `connector.Feed` that appends what it is offered."""

    def __init__(self, give: Give, append: Callable[[Sequence[Item], Changes], Awaitable[None]]) -> None:
        self._give = give
        self._append = append
        self._offered = trio.Event()

    def offer(self) -> None:
        self._offered.set()

    async def run(self) -> None:
        while True:
            while (given := self._give()) is not None:
                items, changes, kept = given
                await self._append(items, changes)
                kept()
            self._offered = trio.Event()
            await self._offered.wait()


class ProbeContext:
    """A `connector.Context` without a spool: state is kept in memory and what is appended in a list."""

    def __init__(self, name: str, config: ConnectorConfig) -> None:
        self.origin = Origin(name, config.type)
        self.config: Any = config
        self.log: Log = logger(connector=name)
        self.clock = SystemClock()
        self.counters = self
        self.ingress = Claims().desk(name, self, self.log)
        self.serve_backfill = Backfills().serve
        self.items: list[Item] = []
        self._state: dict[str, bytes] = {}

    def count(self, name: str, by: int = 1) -> None:
        """Count nothing: nobody reads the metrics of a probe."""

    async def append(self, items: Sequence[Item], changes: Changes = NO_CHANGES) -> None:
        await trio.lowlevel.checkpoint()
        self.items += items
        for name, value in changes.items():
            if value is None:
                self._state.pop(name, None)
            else:
                self._state[name] = value

    def feed(self, give: Give) -> Feed:
        return AppendingFeed(give, self.append)

    async def published(self) -> None:
        await trio.lowlevel.checkpoint()

    def state(self, name: str) -> bytes | None:
        return self._state.get(name)

    def states(self, prefix: str) -> Mapping[str, bytes]:
        return {name: value for name, value in self._state.items() if name.startswith(prefix)}

    def states_of(self, names: Sequence[str]) -> Mapping[str, bytes]:
        return {name: self._state[name] for name in names if name in self._state}

    def show_subscriptions(self, subscriptions: Sequence[SubscriptionStatus]) -> None:
        """Show them nowhere: a probe has no status."""

    async def wait_refused(self, seconds: float) -> bool:
        await trio.sleep(seconds)
        return False

    def directory(self) -> Path:
        return Path(gettempdir())

    def dead_letter(self, bad: BadRecord) -> Event:
        return undecodable(bad, self.clock.now(), withheld=True)


async def probe_all(config: Config) -> list[Probed]:
    """Try Kafka and every enabled connector's vendor, all at once; Kafka comes first in the answer."""
    found: dict[str, Probed] = {}

    async def probe(name: str, kind: str, seconds: float, login: Callable[[], Awaitable[None]]) -> None:
        found[name] = await probe_login(name, kind, seconds, login)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(probe, "", "kafka", KAFKA_SECONDS, lambda: kafka.probe(config.kafka))
        for name, connector in enabled(config.connectors).items():
            vendor, context = all_types()[connector.type], ProbeContext(name, connector)
            seconds = REQUESTS * connector.request_timeout_seconds
            nursery.start_soon(probe, name, connector.type, seconds, lambda v=vendor, c=context: v.probe(c))
    return [found[name] for name in ("", *enabled(config.connectors))]


async def probe_login(name: str, kind: str, seconds: float, login: Callable[[], Awaitable[None]]) -> Probed:
    """Log in within that many seconds, and put what became of it into words."""
    try:
        with trio.fail_after(seconds):
            await login()
    except Rejected as error:
        return Probed(name, kind, "refused", error.reason)
    except Transient as error:
        return Probed(name, kind, "unreachable", error.reason)
    except trio.TooSlowError:
        return Probed(name, kind, "unreachable", f"no answer within {seconds:g} s")
    return Probed(name, kind, "ok", "")
