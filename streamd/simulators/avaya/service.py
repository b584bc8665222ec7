"""Hold what all parts of the simulated service share."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import trio

from streamd.simulators.avaya.faults import read_faults
from streamd.simulators.avaya.log import MessageLog, RequestEntry
from streamd.simulators.avaya.options import AvayaOptions
from streamd.simulators.avaya.population import Style
from streamd.simulators.avaya.subscriptions import Subscription, Tokens
from streamd.simulators.avaya.table import Table
from streamd.simulators.avaya.wire import Message

if TYPE_CHECKING:
    from streamd.simulators.avaya.session import Session


class Service:
    """The account, its keys, tokens, subscriptions and open sockets, and the switches that are on.

    `changed` wakes the loops that wait for time to pass after anything they count on has changed.
    """

    def __init__(self, options: AvayaOptions) -> None:
        self.options = options
        self.faults = read_faults(options.faults)
        self.rate = options.rate
        self.base_url = ""
        self.changed = trio.lowlevel.ParkingLot()
        self.random = random.Random(options.seed)  # noqa: S311 - a test wants the same run for the same seed
        self.table = Table(options)
        self.tokens = Tokens(self.random)
        self.subscriptions: dict[str, Subscription] = {}
        self.sessions: list[Session] = []
        self.sockets_opened = 0
        self.log = MessageLog(options.log, options.log_file)
        self.requests: deque[RequestEntry] = deque(maxlen=100_000)
        self.populate()

    def populate(self) -> None:
        """Bring every producer to the number of keys that options and switches ask for."""
        keys = max(self.options.keys, int(self.faults.number("snapshot-large")))
        self.table.grow_to(keys, self.style, self.now_ms())

    def set_faults(self, written: Iterable[str]) -> None:
        """Replace all switches by `written`; what they change of new keys holds for keys made from now on."""
        self.faults = read_faults(written)
        self.populate()
        self.wake()

    def wake(self) -> None:
        self.changed.unpark_all()
        for session in self.sessions:
            session.changed.unpark_all()

    @property
    def style(self) -> Style:
        has = self.faults.has
        return Style(has("non-ascii-names"), has("awkward-keys"), has("keys-by-channel"))

    @property
    def token_seconds(self) -> float:
        return self.faults.number("token-seconds", self.options.token_seconds)

    @property
    def tail(self) -> bytes:
        """Return what closes a data message."""
        return b',"traceContext":{"span":"0a1b"}}' if self.faults.has("extra-fields") else b"}"

    def listeners(self, producer: str) -> list[Session]:
        """Return the confirmed sockets that are sent the messages of `producer`."""
        return [each for each in self.sessions if each.listens_to(producer)]

    def deliver(self, producer: str, messages: Sequence[Message]) -> None:
        """Hand `messages` to every socket of `producer`; never blocks."""
        for session in self.listeners(producer):
            session.offer(messages)

    @staticmethod
    def now_ms() -> int:
        return time.time_ns() // 1_000_000
