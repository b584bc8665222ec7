"""Limit the group: one bucket a minute for all endpoints, and zips (vendors/omilia.md section 6).

How many tokens the bucket gets nobody published; that the limit on zips slides is the stricter of two
readings.
"""

from __future__ import annotations

from collections import deque

from streamd.simulators.clock import ScaledClock

_WINDOW = 60.0  # seconds


class Limits:
    """What was used up."""

    def __init__(self, clock: ScaledClock) -> None:
        self._clock = clock
        self._window = -1
        self._used = 0
        self._zips: deque[float] = deque()

    def spend(self, tokens: float) -> float:
        """Take one of `tokens` a window; return 0, or the seconds until the bucket is filled again."""
        now = self._clock.now()
        if int(now // _WINDOW) != self._window:
            self._window, self._used = int(now // _WINDOW), 0
        if self._used >= tokens:
            return _WINDOW - now % _WINDOW
        self._used += 1
        return 0.0

    def spend_zip(self, most: float) -> float:
        """Count a zip; return 0, or the seconds until there may be one more than `most` a minute."""
        now = self._clock.now()
        while self._zips and self._zips[0] <= now - _WINDOW:
            self._zips.popleft()
        if len(self._zips) >= most:
            return self._zips[0] + _WINDOW - now
        self._zips.append(now)
        return 0.0
