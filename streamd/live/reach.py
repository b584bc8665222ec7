"""How far a stream has been read: the proof of life of a link that is read all the time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from time import monotonic
from typing import Protocol

# What the server sent less than this before the last byte that came may still be on its way to us; and a
# server that ends a stream may have dropped what happened while that end was on its way.
ON_ITS_WAY_SECONDS = 0.5


class Stream(Protocol):
    """A stream that says what was read of it (transport/stream.py)."""

    @property
    def last_bytes_at(self) -> float:
        """Monotonic seconds at which bytes last came."""
        ...

    @property
    def drained_at(self) -> float:
        """Monotonic seconds: all that had reached this host before it was handed out."""
        ...

    @property
    def caught_up_at(self) -> float:
        """Monotonic seconds: nothing that the server had sent before it is kept back for want of room."""
        ...


class Reach:
    """Knows the instant before which all that the server had sent has been taken from `stream`.

    Any byte proves what was sent before it, for TCP keeps the order, and came at once unless we stood still
    meanwhile; silence proves nothing, for the line may be half open. An end as the server means it is the
    last that it sends.
    """

    def __init__(self, stream: Stream, now: Callable[[], datetime]) -> None:
        self._stream = stream
        self._now = now
        self._in_hand = True
        self._ended = False
        self._monotonic = 0.0
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
        return self._at

    def _note(self) -> None:
        reached = self._stream.last_bytes_at
        if not self._ended:
            reached = min(reached, self._stream.drained_at, self._stream.caught_up_at)
        reached -= ON_ITS_WAY_SECONDS
        if reached != self._monotonic:
            # Once for each instant: two clocks read one after the other never agree to the last digit.
            self._monotonic = reached
            self._at = self._now() - timedelta(seconds=monotonic() - reached)
