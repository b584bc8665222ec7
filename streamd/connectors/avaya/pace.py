"""Let the spool catch up with a burst, for as long as the transport can hold the rest of it."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

import trio

from streamd.intake import MOST_ITEMS, Intake

MOST_UNCOMMITTED = MOST_ITEMS // 2
# The transport reads on meanwhile and answers pings; it holds 64 MiB, the bytes of 2 s at 60,000 messages a
# second. After that nothing waits any more, and the intake drops and declares what it has no room for.
PATIENCE_SECONDS = 2.0
_STEP_SECONDS = 0.005
_TICK = timedelta(microseconds=1)


class Pace:
    """Counts what was put into the intake and is not committed; a snapshot of 50,000 keys comes at once."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._puts: deque[tuple[datetime, int]] = deque()
        self._uncommitted = 0
        self._patience = PATIENCE_SECONDS

    def note(self, at: datetime, items: int) -> None:
        """Note that `items` received at `at` were put into the intake."""
        self._puts.append((at, items))
        self._uncommitted += items

    async def wait(self) -> None:
        """Wait for room; once the patience is used up, not again before the spool has caught up."""
        await trio.lowlevel.checkpoint()
        self._forget_committed()
        while self._uncommitted > MOST_UNCOMMITTED and self._patience > 0:
            await trio.sleep(_STEP_SECONDS)
            self._patience -= _STEP_SECONDS
            self._forget_committed()
        if self._uncommitted < MOST_UNCOMMITTED // 2:
            self._patience = PATIENCE_SECONDS

    def _forget_committed(self) -> None:
        while self._puts:
            at, items = self._puts[0]
            just_after = at + _TICK
            if self._intake.proof(just_after) != just_after:
                return
            self._puts.popleft()
            self._uncommitted -= items
