"""The real core in the test's own process, with a vendor whose sessions do what the test orders."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from streamd import app
from streamd.config import ConnectorConfig
from streamd.config.file import load
from streamd.connector import ConnectorType, Context, Link
from streamd.model import Event, Stream
from streamd.notify import Notifier
from streamd.registry import all_types
from streamd.spool import directory
from streamd.spool.store import Store
from tests.kafka.configuration import free_ports

SWITCHES = Stream("lamp", "switches")
Order = Callable[[Context[Any], Link], Awaitable[None]]


class LampConfig(ConnectorConfig, frozen=True, kw_only=True):
    """Its whole table is what every connector has."""


class Lamp:
    """A session that is live at once and then carries out orders; what an order raises ends the link."""

    name = "lamp"
    scope: Sequence[str] = ("*",)
    stateful = True

    def __init__(self, context: Context[Any]) -> None:
        self._context = context
        self._send, self._orders = trio.open_memory_channel[tuple[Order, trio.Event]](16)

    async def run(self, link: Link) -> None:
        await link.connected(self._context.clock.now())
        link.prove_with(self._context.clock.now)
        await link.live()
        async for order, done in self._orders:
            try:
                await order(self._context, link)
            finally:
                done.set()

    async def obey(self, order: Order) -> None:
        """Return when the order is carried out."""
        done = trio.Event()
        await self._send.send((order, done))
        await done.wait()


class Announcer(Notifier):
    """Tells the test, too, that the daemon is ready."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(environ)
        self.is_ready = trio.Event()

    def ready(self) -> None:
        super().ready()
        self.is_ready.set()


class Core:
    """A running daemon: its admin endpoint's URL, its state directory, and its lamps by connector."""

    def __init__(
        self,
        daemon: app.Daemon,
        url: str,
        home: Path,
        lamps: dict[str, Lamp],
        configure: Callable[..., None],
    ) -> None:
        self.daemon = daemon
        self.configure = configure
        """Write a configuration that differs in its connectors only; `daemon.reload` reads it."""
        self.url = url
        self.home = home
        self.lamps = lamps

    async def reach(self, connector: str, state: str) -> None:
        """Wait until a connector is in a state."""
        with trio.fail_after(30):
            status = self.daemon.fleet.runtimes[connector].status
            while status.state != state:
                await status.changed.wait()

    async def switch(self, connector: str, times: int) -> None:
        """Have so many events accepted."""

        async def order(context: Context[Any], link: Link) -> None:
            now = context.clock.now()
            await context.append(
                [Event(SWITCHES, str(n), "streamd.lamp.switched", {"on": True}, now) for n in range(times)]
            )

        await self.lamps[connector].obey(order)


def lamp_type(lamps: dict[str, Lamp]) -> ConnectorType[LampConfig]:
    """Declare the vendor; its sessions are put into `lamps`."""

    @asynccontextmanager
    async def open_lamp(context: Context[LampConfig]) -> AsyncIterator[Sequence[Lamp]]:
        lamp = lamps[context.origin.connector] = Lamp(context)
        yield [lamp]

    async def probe(context: Context[LampConfig]) -> None:
        await trio.lowlevel.checkpoint()

    return ConnectorType(
        name="lamp",
        config=LampConfig,
        check=lambda config, path: [],
        streams=lambda config: [SWITCHES],
        schemas={},
        open=open_lamp,
        probe=probe,
    )


@asynccontextmanager
async def open_core(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    connectors: Sequence[str] = (),
    admin: str = "",
    spool: str = "",
    host: str = "127.0.0.1",
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[Core]:
    """Run the core without a Kafka, one lamp for each connector; `admin` and `spool` add to those tables."""
    lamps: dict[str, Lamp] = {}
    monkeypatch.setitem(all_types(), "lamp", lamp_type(lamps))
    monkeypatch.setattr(app, "_FLUSH_SECONDS", 0.1)
    home, port = tmp_path / "state", free_port()
    path = tmp_path / "streamd.toml"

    def configure(*names: str) -> None:
        path.write_text(
            '[kafka]\nbootstrap_servers = ["127.0.0.1:1"]\n'
            f"[spool]\ndirectory = '{home}'\n{spool}\n[admin]\nlisten = '{host}:{port}'\n{admin}\n"
            + "".join(f'[connectors.{name}]\ntype = "lamp"\n' for name in names)
        )

    configure(*connectors)
    config = load(path).config
    with directory.hold(home):
        now = app.SystemClock().now()
        store = Store(home / directory.DATABASE, config.spool.max_bytes, now)
        announcer = Announcer(environ or {})
        daemon = app.Daemon(path, config, store, announcer)
        core = Core(daemon, f"http://127.0.0.1:{port}", home, lamps, configure)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(daemon.run)
                with trio.fail_after(30):
                    await announcer.is_ready.wait()
                for name in connectors:
                    await core.reach(name, "live")
                yield core
                daemon.stopping.set()
        finally:
            store.close()


def free_port() -> int:
    [port] = free_ports(1)
    return port
