"""Check the tokens of somebody else's identity provider by the keys that it publishes (RFC 7517, RS256)."""

from __future__ import annotations

from collections.abc import Mapping

import jwt
import msgspec
import trio

from streamd.connector import Context
from streamd.connectors.omilia.config import OmiliaConfig
from streamd.connectors.omilia.signing import SKEW_SECONDS, Judgement
from streamd.errors import ProtocolViolation, Rejected, StreamdError, Transient
from streamd.lenient import UNREADABLE
from streamd.transport.http import Http

KEEP_SECONDS = 3600.0
# A token of a key that nobody knows may come from anyone: it must not make us ask again and again.
ASK_AGAIN_SECONDS = 30.0
_ALGORITHM = "RS256"
_LEAST_BITS = 2048


class Jwks:
    """The provider's keys, fetched when needed, and again when they are old or one is not among them."""

    def __init__(self, ctx: Context[OmiliaConfig], http: Http) -> None:
        self._ctx = ctx
        self._http = http
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._asked_at = self._fetched_at = float("-inf")
        self._fetching = trio.Lock()

    async def judge(self, token: str) -> Judgement:
        """Say what a token is worth. Raises Transient while the keys cannot be had."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            await trio.lowlevel.checkpoint()
            return "bad"
        if header.get("alg") != _ALGORITHM:
            return "bad"
        key = await self._key(header.get("kid"))
        return "bad" if key is None else self._judge(token, key)

    def _judge(self, token: str, key: jwt.PyJWK) -> Judgement:
        config = self._ctx.config
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                audience=config.audience,
                issuer=config.issuer,
                leeway=SKEW_SECONDS,
                options={"require": ["exp", "aud", "iss"]},
            )
        except jwt.ExpiredSignatureError:
            return "expired"
        except jwt.PyJWTError:
            return "bad"
        wanted = (config.auth_scope or "").split()
        return "good" if set(wanted) <= _scopes(claims) else "bad"

    async def _key(self, name: object) -> jwt.PyJWK | None:
        found = self._find(name)
        if found is None or self._age(self._fetched_at) > KEEP_SECONDS:
            async with self._fetching:
                await self._fetch_unless_just_done(found is not None)
            found = self._find(name)
        return found

    def _find(self, name: object) -> jwt.PyJWK | None:
        if name is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(str(name))

    async def _fetch_unless_just_done(self, usable: bool) -> None:
        """Fetch the keys; while there are some, trouble with that changes nothing but is logged."""
        if self._age(self._asked_at) < ASK_AGAIN_SECONDS:
            if not self._keys:
                raise Transient("the identity provider's keys are not known", retry_after=ASK_AGAIN_SECONDS)
            return
        self._asked_at = self._ctx.clock.monotonic()
        try:
            self._keys = await self._fetch()
        except StreamdError as error:
            self._ctx.counters.count("jwks_failures")
            self._ctx.log.warning("jwks_unknown", reason=str(error))
            if not self._keys:
                raise Transient(f"jwks: {error}") from error
            return
        self._fetched_at = self._ctx.clock.monotonic()

    async def _fetch(self) -> Mapping[str, jwt.PyJWK]:
        assert self._ctx.config.jwks_url is not None, "the configuration was checked"
        answer = await self._http.request("GET", self._ctx.config.jwks_url, max_body_bytes=1 << 20)
        if answer.status != 200:
            raise Transient(f"jwks: status {answer.status}")
        try:
            listed = msgspec.json.decode(answer.body, type=dict[str, list[dict[str, object]]], strict=False)
        except UNREADABLE as error:
            raise ProtocolViolation("jwks: not a key set") from error
        keys = dict(filter(None, map(_usable, listed.get("keys", []))))
        if not keys:
            raise Rejected("jwks: no RS256 key to check signatures with")
        return keys

    def _age(self, at: float) -> float:
        return self._ctx.clock.monotonic() - at


def _usable(listed: Mapping[str, object]) -> tuple[str, jwt.PyJWK] | None:
    """Read one key; None for one of another kind, of another use, or too weak."""
    if listed.get("kty") != "RSA" or listed.get("use", "sig") != "sig":
        return None
    if listed.get("alg", _ALGORITHM) != _ALGORITHM:
        return None
    try:
        key = jwt.PyJWK(dict(listed), algorithm=_ALGORITHM)
    except jwt.PyJWTError:
        return None
    return (str(listed.get("kid")), key) if key.key.key_size >= _LEAST_BITS else None


def _scopes(claims: Mapping[str, object]) -> set[str]:
    """Give the scopes of a token; providers spell them as one text, or in a list called scp."""
    scope = claims.get("scope", claims.get("scp", ""))
    if isinstance(scope, list):
        return set(map(str, scope))
    return set(str(scope).split())
