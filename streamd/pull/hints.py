"""A timed poll that hints bring forward."""

from __future__ import annotations

from math import inf

import trio

from streamd.connector import Clock

MOST_KINDS = 1000
"""So many different hints are kept; what is beyond them brings the poll forward all the same."""


class Hints:
    """Says when the next poll is due, and what was hinted at until then.

    A timed poll comes `poll_seconds` after the last one. A hint brings it forward, but never closer than
    `least_seconds`: whoever floods us with forged ones costs the server one poll in that time.
    """

    def __init__(self, clock: Clock, poll_seconds: float, least_seconds: float = 1.0) -> None:
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._least_seconds = min(least_seconds, poll_seconds)
        self._polled_at = -inf
        self._what: set[str] = set()
        self._hinted = trio.Event()

    def give(self, what: str = "") -> None:
        """Bring the next poll forward; the same hint counts once until then."""
        if len(self._what) < MOST_KINDS:
            self._what.add(what)
        self._hinted.set()

    async def wait(self) -> frozenset[str]:
        """Return when the next poll is due, at first at once, with what was hinted at; empty: it is timed.

        For one task. Cancelled it keeps the hints.
        """
        await trio.lowlevel.checkpoint()
        while (due_in := self._due_in()) > 0:
            if self._hinted.is_set():
                await trio.sleep(due_in)
            else:
                with trio.move_on_after(due_in):
                    await self._hinted.wait()
        self._polled_at = self._clock.monotonic()
        what, self._what, self._hinted = frozenset(self._what), set(), trio.Event()
        return what

    def _due_in(self) -> float:
        seconds = self._least_seconds if self._hinted.is_set() else self._poll_seconds
        return self._polled_at + seconds - self._clock.monotonic()
