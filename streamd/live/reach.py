"""How far a stream has been read: the proof of life of a link that is read all the time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from time import monotonic

from streamd.transport.watched import Watched

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
        self._ended = False
        self._told: tuple[float, datetime] | None = None

    def end(self) -> None:
        """Note that the stream has ended as the server means it, and all of it is taken."""
        self._ended = True

    @property
    def at(self) -> datetime:
        """Give the instant."""
        watch = self._watch
        reached = watch.last_bytes_at
        if not self._ended:
            reached = min(reached, watch.drained_at, watch.caught_up_at)
        if self._told is None or reached != self._told[0]:
            # Once for each instant: two clocks read one after the other never agree to the last digit.
            ago = timedelta(seconds=monotonic() - reached + ON_ITS_WAY_SECONDS)
            self._told = reached, self._now() - ago
        return self._told[1]
