"""The configured connectors at work: started, stopped and exchanged one for one."""

from __future__ import annotations

from collections.abc import Iterable

import structlog
import trio

from streamd.config import Config
from streamd.config.derived import certificates, changed, connector_share, enabled
from streamd.connector import Clock
from streamd.ingress.claims import Claims
from streamd.registry import all_types
from streamd.runtime import Runtime
from streamd.spool.spool import Spool
from streamd.telemetry.metrics import Metrics

log = structlog.get_logger("streamd")


class Fleet:
    """The enabled connectors of a configuration. Changes come one at a time."""

    def __init__(self, config: Config, spool: Spool, clock: Clock, metrics: Metrics, ingress: Claims) -> None:
        self.runtimes: dict[str, Runtime] = {}
        self._config = config
        self._spool = spool
        self._clock = clock
        self._metrics = metrics
        self._ingress = ingress
        self._scopes: dict[str, tuple[trio.CancelScope, trio.Event]] = {}
        self._certificates: dict[str, str] = {}
        self._changing = trio.Lock()
        self._leaving = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the connectors until cancelled; `started` when each has begun."""
        async with trio.open_nursery() as self._nursery:
            for name in enabled(self._config.connectors):
                self._start(name)
            task_status.started()
            await trio.sleep_forever()

    async def say_goodbye(self) -> None:
        """Stop all of them for good, together; what they accepted is committed then."""
        self._leaving = True
        async with self._changing:
            for scope, _ in self._scopes.values():
                scope.cancel()
            for _, ended in self._scopes.values():
                await ended.wait()

    async def restart(self, name: str) -> None:
        """Stop one connector and start it again, a refused or parked one too. Raises KeyError."""
        async with self._changing:
            await self._stop(name, "restart")
            if not self._leaving:
                self._start(name)
        log.info("connector_restarted", connector=name)

    async def apply(self, new: Config) -> None:
        """Change to another configuration: touch only what differs, and what is refused or parked."""
        async with self._changing:
            different = changed(self._config, new) | self._renewed(new)
            await self._stop_all(different & self._scopes.keys(), "reconfigured")
            self._config = new
            for name, runtime in self.runtimes.items():
                self._spool.usage(name).share = connector_share(new, name)
                runtime.nudge.give()
            for name in enabled(new.connectors).keys() - self._scopes.keys():
                if not self._leaving:
                    self._start(name)
        log.info("reloaded", changed=sorted(different))

    def _renewed(self, new: Config) -> set[str]:
        """Give the running connectors whose certificate files hold something else than when they started."""
        running = enabled(new.connectors).items()
        return {name for name, each in running if self._certificates.get(name) != certificates(each)}

    def _start(self, name: str) -> None:
        config = self._config.connectors[name]
        self._certificates[name] = certificates(config)
        runtime = Runtime(
            name,
            all_types()[config.type],
            config,
            spool=self._spool,
            share=connector_share(self._config, name),
            clock=self._clock,
            log=log.bind(connector=name),
            counters=self._metrics.for_connector(name, config.type),
            ingress=self._ingress,
        )
        self.runtimes[name] = runtime
        scope, ended = self._scopes[name] = (trio.CancelScope(), trio.Event())
        self._nursery.start_soon(_run, runtime, scope, ended)

    async def _stop_all(self, names: Iterable[str], why: str) -> None:
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(self._stop, name, why)

    async def _stop(self, name: str, why: str) -> None:
        scope, ended = self._scopes.pop(name)
        self.runtimes[name].stopping = why
        scope.cancel()
        await ended.wait()
        del self.runtimes[name]


async def _run(runtime: Runtime, scope: trio.CancelScope, ended: trio.Event) -> None:
    try:
        with scope:
            await runtime.run()
    finally:
        ended.set()
