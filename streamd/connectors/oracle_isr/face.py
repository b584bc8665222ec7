"""Ask FACE: one token for all, every reply judged (vendors/oracle_isr.md, sections 1, 2 and 6).

The token travels in the URL of each call, so no URL is ever told to anybody; the credentials go in the body
of the login alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from math import inf
from urllib.parse import quote

import trio
from msgspec import Struct

from streamd.connector import Context
from streamd.connectors.oracle_isr.codes import Action, action
from streamd.connectors.oracle_isr.config import OracleIsrConfig, face_url
from streamd.connectors.oracle_isr.wire import Reply, Shape, read_reply
from streamd.errors import ProtocolViolation, RateLimited, Rejected, StreamdError, Transient
from streamd.pull.server_clock import ServerClock
from streamd.redaction import redact
from streamd.session import Backoff
from streamd.transport.http import Http, Response, retry_after_seconds
from streamd.transport.limiter import Limiter
from streamd.transport.tokens import TokenCache

AT_ONCE = 2
TRIES = 5
_DENIED = frozenset({401, 403})
_HEADERS = {"Accept": "application/json"}


class Turn(IntEnum):
    """Whose request is sent first."""

    LIVE = 0
    USUAL = 1
    BEHIND = 2
    """What can wait: backfills, and recordings that are read again."""


class NotNow(Transient):
    """What was asked for cannot be had yet: to be tried again in its own time."""


class BadQuery(Rejected):
    """FACE does not take what was asked for."""


class Unreadable(ProtocolViolation):
    """A reply of FACE that cannot be read, though the server is well; `body` as it came."""

    def __init__(self, reason: str, body: bytes) -> None:
        super().__init__(reason)
        self.body = body


class _Judged(Struct, frozen=True):
    """What a reply is: one that can be used, or an error."""

    reply: Reply | None
    error: StreamdError | None
    suspects_token: bool = False
    """Whether a token that is no longer good may be the reason."""
    again: bool = False
    """Whether to ask again with backoff."""


class Face:
    """FACE of one server. Calls raise Transient (RateLimited, Unreadable too) or Rejected (BadQuery too)."""

    def __init__(self, ctx: Context[OracleIsrConfig], http: Http, server_clock: ServerClock) -> None:
        config = ctx.config
        self.list_length = config.list_length
        self._ctx = ctx
        self._http = http
        self._server_clock = server_clock
        self._url = face_url(config.base_url)
        self._limiter = Limiter(ctx.clock, at_once=AT_ONCE)
        self._tokens = TokenCache(self._log_in, ctx.clock.monotonic)
        self._logged_in_at = -inf

    async def log_in(self) -> None:
        """See that there is a token."""
        await self._tokens.get()

    async def search(self, criteria: Mapping[str, str], turn: Turn) -> Reply:
        """Search recordings: the reply is one in full, a list, or says that nothing was found.

        A token that seems refused is replaced once, unless it is too new for that: what gives no better sign
        (section 6) must not make us log in again and again.
        """
        backoff = Backoff(self._ctx.config.retry_min_seconds, self._ctx.config.retry_max_seconds)
        tries, may_log_in = 0, True
        while True:
            token = await self._tokens.get()
            judged = self._judge(await self._send(criteria, token, turn))
            if judged.reply is not None:
                self._limiter.accepted(turn)
                return judged.reply
            assert judged.error is not None
            self._ctx.counters.count("face_errors")
            if judged.suspects_token and may_log_in and self._forget(token, judged):
                may_log_in = False
                continue
            tries += 1
            if tries == TRIES or not judged.again:
                raise judged.error
            self._ctx.log.info("face_error", reason=str(judged.error))
            await trio.sleep(backoff.next())

    def __repr__(self) -> str:
        return f"Face({self._tokens!r})"

    # -- inside

    def _forget(self, token: str, judged: _Judged) -> bool:
        """Forget a token that seems refused, unless it is too new; return whether there will be another.

        Of two requests under way the second may be refused with a token that the first has had replaced: its
        age is not that of the new one. Raises Transient where nothing but a new token can help: when that is
        due.
        """
        if not self._tokens.holds(token):
            return True
        held = self._ctx.clock.monotonic() - self._logged_in_at
        wait = self._ctx.config.relogin_seconds - held
        if wait <= 0:
            self._tokens.invalidate(token)
        elif not judged.again:
            raise Transient(str(judged.error), retry_after=wait) from judged.error
        return wait <= 0

    async def _send(self, criteria: Mapping[str, str], token: str, turn: Turn) -> Response:
        # Not by `params`: httpx would write a blank as +, which FACE is not said to read (section 2).
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in criteria.items())
        url = f"{self._url}/audioRecording/details?token={quote(token, safe='')}&{query}"
        async with self._limiter.turn(turn):
            asked_at = self._ctx.clock.monotonic()
            answer = await self._http.request("GET", url, headers=_HEADERS)
        self._server_clock.heard(answer.headers, asked_at)
        if answer.status == 429:
            self._limiter.slow_down(turn, retry_after_seconds(answer.headers, self._ctx.clock.now()))
        return answer

    def _judge(self, answer: Response) -> _Judged:
        """Judge a reply by its content whatever its status, for most errors come with 200 (section 6)."""
        try:
            reply = read_reply(answer.body, repair_quotes=self._ctx.config.repair_quotes)
        except ProtocolViolation as error:
            return self._judge_status("details", answer, error)
        if reply.shape(self.list_length) is not Shape.ERROR:
            return _Judged(reply, None)
        if answer.status in _DENIED:
            return _denied("details", answer.status)
        return self._judge_code(reply)

    def _judge_code(self, reply: Reply) -> _Judged:
        reason = f"details: {reply.words}"
        match action(reply.code):
            case Action.GIVE_UP:
                return _Judged(None, Rejected(reason))
            case Action.BAD_QUERY:
                return _Judged(None, BadQuery(reason))
            case Action.HOST_REFUSED:
                return _Judged(None, Rejected(f"{reason} (our address must be allowed)"), suspects_token=True)
            case Action.SUSPECT_TOKEN:
                return _Judged(None, Transient(reason), suspects_token=True, again=True)
            case Action.LATER:
                return _Judged(None, NotNow(reason), again=True)
            case _:
                return _Judged(None, Transient(reason), again=True)

    def _judge_status(self, what: str, answer: Response, unread: ProtocolViolation) -> _Judged:
        status, reason = answer.status, f"{what}: {answer.status}"
        retry_after = retry_after_seconds(answer.headers, self._ctx.clock.now())
        if status in _DENIED:
            return _denied(what, status)
        if status == 429:
            return _Judged(None, RateLimited(reason, retry_after=retry_after))
        if 200 <= status < 300:
            return _Judged(None, Unreadable(f"{what}: {unread.reason}", answer.body), again=True)
        if status >= 500 or status == 408:
            return _Judged(None, Transient(reason, retry_after=retry_after), again=retry_after is None)
        return _Judged(None, Rejected(reason))

    async def _log_in(self) -> tuple[str, float]:
        config = self._ctx.config
        form = {
            "userEmail": config.user_email,
            "password": config.password.reveal(),
            "expirationSeconds": str(config.token_seconds),
        }
        async with self._limiter.turn(Turn.LIVE):
            asked_at = self._ctx.clock.monotonic()
            answer = await self._http.request("POST", f"{self._url}/login", form=form, headers=_HEADERS)
        self._server_clock.heard(answer.headers, asked_at)
        reply = self._read_login(answer)
        assert reply.token is not None
        redact(reply.token, passing=True)
        self._logged_in_at = self._ctx.clock.monotonic()
        self._ctx.counters.count("logins")
        return reply.token, reply.life_seconds

    def _read_login(self, answer: Response) -> Reply:
        """Read a login's reply: what is no token is a refusal, for an account locks (section 1)."""
        try:
            reply = read_reply(answer.body, repair_quotes=self._ctx.config.repair_quotes)
        except ProtocolViolation as unread:
            judged = self._judge_status("login", answer, unread)
            assert judged.error is not None
            raise judged.error from None
        if reply.token and action(reply.code) is Action.GO_ON:
            return reply
        if action(reply.code) in (Action.RETRY, Action.LATER) or answer.status >= 500:
            raise Transient(f"login: {reply.words}")
        if reply.code == 16:  # the server could not make one: its trouble, not our password
            raise Transient(f"login: {reply.words}")
        raise Rejected(f"login: {reply.words}")


def _denied(what: str, status: int) -> _Judged:
    return _Judged(None, Rejected(f"{what}: {status}"), suspects_token=True)
