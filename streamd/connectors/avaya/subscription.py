"""The subscription of one measure producer: found again after a restart, made, brought to ACTIVE, renewed.

Source: Notification 1.0.1 (P:notif) and the contract, sections 1.3, 1.4, 1.8, 1.9. A subscription is ours
only if its id stands in our keyed state; one that merely looks like ours may be another consumer's.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum, auto
from typing import Any

import msgspec
import trio
from msgspec import Struct
from msgspec.structs import replace

from streamd.connector import Context
from streamd.connectors.avaya.account import Account
from streamd.connectors.avaya.config import AvayaConfig
from streamd.connectors.avaya.protocol import Next, judge_subscription, needs_check
from streamd.connectors.avaya.rest import Subscription, Transport
from streamd.connectors.avaya.wire import authentication
from streamd.errors import Rejected, StreamdError, Transient

SUBSCRIPTIONS = "subscription/"
"""The beginning of the names in the keyed state that hold our subscriptions, one for each producer."""
_FIRST_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.5, 15.0
_URGENT = 0.1  # of its life
_MOVES_SECONDS = 1.0  # expiresIn is in whole seconds: less than one is no movement


class Renewal(Enum):
    """How a renewal went."""

    DONE = auto()
    NOT_YET = auto()
    """The token at hand is the one of the last time: renewing with it would not extend anything."""
    FRUITLESS = auto()
    """The server took it, and the expiry did not move."""
    LOST = auto()
    """The subscription is gone, or stays INACTIVE."""


class Kept(Struct, frozen=True):
    """What the keyed state holds of our subscription."""

    subscription_id: str
    extensions: dict[str, str]
    transport: Transport | None = None
    """As it was told last: an answer to GET or `:renew` may leave it out."""


_decode_kept = msgspec.json.Decoder(Kept).decode


class OwnSubscription:
    """One producer's subscription over the life of its session. Only one task uses it at a time."""

    def __init__(self, ctx: Context[AvayaConfig], account: Account, producer: str) -> None:
        self.producer = producer
        self._ctx = ctx
        self._account = account
        self._name = f"{SUBSCRIPTIONS}{producer}"
        self._extensions = {**ctx.config.extensions, "measureProducerId": producer}
        self._kept = self._remembered()
        self._current: Subscription | None = None
        self._expires_at: float | None = None
        self._life = 0.0
        self._generation = 0

    async def ready(self, seen_alive_at: float | None, *, check: bool) -> Subscription:
        """Return a subscription that is ACTIVE as far as we know; asks the server when `check` or in doubt.

        `seen_alive_at`: monotonic seconds of the last sign of life on its socket. Raises Rejected when it
        does not become ACTIVE or names no endpoint, made anew neither; Transient and Rejected as the
        account's calls do.
        """
        current = self._current
        if current is not None and not check and not self._may_have_died(current, seen_alive_at):
            return current
        for _ in range(2):
            subscription = await self._found() or await self._create()
            fault = await self._fault_of(subscription)
            if fault is None:
                assert self._current is not None
                return self._current
            self._ctx.log.warning("subscription_unusable", producer=self.producer, reason=fault)
            await self.delete()
        raise Rejected(f"the subscription of {self.producer} {fault}")

    async def _fault_of(self, subscription: Subscription | None) -> str | None:
        """Bring the subscription to ACTIVE, and say what is wrong with it; None: it can be used."""
        if not await self._activated(subscription):
            return "does not become ACTIVE: a wrong producer id, or one that is not provisioned or licensed"
        assert self._current is not None
        if self._current.endpoint is None:
            return "names no endpoint"
        if self._kept is not None and self._kept.transport != self._current.transport:
            await self._keep(replace(self._kept, transport=self._current.transport))
        return None

    async def renew(self) -> Renewal:
        """Renew with a newer token than the last time; see Renewal.

        An expiry that does not move is an alarm, for it is the one thing that keeps the stream alive.
        """
        assert self._current is not None
        token = await self._account.token()
        if self._account.generation == self._generation:
            if not self._is_urgent():
                return Renewal.NOT_YET
            self._account.drop_token(token)
            await self._account.token()
        generation, before = self._account.generation, self._expires_at
        renewed = await self._account.renew(self._current.subscription_id)
        if renewed is None:
            await self._forget()
            return Renewal.LOST
        self._note(renewed, generation)
        self._ctx.counters.count("renewals")
        if judge_subscription(renewed) is not Next.CONNECT:
            return Renewal.LOST
        if before is not None and (self._expires_at or 0.0) - before < _MOVES_SECONDS:
            self._ctx.counters.count("renewals_without_effect")
            self._ctx.log.error(
                "renewal_without_effect", producer=self.producer, expires_in=renewed.expires_in
            )
            return Renewal.FRUITLESS
        return Renewal.DONE

    async def authentication(self) -> tuple[str, str]:
        """Give the frame that authenticates on this subscription's socket, and the token in it."""
        assert self._current is not None
        token = await self._account.token()
        return authentication(self._current.subscription_id, token), token

    async def delete(self) -> None:
        """Delete it at the vendor, if there is one, and forget it."""
        if self._kept is not None:
            await self._account.delete(self._kept.subscription_id)
            await self._forget()

    @property
    def is_known(self) -> bool:
        """Tell whether there is one that was ACTIVE when we last heard of it."""
        return self._current is not None

    @property
    def expires_at(self) -> float | None:
        """Give when it expires in seconds of our monotonic clock; None while there is none."""
        return self._expires_at

    @property
    def expires_in(self) -> float | None:
        """Give the seconds until it expires, on our monotonic clock; None while there is none."""
        return None if self._expires_at is None else self._expires_at - self._ctx.clock.monotonic()

    def _is_urgent(self) -> bool:
        """Tell whether to wait no longer for the token's own refresh: a tenth of the life is left."""
        left = self.expires_in
        return left is None or left < self._life * _URGENT

    def _may_have_died(self, current: Subscription, seen_alive_at: float | None) -> bool:
        return needs_check(
            seen_alive_at=seen_alive_at,
            expires_at=self._expires_at,
            ping_interval=current.ping_interval,
            now=self._ctx.clock.monotonic(),
        )

    async def _found(self) -> Subscription | None:
        """Look for the one that is ours; one that was made with other extensions than today's is replaced."""
        kept = self._kept
        if kept is None:
            return None
        if kept.extensions != self._extensions:
            await self.delete()
            return None
        subscription = await self._account.get(kept.subscription_id)
        if subscription is None:
            await self._forget()
            return None
        if self._current is None and judge_subscription(subscription) is Next.CONNECT:
            # Made by an earlier process: its expiry hangs on that process's token.
            subscription = await self._account.renew(kept.subscription_id)
        return subscription

    async def _create(self) -> Subscription:
        sent_at = self._ctx.clock.now()
        try:
            subscription = await self._account.create(self._extensions)
        except Transient:
            # The outcome is unknown: what the server made all the same expires by itself.
            if self._ctx.config.single_owner:
                await self._sweep(sent_at)
            raise
        await self._keep(Kept(subscription.subscription_id, self._extensions, subscription.transport))
        self._ctx.log.info("subscription_created", producer=self.producer, status=subscription.status)
        return subscription

    async def _sweep(self, sent_at: datetime) -> None:
        try:
            deleted = await self._account.sweep(self._extensions, created_after=sent_at)
        except StreamdError as error:
            self._ctx.log.warning("sweep_failed", producer=self.producer, reason=str(error))
        else:
            self._ctx.log.info("subscriptions_swept", producer=self.producer, deleted=deleted)

    async def _activated(self, subscription: Subscription | None) -> bool:
        """Wait for ACTIVE, renewing what is INACTIVE; False at the limit, or when it has vanished."""
        wait = _FIRST_POLL_SECONDS
        deadline = self._ctx.clock.monotonic() + self._ctx.config.activation_limit_seconds
        while subscription is not None:
            step = judge_subscription(subscription)
            if step is Next.CONNECT:
                self._note(subscription, self._account.generation)
                return True
            if step is Next.RENEW:
                subscription = await self._account.renew(subscription.subscription_id)
                if subscription is None or judge_subscription(subscription) is Next.CONNECT:
                    continue
            if self._ctx.clock.monotonic() + wait > deadline:
                return False
            self._ctx.log.debug("subscription_pending", producer=self.producer, status=subscription.status)
            await trio.sleep(wait)
            wait = min(wait * 2, _LONGEST_POLL_SECONDS)
            subscription = await self._account.get(subscription.subscription_id)
        return False

    def _note(self, subscription: Subscription, generation: int) -> None:
        if subscription.endpoint is None and self._kept is not None:
            subscription = replace(subscription, transport=self._kept.transport)
        life = subscription.expires_in
        if life is None:  # its expiry is tied to the token
            life = self._account.token_expires_in
        self._current = subscription
        self._generation = generation
        self._life = life
        self._expires_at = self._ctx.clock.monotonic() + life

    async def _keep(self, kept: Kept) -> None:
        self._kept = kept
        await self._ctx.append([], {self._name: msgspec.json.encode(kept)})

    async def _forget(self) -> None:
        self._kept = self._current = self._expires_at = None
        await self._ctx.append([], {self._name: None})

    def _remembered(self) -> Kept | None:
        value = self._ctx.state(self._name)
        return None if value is None else _decode_kept(value)

    def __repr__(self) -> str:
        status: Any = self._current.status if self._current is not None else None
        return f"OwnSubscription({self.producer}, status={status}, expires_in={self.expires_in})"
