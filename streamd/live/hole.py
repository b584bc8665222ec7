"""What a full intake had to drop, from the first event to the moment when everything is kept again."""

from __future__ import annotations

from datetime import datetime

import trio

from streamd.instant import Instant


class Hole:
    """Events that were dropped: sent after `since`, and received not after `until`.

    It is `over` once everything is kept again and the states that it held back are committed. One hole
    lasts through several fillings of the buffer, until the spool has caught up.
    """

    def __init__(self, since: Instant) -> None:
        self.since = since
        self.until = since.wall
        self.count = 0
        self.declared = False
        self.over = trio.Event()

    def drop(self, events: int, at: datetime) -> None:
        self.count += events
        self.until = max(self.until, at)
        if self.over.is_set():
            self.over = trio.Event()

    def end(self, count: int, at: datetime) -> None:
        """End it `at` that instant, unless more than `count` events have been dropped."""
        if self.count == count:
            self.until = max(self.until, at)
            self.over.set()
