"""The supervision tree on one screen.

    run                     holds the state directory; begins again on a new spool if the old one is corrupt
    └ Daemon.run              the core, all or nothing: signals, spool, publisher, admin, ingress, watchdog
      └ Fleet.run               connectors, one for one; each supervises its own sessions (runtime.py)

SIGTERM drains: the ingress turns away, sources stop and say goodbye, what they accepted commits, Kafka takes
what it can within a deadline, the rest stays in the spool. A second signal cuts that short. SIGHUP reads the
configuration again.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import structlog
import trio

from streamd import heap, signals
from streamd.admin.endpoint import serve_admin
from streamd.clock import SystemClock
from streamd.cloudevents import Envelope
from streamd.config import Config
from streamd.config.derived import changed_tables, state_directory, topic_specs
from streamd.config.file import load
from streamd.errors import ConfigError
from streamd.fleet import Fleet
from streamd.ingress.listener import Listener
from streamd.notify import Notifier
from streamd.pipeline import Pipeline
from streamd.publish.kafka import Kafka
from streamd.spool import directory
from streamd.spool.beat import Beat
from streamd.spool.spool import Spool, SpoolClosed
from streamd.spool.sqlite import SpoolCorrupt
from streamd.spool.store import Store
from streamd.supervision import leaves
from streamd.telemetry import Metrics
from streamd.transport.rounds import rounds

_GOODBYE_SECONDS = 10.0  # for the sources together
_FLUSH_SECONDS = 10.0  # for Kafka to take what is in the spool
_TURN_SECONDS = 0.001  # the spool's thread and Kafka's have little to do each time, and others wait for it
_COMMIT_SECONDS = 5.0  # for the last commit, which a full disk holds up

log = structlog.get_logger("streamd")


async def run(path: Path, config: Config, notifier: Notifier) -> None:
    """Run the daemon until a signal ends it. Raises SpoolUnusable, or whatever ended the core."""
    home = state_directory(config)
    heap.settle()
    sys.setswitchinterval(_TURN_SECONDS)
    with directory.hold(home):
        condemned = False
        while True:
            store = Store(home / directory.DATABASE, config.spool.max_bytes, SystemClock().now(), condemned)
            if store.aside:
                log.error("spool_set_aside", file=str(store.aside), epoch=store.epoch)
            try:
                await Daemon(path, config, store, notifier).run()
                return
            except BaseExceptionGroup as group:
                if not _is_corruption(group):
                    raise
                log.error("spool_corrupt", reason=str(leaves(group)[0]))
                condemned = True
            finally:
                store.close()


def _is_corruption(group: BaseExceptionGroup) -> bool:
    """Tell whether a corrupt spool, and nothing else, ended the core."""
    kinds = {type(error) for error in leaves(group)}
    return SpoolCorrupt in kinds and kinds <= {SpoolCorrupt, SpoolClosed}


class Daemon:
    """One life of the core on one spool."""

    def __init__(self, path: Path, config: Config, store: Store, notifier: Notifier) -> None:
        self.clock = SystemClock()
        self.started = self.clock.now()
        self.config = config
        self.metrics = Metrics()
        self._specs = topic_specs(config)
        self.spool = Spool(
            store,
            prefix=config.kafka.topic_prefix,
            envelope=Envelope(store.epoch, config.kafka.cloudevents_mode),
            partitions=self._configured_partitions,
            clock=self.clock,
            observe=self.metrics.commit_seconds.observe,
            beat=Beat(gather=rounds().look),
        )
        self.ingress = Listener(config)
        self.fleet = Fleet(config, self.spool, self.clock, self.metrics, self.ingress.claims)
        self.kafka = Kafka(config.kafka, self._specs)
        self.pipeline = Pipeline(self.spool, self.kafka, config.kafka.topic_prefix, self.clock)
        self.pipeline.serve(self._specs.keys() | self.spool.topics())
        self.stopping = trio.Event()
        self._path = path
        self._notifier = notifier
        self._cut_short = False
        self._ready = trio.Event()

    async def run(self) -> None:
        """Run until drained, or until a part of the core fails."""
        try:
            async with trio.open_nursery() as core:
                await core.start(self._obey_signals, core.cancel_scope)
                core.start_soon(self.spool.write)
                await core.start(self.kafka.run)
                core.start_soon(self.pipeline.run)
                await core.start(serve_admin, self)
                await core.start(self.ingress.run)
                core.start_soon(self._notifier.run, self)
                core.start_soon(heap.keep_small)
                await core.start(self.fleet.run)
                self._notifier.ready()
                log.info("started", epoch=self.spool.epoch, connectors=sorted(self.fleet.runtimes))
                self._ready.set()
                await self.stopping.wait()
                self._notifier.stopping()
                await self._drain()
                core.cancel_scope.cancel()
        except* SpoolClosed:
            if not self._cut_short:
                raise
        log.info("stopped")

    async def _drain(self) -> None:
        self.ingress.drain()
        with trio.move_on_after(_GOODBYE_SECONDS):
            await self.fleet.say_goodbye()
        with trio.move_on_after(_FLUSH_SECONDS):
            await self.spool.drain()
        with trio.move_on_after(_COMMIT_SECONDS):
            await self.spool.flush()

    async def _obey_signals(
        self, core: trio.CancelScope, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with trio.open_signal_receiver(*signals.OBEYED) as received:
            signals.release()
            task_status.started()
            async with trio.open_nursery() as reloads:
                async for number in received:
                    if number == signal.SIGHUP:
                        reloads.start_soon(self.reload)
                    elif self.stopping.is_set():
                        log.warning("drain_cut_short")
                        self._cut_short = True
                        core.cancel()
                    else:
                        log.info("draining", signal=signal.Signals(number).name)
                        self.stopping.set()

    async def reload(self) -> bool:
        """Read the configuration again; one that cannot be used changes nothing. Tell whether it was used."""
        await self._ready.wait()
        if self.stopping.is_set():
            return False  # what is being let go of must not begin again
        with self._notifier.reloading():
            try:
                new = load(self._path).config
            except ConfigError as error:
                log.error("reload_refused", problems=[str(problem) for problem in error.problems])
                return False
            await self._apply(new)
            return True

    async def _apply(self, new: Config) -> None:
        tables = changed_tables(self.config, new)
        if tables:
            log.warning("reload_needs_restart", tables=sorted(tables))
        old = self.config
        self.config = Config(old.kafka, old.spool, old.ingress, old.admin, new.connectors)
        self._specs.update(topic_specs(self.config))
        self.pipeline.serve(self._specs)
        self.ingress.reload(self.config)
        await self.fleet.apply(self.config)

    def _configured_partitions(self, topic: str) -> int:
        spec = self._specs.get(topic)
        return spec.partitions if spec else self.config.kafka.partitions
