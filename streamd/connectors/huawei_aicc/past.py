"""Reading the past again: the last days once a day, and what a client asks for (section 6)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NoReturn

import trio
from msgspec.structs import asdict, replace

from streamd.connector import Backfilled, Changes, Context, Progress
from streamd.connectors.huawei_aicc.config import HuaweiConfig
from streamd.connectors.huawei_aicc.cursor import Cursor, Reading
from streamd.connectors.huawei_aicc.export import Done, Exporter, Final, NeverCame, TooEarly, TooLong
from streamd.connectors.huawei_aicc.holes import MOST_VAIN, Holes
from streamd.connectors.huawei_aicc.intake import Figures
from streamd.connectors.huawei_aicc.jobs import Job, Jobs, Kind, planned_anew
from streamd.connectors.huawei_aicc.plan import past_jobs, wider
from streamd.connectors.huawei_aicc.rest import CcFs, Priority
from streamd.errors import Rejected, Transient
from streamd.pull.windows import LEFT_TO_WALK, Window, settled
from streamd.session import Backoff

_BACKFILL_TRIES = 5  # of one window, before the client is told
_REFUSED_SECONDS = 300.0  # a refused reading is tried again slowly
WINDOWS_LEFT_OUT = "windows that are too big or never came, declared as gaps"


class Past:
    """Brings windows of the past to their end, beside the live walk."""

    def __init__(
        self,
        ctx: Context[HuaweiConfig],
        cc: CcFs,
        jobs: Jobs,
        cursor: Cursor,
        exporter: Exporter,
        holes: Holes,
    ) -> None:
        self._ctx = ctx
        self._cc = cc
        self._jobs = jobs
        self._cursor = cursor
        self._exporter = exporter
        self._holes = holes

    async def _finish(self, kind: Kind, job: Job, until: datetime, final: Final) -> Done | None:
        """Do a window; None: it was too long, and is to be planned anew. One that never comes is a gap.

        Before that more is asked for, as the live walk does, but nothing behind `until`.
        """
        while True:
            try:
                done = await self._exporter.finish(kind, job, final)
            except TooLong as error:
                job = error.job
                if await self._cursor.halve(job.end - job.begin, ours=error.bad is not None):
                    await self._ctx.append([], self._jobs.removal(kind))
                    return None
                await self._holes.leave_out(kind, job, "export_too_big", final(job), error.bad)
                break
            except NeverCame as error:
                job = error.job
                more = wider(job, until, self._cursor.longest)
                if more is None and job.vain + 1 >= MOST_VAIN:
                    await self._holes.leave_out(kind, job, "export_never_came", final(job))
                    break
                job = await self._jobs.move(kind, more or planned_anew(job, job.vain + 1))
            else:
                self._cursor.fitted()
                return done
        return Done(job, Figures(left_out=1))

    # -- the re-reading

    async def read_again(self) -> NoReturn:
        """Read the last days again, once a day: recordings reach the vendor's database late (section 6)."""
        config = self._ctx.config
        backoff = Backoff(config.retry_min_seconds, config.retry_max_seconds)
        while True:
            reading = self._cursor.reading
            if reading.at is None:
                since = (self._ctx.clock.now() - reading.done).total_seconds()
                if 0 <= since < config.deep.every_seconds:  # what was done in the future: our clock went back
                    await trio.sleep(config.deep.every_seconds - since)
                await self._begin_reading(reading)
            try:
                await self._read_stretch()
            except Transient as error:
                self._ctx.log.warning("rereading_put_off", reason=error.reason)
                await trio.sleep(backoff.next())
                if isinstance(error, TooEarly):
                    await self._jobs.drop("deep")
                    await self._begin_reading(self._cursor.reading)
            except Rejected as error:
                self._ctx.log.error("rereading_refused", reason=error.reason)
                await trio.sleep(max(_REFUSED_SECONDS, error.retry_after))
            else:
                backoff.reset()

    async def _begin_reading(self, reading: Reading) -> None:
        position = self._cursor.position
        begin = self._cc.server_now() - timedelta(seconds=self._ctx.config.deep.lookback_seconds)
        begun = replace(reading, at=max(begin, position.origin), until=position.watermark)
        await self._ctx.append([], self._cursor.reading_moved(begun))

    async def _read_stretch(self) -> None:
        """Do the rest of the re-reading that is under way, window by window."""
        while True:
            reading = self._cursor.reading
            assert reading.at is not None
            assert reading.until is not None
            job = self._jobs.get("deep")
            if job is None:
                planned = past_jobs(reading.at, reading.until, self._cursor.longest)
                if not planned:
                    over = Reading(done=self._ctx.clock.now())
                    await self._ctx.append([], self._cursor.reading_moved(over))
                    return
                job = await self._jobs.move("deep", planned[0])
            await self._finish("deep", job, reading.until, self._final_reading)

    def _final_reading(self, job: Job) -> Changes:
        return self._cursor.reading_moved(replace(self._cursor.reading, at=job.end))

    # -- backfill

    async def backfill(self, begin: datetime, end: datetime, progress: Progress) -> Backfilled:
        """Read a stretch of the past again, a day at a time; what is new in it is published."""
        await self._cc.look(Priority.BACKFILL)
        present = self._cc.server_now() - timedelta(seconds=self._ctx.config.settle_seconds)
        window, early = settled(Window(begin, end), present)
        total, at, end, whole = Figures(), begin, window.end, window.span
        while at < end:
            progress((at - begin) / whole, f"from {at:%Y-%m-%d %H:%M} UTC")
            done = await self._backfill_one(past_jobs(at, end, self._cursor.longest)[0], end)
            if done is not None:
                at = done.job.end
                total.add(done.figures)
        progress(1.0, "read")
        figures = asdict(total)
        left = {WINDOWS_LEFT_OUT: figures.pop("left_out")}
        return Backfilled(figures | {LEFT_TO_WALK: early}, left)

    async def _backfill_one(self, planned: Job, until: datetime) -> Done | None:
        """Do one window, again where CC-FS has a bad moment."""
        config = self._ctx.config
        backoff = Backoff(config.retry_min_seconds, config.retry_max_seconds)
        job = await self._jobs.move("backfill", planned)
        for _ in range(_BACKFILL_TRIES - 1):
            try:
                return await self._finish("backfill", job, until, lambda done: {})
            except Transient as error:
                self._ctx.log.warning("backfill_put_off", reason=error.reason)
                await trio.sleep(backoff.next())
                job = self._jobs.get("backfill") or planned
        return await self._finish("backfill", job, until, lambda done: {})
