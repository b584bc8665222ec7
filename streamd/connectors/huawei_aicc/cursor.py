"""Where the walks of one connector stand, durable: the live one and the re-reading."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from streamd.connector import Changes, Context
from streamd.connectors.huawei_aicc.config import HuaweiConfig
from streamd.connectors.huawei_aicc.plan import LONGEST, SHORTEST
from streamd.pull.ledger import Ledger


class Position(Struct, frozen=True):
    """The live walk: where it began, and the end of the last window of which every row is committed."""

    origin: datetime
    watermark: datetime


class Reading(Struct, frozen=True):
    """The re-reading: how far it has come, `at`, on its way to `until`, where one is under way; when the last
    one was over, by our clock."""

    done: datetime
    at: datetime | None = None
    until: datetime | None = None


class Cursor:
    """The cursor of this account and type of data. Each of its parts has one task that moves it."""

    def __init__(self, ctx: Context[Any]) -> None:
        config: HuaweiConfig = ctx.config
        self._ctx = ctx
        self._key = f"{config.account_id or '*'}|{config.data_type}"
        self._positions = Ledger(ctx, "walk/", Position)
        self._readings = Ledger(ctx, "deep/", Reading)
        self._limits = Ledger(ctx, "longest-seconds/", float)
        self._watermark: datetime | None = None
        self._fitting = LONGEST
        self.refresh()

    def refresh(self) -> None:
        """Take the watermark from what is committed."""
        position = self._positions.get(self._key)
        self._watermark = position.watermark if position is not None else None

    @property
    def watermark(self) -> datetime | None:
        """Give the proof of life; from memory, for it is asked for often."""
        return self._watermark

    async def begin(self, at: datetime) -> Position:
        """Begin the walk at `at`, where it has not begun before; give where it stands."""
        if self._positions.get(self._key) is None:
            reading = Reading(done=self._ctx.clock.now())
            begun = self._positions.put(self._key, Position(at, at)) | self.reading_moved(reading)
            await self._ctx.append([], begun)
        self.refresh()
        return self.position

    @property
    def position(self) -> Position:
        """Give the live walk's position as it is committed; it must have begun."""
        position = self._positions.get(self._key)
        assert position is not None
        return position

    def moved(self, watermark: datetime) -> Changes:
        """Give the change that moves the watermark, not back."""
        position = self.position
        return self._positions.put(self._key, Position(position.origin, max(position.watermark, watermark)))

    async def go_back(self, watermark: datetime) -> None:
        """Move the watermark back, but not behind where the walk began."""
        origin = self.position.origin
        await self._ctx.append([], self._positions.put(self._key, Position(origin, max(origin, watermark))))
        self.refresh()

    @property
    def reading(self) -> Reading:
        """Give the re-reading as it is committed; the walk must have begun."""
        reading = self._readings.get(self._key)
        assert reading is not None
        return reading

    def reading_moved(self, reading: Reading) -> dict[str, bytes | None]:
        """Give the change that moves the re-reading."""
        return self._readings.put(self._key, reading)

    @property
    def longest(self) -> timedelta:
        """Give the longest window that the server takes and we can, as far as is known."""
        seconds = self._limits.get(self._key)
        return self._fitting if seconds is None else min(self._fitting, timedelta(seconds=seconds))

    async def halve(self, span: timedelta, *, ours: bool) -> bool:
        """Ask for less than this span from now on; tell whether that is worth trying.

        The server's limit is remembered for good. What was too big for us may be a single hour that was: that
        limit grows again with what fits.
        """
        if span <= SHORTEST:
            return False
        if ours:
            self._fitting = min(self._fitting, span / 2)
        else:
            limit = min(self.longest, span / 2).total_seconds()
            await self._ctx.append([], self._limits.put(self._key, limit))
        return True

    def fitted(self) -> None:
        """Note that a window was not too big for us."""
        self._fitting = min(self._fitting * 2, LONGEST)
