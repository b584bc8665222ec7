"""One access token for many requests, fetched once at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from msgspec import Struct

from streamd.errors import StreamdError, Transient

REFRESH_AT = 0.8  # of a token's life
JITTER = 0.1  # of that, at most


class _Held(Struct, frozen=True):
    token: str
    refresh_at: float
    expires_at: float


class _Flight:
    """One fetch under way. Without `token` and `error` when done, its leader was cancelled."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.token: str | None = None
        self.error: StreamdError | None = None


class TokenCache:
    """A token and its life.

    `fetch` returns the token and its life in seconds. `clock` counts seconds and never steps. `jitter`
    returns 0 to 1 and spreads the early refreshes of many daemons. Any number of tasks may call.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[tuple[str, float]]],
        clock: Callable[[], float],
        jitter: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._jitter = jitter
        self._held: _Held | None = None
        self._flight: _Flight | None = None

    def __repr__(self) -> str:
        return f"TokenCache({'holding' if self._held else 'empty'})"

    async def get(self) -> str:
        """Return a token that is good for now, fetching one when needed; callers share one fetch.

        A failed fetch raises its StreamdError to everyone who waited, and the next call tries again; only
        a Transient failure of an early refresh is passed over, while the token at hand is still good.
        When the caller whose call fetches is cancelled, one that waits fetches in its place.
        """
        await trio.lowlevel.checkpoint()
        while self._held is None or self._clock() >= self._held.refresh_at:
            flight = self._flight
            if flight is None:
                return await self._lead()
            await flight.done.wait()
            if flight.error is not None:
                raise flight.error
            if flight.token is not None:
                return flight.token
        return self._held.token

    def holds(self, token: str) -> bool:
        """Say whether `token` is the one at hand: no newer one has come, and it was not given up."""
        return self._held is not None and self._held.token == token

    def invalidate(self, token: str) -> None:
        """Forget `token`, which the server refused; a newer one stays."""
        if self.holds(token):
            self._held = None

    async def _lead(self) -> str:
        self._flight = flight = _Flight()
        try:
            flight.token = await self._fetched()
        except StreamdError as error:
            flight.error = error
            raise
        finally:
            self._flight = None
            flight.done.set()
        return flight.token

    async def _fetched(self) -> str:
        asked_at = self._clock()  # the life counts from before the request, never from after the answer
        try:
            token, life = await self._fetch()
        except Transient:
            held = self._held
            now = self._clock()
            if held is None or now >= held.expires_at:
                raise
            # Half of what is left: a struggling token server is not asked again with every request.
            later = now + (held.expires_at - now) / 2
            self._held = _Held(held.token, later, held.expires_at)
            return held.token
        refresh_after = life * REFRESH_AT * (1 - JITTER * self._jitter())
        self._held = _Held(token, asked_at + refresh_after, asked_at + life)
        return token
