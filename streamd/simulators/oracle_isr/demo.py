"""The simulated recorder of `streamd demo`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from streamd.simulators import Sent
from streamd.simulators.oracle_isr.options import OracleIsrOptions
from streamd.simulators.oracle_isr.simulator import OracleIsrSimulator, open_oracle_isr_simulator

_NAME = "isr-demo"
_CALLS_A_SECOND = 4.0  # more cannot be asked for one by one at the pace a client is asked to keep
_RESETS = 3  # requests; a client that tries again at once has a second broken link, and a third


class OracleIsrDemo:
    """A `DemoSource` (streamd/simulators/__init__.py)."""

    def __init__(self, simulator: OracleIsrSimulator, *, push: bool) -> None:
        self.table = simulator.connector_table(_NAME, push=push, poll_seconds="5")
        self._simulator = simulator

    def sent(self) -> Sequence[Sent]:
        """Give each recording shown in full, however often: after a broken link it is asked for again."""
        truth = self._simulator.truth()
        first: dict[Hashable, Sent] = {}
        for reply in self._simulator.replies:
            if reply.shape == "one" and reply.operation == "details" and reply.ids[0] in truth:
                first.setdefault(reply.ids[0], Sent(reply.at, "recordings", reply.ids[0]))
        return list(first.values())

    def identity(self, event: Mapping[str, Any]) -> Hashable | None:
        if event["type"] != "streamd.recording.ended":
            return None
        return int(event["data"]["recording_id"])

    async def disturb(self) -> None:
        self._simulator.reset_next(_RESETS)

    def quiet(self) -> None:
        self._simulator.set_rate(0)


@asynccontextmanager
async def open_demo(rate: float, ingress_port: int = 0) -> AsyncIterator[OracleIsrDemo]:
    """Simulate a recorder with `rate` calls a second, four at most, until the block is left."""
    options = OracleIsrOptions(
        rate=min(rate, _CALLS_A_SECOND),
        call_seconds=5.0,
        archive_seconds=5.0,
        password="simulated-secret",  # noqa: S106 - the demo's own
    )
    async with open_oracle_isr_simulator(options) as simulator:
        if ingress_port:
            secret = simulator.options.path_secret
            simulator.notify_to(f"http://127.0.0.1:{ingress_port}/oracle_isr/{_NAME}/{secret}")
        yield OracleIsrDemo(simulator, push=bool(ingress_port))
