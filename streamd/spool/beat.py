"""How far apart commits are, so that each is worth what it costs beside its records.

A commit costs some 3 CPU ms with all that follows from it: threads that wake, and a Kafka batch for every
partition that it reaches. Below 3,000 records a second the delay counts, above it the CPU does.
"""

from __future__ import annotations

from math import inf

import trio

LEAST_SECONDS = 0.02
MOST_SECONDS = 0.075
_PER_RATE = 7.5e-6  # seconds, for each record a second


class Beat:
    """The rests between commits. What comes after one is not held up at all: a lone event goes at once."""

    def __init__(self, least: float = LEAST_SECONDS, most: float = MOST_SECONDS) -> None:
        self._least = least
        self._most = most
        self._since = -inf
        self._records = 0

    def bring(self, records: int) -> None:
        """Note what a commit has brought."""
        self._records += records

    async def rest(self, began: float) -> None:
        """Wait until the next commit may begin; the last one did at `began`, in trio's time."""
        rate = self._records / (began - self._since)
        self._since, self._records = began, 0
        await trio.sleep_until(began + min(self._most, max(self._least, _PER_RATE * rate)))
