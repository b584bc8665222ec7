"""The time of a simulated platform, which may run faster than ours or be put forward."""

from __future__ import annotations

import time
from email.utils import formatdate

import trio


class ScaledClock:
    """Epoch seconds that pass `scale` times as fast as real ones; made inside of trio."""

    def __init__(self, scale: float, starts_at: float) -> None:
        self.scale = scale
        self._base = (starts_at or time.time()) - trio.current_time() * scale

    def now(self) -> float:
        return self._base + trio.current_time() * self.scale

    def real(self, seconds: float) -> float:
        """Return how many real seconds `seconds` of this clock last."""
        return seconds / self.scale

    def advance(self, seconds: float) -> None:
        """Put the clock forward; who waits for it has to be woken."""
        self._base += seconds

    def http_date(self) -> str:
        """Return the time as a Date header has it."""
        return formatdate(self.now(), usegmt=True)
