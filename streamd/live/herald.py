"""Tell streamd what happens to the link, in order, without making the reader wait for the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

import trio

from streamd.connector import Link


class Herald:
    """Carries out calls of `link` one after the other, in a task of its own.

    Bounded by what a connection has to say of itself: a handful of calls for its snapshot, one for each
    concern that comes or goes.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self._calls: deque[Callable[[], Awaitable[None]]] = deque()
        self._work = trio.Event()
        self._concerns: dict[str, str] = {}

    def tell_nowait(self, call: Callable[[], Awaitable[None]]) -> None:
        """Have `call` carried out after those before it."""
        self._calls.append(call)
        self._work.set()

    def worry(self, topic: str, reason: str | None) -> bool:
        """Note that something does not work, or (None) that it does again; return whether that is new."""
        if self._concerns.get(topic) == reason:
            return False
        if reason is None:
            del self._concerns[topic]
        else:
            self._concerns[topic] = reason
        return True

    def assess_nowait(self) -> None:
        """Say that the link is live, or degraded by what is known not to work."""
        if self._concerns:
            reason = "; ".join(self._concerns.values())
            self.tell_nowait(lambda: self.link.degraded(reason))
        else:
            self.tell_nowait(self.link.live)

    async def run(self) -> None:
        """Carry the calls out for ever."""
        while True:
            await self._work.wait()
            while self._calls:
                await self._calls.popleft()()
            self._work = trio.Event()
