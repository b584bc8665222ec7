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
_SHORTEST = 0.001  # seconds between two commits, of which a rate is told


class Beat:
    """The rests between commits. What comes after one is not held up at all: a lone event goes at once."""

    def __init__(self, least: float = LEAST_SECONDS, most: float = MOST_SECONDS) -> None:
        self._least = least
        self._most = most
        self._began = self._since = -inf
        self._records = 0

    def begin(self) -> None:
        """Note that a commit begins now: what it does not bring waits for the next one."""
        self._since, self._began = self._began, trio.current_time()
        self._records = 0

    def bring(self, records: int) -> None:
        """Note what a commit has brought."""
        self._records += records

    async def rest(self) -> None:
        """Wait until the next commit may begin."""
        rate = self._records / max(self._began - self._since, _SHORTEST)
        await trio.sleep_until(self._began + min(self._most, max(self._least, _PER_RATE * rate)))
