"""The simulated O2G server of `streamd demo`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from streamd.simulators import Sent
from streamd.simulators.o2g.options import O2gOptions
from streamd.simulators.o2g.simulator import O2gSimulator, open_o2g_simulator
from streamd.simulators.o2g.wire import digest

_PACKAGES = ("telephony", "agent")


class O2gDemo:
    """A `DemoSource` (streamd/simulators/__init__.py)."""

    def __init__(self, simulator: O2gSimulator) -> None:
        self.table = simulator.connector_table("o2g-demo", _PACKAGES)
        self._simulator = simulator

    def sent(self) -> Sequence[Sent]:
        return [
            Sent(entry.sent_at, entry.package, (entry.package, entry.login, entry.marker))
            for entry in self._simulator.log
            if entry.package in _PACKAGES and not entry.odd
        ]

    def identity(self, event: Mapping[str, Any]) -> Hashable | None:
        package, data = event["source"].rpartition("/")[2], event["data"]
        if package not in _PACKAGES or data.get("synthetic"):
            return None
        return package, data["login_name"], digest(data)

    async def disturb(self) -> None:
        await self._simulator.drop_channels("rst")

    def quiet(self) -> None:
        self._simulator.set_rate(0)


@asynccontextmanager
async def open_demo(rate: float, ingress_port: int = 0) -> AsyncIterator[O2gDemo]:
    """Simulate one server at `rate` lines a second until the block is left."""
    options = O2gOptions(rate=rate, password="simulated-secret")  # noqa: S106 - the demo's own
    async with open_o2g_simulator(options) as simulator:
        yield O2gDemo(simulator)
