"""The session of an O2G connector: a seat at one of the servers, and one channel after the other."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from time import monotonic
from typing import NoReturn

import trio

from streamd.connector import Context, Link, Session
from streamd.connectors.o2g import agents as agents_
from streamd.connectors.o2g import calls as calls_
from streamd.connectors.o2g.account import log_in
from streamd.connectors.o2g.agents import Agents
from streamd.connectors.o2g.calls import Calls
from streamd.connectors.o2g.config import O2gConfig, packages
from streamd.connectors.o2g.flow import Flow
from streamd.connectors.o2g.hosts import Hosts
from streamd.connectors.o2g.keeping import keep_alive
from streamd.connectors.o2g.login import look
from streamd.connectors.o2g.protocol import Moved, SessionGone, WrongPassword
from streamd.connectors.o2g.seat import Seat, take_seat
from streamd.connectors.o2g.selection import follows, select
from streamd.connectors.o2g.stream import REOPENING, Ended, Stream
from streamd.errors import Rejected, StreamdError, Transient
from streamd.live.herald import Herald
from streamd.nurseries import lone_error
from streamd.transport.http import Http, open_http
from streamd.transport.tls import client_context

USERS_SETTLE_SECONDS = 0.5
LOOKS = 5
MOST_BETWEEN_LOOKS, LEAST_BETWEEN_LOOKS = 10.0, 0.05


@asynccontextmanager
async def open_sessions(ctx: Context[O2gConfig]) -> AsyncIterator[Sequence[Session]]:
    """Yield the one session. Leaving deletes subscription and session at the server."""
    tls = _tls(ctx.config)
    async with _open_http(ctx.config, tls) as http:
        session = EventSession(ctx, http, tls)
        try:
            yield [session]
        finally:
            await session.leave()


async def probe(ctx: Context[O2gConfig]) -> None:
    """Log in at every server, list the logins, and log out; raises Rejected or Transient."""
    tls = _tls(ctx.config)
    async with _open_http(ctx.config, tls) as http:
        for url in ctx.config.urls:
            account = await log_in(ctx, http, tls, url)
            try:
                await account.logins("telephony")
            finally:
                await account.close()


def _tls(config: O2gConfig) -> ssl.SSLContext:
    return client_context(config.ca_file, config.certificate_file, config.key_file)


def _open_http(config: O2gConfig, tls: ssl.SSLContext) -> AbstractAsyncContextManager[Http]:
    return open_http(
        config.urls[0],
        tls=tls,
        proxy=config.proxy,
        timeout=config.request_timeout_seconds,
    )


class EventSession:
    """The session of one connector. What it has at a server is kept from run to run while it is good."""

    name = "events"
    stateful = True

    def __init__(self, ctx: Context[O2gConfig], http: Http, tls: ssl.SSLContext) -> None:
        config = ctx.config
        self._ctx = ctx
        self._http = http
        self._tls = tls
        self._hosts = Hosts(len(config.urls), config.failback_seconds)
        self._seat: Seat | None = None
        self._stream: Stream | None = None
        self._users_changed = trio.Event()
        self._flow = Flow(
            packages(config),
            Calls({}),
            Agents({}),
            config.privacy,
            ctx.dead_letter,
            "o2g event channel",
        )
        self._recall()

    @property
    def scope(self) -> Sequence[str]:
        return packages(self._ctx.config)

    async def run(self, link: Link) -> None:
        """Take a seat, open the channel, and stream until it is lost. Raises Transient or Rejected."""
        seat = await self._take_seat()
        herald = Herald(link)
        self._stream = None
        try:
            with lone_error():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(herald.run)
                    nursery.start_soon(keep_alive, self._ctx, seat.account, partial(self._worry, herald))
                    nursery.start_soon(self._follow, seat)
                    nursery.start_soon(self._fail_back, seat)
                    await self._stream_on(herald, seat)
        except Moved:
            await seat.leave()
            raise
        except StreamdError as error:
            await self._judge(error, seat)
            raise

    async def leave(self) -> None:
        """Delete what there is at the server, within a short deadline."""
        seat, self._seat = self._seat, None
        if seat is not None:
            await seat.leave()

    # -- the seat

    async def _take_seat(self) -> Seat:
        """Take up the seat that is kept, if its session lives; else log in where it is the turn to."""
        if self._seat is not None:
            try:
                await self._seat.account.keep_alive()
            except SessionGone:
                self._seat = None
            except Transient:
                self._seat = None
                self._give_up_host()
                raise
            else:
                return self._seat
        try:
            self._seat = await take_seat(self._ctx, self._http, self._tls, self._url)
        except WrongPassword:
            raise
        except Rejected as error:
            self._give_up_host()
            if len(self._ctx.config.urls) > 1:
                raise Transient(error.reason) from error
            raise
        except Transient:
            self._give_up_host()
            raise
        return self._seat

    @property
    def _url(self) -> str:
        return self._ctx.config.urls[self._hosts.current]

    def _give_up_host(self) -> None:
        self._hosts.failed(monotonic())

    async def _judge(self, error: StreamdError, seat: Seat) -> None:
        """Decide what of the seat is kept after a loss, and which server is next.

        A channel that was open is opened again, the session being fine. One that could not be opened is
        tried again too where there is no other server; else that one is tried.
        """
        was_open = self._stream is not None and self._stream.is_open
        if isinstance(error, (SessionGone, Rejected)):
            self._seat = None
            if not was_open:
                await seat.leave()
        if not was_open and len(self._ctx.config.urls) > 1:
            if self._seat is not None:
                await self.leave()
            self._give_up_host()

    # -- the channels

    async def _stream_on(self, herald: Herald, seat: Seat) -> NoReturn:
        """Read one channel after the other: one that the server closes is opened again at once."""
        reopened = False
        while True:
            ended = await self._stream_once(herald, seat, reopened=reopened)
            self._ctx.counters.count("channel_ends")
            if not ended.on_purpose and ended.seconds < self._ctx.config.reopen_floor_seconds:
                raise Transient(f"event channel: closed by the server after {ended.seconds:.1f} s")
            cause = "resubscribed" if ended.on_purpose else "channel_closed"
            await herald.link.open_gap(REOPENING, cause=cause, since=ended.since)
            reopened = True

    async def _stream_once(self, herald: Herald, seat: Seat, *, reopened: bool) -> Ended:
        stream = Stream(self._ctx, herald, seat, self._flow, self._tls, self._note_users)
        self._stream = stream
        try:
            return await stream.run(reopened=reopened)
        finally:
            if not stream.is_settled:
                # What the spool did not take is not published, whatever the state in memory says.
                self._recall()

    def _recall(self) -> None:
        """Take what is known from the keyed state: what is committed of it."""
        self._flow.calls = Calls(self._ctx.states(calls_.PREFIX))
        self._flow.agents = Agents(self._ctx.states(agents_.PREFIX))

    # -- beside the channel

    def _worry(self, herald: Herald, reason: str | None) -> None:
        """Say that keepalives fail, or do not any more."""
        settled = self._stream is not None and self._stream.is_complete
        if herald.worry("keepalive", reason) and (reason is not None or settled):
            herald.assess_nowait()

    def _note_users(self) -> None:
        self._users_changed.set()

    async def _follow(self, seat: Seat) -> None:
        """Follow users who come and go: the subscription names everybody, so who comes needs another one."""
        if not follows(self._ctx.config):
            return
        while True:
            with trio.move_on_after(self._ctx.config.users_seconds):
                await self._users_changed.wait()
                await trio.sleep(USERS_SETTLE_SECONDS)
            self._users_changed = trio.Event()
            try:
                await self._look_for_users(seat)
            except SessionGone:
                raise
            except (Transient, Rejected) as error:
                self._ctx.log.info("users_unknown", reason=error.reason)

    async def _look_for_users(self, seat: Seat) -> None:
        selection = await select(seat.account, self._ctx.config)
        if self._stream is None or not self._stream.is_open:
            return
        before = seat.selection
        users, agents = (before.of(package) - selection.of(package) for package in ("telephony", "agent"))
        self._stream.put_nowait(self._flow.forget(users, agents, self._ctx.clock.now()))
        if before.lacks(selection):
            await seat.subscribe_anew(selection)
            self._ctx.log.info("resubscribed", users=len(selection.of("telephony")))
            self._stream.stop()
        else:
            seat.selection = selection

    async def _fail_back(self, seat: Seat) -> None:
        """Watch the first server while another is used; raises Moved once there is a seat at it.

        Until then nothing is given up, so that a server that only looks well costs nothing.
        """
        if self._hosts.is_first:
            return
        while True:
            every = min(MOST_BETWEEN_LOOKS, max(LEAST_BETWEEN_LOOKS, self._hosts.wait / LOOKS))
            await trio.sleep(every)
            if not self._hosts.observed(await self._first_is_well(), monotonic()):
                continue
            try:
                first = await take_seat(self._ctx, self._http, self._tls, self._ctx.config.urls[0])
            except (Transient, Rejected) as error:
                self._ctx.log.info("failback_failed", reason=error.reason)
                self._hosts.observed(False, monotonic())
                continue
            self._hosts.went_back(monotonic())
            self._seat = first
            raise Moved(f"back to {first.account.where} from {seat.account.where}", retry_after=0.0)

    async def _first_is_well(self) -> bool:
        try:
            await look(self._ctx, self._http, self._ctx.config.urls[0])
        except (Transient, Rejected):
            return False
        return True

    def __repr__(self) -> str:
        return f"EventSession({self._seat!r}, {self._hosts!r})"
