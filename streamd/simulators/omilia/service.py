"""Hold what all parts of the simulator share: the clock, the records, the switches that are on."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import trio

from streamd.simulators.clock import ScaledClock
from streamd.simulators.omilia.accounts import Accounts
from streamd.simulators.omilia.dialogs import Dialogs
from streamd.simulators.omilia.faults import read_faults
from streamd.simulators.omilia.jobs import Jobs
from streamd.simulators.omilia.limits import Limits
from streamd.simulators.omilia.log import Log
from streamd.simulators.omilia.options import OmiliaOptions
from streamd.simulators.omilia.records import Fate, Record, Records
from streamd.simulators.omilia.subscriptions import Subscriptions
from streamd.simulators.omilia.vocabulary import AUDIT, DATA_TYPES

if TYPE_CHECKING:
    from streamd.simulators.omilia.streaming import Streaming


class Service:
    """`changed` wakes the loops that wait for time to pass after anything they count on has changed.

    `progress` wakes who waits for pushes to be over.
    """

    def __init__(self, options: OmiliaOptions) -> None:
        self.options = options
        self.faults = read_faults(options.faults)
        self.rate = options.rate
        self.clock = ScaledClock(options.time_scale, options.starts_at)
        self.dialogs = Dialogs(options.group, self.clock, self.faults, options.seed)
        self.records = Records(options.log)
        self.log = Log(options.log)
        self.accounts = Accounts(options)
        self.limits = Limits(self.clock)
        self.subscriptions = Subscriptions()
        self.streamings: list[Streaming] = []
        self.jobs = Jobs(self.clock, self.records)
        self.changed = trio.lowlevel.ParkingLot()
        self.progress = trio.lowlevel.ParkingLot()
        self.nursery: trio.Nursery | None = None
        self.exports_url = self.iam_url = ""
        self.ingress_port = options.ingress_port
        self._trust = options.push_ssl_context
        self._admit_others()

    def trust(self) -> ssl.SSLContext:
        """Return the context that pushes verify the client's certificate with."""
        if self._trust is None:
            self._trust = ssl.create_default_context()
        return self._trust

    @property
    def data_types(self) -> tuple[str, ...]:
        """Return what can be subscribed to, as it is spelt."""
        short = self.faults.has("audit-short")
        return tuple("audit" if short and each == AUDIT else each for each in DATA_TYPES)

    def set_faults(self, written: Iterable[str]) -> None:
        """Replace all switches by `written`; ConfigError names what is unknown."""
        self.faults = self.dialogs.faults = read_faults(written)
        self._admit_others()
        self.wake()

    def advance(self, seconds: float) -> None:
        """Put the platform's clock forward."""
        self.clock.advance(seconds)
        self.wake()

    def wake(self) -> None:
        self.changed.unpark_all()
        for streaming in self.streamings:
            streaming.changed.unpark_all()

    def emit(self, message: Mapping[str, Any], made_at: float | None = None) -> Record:
        """Make a record, now or in the past, and give it to the subscriptions of its type."""
        record = self.records.add(message, self.clock.now() if made_at is None else made_at)
        takers = [] if made_at is not None else self.takers(record.message_type)
        if not takers:
            record.state = Fate.UNSUBSCRIBED
        for streaming in takers:
            streaming.take(record)
        return record

    @property
    def is_settled(self) -> bool:
        """Tell that nothing is on its way to the client and nothing has to come back."""
        return all(each.is_quiet and not each.dropped for each in self.streamings)

    def takers(self, message_type: str) -> list[Streaming]:
        return [each for each in self.streamings if each.message_type == message_type]

    def _admit_others(self) -> None:
        """Let others take the slots and the export that the switches give them, where those are free."""
        for data_type in self.data_types:
            part = AUDIT if data_type == "audit" else data_type
            for name in ("foreign", "foreign-hidden"):
                if self.faults.has(name, part):
                    hidden = name == "foreign-hidden"
                    self.subscriptions.add_foreign(data_type, self.clock.now(), hidden=hidden)
        if self.faults.has("foreign-job") and not self.jobs.is_busy(self.faults):
            self.jobs.add_foreign(self.faults.number("foreign-job"))
