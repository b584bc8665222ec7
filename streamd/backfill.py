"""What `streamd backfill` reaches of one connector: its handler, while it serves one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import trio

from streamd.connector import Backfilled, BackfillHandler, Progress
from streamd.errors import Rejected

_END_SECONDS = 2.0  # for a handler that is cancelled


class Backfills:
    """Runs one backfill at a time, in the task that asks for it."""

    def __init__(self) -> None:
        self._handler: BackfillHandler | None = None
        self._running: trio.CancelScope | None = None
        self._ended = trio.Event()

    @property
    def served(self) -> bool:
        """Tell whether the connector serves backfills now."""
        return self._handler is not None

    @asynccontextmanager
    async def serve(self, handler: BackfillHandler) -> AsyncIterator[None]:
        """Serve backfills with `handler` while the block runs; one that runs at its end is cancelled."""
        self._handler = handler
        try:
            yield
        finally:
            self._handler = None
            if self._running is not None:
                self._running.cancel()
                with trio.CancelScope(shield=True, deadline=trio.current_time() + _END_SECONDS):
                    await self._ended.wait()

    async def run(self, begin: datetime, end: datetime, progress: Progress) -> Backfilled:
        """Fetch again what lies between two instants, and give what the handler gives.

        Raises Rejected where nothing serves it, or where another one is running, and what the handler raises.
        """
        if self._handler is None:
            raise Rejected("the connector is not open now")
        if self._running is not None:
            raise Rejected("another backfill of this connector is running")
        self._ended = trio.Event()
        try:
            with trio.CancelScope() as self._running:
                return await self._handler(begin, end, progress)
        finally:
            self._running = None
            self._ended.set()
        raise Rejected("the connector was stopped meanwhile")
