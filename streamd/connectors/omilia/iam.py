"""Hold the bearer token for exports-api: IAM's password grant with refresh, or a personal access token.

Sources: vendors/omilia.md section 1 (P-AUTH, P-MCP, P-KC). IAM is a Keycloak; its client `ocp` is public.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from msgspec import Struct
from trio.lowlevel import checkpoint

from streamd.connector import Clock
from streamd.errors import ProtocolViolation, RateLimited, Rejected, StreamdError, Transient
from streamd.redaction import redact
from streamd.session import refused_seconds
from streamd.transport.http import Http, Response, retry_after_seconds
from streamd.transport.tokens import REFRESH_AT, TokenCache

ONE_REFUSAL_SECONDS = 10.0
"""Whoever asks within that time of a refusal asks for the same try."""
_CLIENT = "ocp"
_MARGIN_SECONDS = 30.0  # a token is refreshed that long before its end (section 1, client rules)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Tokens(Struct):
    """Keycloak's answer. `refresh_expires_in` 0: the session has no end of its own."""

    access_token: str
    expires_in: float
    refresh_token: str | None = None
    refresh_expires_in: float = 0.0


class _Oauth(Struct):
    error: Any = None


class _Refusal(Struct, frozen=True):
    """That IAM refused us: why, when in monotonic seconds, and the how manieth in a row that was.

    Until `until` that password is not sent again: IAM counts them.
    """

    reason: str
    at: float
    times: int

    @property
    def until(self) -> float:
        return self.at + refused_seconds(self.times - 1)


class _Session(Struct, frozen=True):
    """What refreshes the access token, and until when, in monotonic seconds."""

    refresh_token: str
    until: float


_tokens = msgspec.json.Decoder(_Tokens, strict=False).decode
_oauth = msgspec.json.Decoder(_Oauth).decode


class Credentials(Protocol):
    """Where the token of a call comes from; `scheme` is how its Authorization header begins."""

    scheme: str

    async def get(self) -> str:
        """Give a token that is good for now. Raises Transient, RateLimited or Rejected."""
        ...

    def refused(self, token: str) -> bool:
        """Note that exports-api answered 401 to `token`; tell whether another one can be had."""
        ...

    def forgive(self) -> None:
        """Let refused credentials be tried again: their wait is over, or an operator asked for it."""
        ...

    async def close(self) -> None:
        """Let go of what IAM holds for us; what fails is left to its own end."""
        ...


class PersonalToken:
    """A personal access token: nothing to fetch, nothing to refresh (P-PAT)."""

    def __init__(self, token: str, scheme: str = "Bearer") -> None:
        """Which scheme the platform wants of such a token is not documented (section 9, question 9)."""
        self.scheme = scheme
        self._token = token

    async def get(self) -> str:
        await checkpoint()
        return self._token

    def refused(self, token: str) -> bool:
        return False

    def forgive(self) -> None:
        """Do nothing: a token that was refused is sent again each time anyway, and locks no account."""

    async def close(self) -> None:
        await checkpoint()


class PasswordLogin:
    """A user's session at IAM, refreshed as long as that works, opened anew when it does not.

    Each password grant opens another session there, so refreshing is preferred (P-KC).
    """

    scheme = "Bearer"

    def __init__(self, http: Http, clock: Clock, realm: str, user: Mapping[str, str]) -> None:
        """Use `http`, a client for the root of IAM. `user`: username, password, otp if there is one."""
        self._http = http
        self._clock = clock
        self._root = f"/auth/realms/{realm}/protocol/openid-connect"
        self._user = user
        self._session: _Session | None = None
        self._refusal: _Refusal | None = None
        self._forgiven = False
        self._cache = TokenCache(self._fetch, clock.monotonic, random.random)

    async def get(self) -> str:
        return await self._cache.get()

    def refused(self, token: str) -> bool:
        self._cache.invalidate(token)
        return True

    def forgive(self) -> None:
        refusal = self._refusal
        # The sessions of a connector all ask for it at about the same time: that is one try.
        if refusal is not None and self._clock.monotonic() - refusal.at > ONE_REFUSAL_SECONDS:
            self._forgiven = True

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is None:
            await checkpoint()
            return
        form = {"client_id": _CLIENT, "refresh_token": session.refresh_token}
        try:
            await self._http.request("POST", f"{self._root}/logout", form=form)
        except StreamdError:
            return  # it ends by itself, after the life of its refresh token

    async def _fetch(self) -> tuple[str, float]:
        """Fetch a token and the seconds until it should be given up."""
        session = self._session
        if session is not None and self._clock.monotonic() < session.until:
            found = await self._granted(
                {"grant_type": "refresh_token", "refresh_token": session.refresh_token}
            )
            if found is not None:
                return found
        self._session = None
        return await self._log_in()

    async def _log_in(self) -> tuple[str, float]:
        refusal = self._refusal
        if refusal is not None and not self._forgiven and self._clock.monotonic() < refusal.until:
            raise Rejected(refusal.reason)
        self._forgiven = False
        found = await self._granted({"grant_type": "password", **self._user})
        if found is None:
            # Keycloak says the same of a wrong password and of one without the otp that the user has.
            raise self._refused(
                "IAM refuses username and password (invalid_grant); "
                "a user with a one-time password needs a personal_access_token"
            )
        self._refusal = None
        return found

    def _refused(self, reason: str) -> Rejected:
        times = 1 + (self._refusal.times if self._refusal is not None else 0)
        self._refusal = _Refusal(reason, self._clock.monotonic(), times)
        return Rejected(reason)

    async def _granted(self, grant: dict[str, str]) -> tuple[str, float] | None:
        """Ask for a token; None is `invalid_grant`."""
        asked_at = self._clock.monotonic()
        answer = await self._http.request("POST", f"{self._root}/token", form={"client_id": _CLIENT, **grant})
        if answer.status == 200:
            return self._take(answer.body, asked_at)
        if _error_of(answer) == "invalid_grant":
            return None
        raise self._judged(answer)

    def _judged(self, answer: Response) -> StreamdError:
        error = _error_of(answer)
        reason = f"IAM: {answer.status} {error}".rstrip()
        retry_after = retry_after_seconds(answer.headers, self._clock.now())
        if answer.status == 429:
            return RateLimited(reason, retry_after=retry_after)
        if answer.status >= 500 or answer.status == 408:
            return Transient(reason, retry_after=retry_after)
        if answer.status == 404:
            reason += ": is the realm right?"
        return self._refused(reason)

    def _take(self, body: bytes, asked_at: float) -> tuple[str, float]:
        try:
            tokens = _tokens(body)
        except _UNREADABLE:
            # Without the cause: msgspec quotes what it could not read, and a token may stand there.
            raise ProtocolViolation("IAM's token answer cannot be read") from None
        for text in (tokens.access_token, tokens.refresh_token):
            redact(text or "", passing=True)
        if tokens.refresh_token:
            life = tokens.refresh_expires_in or float("inf")
            self._session = _Session(tokens.refresh_token, asked_at + life)
        return tokens.access_token, _life(tokens.expires_in)


def _life(seconds: float) -> float:
    """Give the life that makes the cache refresh 30 s before the end at the latest, if it has that many."""
    return min(seconds, max((seconds - _MARGIN_SECONDS) / REFRESH_AT, seconds / 2))


def _error_of(answer: Response) -> str:
    """Give the OAuth error code of an answer, "" where there is none: a gateway's HTML, for example."""
    try:
        error = _oauth(answer.body).error
    except _UNREADABLE:
        return ""
    # RFC 6749 section 5.2 has short words; anything else is not for our log.
    return error if isinstance(error, str) and error.isascii() and len(error) < 40 else ""
