"""The session of a Huawei connector: the live walk, with what reads the past beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn

import trio

from streamd.connector import Changes, Context, Link, Session
from streamd.connectors.huawei_aicc import seen
from streamd.connectors.huawei_aicc.callbacks import Callbacks
from streamd.connectors.huawei_aicc.config import HuaweiConfig, callback_path
from streamd.connectors.huawei_aicc.cursor import Cursor
from streamd.connectors.huawei_aicc.export import Exporter, NeverCame, TooEarly, TooLong
from streamd.connectors.huawei_aicc.holes import MOST_VAIN, Cause, Holes
from streamd.connectors.huawei_aicc.jobs import Job, Jobs, planned_anew
from streamd.connectors.huawei_aicc.past import Past
from streamd.connectors.huawei_aicc.plan import SHORTEST, kept_for, live_job, pace_of, silent, wait_seconds
from streamd.connectors.huawei_aicc.rest import CcFs
from streamd.errors import BadRecord, Rejected
from streamd.nurseries import lone_error
from streamd.pull.windows import Pace
from streamd.transport.http import Http, open_http
from streamd.transport.tls import client_context

_SLICES_EACH = 8  # of the seen set are looked through with each window
_LEAST_WAIT_SECONDS = 0.05


@asynccontextmanager
async def open_sessions(ctx: Context[HuaweiConfig]) -> AsyncIterator[Sequence[Session]]:
    """Yield the one session. Callbacks are taken and backfill is served as long as it is there."""
    config = ctx.config
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(_open_http(config))
        jobs, directory = Jobs(ctx), ctx.directory()
        await jobs.drop("backfill")
        _clear(directory, [f"{kind}.zip" for kind in jobs.under_way()])
        cc = CcFs(ctx, http)
        walk = Walk(ctx, cc, jobs, directory)
        if config.callback:
            path = callback_path(config, ctx.origin.connector)
            callbacks = Callbacks(ctx, jobs, config.callback_url or ctx.ingress.url(path), cc.now)
            await stack.enter_async_context(ctx.ingress.claim(path, callbacks.answer))
        await stack.enter_async_context(ctx.serve_backfill(walk.past.backfill))
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
        self._holes = Holes(ctx, jobs)
        self.past = Past(ctx, cc, jobs, self._cursor, self._exporter, self._holes)
        self._slice = 0
        self._not_before: datetime | None = None

    async def run(self, link: Link) -> None:
        """Walk on from the watermark until CC-FS does not answer. Raises Transient or Rejected."""
        self._cc.try_again()
        self._cursor.refresh()
        self._holes.declare_on(link)
        link.prove_with(lambda: self._cursor.watermark)
        await self._cc.look()
        position = await self._cursor.begin(self._ctx.config.start_from or self._cc.server_now())
        await link.connected(position.watermark)
        await link.live()
        with lone_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.past.read_again)
                await self._walk()

    async def _walk(self) -> NoReturn:
        while True:
            job = self._jobs.get("live") or await self._plan()
            before = self._cursor.watermark
            try:
                await self._exporter.finish("live", job, self._final_live)
            except TooLong as error:
                await self._shorten(error)
                continue
            except NeverCame as error:
                await self._widen(error.job)
                continue
            except TooEarly:
                await self._jobs.drop("live")
            else:
                self._cursor.fitted()
            self._cursor.refresh()
            await self._forget_old()
            # In the hour that is repeated nothing more is certain, whatever was published.
            stands = self._cursor.watermark == before
            step = timedelta(seconds=self._ctx.config.step_seconds)
            self._not_before = self._cc.server_now() + step if stands else None

    async def _plan(self) -> Job:
        """Wait until there is a window to ask for, and write it down."""
        while True:
            server_now, pace = self._cc.server_now(), pace_of(self._ctx.config, self._cursor.longest)
            watermark = await self._resume(pace, server_now)
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

    async def _resume(self, pace: Pace, server_now: datetime) -> datetime:
        """Give where the walk goes on; that follows a server whose clock went back."""
        position = self._cursor.position
        at = max(pace.resume(position.watermark, server_now), position.origin)
        if at < position.watermark:
            told = {"watermark": position.watermark.isoformat(), "to": at.isoformat()}
            self._ctx.log.warning("server_clock_went_back", **told)
            self._not_before = None
            await self._cursor.go_back(at)
        return at

    def _final_live(self, job: Job) -> Changes:
        return self._cursor.moved(job.watermark)

    async def _shorten(self, error: TooLong) -> None:
        """Ask for less at once from now on. What cannot be halved is a gap, with its zip's dead letter."""
        job = error.job
        if await self._cursor.halve(job.end - job.begin, ours=error.bad is not None):
            await self._ctx.append([], self._jobs.removal("live"))
        elif error.bad is None:
            raise Rejected(f"windows of {SHORTEST} are too long for the server")
        else:
            await self._leave_out(job, "export_too_big", error.bad)

    async def _widen(self, job: Job) -> None:
        """Ask up to the present: a window without rows may get no file (section 8, 8), a longer one has some.

        One that is as long as it gets is a gap in the end, for nobody can tell whether it is empty.
        """
        longest = self._cursor.longest
        pace = silent(pace_of(self._ctx.config, longest), longest)
        wider = live_job(pace, self._cursor.position.watermark, self._cc.server_now())
        if wider is not None and wider.end > job.end:
            await self._jobs.move("live", wider)
        elif job.vain + 1 < MOST_VAIN:
            await self._jobs.move("live", planned_anew(job, job.vain + 1))
        else:
            await self._leave_out(job, "export_never_came")

    async def _leave_out(self, job: Job, cause: Cause, bad: BadRecord | None = None) -> None:
        await self._holes.leave_out("live", job, cause, self._final_live(job), bad)
        self._cursor.refresh()

    async def _forget_old(self) -> None:
        """Look a part of the seen set through for rows that no window reaches any more."""
        keep = kept_for(self._ctx.config, self._cursor.reading.at, self._cc.server_now())
        for _ in range(_SLICES_EACH):
            async with self._exporter.judging:
                entries = self._ctx.states(seen.slice_prefix(self._slice))
                self._slice += 1
                stale = seen.stale(entries, self._cc.server_now(), keep)
                if stale:
                    await self._ctx.append([], dict.fromkeys(stale))


def _clear(directory: Path, known: Collection[str]) -> None:
    """Delete files that no job of the ledger has: those of a backfill that was broken off, say."""
    for path in directory.iterdir():
        if path.name not in known:
            path.unlink()
