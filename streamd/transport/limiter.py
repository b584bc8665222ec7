"""One pace for all calls to a server: a budget, turns by priority, and a brake while it asks for less."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf

import trio
from msgspec import Struct

from streamd.connector import Clock

_LEAST_PENALTY_SECONDS = 1.0


class Budget(Struct, frozen=True):
    """At most `calls` begun within any `seconds`."""

    calls: int
    seconds: float


class _Brake(Struct):
    """A time without calls that the server has asked for."""

    until: float = -inf
    penalties: int = 0


class Limiter:
    """Gives turns: the smaller priority first; within one, first come, first served.

    `at_once`: how many turns may be held together. `longest_penalty_seconds`: of a wait that the server gave
    no time for. `apart`: priorities on which nothing else depends: what slows them down slows only them.
    """

    def __init__(
        self,
        clock: Clock,
        budget: Budget | None = None,
        *,
        at_once: int | None = None,
        longest_penalty_seconds: float = 60.0,
        apart: Collection[int] = (),
    ) -> None:
        self._clock = clock
        self._seconds = budget.seconds if budget else 0.0
        self._begun: deque[float] = deque([-inf] * (budget.calls if budget else 1))
        self._at_once = inf if at_once is None else at_once
        self._longest = longest_penalty_seconds
        self._held = 0
        self._all = _Brake()
        self._apart = {priority: _Brake() for priority in apart}
        self._waiting: list[tuple[int, int]] = []
        self._tickets = count()
        self._changed = trio.Event()

    @asynccontextmanager
    async def turn(self, priority: int = 0) -> AsyncIterator[None]:
        """Wait until the next call may be sent, and hold the turn while it is under way.

        Never within another turn of the same limiter: with `at_once` it would wait for itself.
        """
        await self._take(priority)
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            self._wake()

    async def _take(self, priority: int) -> None:
        place = (priority, next(self._tickets))
        heappush(self._waiting, place)
        try:
            while (wait := self._wait(place)) > 0:
                with trio.move_on_after(wait):
                    await self._changed.wait()
            self._begun.popleft()
            self._begun.append(self._clock.monotonic())
        finally:
            self._leave(place)

    def _wait(self, place: tuple[int, int]) -> float:
        """Give the seconds until this one may go, endless while that depends on others."""
        if self._waiting[0] != place or self._held >= self._at_once:
            return inf
        at = max(self._begun[0] + self._seconds, self._all.until, self._brake(place[0]).until)
        return at - self._clock.monotonic()

    def _leave(self, place: tuple[int, int]) -> None:
        if self._waiting[0] == place:
            heappop(self._waiting)
        else:
            self._waiting.remove(place)
            heapify(self._waiting)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def slow_down(self, priority: int = 0, retry_after: float | None = None) -> float:
        """Stop all calls for as long as the server said, else for a growing time; return the seconds."""
        brake = self._brake(priority)
        ceiling = min(self._longest, _LEAST_PENALTY_SECONDS * 2.0 ** min(brake.penalties, 20))
        brake.penalties += 1
        # Full jitter, but never nothing: an immediate second call is what the server complained about.
        jittered = random.uniform(_LEAST_PENALTY_SECONDS / 2, ceiling)  # noqa: S311 - jitter, no secret
        seconds = retry_after if retry_after is not None else jittered
        brake.until = max(brake.until, self._clock.monotonic() + seconds)
        self._wake()
        return seconds

    def accepted(self, priority: int = 0) -> None:
        """Note that the server took a call: the next penalty is the smallest again."""
        self._brake(priority).penalties = 0

    def _brake(self, priority: int) -> _Brake:
        return self._apart.get(priority, self._all)
