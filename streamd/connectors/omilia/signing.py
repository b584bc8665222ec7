"""Issue and check the tokens that Omilia's pushes carry, where streamd is their issuer (RFC 7519, HS256).

The keys live in the connector's keyed state: a token outlives a restart. Only streamd checks what it has
signed, so a symmetric key does.
"""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime, timedelta
from typing import Literal

import jwt
import msgspec
import trio
from msgspec import Struct

from streamd.connector import Changes, Context
from streamd.connectors.omilia.config import OmiliaConfig

PREFIX = "signing/"
KEY_LIFE = timedelta(days=30)
SKEW_SECONDS = 60
_ALGORITHM = "HS256"
_KEY_BYTES = 32
_ISSUER = "streamd"

Judgement = Literal["good", "expired", "bad"]
"""What a token is: good, good once (its sender is no stranger), or nothing."""


class _Key(Struct, frozen=True):
    secret: bytes
    made_at: datetime

    def __repr__(self) -> str:
        return f"_Key(of {self.made_at:%Y-%m-%d})"


class Signer:
    """The signing keys of one connector; the newest signs."""

    def __init__(self, ctx: Context[OmiliaConfig]) -> None:
        self._ctx = ctx
        self._audience = f"streamd:{ctx.origin.connector}"
        self._keys = {
            name.removeprefix(PREFIX): msgspec.json.decode(value, type=_Key)
            for name, value in ctx.states(PREFIX).items()
        }
        self._renewing = trio.Lock()

    async def issue(self, subject: str, scope: str | None) -> tuple[str, int]:
        """Sign a token; give it and its life in seconds. Raises what `Context.append` raises."""
        async with self._renewing:
            name = await self._current()
        seconds = int(self._ctx.config.token_seconds)
        now = self._ctx.clock.now()
        claims = {
            "iss": _ISSUER,
            "aud": self._audience,
            "sub": subject,
            "iat": now,
            "exp": now + timedelta(seconds=seconds),
            "jti": uuid.uuid4().hex,
            **({"scope": scope} if scope is not None else {}),
        }
        token = jwt.encode(claims, self._keys[name].secret, algorithm=_ALGORITHM, headers={"kid": name})
        return token, seconds

    async def judge(self, token: str) -> Judgement:
        """Say what a token is worth."""
        await trio.lowlevel.checkpoint()
        try:
            key = self._keys.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                return "expired" if self._names_us(token) else "bad"
            claims = jwt.decode(
                token,
                key.secret,
                algorithms=[_ALGORITHM],
                audience=self._audience,
                issuer=_ISSUER,
                # By the clock that signed it, not by the library's.
                options={"require": ["exp", "iat", "aud", "iss"], "verify_exp": False, "verify_iat": False},
            )
        except jwt.PyJWTError:
            return "bad"
        late = self._ctx.clock.now().timestamp() - claims["exp"]
        return "expired" if late > SKEW_SECONDS else "good"

    def _names_us(self, token: str) -> bool:
        """Tell whether a token that no key of ours has signed says that it is ours: the spool that held its
        key is lost, and Omilia keeps its tokens. A stranger does not know the connector's name."""
        claims = jwt.decode(token, options={"verify_signature": False})
        return (claims.get("iss"), claims.get("aud")) == (_ISSUER, self._audience)

    async def _current(self) -> str:
        """Give the name of the key that signs; make one where there is none that is young enough."""
        now = self._ctx.clock.now()
        names = sorted(self._keys, key=lambda name: self._keys[name].made_at)
        if names and now - self._keys[names[-1]].made_at < KEY_LIFE:
            return names[-1]
        longest = KEY_LIFE + timedelta(seconds=self._ctx.config.token_seconds + SKEW_SECONDS)
        old = [name for name in names if now - self._keys[name].made_at > longest]
        name, key = uuid.uuid4().hex, _Key(secrets.token_bytes(_KEY_BYTES), now)
        changes: Changes = {
            **{f"{PREFIX}{each}": None for each in old},
            f"{PREFIX}{name}": msgspec.json.encode(key),
        }
        await self._ctx.append([], changes)
        for each in old:
            del self._keys[each]
        self._keys[name] = key
        return name
