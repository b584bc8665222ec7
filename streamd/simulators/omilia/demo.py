"""The simulated platform of `streamd demo`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import trio

from streamd.simulators import Sent
from streamd.simulators.omilia.options import OmiliaOptions
from streamd.simulators.omilia.records import Fate, Identity
from streamd.simulators.omilia.simulator import OmiliaSimulator, open_omilia_simulator
from streamd.simulators.omilia.vocabulary import END, START, STEP

_KINDS: Mapping[str, str] = {
    "streamd.dialog.started": START,
    "streamd.dialog.step": STEP,
    "streamd.dialog.ended": END,
}
_DOWN_SECONDS = 2.0
_SOON = ("reconcile-after=1", "probe-after=1")  # instead of ten minutes
_TABLE: Mapping[str, str] = {
    "reconcile_seconds": "0.5",
    "requests_per_minute": "500",
    "retry_min_seconds": "0.1",
    "retry_max_seconds": "1",
}


class OmiliaDemo:
    """A `DemoSource` (streamd/simulators/__init__.py)."""

    def __init__(self, simulator: OmiliaSimulator) -> None:
        self.table = simulator.connector_table("omilia-demo", **_TABLE)
        self._simulator = simulator

    def sent(self) -> Sequence[Sent]:
        """Give the records that somebody was subscribed to."""
        return [
            Sent(each.made_at, each.message_type, each.identity)
            for each in self._simulator.records
            if each.message_type in _KINDS.values() and each.fate is not Fate.UNSUBSCRIBED
        ]

    def identity(self, event: Mapping[str, Any]) -> Hashable | None:
        kind = _KINDS.get(event["type"])
        if kind is None:
            return None
        data = event["data"]
        time = round(datetime.fromisoformat(data["time"]).timestamp() * 1000)
        return Identity(kind, data["id"], time, (data.get("action") or {}).get("name", ""))

    async def disturb(self) -> None:
        """Drop a subscription, silently: what happens until that is noticed is in a gap. And let no push
        through for a while: what is missed comes back by reconciliation.
        """
        self._simulator.vanish(STEP)
        self._simulator.set_faults(*_SOON, "network-down")
        await trio.sleep(_DOWN_SECONDS)
        self._simulator.set_faults(*_SOON)

    def quiet(self) -> None:
        self._simulator.set_rate(0)


@asynccontextmanager
async def open_demo(rate: float, ingress_port: int = 0) -> AsyncIterator[OmiliaDemo]:
    """Simulate one group at `rate` records a second until the block is left; it pushes to `ingress_port`."""
    options = OmiliaOptions(rate=rate, ingress_port=ingress_port, faults=frozenset(_SOON))
    async with open_omilia_simulator(options) as simulator:
        yield OmiliaDemo(simulator)
