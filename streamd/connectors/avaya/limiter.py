"""One pace for all REST calls of an account, so that the renewals of many producers are no spike."""

from __future__ import annotations

import random

import trio

from streamd.connector import Clock

_LEAST_PENALTY, _MOST_PENALTY = 1.0, 60.0


class Limiter:
    """Spaces calls out, and stops them all while the server asks us to slow down (429)."""

    def __init__(self, clock: Clock, per_second: float) -> None:
        self._clock = clock
        self._spacing = 1.0 / per_second
        self._next_at = clock.monotonic()
        self._blocked_until = self._next_at
        self._penalties = 0

    async def turn(self) -> None:
        """Wait until the next call may be sent."""
        now = self._clock.monotonic()
        at = max(now, self._next_at)
        self._next_at = at + self._spacing
        while now < max(at, self._blocked_until):
            await trio.sleep(max(at, self._blocked_until) - now)
            now = self._clock.monotonic()

    def slow_down(self, retry_after: float | None) -> float:
        """Stop all calls for as long as the server said, else for a growing time; return the seconds."""
        ceiling = min(_MOST_PENALTY, _LEAST_PENALTY * 2.0 ** min(self._penalties, 10))
        self._penalties += 1
        # Full jitter, but never nothing: an immediate second call is what the server complained about.
        jittered = random.uniform(_LEAST_PENALTY / 2, ceiling)  # noqa: S311 - jitter, no secret
        seconds = retry_after if retry_after is not None else jittered
        self._blocked_until = max(self._blocked_until, self._clock.monotonic() + seconds)
        return seconds

    def accepted(self) -> None:
        """Note that the server took a call: the next penalty is the smallest again."""
        self._penalties = 0
