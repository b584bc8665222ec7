"""The session of a Huawei connector: the live walk, the daily re-reading, and backfill beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn

import trio
from msgspec.structs import replace

from streamd.connector import Changes, Context, Link, Progress, Session
from streamd.connectors.huawei_aicc import seen
from streamd.connectors.huawei_aicc.callbacks import Callbacks
from streamd.connectors.huawei_aicc.config import HuaweiConfig, callback_path
from streamd.connectors.huawei_aicc.cursor import Cursor, Reading
from streamd.connectors.huawei_aicc.export import Done, Exporter, Final, TooEarly, TooLong
from streamd.connectors.huawei_aicc.intake import Figures
from streamd.connectors.huawei_aicc.jobs import Job, Jobs, Kind
from streamd.connectors.huawei_aicc.plan import SHORTEST, live_job, pace_of, past_jobs, wait_seconds
from streamd.connectors.huawei_aicc.rest import CcFs, Priority
from streamd.errors import Rejected, Transient
from streamd.nurseries import lone_error
from streamd.session import Backoff
from streamd.transport.http import Http, open_http
from streamd.transport.tls import client_context

_SLICES_EACH = 8  # of the seen set are looked through with each window
_KEPT = timedelta(hours=48)  # beyond the lookback (section 6)
_LEAST_WAIT_SECONDS = 0.05
_BACKFILL_TRIES = 5  # of one window, before the client is told


@asynccontextmanager
async def open_sessions(ctx: Context[HuaweiConfig]) -> AsyncIterator[Sequence[Session]]:
    """Yield the one session. Callbacks are taken and backfill is served as long as it is there."""
    config = ctx.config
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(_open_http(config))
        jobs, directory = Jobs(ctx), ctx.directory()
        await jobs.drop("backfill")
        _clear(directory, [f"{kind}.zip" for kind in jobs.under_way()])
        walk = Walk(ctx, CcFs(ctx, http), jobs, directory)
        if config.callback:
            path = callback_path(config, ctx.origin.connector)
            callbacks = Callbacks(ctx, jobs, config.callback_url or ctx.ingress.url(path))
            await stack.enter_async_context(ctx.ingress.claim(path, callbacks.answer))
        await stack.enter_async_context(ctx.serve_backfill(walk.backfill))
        yield [walk]


async def probe(ctx: Context[HuaweiConfig]) -> None:
    """Ask for a file of nobody: CC-FS answers that only to whom it knows. Raises Rejected or Transient."""
    async with _open_http(ctx.config) as http:
        await CcFs(ctx, http).look()


def _open_http(config: HuaweiConfig) -> AbstractAsyncContextManager[Http]:
    return open_http(
        config.base_url,
        tls=client_context(config.ca_file, config.certificate_file, config.key_file),
        proxy=config.proxy,
        timeout=config.request_timeout_seconds,
    )


class Walk:
    """The walk over one account's rows, window by window. What is known of it is in the keyed state."""

    name = "exports"
    scope = ("*",)
    stateful = False

    def __init__(self, ctx: Context[HuaweiConfig], cc: CcFs, jobs: Jobs, directory: Path) -> None:
        self._ctx = ctx
        self._cc = cc
        self._jobs = jobs
        self._cursor = Cursor(ctx)
        self._exporter = Exporter(ctx, cc, jobs, directory)
        self._slice = 0
        self._not_before: datetime | None = None

    async def run(self, link: Link) -> None:
        """Walk on from the watermark until CC-FS does not answer. Raises Transient or Rejected."""
        self._cc.try_again()
        self._cursor.refresh()
        link.prove_with(lambda: self._cursor.watermark)
        await self._cc.look()
        position = await self._cursor.begin(self._ctx.config.start_from or self._server_now())
        await link.connected(position.watermark)
        await link.live()
        with lone_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_again)
                await self._walk(link)

    def _server_now(self) -> datetime:
        """Give the server's own now; ours where it tells no Date: what is too late it refuses (0300016)."""
        return self._cc.clock.now() or self._ctx.clock.now()

    # -- the live walk

    async def _walk(self, link: Link) -> NoReturn:
        while True:
            job = self._jobs.get("live") or await self._plan()
            before = self._cursor.watermark
            try:
                await self._exporter.finish("live", job, self._final_live)
            except TooLong as error:
                await self._shorten(link, error)
                continue
            except TooEarly:
                await self._jobs.drop("live")
            self._cursor.refresh()
            await self._forget_old()
            # In the hour that is repeated nothing more is certain, whatever was published.
            stands = self._cursor.watermark == before
            step = timedelta(seconds=self._ctx.config.step_seconds)
            self._not_before = self._server_now() + step if stands else None

    async def _plan(self) -> Job:
        """Wait until there is a window to ask for, and write it down."""
        while True:
            watermark, server_now = self._cursor.position.watermark, self._server_now()
            pace = pace_of(self._ctx.config, self._cursor.longest)
            wait = wait_seconds(pace, watermark, server_now)
            if self._not_before is not None:
                wait = max(wait, (self._not_before - server_now).total_seconds())
            job = live_job(pace, watermark, server_now) if wait == 0 else None
            if job is not None:
                return await self._jobs.move("live", job)
            look_seconds = self._ctx.config.look_seconds
            await trio.sleep(min(max(wait, _LEAST_WAIT_SECONDS), look_seconds))
            if wait > look_seconds:
                await self._cc.look()

    def _final_live(self, job: Job) -> Changes:
        return self._cursor.moved(job.watermark)

    async def _shorten(self, link: Link, error: TooLong) -> None:
        """Ask for less at once from now on. What cannot be halved is a gap, with its zip's dead letter."""
        job = error.job
        if await self._cursor.halve(job.end - job.begin):
            await self._ctx.append([], self._jobs.removal("live"))
        elif error.bad is None:
            raise Rejected(f"windows of {SHORTEST} are too long for the server")
        else:
            await self._ctx.append([self._ctx.dead_letter(error.bad)])
            changes = {**self._final_live(job), **self._jobs.removal("live")}
            await link.declare_gap(
                cause="export_too_big", since=job.begin, until=job.watermark, changes=changes
            )
            self._cursor.refresh()

    async def _forget_old(self) -> None:
        """Look a part of the seen set through for rows that no window reaches any more."""
        config = self._ctx.config
        reach = timedelta(seconds=config.lookback_seconds)
        keep = reach + max(_KEPT, timedelta(seconds=config.deep.lookback_seconds))
        for _ in range(_SLICES_EACH):
            async with self._exporter.judging:
                entries = self._ctx.states(seen.slice_prefix(self._slice))
                self._slice += 1
                stale = seen.stale(entries, self._ctx.clock.now(), keep)
                if stale:
                    await self._ctx.append([], dict.fromkeys(stale))

    # -- the re-reading

    async def _read_again(self) -> NoReturn:
        """Read the last days again, once a day: recordings reach the vendor's database late (section 6)."""
        config = self._ctx.config
        backoff = Backoff(config.retry_min_seconds, config.retry_max_seconds)
        while True:
            reading = self._cursor.reading
            if reading.at is None:
                due = reading.done + timedelta(seconds=config.deep.every_seconds)
                await trio.sleep(max(0.0, (due - self._ctx.clock.now()).total_seconds()))
                await self._begin_reading(reading)
            try:
                await self._read_stretch()
            except Transient as error:
                self._ctx.log.warning("rereading_put_off", reason=error.reason)
                await trio.sleep(backoff.next())
            except Rejected as error:
                self._ctx.log.error("rereading_refused", reason=error.reason)
                await self._end_reading()
            else:
                backoff.reset()

    async def _begin_reading(self, reading: Reading) -> None:
        position = self._cursor.position
        begin = self._server_now() - timedelta(seconds=self._ctx.config.deep.lookback_seconds)
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
                    await self._end_reading()
                    return
                job = await self._jobs.move("deep", planned[0])
            await self._finish_past("deep", job, self._final_reading)

    def _final_reading(self, job: Job) -> Changes:
        return self._cursor.reading_moved(replace(self._cursor.reading, at=job.end))

    async def _end_reading(self) -> None:
        over = self._cursor.reading_moved(Reading(done=self._ctx.clock.now()))
        await self._ctx.append([], {**over, **self._jobs.removal("deep")})

    async def _finish_past(self, kind: Kind, job: Job, final: Final) -> Done | None:
        """Do a window of the past; None: it was too long, and is to be planned anew."""
        try:
            return await self._exporter.finish(kind, job, final)
        except TooLong as error:
            if await self._cursor.halve(job.end - job.begin):
                await self._ctx.append([], self._jobs.removal(kind))
                return None
            letters = [self._ctx.dead_letter(error.bad)] if error.bad is not None else []
            self._ctx.log.error("window_left_out", kind=kind, begin=job.begin.isoformat())
            await self._ctx.append(letters, {**final(job), **self._jobs.removal(kind)})
            return Done(job, Figures())

    # -- backfill

    async def backfill(self, begin: datetime, end: datetime, progress: Progress) -> Mapping[str, int]:
        """Read a stretch of the past again, a day at a time; what is new in it is published."""
        await self._cc.look(Priority.BACKFILL)
        end = min(end, self._server_now() - timedelta(seconds=self._ctx.config.settle_seconds))
        total, at, whole = Figures(), begin, end - begin
        while at < end:
            progress((at - begin) / whole, f"from {at:%Y-%m-%d %H:%M} UTC")
            done = await self._backfill_one(past_jobs(at, end, self._cursor.longest)[0])
            if done is not None:
                at = done.job.end
                total.add(done.figures)
        progress(1.0, "read")
        return {"published": total.published, "known": total.known, "unreadable": total.unreadable}

    async def _backfill_one(self, planned: Job) -> Done | None:
        """Do one window, again where CC-FS has a bad moment."""
        config = self._ctx.config
        backoff = Backoff(config.retry_min_seconds, config.retry_max_seconds)
        job = await self._jobs.move("backfill", planned)
        for _ in range(_BACKFILL_TRIES - 1):
            try:
                return await self._finish_past("backfill", job, lambda done: {})
            except Transient as error:
                self._ctx.log.warning("backfill_put_off", reason=error.reason)
                await trio.sleep(backoff.next())
                job = self._jobs.get("backfill") or planned
        return await self._finish_past("backfill", job, lambda done: {})


def _clear(directory: Path, known: Collection[str]) -> None:
    """Delete files that no job of the ledger has: those of a backfill that was broken off, say."""
    for path in directory.iterdir():
        if path.name not in known:
            path.unlink()
