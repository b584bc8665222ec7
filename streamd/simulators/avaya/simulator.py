"""Open a simulated Avaya account on one port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import trio

from streamd.simulators.avaya import commands
from streamd.simulators.avaya.feed import reset_counters, run_feed, run_timed_switches
from streamd.simulators.avaya.log import LogEntry, RequestEntry
from streamd.simulators.avaya.options import AvayaOptions
from streamd.simulators.avaya.server import Server
from streamd.simulators.avaya.service import Service
from streamd.simulators.avaya.session import Session
from streamd.simulators.avaya.subscriptions import Subscription
from streamd.simulators.avaya.table import TruthKey


class AvayaSimulator:
    """A running simulator: what it did and what a test may do to it. Only `drop_sockets` waits."""

    def __init__(self, service: Service, port: int) -> None:
        self._service = service
        self.port = port

    @property
    def base_url(self) -> str:
        return self._service.base_url

    @property
    def options(self) -> AvayaOptions:
        return self._service.options

    @property
    def faults(self) -> tuple[str, ...]:
        """The switches that are on, as they were written."""
        return self._service.faults.written

    def truth(self) -> dict[TruthKey, dict[str, str]]:
        """Return (account, event source, producer, sorted key pairs) -> merged measures, of this moment."""
        return self._service.table.truth()

    @property
    def log(self) -> Sequence[LogEntry]:
        """Every data message handed to a socket, in order; empty when it is off or goes to a file."""
        return self._service.log.entries

    @property
    def messages_sent(self) -> int:
        """Count the data messages handed to sockets, logged or not."""
        return self._service.log.count

    @property
    def requests(self) -> Sequence[RequestEntry]:
        """The REST requests, oldest first (the last 100,000); no header, no body, so no token."""
        return list(self._service.requests)

    @property
    def sockets(self) -> Sequence[Session]:
        return list(self._service.sessions)

    @property
    def subscriptions(self) -> Mapping[str, Subscription]:
        return dict(self._service.subscriptions)

    def set_faults(self, *faults: str) -> None:
        """Replace all switches; ConfigError names what is unknown."""
        self._service.set_faults(faults)

    def set_rate(self, rate: float) -> None:
        commands.set_rate(self._service, rate)

    async def drop_sockets(self, mode: str = "fin", producer: str | None = None) -> int:
        return await commands.drop_sockets(self._service, mode, producer)

    def remove_keys(self, count: int, producer: str | None = None, *, silent: bool = False) -> list[TruthKey]:
        return commands.remove_keys(self._service, count, producer, silent=silent)

    def add_keys(self, count: int, producer: str | None = None, *, silent: bool = False) -> list[TruthKey]:
        return commands.add_keys(self._service, count, producer, silent=silent)

    def upsert(self, producer: str, keys: Mapping[str, str], measures: Mapping[str, str]) -> None:
        commands.upsert(self._service, producer, keys, measures)

    def delete(self, producer: str, keys: Mapping[str, str]) -> bool:
        return commands.delete(self._service, producer, keys)

    def reset_counters(self) -> None:
        """Play midnight: all counters fall to zero in one burst."""
        reset_counters(self._service)

    def expire_tokens(self) -> None:
        commands.expire_tokens(self._service)

    def connector_table(self, name: str = "avaya-sim") -> str:
        """Return the TOML table that points streamd at this simulator; its secrets are made up."""
        options = self.options
        producers = ", ".join(f'"{each}"' for each in options.producers)
        return (
            f"[connectors.{name}]\n"
            'type = "avaya"\n'
            f'base_url = "{self.base_url}"\n'
            f'account_id = "{options.account_id}"\n'
            f'client_id = "{options.client_id}"\n'
            f'client_secret = "{options.client_secret}"\n'
            f'appkey = "{options.appkey}"\n'
            f"measure_producers = [{producers}]\n"
        )


@asynccontextmanager
async def open_avaya_simulator(options: AvayaOptions | None = None) -> AsyncIterator[AvayaSimulator]:
    """Listen on one port for REST and websockets until the block is left, which cuts everything short.

    Raises ConfigError for unknown faults or producers, OSError when the port is taken.
    """
    options = options or AvayaOptions()
    service = Service(options)
    listeners = await trio.open_tcp_listeners(options.port, host=options.host)
    port = listeners[0].socket.getsockname()[1]
    scheme = "https" if options.ssl_context else "http"
    service.base_url = f"{scheme}://{options.public_host or options.host}:{port}"
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, Server(service).serve, listeners)
            nursery.start_soon(run_feed, service)
            nursery.start_soon(run_timed_switches, service)
            yield AvayaSimulator(service, port)
            nursery.cancel_scope.cancel()
    finally:
        service.log.close()
