"""The simulated CC-FS of `streamd demo`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from streamd.simulators import Sent
from streamd.simulators.huawei_aicc.options import HuaweiOptions
from streamd.simulators.huawei_aicc.records import identify
from streamd.simulators.huawei_aicc.simulator import HuaweiSimulator, open_huawei_simulator
from streamd.simulators.huawei_aicc.vocabulary import CALL, QUERY, RECORD, SUCCESS

_SCOPES: Mapping[str, str] = {CALL: "cdrs", RECORD: "recordings"}
_KINDS: Mapping[str, str] = {"streamd.cdr.recorded": CALL, "streamd.recording.available": RECORD}
_AT_ONCE = "ready-after=0"
_TABLE: Mapping[str, str] = {
    "step_seconds": "1",
    "lookback_seconds": "900",  # longer than a call: windows hold rows by their begin
    "settle_seconds": "0",
    "poll_seconds": "0.2",
    "retry_max_seconds": "2",
}


class HuaweiDemo:
    """A `DemoSource` (streamd/simulators/__init__.py)."""

    def __init__(self, simulator: HuaweiSimulator, *, callback: bool) -> None:
        self.table = simulator.connector_table("huawei-demo", callback=str(callback).lower(), **_TABLE)
        self._simulator = simulator

    def sent(self) -> Sequence[Sent]:
        """Give the rows of zips that the client is done with: it has asked for another window since."""
        rows = self._simulator.rows
        queries = (each for each in self._simulator.requests if each.operation == QUERY)
        asked_at = max((each.at for each in queries if each.code == SUCCESS), default=0.0)
        first: dict[Hashable, Sent] = {}
        for entry in self._simulator.exports:
            if entry.is_sound and entry.at < asked_at:
                for number, _ in entry.rows:
                    row = rows[number]
                    first.setdefault(row.identity, Sent(entry.at, _SCOPES[row.kind], row.identity))
        return list(first.values())

    def identity(self, event: Mapping[str, Any]) -> Hashable | None:
        kind = _KINDS.get(event["type"])
        return None if kind is None else identify(kind, event["data"])

    async def disturb(self) -> None:
        """Let a gateway answer in the place of CC-FS."""
        self._simulator.set_faults(_AT_ONCE, "gateway-502:query=2", "gateway-502:download=2")

    def quiet(self) -> None:
        self._simulator.set_rate(0)


@asynccontextmanager
async def open_demo(rate: float, ingress_port: int = 0) -> AsyncIterator[HuaweiDemo]:
    """Simulate one tenant at `rate` rows a second until the block is left.

    It calls back to wherever its client says, if that listens: `ingress_port` is not 0.
    """
    options = HuaweiOptions(rate=rate, whole_calls=True, faults=frozenset({_AT_ONCE}))
    async with open_huawei_simulator(options) as simulator:
        yield HuaweiDemo(simulator, callback=bool(ingress_port))
