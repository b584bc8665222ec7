"""Hold what all parts of the simulator share: the clock, the recordings, the switches that are on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, tzinfo
from random import Random
from zoneinfo import ZoneInfo

import trio

from streamd.simulators.clock import ScaledClock
from streamd.simulators.http import Response
from streamd.simulators.oracle_isr.accounts import Accounts
from streamd.simulators.oracle_isr.calls import Calls
from streamd.simulators.oracle_isr.faults import OPERATIONS, read_faults
from streamd.simulators.oracle_isr.life import Life
from streamd.simulators.oracle_isr.log import Log
from streamd.simulators.oracle_isr.notifier import Notifier
from streamd.simulators.oracle_isr.options import OracleIsrOptions
from streamd.simulators.oracle_isr.recordings import Recordings
from streamd.simulators.oracle_isr.schedule import Schedule

_SHORTEST_PERIOD = 0.05  # real seconds


class Service:
    """`prepared` are responses that a test gave for an operation, `parallel` counts requests under way.

    `to_reset` requests more get RST.
    """

    def __init__(self, options: OracleIsrOptions) -> None:
        self.options = options
        self.faults = read_faults(options.faults)
        self.random = Random(options.seed)  # noqa: S311 - a simulation that repeats
        self.clock = ScaledClock(options.time_scale, options.starts_at)
        self.log = Log(options.log)
        self.accounts = Accounts(options)
        self.recordings = Recordings()
        self.schedule = Schedule(self.clock)
        self.notifier = Notifier(options, self.clock, self.schedule, self.log, self.random, self.faults)
        self.life = Life(options, self.recordings, self.schedule, self.notifier)
        self.calls = Calls(options, self.life, self.schedule, self.random, self.faults)
        self.prepared: dict[str, deque[Response]] = {each: deque() for each in OPERATIONS}
        self.parallel = self.to_reset = 0
        self.base_url = ""
        self.ingress_port = options.ingress_port
        self._changed = trio.lowlevel.ParkingLot()

    @property
    def zone(self) -> tzinfo:
        """Return the zone that times are asked and answered in."""
        return ZoneInfo(self.options.user_zone) if self.faults.has("user-zone") else UTC

    @property
    def is_settled(self) -> bool:
        """Tell that every life that was drawn is over and every notification sent."""
        return self.calls.is_over and self.schedule.is_empty and self.notifier.is_idle

    def set_faults(self, written: Iterable[str]) -> None:
        """Replace all switches by `written`; ConfigError names what is unknown."""
        self.faults = self.calls.faults = self.notifier.faults = read_faults(written)
        self._changed.unpark_all()

    def advance(self, seconds: float) -> None:
        """Put the recorder's clock forward; what falls into that time has happened then."""
        self.clock.advance(seconds)
        self.schedule.run_due()

    async def settle(self) -> None:
        """Wait until `is_settled`."""
        while not self.is_settled:
            await self.schedule.progress.park()

    async def repeat(self, name: str, act: Callable[[], None]) -> None:
        """Act each period (real seconds) of the switch `name` while it is on, until cancelled."""
        while True:
            period = (
                max(_SHORTEST_PERIOD, self.faults.number(name)) if self.faults.has(name) else float("inf")
            )
            with trio.move_on_after(period) as scope:
                await self._changed.park()
            if scope.cancelled_caught:
                act()
