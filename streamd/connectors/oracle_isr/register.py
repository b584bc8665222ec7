"""What the connector knows between two requests, and how that and its events are committed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import msgspec
import trio
from msgspec import Struct

from streamd.connector import NO_CHANGES, Changes, Context
from streamd.connectors.oracle_isr import known as known_
from streamd.connectors.oracle_isr import running as running_
from streamd.connectors.oracle_isr.config import OracleIsrConfig
from streamd.connectors.oracle_isr.known import KnownSet
from streamd.connectors.oracle_isr.running import RunningSet
from streamd.model import Event

CURSOR = "cursor"


class Cursor(Struct, frozen=True):
    """How far recordings are fetched, by the server's clock. Nothing before `begin` is asked for."""

    begin: datetime
    watermark: datetime
    swept_at: datetime
    """When the last hours were last searched for what was inserted late."""


class Register:
    """The cursor, the running and the known recordings of one connector."""

    def __init__(self, ctx: Context[OracleIsrConfig]) -> None:
        self._ctx = ctx
        self._lock = trio.Lock()
        self.cursor: Cursor | None = None
        self.known = KnownSet({})
        self.running = RunningSet({})
        self._recall()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Be alone with what is known until the block ends, which changes and commits it.

        Where that fails, what is known is taken from what is committed: else something would be thought
        published that is not.
        """
        async with self._lock:
            is_committed = False
            try:
                yield
                is_committed = True
            finally:
                if not is_committed:
                    self._recall()

    async def commit(self, events: Sequence[Event], cursor: Cursor | None = None) -> None:
        """Commit events with all that has changed; within `turn`."""
        changes = self.take_changes(cursor)
        if events or changes:
            await self._ctx.append(events, changes)
        if cursor is not None:
            self.cursor = cursor

    def take_changes(self, cursor: Cursor | None = None) -> Changes:
        """Give all that has changed, for a commit by other means; within `turn`."""
        moved = NO_CHANGES if cursor is None else {CURSOR: msgspec.json.encode(cursor)}
        return {**self.known.take_changes(), **self.running.take_changes(), **moved}

    def _recall(self) -> None:
        stored = self._ctx.state(CURSOR)
        self.cursor = None if stored is None else msgspec.json.decode(stored, type=Cursor)
        self.known = KnownSet(self._ctx.states(known_.PREFIX))
        self.running = RunningSet(self._ctx.states(running_.PREFIX))
