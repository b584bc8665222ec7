"""One pace for all REST calls of an account, so that the renewals of many producers are no spike."""

from __future__ import annotations

import random
from enum import IntEnum
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf

import trio
from msgspec import Struct

from streamd.connector import Clock

_LEAST_PENALTY, _MOST_PENALTY = 1.0, 60.0


class Priority(IntEnum):
    """Whose turn comes first; within one, first come, first served."""

    URGENT = 0
    """Renewals, whose deadline is the expiry, and the token that everybody waits for."""
    USUAL = 1
    CATALOGUE = 2
    """Nothing depends on the catalogue: it waits for all others, and what slows it down slows only it."""


class _Brake(Struct):
    """A time without calls that the server has asked for."""

    until: float = -inf
    penalties: int = 0


class Limiter:
    """Spaces calls out, and stops them while the server asks us to slow down (429)."""

    def __init__(self, clock: Clock, per_second: float) -> None:
        self._clock = clock
        self._spacing = 1.0 / per_second
        self._next_at = clock.monotonic()
        self._all = _Brake()
        self._catalogue = _Brake()
        self._waiting: list[tuple[Priority, int]] = []
        self._tickets = count()
        self._changed = trio.Event()

    async def turn(self, priority: Priority = Priority.USUAL) -> None:
        """Wait until the next call may be sent."""
        place = (priority, next(self._tickets))
        heappush(self._waiting, place)
        try:
            while (wait := self._wait(place)) > 0:
                with trio.move_on_after(wait):
                    await self._changed.wait()
            self._next_at = self._clock.monotonic() + self._spacing
        finally:
            self._leave(place)

    def _wait(self, place: tuple[Priority, int]) -> float:
        if self._waiting[0] != place:
            return inf
        at = max(self._next_at, self._all.until)
        if place[0] is Priority.CATALOGUE:
            at = max(at, self._catalogue.until)
        return at - self._clock.monotonic()

    def _leave(self, place: tuple[Priority, int]) -> None:
        if self._waiting[0] == place:
            heappop(self._waiting)
        else:
            self._waiting.remove(place)
            heapify(self._waiting)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def slow_down(self, priority: Priority, retry_after: float | None) -> float:
        """Stop all calls for as long as the server said, else for a growing time; return the seconds."""
        brake = self._brake(priority)
        ceiling = min(_MOST_PENALTY, _LEAST_PENALTY * 2.0 ** min(brake.penalties, 10))
        brake.penalties += 1
        # Full jitter, but never nothing: an immediate second call is what the server complained about.
        jittered = random.uniform(_LEAST_PENALTY / 2, ceiling)  # noqa: S311 - jitter, no secret
        seconds = retry_after if retry_after is not None else jittered
        brake.until = max(brake.until, self._clock.monotonic() + seconds)
        self._wake()
        return seconds

    def accepted(self, priority: Priority) -> None:
        """Note that the server took a call: the next penalty is the smallest again."""
        self._brake(priority).penalties = 0

    def _brake(self, priority: Priority) -> _Brake:
        return self._catalogue if priority is Priority.CATALOGUE else self._all
