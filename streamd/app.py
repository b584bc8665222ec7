"""The supervision tree on one screen.

    run                     holds the state directory; begins again on a new spool if the old one is corrupt
    └ Daemon.run              the core, all or nothing: spool · publisher · admin · watchdog · signals
      └ connectors              one for one; each supervises its own sessions (runtime.py)

SIGTERM drains: sources stop and say goodbye, what they accepted commits, Kafka takes what it can within a
deadline, the rest stays in the spool. A second signal cuts that short. SIGHUP reads the configuration again.
"""

from __future__ import annotations

import signal
from pathlib import Path

import structlog
import trio

from streamd.admin.endpoint import serve_admin
from streamd.clock import SystemClock
from streamd.cloudevents import Envelope
from streamd.config import Config
from streamd.configfile import load
from streamd.derived import changed, changed_tables, connector_share, enabled, state_directory, topic_specs
from streamd.errors import ConfigError
from streamd.notify import Notifier
from streamd.pipeline import Pipeline
from streamd.publish.kafka import Kafka
from streamd.registry import all_types
from streamd.runtime import Runtime
from streamd.spool import directory
from streamd.spool.spool import Spool
from streamd.spool.store import SpoolCorrupt, Store
from streamd.telemetry import Metrics

_GOODBYE_SECONDS = 10.0  # for the sources together
_FLUSH_SECONDS = 10.0  # for Kafka to take what is in the spool

log = structlog.get_logger("streamd")


async def run(path: Path, config: Config, notifier: Notifier) -> None:
    """Run the daemon until a signal ends it. Raises SpoolUnusable, or whatever ended the core."""
    home = state_directory(config)
    with directory.hold(home):
        condemned = False
        while True:
            store = Store(home / directory.DATABASE, config.spool.max_bytes, SystemClock().now(), condemned)
            if store.aside:
                log.error("spool_set_aside", file=str(store.aside), epoch=store.epoch)
            try:
                await Daemon(path, config, store, notifier).run()
                return
            except* SpoolCorrupt as corrupt:
                log.error("spool_corrupt", reason=str(corrupt.exceptions[0]))
                condemned = True
            finally:
                store.close()


class Daemon:
    """One life of the core on one spool."""

    def __init__(self, path: Path, config: Config, store: Store, notifier: Notifier) -> None:
        self.clock = SystemClock()
        self.started = self.clock.now()
        self.config = config
        self.metrics = Metrics()
        self.runtimes: dict[str, Runtime] = {}
        self._specs = topic_specs(config)
        self.spool = Spool(
            store,
            prefix=config.kafka.topic_prefix,
            envelope=Envelope(store.epoch, config.kafka.cloudevents_mode),
            partitions=self._configured_partitions,
            clock=self.clock,
        )
        self.kafka = Kafka(config.kafka, self._specs)
        self.pipeline = Pipeline(self.spool, self.kafka, config.kafka.topic_prefix, self.clock)
        self.pipeline.serve(self._specs.keys() | self.spool.topics())
        self.stopping = trio.Event()
        self._path = path
        self._notifier = notifier
        self._scopes: dict[str, tuple[trio.CancelScope, trio.Event]] = {}
        self._changing = trio.Lock()  # one at a time: restart, reload, the sources' goodbye

    async def run(self) -> None:
        """Run until drained, or until a part of the core fails."""
        async with trio.open_nursery() as core:
            core.start_soon(self._obey_signals, core.cancel_scope)
            core.start_soon(self.spool.write)
            await core.start(self.kafka.run)
            core.start_soon(self.pipeline.run)
            await core.start(serve_admin, self)
            core.start_soon(self._notifier.run, self)
            async with trio.open_nursery() as self._connectors:
                for name in enabled(self.config.connectors):
                    self._start(name)
                self._notifier.ready()
                log.info("started", epoch=self.spool.epoch, connectors=sorted(self.runtimes))
                await self.stopping.wait()
                self._notifier.stopping()
                await self._drain()
            core.cancel_scope.cancel()
        log.info("stopped")

    def _configured_partitions(self, topic: str) -> int:
        spec = self._specs.get(topic)
        return spec.partitions if spec else self.config.kafka.partitions

    async def _drain(self) -> None:
        with trio.move_on_after(_GOODBYE_SECONDS):
            await self._say_goodbye()
        with trio.move_on_after(_FLUSH_SECONDS):
            await self.spool.drain()
        await self.spool.flush()

    async def _say_goodbye(self) -> None:
        async with self._changing:
            for scope, _ in self._scopes.values():
                scope.cancel()
            for _, ended in self._scopes.values():
                await ended.wait()

    async def _obey_signals(self, core: trio.CancelScope) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for number in signals:
                if number == signal.SIGHUP:
                    await self.reload()
                elif self.stopping.is_set():
                    log.warning("drain_cut_short")
                    core.cancel()
                else:
                    log.info("draining", signal=signal.Signals(number).name)
                    self.stopping.set()

    # -- connectors

    def _start(self, name: str) -> None:
        config = self.config.connectors[name]
        runtime = Runtime(
            name,
            all_types()[config.type],
            config,
            spool=self.spool,
            share=connector_share(self.config, name),
            clock=self.clock,
            log=log.bind(connector=name),
            counters=self.metrics.for_connector(name, config.type),
        )
        self.runtimes[name] = runtime
        scope, ended = self._scopes[name] = (trio.CancelScope(), trio.Event())
        self._connectors.start_soon(self._run_connector, runtime, scope, ended)

    async def _run_connector(self, runtime: Runtime, scope: trio.CancelScope, ended: trio.Event) -> None:
        try:
            with scope:
                await runtime.run()
        finally:
            ended.set()

    async def _stop(self, name: str, why: str) -> None:
        scope, ended = self._scopes.pop(name)
        self.runtimes[name].stopping = why
        scope.cancel()
        await ended.wait()
        del self.runtimes[name]

    async def restart(self, name: str) -> None:
        """Stop one connector and start it again, refused and parked ones too. Raises KeyError."""
        async with self._changing:
            await self._stop(name, "restart")
            if not self.stopping.is_set():
                self._start(name)
        log.info("connector_restarted", connector=name)

    async def reload(self) -> bool:
        """Read the configuration again; touch only what changed, and what is refused or parked.

        A configuration that cannot be used changes nothing. Tells whether it was used.
        """
        if self.stopping.is_set():
            return False  # what is being let go of must not begin again
        with self._notifier.reloading():
            try:
                new = load(self._path).config
            except ConfigError as error:
                log.error("reload_refused", problems=[str(problem) for problem in error.problems])
                return False
            async with self._changing:
                await self._apply(new)
            return True

    async def _apply(self, new: Config) -> None:
        connectors, tables = changed(self.config, new), changed_tables(self.config, new)
        if tables:
            log.warning("reload_needs_restart", tables=sorted(tables))
        for name in connectors & self._scopes.keys():
            await self._stop(name, "reconfigured")
        self.config = Config(
            self.config.kafka, self.config.spool, self.config.ingress, self.config.admin, new.connectors
        )
        self._specs.update(topic_specs(self.config))
        self.pipeline.serve(self._specs)
        for name, runtime in self.runtimes.items():
            self.spool.usage(name).share = connector_share(self.config, name)
            runtime.nudge.give()
        for name in enabled(new.connectors).keys() - self._scopes.keys():
            self._start(name)
        log.info("reloaded", changed=sorted(connectors))
