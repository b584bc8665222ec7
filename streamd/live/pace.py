"""Wait for the spool before more is read, as long as the vendor can bear that."""

from __future__ import annotations

import math

import trio

from streamd.live.intake import Intake

MOST_UNCOMMITTED = 10_000  # items; the intake takes twice that before it drops
_STEP_SECONDS = 0.005


class Pace:
    """Holds the reader up while much of what it has put into the intake is not committed.

    `patience`: for how many seconds in all the reader may wait, until the spool has caught up again; inf:
    as long as it takes.
    """

    def __init__(self, intake: Intake, patience: float = math.inf) -> None:
        self._intake = intake
        self._whole_patience = self._patience = patience

    def has_room(self) -> bool:
        """Tell whether `wait` would return at once; to be asked of each reading."""
        uncommitted = self._intake.uncommitted
        if uncommitted < MOST_UNCOMMITTED // 2:
            self._patience = self._whole_patience
        return uncommitted <= MOST_UNCOMMITTED

    async def wait(self) -> None:
        """Wait for room; once the patience is used up, not again before the spool has caught up."""
        await trio.lowlevel.checkpoint()
        while not self.has_room() and self._patience > 0:
            await trio.sleep(_STEP_SECONDS)
            self._patience -= _STEP_SECONDS
