"""The session of an Oracle ISR connector: polls that hints bring forward, and the walk behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import NoReturn

import trio

from streamd.connector import Backfilled, Context, Link, Progress, Session
from streamd.connectors.oracle_isr.config import OracleIsrConfig
from streamd.connectors.oracle_isr.details import Details
from streamd.connectors.oracle_isr.discretion import Discretion
from streamd.connectors.oracle_isr.face import AT_ONCE, Face, Turn
from streamd.connectors.oracle_isr.finished import Finished
from streamd.connectors.oracle_isr.normalise import Normaliser
from streamd.connectors.oracle_isr.notifications import open_notifications
from streamd.connectors.oracle_isr.register import Cursor, Register
from streamd.connectors.oracle_isr.retrieval import Retrieval
from streamd.connectors.oracle_isr.upkeep import Upkeep
from streamd.connectors.oracle_isr.walk import Walk
from streamd.connectors.oracle_isr.watch import Watch
from streamd.connectors.oracle_isr.zone import Zone
from streamd.live.herald import Herald
from streamd.nurseries import lone_error
from streamd.pull.hints import Hints
from streamd.pull.server_clock import ServerClock
from streamd.pull.windows import Window
from streamd.transport.http import Http, open_http
from streamd.transport.tls import client_context

SUSPICIOUS_SKEW = timedelta(seconds=60)
LOOKS_PER_HINT = 3
"""Further polls for a hint about a recording that is not there yet: a notification may come too early."""
_MOST_HINTED = 1000


@asynccontextmanager
async def open_sessions(ctx: Context[OracleIsrConfig]) -> AsyncIterator[Sequence[Session]]:
    """Yield the one session; notifications and backfills are taken as long as it is there."""
    async with _open_http(ctx.config) as http:
        session = RecordingSession(ctx, http)
        async with open_notifications(ctx, session.hints), ctx.serve_backfill(session.backfill):
            yield [session]


async def probe(ctx: Context[OracleIsrConfig]) -> None:
    """Log in and search once; raises Rejected or Transient."""
    async with _open_http(ctx.config) as http:
        face = Face(ctx, http, ServerClock(ctx.clock))
        await face.search({"inProgress": "true", "maxListLength": "1"}, Turn.USUAL)


@asynccontextmanager
async def _open_http(config: OracleIsrConfig) -> AsyncIterator[Http]:
    async with open_http(
        config.base_url,
        tls=client_context(config.ca_file, config.certificate_file, config.key_file),
        proxy=config.proxy,
        timeout=config.request_timeout_seconds,
        max_requests=AT_ONCE,
    ) as http:
        yield http


class RecordingSession:
    """The recordings of one ISR."""

    name = "recordings"
    stateful = False
    scope: Sequence[str] = ("recordings",)

    def __init__(self, ctx: Context[OracleIsrConfig], http: Http) -> None:
        zone = Zone(ctx.config.time_zone)
        normaliser = Normaliser(ctx.origin.connector, zone)
        discretion = Discretion(ctx.config.privacy)
        discreet = discretion.apply
        self._ctx = ctx
        self._server_clock = ServerClock(ctx.clock)
        self._register = Register(ctx)
        self._face = Face(ctx, http, self._server_clock)
        details = Details(self._face, zone, discretion)
        retrieval = Retrieval(details, ctx.clock)
        finished = Finished(ctx, self._register, retrieval, normaliser, zone, self._server_now)
        self._watch = Watch(ctx, self._register, self._face, details, normaliser, zone, discreet)
        self._upkeep = Upkeep(ctx, self._register, details, retrieval, finished, normaliser)
        self._walk = Walk(ctx.config, ctx.log, self._register, self._face, finished, zone, discreet)
        self.hints = Hints(ctx.clock, ctx.config.poll_seconds)
        self._looked: dict[str, int] = {}
        self._polled = trio.Event()
        self._is_skewed = False

    async def run(self, link: Link) -> None:
        """Log in, and poll until the link is lost. Raises Transient or Rejected.

        Connected is what has listed once what runs and what has ended: a login alone proves neither, and
        each try to come back would be told as a link that was won and lost.
        """
        await self._face.log_in()
        cursor = await self._begin()
        herald = Herald(link)
        await self._poll(herald)
        await self._walk.try_out(self._server_now())
        link.prove_with(self._watermark)
        await link.connected(cursor.watermark)
        with lone_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(herald.run)
                nursery.start_soon(self._follow, herald)
                nursery.start_soon(self._look_back)
                while True:
                    await self._poll(herald)

    async def backfill(self, since: datetime, until: datetime, progress: Progress) -> Backfilled:
        """Fetch what ended between two instants; raises as `Face.search` does."""
        return await self._walk.backfill(Window(since, until), self._server_now(), progress)

    def _watermark(self) -> datetime | None:
        cursor = self._register.cursor
        return None if cursor is None else cursor.watermark

    async def _begin(self) -> Cursor:
        """Give where the walk goes on; at the first start it is `start_from`, else now."""
        async with self._register.turn():
            cursor = self._register.cursor
            if cursor is None:
                now = self._server_now()
                begin = min(self._ctx.config.start_from or now, now)
                cursor = Cursor(begin=begin, watermark=begin, swept_at=now)
                await self._register.commit([], cursor)
            return cursor

    # -- the polls

    async def _poll(self, herald: Herald) -> None:
        """List what runs when the next poll is due, and let the walk go on behind it."""
        hinted = await self.hints.wait()
        whole = await self._watch.look(self._server_now())
        self._mind_the_clock()
        self._look_again(hinted)
        reason = None if whole else "the list of running recordings is cut: some starts are told late"
        if herald.worry("live list", reason):
            herald.assess_nowait()
        self._polled.set()

    def _look_again(self, hinted: frozenset[str]) -> None:
        """Have another poll for what was hinted and is not there, a few times."""
        there = self._register.running.calls() if hinted else set()
        for call in hinted - {""}:
            looked = self._looked.pop(call, 0)
            if call not in there and looked < LOOKS_PER_HINT and len(self._looked) < _MOST_HINTED:
                self._looked[call] = looked + 1
                self.hints.give(call)

    async def _follow(self, herald: Herald) -> NoReturn:
        """After each poll fetch what has ended, and look for what is missing."""
        herald_told = False
        while True:
            await self._polled.wait()
            self._polled = trio.Event()
            await self._walk.sweep(herald.link, self._server_now())
            more = True
            while more:
                more = await self._walk.step(herald.link, self._server_now())
                await self._upkeep.chase(self._server_now())
                if not herald_told:
                    herald_told = True
                    herald.assess_nowait()

    async def _look_back(self) -> NoReturn:
        """Read again what may have changed, behind all that is new."""
        while True:
            await self._upkeep.forget_old(self._server_now())
            if not await self._upkeep.revisit(self._server_now()):
                await trio.sleep(self._ctx.config.poll_seconds)

    # -- the clocks

    def _server_now(self) -> datetime:
        """Give the server's time in whole seconds; ours where it tells none."""
        return (self._server_clock.now() or self._ctx.clock.now()).replace(microsecond=0)

    def _mind_the_clock(self) -> None:
        """Warn once when the server's clock is far from ours."""
        skew = self._server_clock.skew() or timedelta(0)
        is_skewed = abs(skew) > SUSPICIOUS_SKEW
        if is_skewed and not self._is_skewed:
            self._ctx.counters.count("clock_skewed")
            self._ctx.log.warning("server_clock_differs", seconds=round(skew.total_seconds()))
        self._is_skewed = is_skewed
