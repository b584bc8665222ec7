"""Open a simulated CC-FS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any

import trio

from streamd.simulators.huawei_aicc import commands
from streamd.simulators.huawei_aicc.bulk import Bulk
from streamd.simulators.huawei_aicc.calls import Call
from streamd.simulators.huawei_aicc.feed import Feed
from streamd.simulators.huawei_aicc.jobs import Job
from streamd.simulators.huawei_aicc.log import CallbackEntry, ExportEntry, RequestEntry
from streamd.simulators.huawei_aicc.options import HuaweiOptions
from streamd.simulators.huawei_aicc.records import Identity, Row
from streamd.simulators.huawei_aicc.server import handler
from streamd.simulators.huawei_aicc.service import Service
from streamd.simulators.huawei_aicc.times import to_utc
from streamd.simulators.tables import free_port, ingress_table, table


class HuaweiSimulator:
    """A running simulator: what it did and what a test may do to it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    # Inspecting

    @property
    def options(self) -> HuaweiOptions:
        return self._service.options

    @property
    def base_url(self) -> str:
        """Return the root of CC-FS, without a path."""
        return self._service.base_url

    @property
    def ingress_port(self) -> int:
        """Return where `ingress_table` lets the client listen."""
        return self._service.ingress_port

    @property
    def faults(self) -> tuple[str, ...]:
        """The switches that are on, as they were written."""
        return self._service.faults.written

    def now(self) -> datetime:
        """Return the platform's time."""
        return to_utc(self._service.clock.now())

    @property
    def calls(self) -> Sequence[Call]:
        """Every call, oldest first, with its rows; empty without `log`."""
        return self._service.made

    @property
    def rows(self) -> Sequence[Row]:
        """Every row, by number, written or still to be; empty without `log`."""
        return self._service.rows.all

    def truth(self) -> dict[Identity, dict[str, str]]:
        """Return what each row that is written says now, as files spell it."""
        return commands.truth(self._service)

    def handed(self) -> dict[Identity, list[dict[str, str]]]:
        """Return what each row said in zips that were sent whole and sound, in the order of its versions."""
        return commands.handed(self._service)

    def never_handed(self) -> set[Identity]:
        """Return the rows that are written, and that no sound zip held in any version."""
        return commands.never_handed(self._service)

    @property
    def jobs(self) -> Sequence[Job]:
        return self._service.jobs.all

    @property
    def exports(self) -> Sequence[ExportEntry]:
        """Every zip that was sent, wholly or partly, in order."""
        return self._service.log.exports

    @property
    def callbacks(self) -> Sequence[CallbackEntry]:
        """Every callback that was tried, in order of its end."""
        return self._service.log.callbacks

    @property
    def requests(self) -> Sequence[RequestEntry]:
        """The calls to CC-FS, oldest first (the last 100,000)."""
        return list(self._service.log.requests)

    @property
    def is_settled(self) -> bool:
        """Tell that all rows are written and no callback is due."""
        return self._service.is_settled

    # Steering

    def set_faults(self, *faults: str) -> None:
        """Replace all switches; ConfigError names what is unknown."""
        self._service.set_faults(faults)

    def set_rate(self, rate: float) -> None:
        commands.set_rate(self._service, rate)

    def advance(self, seconds: float) -> None:
        """Put the platform's clock forward."""
        self._service.advance(seconds)

    async def settle(self) -> None:
        """Wait until `is_settled`."""
        await commands.settle(self._service)

    def unlock(self) -> None:
        """Forgive wrong signatures."""
        self._service.gatekeeper.unlock()

    def expire_files(self) -> None:
        commands.expire_files(self._service)

    # Acting

    def call(self, ago: float = 0.0, **wish: Any) -> Call:
        """Let a whole call have ended; `wish` as calls.Wish: legs, answered, recorded, account_id, cc_id."""
        return commands.call(self._service, ago, **wish)

    def begin_call(self, **wish: Any) -> Call:
        return commands.begin_call(self._service, **wish)

    def history(self, hours: float, calls: int) -> list[Call]:
        return commands.history(self._service, hours, calls)

    def bulk(self, rows: int = 100_000, ago: float = 600.0) -> Bulk:
        return commands.bulk(self._service, rows, ago)

    def change(self, row: Row) -> None:
        commands.change(self._service, row)

    async def forge_callback(self, url: str, response_id: str = "", name: str = "") -> str:
        return await commands.forge_callback(self._service, url, response_id, name)

    async def unknown_callback(self, url: str) -> str:
        return await commands.unknown_callback(self._service, url)

    # Configuring

    def connector_table(self, name: str = "huawei-sim", **more: str) -> str:
        """Return the TOML table that points streamd at this simulator; `more` are keys and TOML values.

        It needs the `ingress_table`, once in a file, unless `callback` is false.
        """
        options = self.options
        utc = self._service.faults.has("rows-utc")
        keys: Mapping[str, str] = {
            "type": '"huawei_aicc"',
            "base_url": f'"{self.base_url}"',
            "access_key": f'"{options.access_key}"',
            "secret_key": f'"{options.secret_key}"',
            "account_id": f'"{options.account_ids[0]}"',
            "data_type": '"call_record"',
            "request_zone": f'"{options.time_zone}"',
            "row_zone": '"UTC"' if utc else f'"{options.time_zone}"',
            **more,
        }
        return table(f"connectors.{name}", keys)

    def ingress_table(self, **more: str) -> str:
        """Return the TOML table that lets streamd listen where callbacks are meant to go; `more` as above."""
        return ingress_table(f"{self.options.host}:{self.ingress_port}", **more)


@asynccontextmanager
async def open_huawei_simulator(options: HuaweiOptions | None = None) -> AsyncIterator[HuaweiSimulator]:
    """Listen until the block is left, which cuts everything short.

    Raises ConfigError for unknown faults, OSError when the port is taken.
    """
    options = options or HuaweiOptions()
    service = Service(options)
    service.ingress_port = options.ingress_port or free_port(options.host)
    async with trio.open_nursery() as nursery:
        service.nursery = nursery
        serve = partial(trio.serve_tcp, handler(service), options.port, host=options.host)
        listeners: list[trio.SocketListener] = await nursery.start(serve)
        port = listeners[0].socket.getsockname()[1]
        scheme = "https" if options.ssl_context is not None else "http"
        service.base_url = f"{scheme}://{options.host}:{port}"
        service.gatekeeper.port = port
        nursery.start_soon(Feed(service).run)
        yield HuaweiSimulator(service)
        nursery.cancel_scope.cancel()
