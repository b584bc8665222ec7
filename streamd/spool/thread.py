"""The thread that writes, and its patience with other processes that keep the file locked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import structlog
import trio

from streamd.spool.sqlite import SpoolBusy

T = TypeVar("T")
BUSY_SECONDS = 0.5  # between tries, each of which waits for SQLite's own timeout

log = structlog.get_logger("streamd")


class WriterThread:
    """One piece of work at a time. `locked`: another process keeps it from writing."""

    def __init__(self) -> None:
        self.locked = False
        self._limiter = trio.CapacityLimiter(1)

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """Do `work`; not to be interrupted once it has begun."""
        return await trio.to_thread.run_sync(work, *args, limiter=self._limiter)

    async def insist(self, work: Callable[..., T], *args: Any) -> T:
        """Do `work`, and again as long as another process has the file locked."""
        while True:
            try:
                done = await self.run(work, *args)
            except SpoolBusy as error:
                if not self.locked:
                    log.warning("spool_locked", reason=str(error))
                self.locked = True
                await trio.sleep(BUSY_SECONDS)
            else:
                break
        if self.locked:
            log.info("spool_unlocked")
        self.locked = False
        return done
