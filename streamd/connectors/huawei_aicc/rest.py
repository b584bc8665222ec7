"""CC-FS's two operations, signed, and what each answer asks for (vendors/huawei_aicc.md, sections 1 to 4)."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import trio

from streamd.connector import Context
from streamd.connectors.huawei_aicc import wire
from streamd.connectors.huawei_aicc.codes import Action, action
from streamd.connectors.huawei_aicc.config import HuaweiConfig
from streamd.connectors.huawei_aicc.signing import CONTENT_TYPE, Keys, Message, sign
from streamd.connectors.huawei_aicc.wire import Reply
from streamd.connectors.huawei_aicc.zones import Asked
from streamd.errors import ProtocolViolation, RateLimited, Rejected, StreamdError, Transient
from streamd.pull.server_clock import ServerClock
from streamd.session import Backoff
from streamd.transport.download import Downloaded, download, is_zip
from streamd.transport.headers import retry_after_seconds
from streamd.transport.http import Http, Response
from streamd.transport.limiter import Limiter

_SERVER_FAULTS = 3  # of its own that a request may meet before its job is put off
_FRESH_SECONDS = 1.0  # timestamps are of whole seconds, and nothing else makes a second try another one
_PORTS = {"https": 443, "http": 80}
# A file of nobody: what is asked for to hear the server's Date, and whether it takes our signature.
_NOBODYS: Final = "19700101_00000000000000000000000000000000.zip"


class Priority(IntEnum):
    """Whose turn it is first."""

    LIVE = 0
    DEEP = 1
    BACKFILL = 2


class Declined(StreamdError):
    """CC-FS says no in a way that its caller has to answer: `action` is ABSENT, EMPTY, SHRINK or AHEAD.

    A success that brings nothing, neither a job nor a file, says EMPTY too: no document tells what an empty
    window looks like (section 8, 8).
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"result code {reply.code}")
        is_done = action(reply.code) is Action.GO_ON
        self.action = Action.EMPTY if is_done else action(reply.code)


class CcFs:
    """One CC-FS with one pair of keys. Requests share its limiter: one at a time, slowed down together."""

    def __init__(self, ctx: Context[HuaweiConfig], http: Http) -> None:
        config = ctx.config
        self.clock = ServerClock(ctx.clock)
        self._ctx = ctx
        self._http = http
        self._keys = Keys(config.access_key.reveal(), config.secret_key)
        self._host = config.signing_host or _host(config.base_url)
        self._limiter = Limiter(ctx.clock, at_once=1)
        self._refused: Rejected | None = None
        self._is_trusted = True
        self._by_their_clock = False

    def now(self) -> datetime:
        """Give the time by which is signed: ours, or the server's own after ours was refused."""
        return (self.clock.now() if self._by_their_clock else None) or self._ctx.clock.now()

    def server_now(self) -> datetime:
        """Give the server's own now; ours where it tells no Date: what is too late it refuses (0300016)."""
        return self.clock.now() or self._ctx.clock.now()

    def try_again(self) -> None:
        """Let requests out again after the server refused our signature or locked our address."""
        self._refused = None

    async def look(self, priority: Priority = Priority.LIVE) -> None:
        """Hear the server's Date, and whether it takes our signature: no export is begun for that.

        With which code a file of nobody is declined no document says; whoever tells one took our signature.
        """
        await self._ask_signed(priority, wire.DOWNLOAD, wire.download_body(_NOBODYS), None)

    async def query(self, asked: Asked, callback_url: str, priority: Priority) -> str:
        """Have a window exported; give the responseId. Raises Declined, Transient and Rejected."""
        config = self._ctx.config
        body = wire.query_body(asked, config.data_type, config.account_id, callback_url)
        reply = await self._insist(priority, wire.QUERY, body, None)
        if isinstance(reply, Reply) and reply.is_bare:
            raise Declined(reply)
        if not isinstance(reply, Reply) or reply.response_id is None:
            raise ProtocolViolation("queryBillData: success without a responseId")
        return reply.response_id

    async def fetch(self, name: str, to: Path, priority: Priority) -> Downloaded:
        """Download a file that is ready to `to`. Raises Declined, Transient and Rejected."""
        found = await self._insist(priority, wire.DOWNLOAD, wire.download_body(name), to)
        if isinstance(found, Reply) and found.is_bare:
            raise Declined(found)
        if not isinstance(found, Downloaded):
            raise ProtocolViolation("downloadBillFile: success without a zip")
        return found

    # -- answers

    async def _insist(
        self, priority: Priority, path: str, body: bytes, to: Path | None
    ) -> Reply | Downloaded:
        """Ask until there is an answer that more asking would not change."""
        config = self._ctx.config
        faults, backoff = 0, Backoff(config.retry_min_seconds, config.retry_max_seconds)
        give_up = self._ctx.clock.monotonic() + config.job_seconds
        while True:
            found = await self._ask_signed(priority, path, body, to)
            if isinstance(found, Downloaded):
                self._limiter.accepted(priority)
                return found
            operation = path.rpartition("/")[2]
            match action(found.code):
                case Action.GO_ON:
                    self._limiter.accepted(priority)
                    return found
                case Action.SLOW_DOWN:
                    self._ctx.counters.count("flow_controlled")
                    self._limiter.slow_down(priority)
                    if self._ctx.clock.monotonic() > give_up:
                        raise RateLimited(f"{operation}: flow control, result code {found.code}")
                case Action.RETRY:
                    faults += 1
                    self._ctx.counters.count("server_faults")
                    if faults > _SERVER_FAULTS:
                        raise Transient(f"{operation}: a fault of the server, result code {found.code}")
                    await trio.sleep(backoff.next())
                case Action.PARK:
                    raise Rejected(f"{operation}: a parameter is refused, result code {found.code}")
                case Action.REFUSE:
                    raise Rejected(f"{operation}: account or VDN is refused, result code {found.code}")
                case _:
                    raise Declined(found)

    async def _ask_signed(
        self, priority: Priority, path: str, body: bytes, to: Path | None
    ) -> Reply | Downloaded:
        """Ask once; where the signature is refused, once more by the other clock, then never on our own.

        A loop on 401 locks the whole host out (section 1). A server that has refused us before is not asked
        twice.
        """
        found = await self._ask(priority, path, body, to)
        if self._is_refusal(found) and self._is_trusted:
            self._is_trusted = False
            await trio.sleep(_FRESH_SECONDS)
            found = await self._ask(priority, path, body, to)
            if not self._is_refusal(found):
                self._ctx.log.warning("signature_refused_once", clocks=self._apart())
        if isinstance(found, Downloaded):
            self._is_trusted = True
            return found
        if found.status == 401:
            self._is_trusted = False
            reason = f"signature or clock refused (401), {self._apart()}"
            raise self._refuse(reason, self._ctx.config.unauthorized_seconds)
        if found.status == 403 and wire.is_lockout(found.body):
            raise self._refuse("our address is locked (403)", self._ctx.config.locked_seconds)
        reply = wire.read_reply(found.body)
        if reply is None:
            self._ctx.counters.count("gateway_answers")
            raise _strange(found, self._ctx.clock.now())
        self._is_trusted = True
        return reply

    def _is_refusal(self, found: Response | Downloaded) -> bool:
        """Tell a 401, after which the other clock is signed by: which of them is wrong it does not say."""
        if isinstance(found, Downloaded) or found.status != 401:
            return False
        self._by_their_clock = not self._by_their_clock
        return True

    def _apart(self) -> str:
        skew = self.clock.skew()
        return "no Date" if skew is None else f"the server's clock is {skew.total_seconds():+.0f} s from ours"

    def _refuse(self, reason: str, seconds: float) -> Rejected:
        self._refused = Rejected(reason, retry_after=seconds)
        self._ctx.counters.count("signatures_refused")
        return self._refused

    async def _ask(
        self, priority: Priority, path: str, body: bytes, to: Path | None
    ) -> Response | Downloaded:
        """Sign these bytes, send these bytes."""
        async with self._limiter.turn(priority):
            if self._refused is not None:
                raise Rejected(self._refused.reason, retry_after=self._refused.retry_after)
            asked_at = self._ctx.clock.monotonic()
            found = await self._send(path, body, to)
        self.clock.heard(found.headers, asked_at)
        return found

    async def _send(self, path: str, body: bytes, to: Path | None) -> Response | Downloaded:
        config = self._ctx.config
        headers = self._headers(path, body)
        if to is None:
            return await self._http.request("POST", path, content=body, headers=headers)
        return await download(
            self._http,
            "POST",
            path,
            to,
            wanted=is_zip,
            max_bytes=config.max_zip_bytes,
            idle_seconds=config.download_idle_seconds,
            timeout=config.download_idle_seconds,
            content=body,
            headers=headers,
        )

    def _headers(self, path: str, body: bytes) -> dict[str, str]:
        headers = {"Host": self._host, "Content-Type": CONTENT_TYPE, "Content-Length": str(len(body))}
        wanted = self._ctx.config.signed_headers
        signed = {name: value for name, value in headers.items() if name.lower() in wanted}
        message = Message("POST", path, signed, body)
        return {**headers, "Authorization": sign(self._keys, message, self.now())}


def _host(base_url: str) -> str:
    """Give the Host header as a client sends it: the port only where it is not the scheme's own."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in (None, _PORTS[parts.scheme]) else f"{host}:{parts.port}"


def _strange(answer: Response, now: datetime) -> Transient:
    """Say what a gateway or WAF before CC-FS has answered in its place (P6)."""
    reason = f"no answer of CC-FS: status {answer.status}, {len(answer.body)} bytes"
    if answer.status == 429:
        return RateLimited(reason, retry_after=retry_after_seconds(answer.headers, now))
    return Transient(reason)
