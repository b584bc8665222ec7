"""Hold what all parts of the simulator share: the clock, the rows, the jobs, the switches that are on."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterable
from zoneinfo import ZoneInfo

import trio

from streamd.simulators.clock import ScaledClock
from streamd.simulators.huawei_aicc.authentication import Gatekeeper
from streamd.simulators.huawei_aicc.calls import Call, Calls
from streamd.simulators.huawei_aicc.faults import read_faults
from streamd.simulators.huawei_aicc.jobs import Announcement, Job, Jobs
from streamd.simulators.huawei_aicc.log import Log
from streamd.simulators.huawei_aicc.options import HuaweiOptions
from streamd.simulators.huawei_aicc.records import Rows


class Service:
    """`changed` wakes the loops that wait for time to pass after anything they count on has changed."""

    def __init__(self, options: HuaweiOptions) -> None:
        self.options = options
        self.faults = read_faults(options.faults)
        self.rate = options.rate
        self.zone = ZoneInfo(options.time_zone)
        self.clock = ScaledClock(options.time_scale, options.starts_at)
        self.calls = Calls(options, self.faults)
        self.made: list[Call] = []
        self.rows = Rows(options.log)
        self.jobs = Jobs(options, self.zone, self.rows)
        self.log = Log()
        self.gatekeeper = Gatekeeper(options, self.clock)
        self.changed = trio.lowlevel.ParkingLot()
        self.nursery: trio.Nursery | None = None
        self.base_url = ""
        self.ingress_port = options.ingress_port
        self._trust = options.callback_ssl_context

    def trust(self) -> ssl.SSLContext:
        """Return the context that callbacks verify the client's certificate with."""
        if self._trust is None:
            self._trust = ssl.create_default_context()
        return self._trust

    def start(self, work: Callable[[Service, Job], Awaitable[None]], job: Job) -> None:
        """Let `work` on a job go on by itself until the simulator ends."""
        assert self.nursery is not None
        self.nursery.start_soon(work, self, job)

    def set_faults(self, written: Iterable[str]) -> None:
        """Replace all switches by `written`; ConfigError names what is unknown."""
        self.faults = self.calls.faults = read_faults(written)
        self.wake()

    def advance(self, seconds: float) -> None:
        """Put the platform's clock forward."""
        self.clock.advance(seconds)
        self.wake()

    def wake(self) -> None:
        self.changed.unpark_all()

    async def wait(self, until: float, met: Callable[[], bool] = lambda: False) -> None:
        """Wait until an instant of the platform's clock, or until `met` after a change."""
        while not met() and (left := until - self.clock.now()) > 0:
            with trio.move_on_after(self.clock.real(left)):
                await self.changed.park()

    def add(self, call: Call) -> Call:
        """Take a call into the database, to be seen as its rows are written."""
        for row in call.rows:
            self.rows.add(row)
        if self.options.log:
            self.made.append(call)
        return call

    @property
    def settles_at(self) -> float:
        """Return when the last row will have been written and changed, as far as known (epoch)."""
        return max((each.versions[-1].visible_at for each in self.rows.all), default=0.0)

    @property
    def is_settled(self) -> bool:
        """Tell that all is written, and that no callback is due."""
        due = any(each.announcement == Announcement.DUE for each in self.jobs.all)
        return not due and self.clock.now() >= self.settles_at
