"""Renew a subscription while its stream runs (contract, section 1.8)."""

from __future__ import annotations

import random
from collections.abc import Callable

import trio

from streamd.connector import Context
from streamd.connectors.avaya.config import AvayaConfig
from streamd.connectors.avaya.losses import ConnectionLost
from streamd.connectors.avaya.protocol import Loss, backoff_seconds, renew_delay
from streamd.connectors.avaya.subscription import OwnSubscription, Renewal
from streamd.errors import Rejected, Transient
from streamd.live.herald import Herald
from streamd.transport.websocket import WebSocket

REFUSED_SECONDS = 300.0  # and more, so that no account is locked
LEAST_SECONDS = 0.2
# expiresIn is in whole seconds: the subscription may live so much longer than it says.
EXPIRES_WITHIN_SECONDS = 1.0
NOT_YET = 0.1  # of the life that is left, to wait for the token's own refresh


class Renewer:
    """Renews with a new token at about three quarters of the life that is left, again and again.

    A renewal that fails does not end the stream: what still flows is given up only when the server does.
    `is_silent_since` tells whether nothing came on the socket since an expiry (contract, section 5, row 8:
    the socket may stay open, answer pings, and send no data any more).
    """

    def __init__(
        self,
        ctx: Context[AvayaConfig],
        own: OwnSubscription,
        websocket: WebSocket,
        herald: Herald,
        is_silent_since: Callable[[float], bool],
    ) -> None:
        self._ctx = ctx
        self._own = own
        self._websocket = websocket
        self._herald = herald
        self._is_silent_since = is_silent_since

    async def run(self) -> None:
        """Renew until cancelled.

        Raises ConnectionLost when the subscription is gone, or may have been gone for a while.
        """
        tries = 0
        wait = self._until_due()
        while wait is not None:
            await trio.sleep(wait)
            tries += 1
            expiry = self._own.expires_at
            wait = backoff_seconds(tries, random.random())  # noqa: S311 - jitter, no secret
            try:
                renewal = await self._own.renew()
            except Transient as error:
                wait = max(wait, error.retry_after or 0.0)
                self._on_failed(error.reason)
                continue
            except Rejected as error:
                wait = REFUSED_SECONDS
                self._on_failed(error.reason)
                self._worry(f"renewing is refused: {error.reason}")
                continue
            if expiry is not None and self._ctx.clock.monotonic() >= expiry:
                await self._doubt(expiry)
            if renewal is Renewal.LOST:
                raise ConnectionLost(Loss("the subscription is gone", retry_after=0.0, check=True))
            if renewal is Renewal.FRUITLESS:
                self._on_failed("it does not extend the subscription")
            elif renewal is Renewal.DONE:
                await self._on_renewed()
                tries, wait = 0, self._until_due()
            else:
                tries, wait = 0, max(LEAST_SECONDS, NOT_YET * (self._own.expires_in or 0.0))

    async def _doubt(self, expiry: float) -> None:
        """Give up a socket on which nothing comes since an expiry: no renewal brings it back to life."""
        await trio.sleep(max(0.0, expiry + EXPIRES_WITHIN_SECONDS + 0.5 - self._ctx.clock.monotonic()))
        if self._is_silent_since(expiry):
            raise ConnectionLost(Loss("silent since the subscription expired", retry_after=0.0, check=True))

    def _until_due(self) -> float | None:
        left = self._own.expires_in
        roll = random.random()  # noqa: S311 - jitter, no secret
        return None if left is None else max(LEAST_SECONDS, renew_delay(left, roll))

    async def _on_renewed(self) -> None:
        self._worry(None)
        if self._ctx.config.reauth_on_refresh:
            frame, _ = await self._own.authentication()
            await self._websocket.send(frame)

    def _on_failed(self, reason: str) -> None:
        self._ctx.counters.count("renewals_failed")
        self._ctx.log.warning("renewal_failed", producer=self._own.producer, reason=reason)
        left = self._own.expires_in
        if left is not None and left <= 0:
            self._worry(f"the subscription has expired and cannot be renewed: {reason}")

    def _worry(self, reason: str | None) -> None:
        if self._herald.worry("renewal", reason):
            self._herald.assess_nowait()
