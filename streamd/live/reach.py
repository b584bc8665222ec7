"""How far a stream has been read: the proof of life of a link that is read all the time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from time import monotonic

from streamd.transport.stream import Watched

# What the server sent less than this before the last byte that came may still be on its way to us; and a
# server that ends a stream may have dropped what happened while that end was on its way.
ON_ITS_WAY_SECONDS = 0.5


class Reach:
    """Knows the instant before which all that the server had sent has been taken from a stream.

    Any byte proves what was sent before it, for TCP keeps the order, and came at once unless we stood still
    meanwhile; silence proves nothing, for the line may be half open. An end as the server means it is the
    last that it sends.
    """

    def __init__(self, watch: Watched, now: Callable[[], datetime]) -> None:
        self._watch = watch
        self._now = now
        self._in_hand = True
        self._ended = False
        self._reached: float | None = None
        self._told: float | None = None  # of which `_at` is the instant
        self._at: datetime | None = None

    def take(self) -> None:
        """Note that something was received that is not handed on yet."""
        self._in_hand = True

    def handed_on(self, *, ended: bool = False) -> None:
        """Note that all that was received is handed on."""
        self._in_hand = False
        self._ended = ended
        self._note()

    @property
    def at(self) -> datetime | None:
        """Give the instant; None: nothing has been handed on yet."""
        if not self._in_hand:
            self._note()
        if self._reached is not None and self._reached != self._told:
            # Once for each instant: two clocks read one after the other never agree to the last digit.
            self._told = self._reached
            self._at = self._now() - timedelta(seconds=monotonic() - self._reached + ON_ITS_WAY_SECONDS)
        return self._at

    def _note(self) -> None:
        watch = self._watch
        reached = watch.last_bytes_at
        self._reached = reached if self._ended else min(reached, watch.drained_at, watch.caught_up_at)
