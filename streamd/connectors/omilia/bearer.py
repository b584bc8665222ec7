"""Let in what carries a good token (RFC 6750), and tell an old acquaintance from a stranger."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Protocol

from streamd.connector import Clock
from streamd.connectors.omilia.replies import reply
from streamd.connectors.omilia.signing import Judgement
from streamd.transport.exchange import Request, Response

# A token is looked at again after that long: one that has ended since is good no longer.
TRUST_SECONDS = 60.0
_MOST_TRUSTED = 256
_LONGEST = 16_384


class Judge(Protocol):
    """Whoever knows what a token is worth."""

    async def judge(self, token: str) -> Judgement:
        """Say what it is worth. Raises Transient while that cannot be known."""
        ...


class Gate:
    """The way in for pushes. What was judged good is taken for it a while: one token comes with each push."""

    def __init__(self, judge: Judge, clock: Clock) -> None:
        self._judge = judge
        self._clock = clock
        self._trusted: dict[bytes, float] = {}

    async def judgement(self, request: Request) -> Judgement:
        """Judge a request by its Authorization header."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > _LONGEST:
            return "bad"
        # By its hash, so that the time of the look-up tells nothing of a token.
        key = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        if self._trusted.get(key, 0.0) > self._clock.monotonic():
            return "good"
        judgement = await self._judge.judge(token)
        if judgement == "good":
            if len(self._trusted) >= _MOST_TRUSTED:
                self._trusted.clear()
            self._trusted[key] = self._clock.monotonic() + TRUST_SECONDS
        return judgement


def unauthorized(request: Request) -> Response:
    """Make the answer for what carries no good token: RFC 6750, section 3."""
    challenge = 'Bearer realm="streamd"'
    if "authorization" in request.headers:
        challenge += ', error="invalid_token"'
    return reply(HTTPStatus.UNAUTHORIZED, {"error": "invalid_token"}, {"WWW-Authenticate": challenge})
