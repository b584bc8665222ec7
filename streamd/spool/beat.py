"""How far apart commits are, so that each is worth what it costs beside its records.

A commit costs some 3 CPU ms with all that follows from it: threads that wake, and a Kafka batch for every
partition that it reaches. Below 4,000 records a second of a source the delay counts, above it the CPU does.

Of 200 connectors each has a line or two in a commit, and is most of what it costs: longer rests save 3 % of
the CPU, and add a third to the delay. What is read just before a commit has waited least; and while nothing
is read, the interpreter is left to the threads of the spool and of Kafka.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import trio

LEAST_SECONDS = 0.02
MOST_SECONDS = 0.075
_MOMENT = 0.25  # of the least: what Kafka's thread has after a commit, however late the next one is
_PER_RATE = 5.6e-6  # seconds, for each record a second of one source
_SHORTEST = 0.001  # seconds between two commits, of which a rate is told


class Beat:
    """The rests between commits. What comes after one is not held up at all: a lone event goes at once.

    `gather` has what has come by the end of a rest read, so that the next commit brings it.
    """

    def __init__(
        self,
        least: float = LEAST_SECONDS,
        most: float = MOST_SECONDS,
        gather: Callable[[], object] = lambda: None,
    ) -> None:
        self._least = least
        self._most = most
        self._gather = gather
        self._began = self._since = -inf
        self._records = self._sources = 0
        self._gathering = 0.0  # seconds that the last one took

    def begin(self) -> None:
        """Note that a commit begins now: what it does not bring waits for the next one."""
        self._since, self._began = self._began, trio.current_time()
        self._records = self._sources = 0

    def bring(self, records: int, sources: int) -> None:
        """Note how much a commit has brought, and of how many."""
        self._records += records
        self._sources += sources

    async def rest(self) -> None:
        """Wait until the next commit may begin; what was committed has a moment to go its way to Kafka."""
        rate = self._records / max(self._sources, 1) / max(self._began - self._since, _SHORTEST)
        over_at = self._began + min(self._most, max(self._least, _PER_RATE * rate))
        await trio.sleep_until(max(over_at - self._gathering, trio.current_time() + _MOMENT * self._least))
        began = trio.current_time()
        self._gather()
        for _ in range(2):  # who was woken works in the first turn, in any order with this task
            await trio.lowlevel.checkpoint()
        self._gathering = trio.current_time() - began
