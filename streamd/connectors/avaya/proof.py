"""What a pong proves of a link; no I/O, the time is passed in.

TCP keeps the order, so all that the server handed over before our ping was sent is here when its pong is.
Nothing else tells when something was sent: what comes now may have been under way for seconds.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from math import inf

_MOST = 100  # claims; of more, the last one waits in place of those before it


class Proof:
    """The latest instant before which all that the server handed over is committed.

    A pong's instant is that of its ping. It waits until what came before the pong was put into the intake,
    and then until that is committed.
    """

    def __init__(self, began: datetime) -> None:
        """Prove nothing yet of a connection that began at `began`."""
        self.put_through = began
        """All that the server handed over before this was put into the intake."""
        self._put_by = began
        self._coming: deque[tuple[datetime, float]] = deque()
        self._uncommitted: deque[tuple[datetime, datetime]] = deque()
        self._through: datetime | None = None

    def on_pong(self, sent: datetime, bytes_at: float) -> None:
        """Note the pong of a ping sent at `sent`; it came by `bytes_at`, monotonic seconds."""
        if len(self._coming) == _MOST:
            self._coming.pop()
        self._coming.append((sent, bytes_at))

    def on_put(self, received: datetime) -> None:
        """Note that something received at `received` was put into the intake."""
        self._put_by = max(self._put_by, received)

    def on_drained(self, at: float) -> None:
        """Note that what came before `at`, monotonic seconds, was put into the intake."""
        while self._coming and self._coming[0][1] <= at:
            self._wait(self._coming.popleft()[0])

    def on_end(self, closed: datetime | None) -> None:
        """Note that the link ended and all was put; `closed`: when the server's Close frame came."""
        self.on_drained(inf)
        if closed is not None:
            self._wait(closed)

    def through(self, waiting_since: datetime | None) -> datetime | None:
        """Give the instant; `waiting_since`: when the oldest was received of what is not committed."""
        while self._uncommitted and (waiting_since is None or self._uncommitted[0][1] < waiting_since):
            sent, _ = self._uncommitted.popleft()
            self._through = sent if self._through is None else max(self._through, sent)
        return self._through

    def _wait(self, instant: datetime) -> None:
        self.put_through = max(self.put_through, instant)
        if len(self._uncommitted) == _MOST:
            self._uncommitted.pop()
        self._uncommitted.append((instant, self._put_by))
