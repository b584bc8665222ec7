"""The simulated account of `streamd demo`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from streamd.simulators import Sent
from streamd.simulators.avaya.options import AvayaOptions
from streamd.simulators.avaya.simulator import AvayaSimulator, open_avaya_simulator
from streamd.simulators.avaya.wire import digest


class AvayaDemo:
    """A `DemoSource` (streamd/simulators/__init__.py)."""

    def __init__(self, simulator: AvayaSimulator) -> None:
        self.table = simulator.connector_table("avaya-demo")
        self._simulator = simulator

    def sent(self) -> Sequence[Sent]:
        return [
            Sent(
                entry.sent_at, entry.producer, (entry.producer, entry.keys, entry.event_action, entry.marker)
            )
            for entry in self._simulator.log
        ]

    def identity(self, event: Mapping[str, Any]) -> Hashable | None:
        data = event["data"]
        if not event["source"].endswith("/measures") or data.get("reason"):
            return None
        keys = tuple(sorted(data["keys"].items()))
        return data["measure_producer_id"], keys, data["event_action"], digest(data.get("measures") or None)

    async def disturb(self) -> None:
        await self._simulator.drop_sockets("rst")

    def quiet(self) -> None:
        self._simulator.set_rate(0)


@asynccontextmanager
async def open_demo(rate: float, ingress_port: int = 0) -> AsyncIterator[AvayaDemo]:
    """Simulate one account at `rate` events a second until the block is left."""
    async with open_avaya_simulator(AvayaOptions(rate=rate, keys=25)) as simulator:
        yield AvayaDemo(simulator)
