"""Let what is planned happen in its order, each at its own instant of the recorder's clock."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from itertools import count

import trio

from streamd.simulators.clock import ScaledClock

Action = Callable[[float], object]


class Schedule:
    """A plan; an action gets the instant it was planned for, however late it is run.

    `progress` wakes who waits for all to be over.
    """

    def __init__(self, clock: ScaledClock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Action, bool]] = []
        self._numbers = count()
        self._changed = trio.lowlevel.ParkingLot()
        self.progress = trio.lowlevel.ParkingLot()
        self._finite = 0

    @property
    def is_empty(self) -> bool:
        """Tell that nothing is planned but what repeats for ever."""
        return not self._finite

    def at(self, when: float, action: Action, *, endless: bool = False) -> None:
        """Plan `action`; `endless`: it plans itself again, so nobody waits for it."""
        heapq.heappush(self._heap, (when, next(self._numbers), action, endless))
        self._finite += not endless
        self._changed.unpark_all()

    def run_due(self) -> None:
        """Do what is due by now."""
        while self._heap and self._heap[0][0] <= self._clock.now():
            when, _, action, endless = heapq.heappop(self._heap)
            self._finite -= not endless
            action(when)
            self.progress.unpark_all()

    async def run(self) -> None:
        """Do everything when it is due, until cancelled."""
        while True:
            self.run_due()
            wait = self._clock.real(self._heap[0][0] - self._clock.now()) if self._heap else math.inf
            with trio.move_on_after(max(0.0, wait)):
                await self._changed.park()
            await trio.lowlevel.checkpoint()
