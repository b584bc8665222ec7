"""Wait for the spool before more is read, as long as the vendor can bear that."""

from __future__ import annotations

import math
from collections import deque
from datetime import datetime

import trio

from streamd.live.intake import Intake

MOST_UNCOMMITTED = 10_000  # items; the intake takes twice that before it drops
_MOST_PUTS = 1_000
_STEP_SECONDS = 0.005


class Pace:
    """Counts what was put into the intake and is not committed.

    `patience`: for how many seconds in all the reader may wait, until the spool has caught up again; inf:
    as long as it takes.
    """

    def __init__(self, intake: Intake, patience: float = math.inf) -> None:
        self._intake = intake
        self._whole_patience = self._patience = patience
        self._puts: deque[tuple[datetime, int]] = deque()
        self._uncommitted = 0

    def note(self, at: datetime, items: int) -> None:
        """Note that `items` received at `at` were put into the intake."""
        if len(self._puts) == _MOST_PUTS:  # committed no earlier than the later of the two
            earlier, more = self._puts.pop()
            at, items = max(earlier, at), items + more
            self._uncommitted -= more
        self._puts.append((at, items))
        self._uncommitted += items

    @property
    def has_room(self) -> bool:
        """Tell whether `wait` would not have to look at what has been committed since."""
        return self._uncommitted <= MOST_UNCOMMITTED

    async def wait(self) -> None:
        """Wait for room; once the patience is used up, not again before the spool has caught up."""
        await trio.lowlevel.checkpoint()
        if self.has_room:
            return
        self._forget_committed()
        while not self.has_room and self._patience > 0:
            await trio.sleep(_STEP_SECONDS)
            self._patience -= _STEP_SECONDS
            self._forget_committed()
        if self._uncommitted < MOST_UNCOMMITTED // 2:
            self._patience = self._whole_patience

    def _forget_committed(self) -> None:
        waiting_since = self._intake.waiting_since
        while self._puts and (waiting_since is None or self._puts[0][0] < waiting_since):
            _, items = self._puts.popleft()
            self._uncommitted -= items
