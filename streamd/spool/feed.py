"""Have a source asked for what it has when a commit begins, in place of a task that waits for each commit.

Of 200 sources nearly all have a line or two in each commit: 200 tasks would sleep and wake thrice for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from streamd.connector import Give
from streamd.model import Origin
from streamd.spool.accounts import Usage
from streamd.spool.assembly import Handover
from streamd.spool.writer import Call, SpoolClosed

OUTCOME_SECONDS = 1.0
"""So long what is cancelled waits for a commit under way, which takes some ms."""


class Asker(Protocol):
    """Who commits; `closed`: nothing any more."""

    closed: bool

    def ask(self, feed: Feed) -> None:
        """Have `feed.take` called when the next commit begins, or `close` where there will be none."""
        ...


class Feed:
    """What a source brings to the commits, one call at a time (`connector.Context.feed`).

    `asker` calls `take` when its next commit begins.
    """

    def __init__(self, origin: Origin, give: Give, usage: Usage, asker: Asker) -> None:
        self._origin = origin
        self._give = give
        self._usage = usage
        self._asker = asker
        self._asked = self._running = False
        self._call: Call | None = None
        self._kept: Callable[[], None] | None = None
        self._failure: Exception | None = None
        self._halted = trio.Event()

    def offer(self) -> None:
        """Have the source asked when the next commit begins."""
        if self._running and not self._asked:
            self._asked = True
            self._asker.ask(self)

    async def run(self) -> None:
        """Bring what the source has, until cancelled; then what is under way has a moment for its commit.

        Raises SpoolClosed, and what encoding an item raises: then nothing of that call is committed.
        """
        self._running = True
        self.offer()
        try:
            while True:
                await self._halt()
                if self._failure is not None:
                    raise self._failure
                while not self._asker.closed and not self._usage.has_room(own=False):
                    await self._usage.waiting.park()
                self.offer()
        finally:
            self._running = False
            with trio.move_on_after(OUTCOME_SECONDS, shield=True):
                while self._call is not None:
                    await self._halt()
            self._kept = None

    async def _halt(self) -> None:
        await self._halted.wait()
        self._halted = trio.Event()

    def take(self) -> Call | None:
        """Give what goes into the commit that begins now; not while there is no room in the share."""
        self._asked = False
        if not self._running or self._call is not None:
            return None
        if not self._usage.has_room(own=False):
            self._halted.set()
            return None
        given = self._give()
        if given is None:
            return None
        items, changes, self._kept = given
        self._call = Call([Handover(self._origin, items, changes)], (), False, self._done)
        return self._call

    def _done(self) -> None:
        call, self._call = self._call, None
        if call is not None and call.error is not None:
            self._fail(call.error)
        elif call is not None and not call.committed:
            self.close()
        elif self._kept is not None:
            self._kept()
        if not self._running:
            self._halted.set()

    def close(self) -> None:
        """Know that the writer has ended."""
        self._fail(SpoolClosed("the writer has ended; what was handed over last may not be durable"))

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._halted.set()
