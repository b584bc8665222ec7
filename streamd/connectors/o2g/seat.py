"""Everything that a session has at the server: login, subscription, monitoring. Made and given up as one."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

import trio
from msgspec import Struct

from streamd.connector import Context
from streamd.connectors.o2g.account import GOODBYE_SECONDS, Account, log_in
from streamd.connectors.o2g.catalogue import WITH_STATE
from streamd.connectors.o2g.config import O2gConfig, RtiConfig
from streamd.connectors.o2g.protocol import Denied
from streamd.connectors.o2g.selection import Selection, realtime_context, select
from streamd.errors import Rejected, Transient
from streamd.redaction import redacted
from streamd.transport.http import Http


class Subscription(Struct, frozen=True):
    """An accepted subscription. `polling_url` is a secret; `partial` says what was not accepted."""

    subscription_id: str
    polling_url: str
    partial: str | None

    def __repr__(self) -> str:
        return f"Subscription(partial={self.partial!r})"


class Seat:
    """A session at one server with its subscription, which may be replaced by one for other users."""

    def __init__(
        self, ctx: Context[O2gConfig], account: Account, selection: Selection, subscription: Subscription
    ) -> None:
        self.account = account
        self.selection = selection
        self.subscription = subscription
        self._ctx = ctx
        self._former: str | None = None

    @property
    def expected(self) -> Mapping[str, frozenset[str]]:
        """Give package -> logins whose state is to be asked for."""
        return {package: self.selection.of(package) for package in WITH_STATE if self.selection.of(package)}

    async def subscribe_anew(self, selection: Selection) -> None:
        """Replace the subscription; the former one lives on until `drop_former`."""
        former = self.subscription
        self.subscription = await subscribe(self._ctx.config, self.account, selection)
        self.selection = selection
        self._former = former.subscription_id

    async def drop_former(self) -> None:
        """End the subscription that was replaced, if there is one."""
        if self._former is not None:
            former, self._former = self._former, None
            await self.account.unsubscribe(former)

    async def start_monitoring(self) -> list[str]:
        """Have realtime indicators and pilots told where they are subscribed to; say what was refused."""
        failed = []
        for number in sorted(self.selection.of("pilot")):
            try:
                await self.account.monitor_pilot(number)
            except Rejected as error:
                failed.append(f"pilot {number}: {error.reason}")
        if "rti" in self.selection.ids:
            try:
                context = await realtime_context(self.account, self._ctx.config.rti or RtiConfig())
                await self.account.start_realtime(context)
            except Rejected as error:
                failed.append(error.reason)
        return failed

    async def leave(self) -> None:
        """Delete subscription and session at the server, within a short deadline also when cancelled."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + GOODBYE_SECONDS):
            await self.account.unsubscribe(self.subscription.subscription_id)
            await self.account.close()

    def __repr__(self) -> str:
        return f"Seat({self.account.where}, {self.subscription!r})"


async def take_seat(ctx: Context[O2gConfig], http: Http, tls: ssl.SSLContext, url: str) -> Seat:
    """Log in at a server and subscribe; what was opened is closed again when that fails.

    Raises WrongPassword, Rejected or Transient.
    """
    try:
        return await _taken(ctx, http, tls, url)
    except Denied as error:
        ctx.log.info("denied_once", reason=error.reason)
    try:
        return await _taken(ctx, http, tls, url)
    except Denied as error:
        # In a second session, too: what we ask for is denied, not how we ask.
        raise Rejected(error.reason) from error


async def _taken(ctx: Context[O2gConfig], http: Http, tls: ssl.SSLContext, url: str) -> Seat:
    account = await log_in(ctx, http, tls, url)
    try:
        selection = await select(account, ctx.config)
        return Seat(ctx, account, selection, await subscribe(ctx.config, account, selection))
    except BaseException:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + GOODBYE_SECONDS):
            await account.close()
        raise


async def subscribe(config: O2gConfig, account: Account, selection: Selection) -> Subscription:
    """Subscribe; raises Rejected with the server's message when it refuses (1.6)."""
    if not selection.selectors:
        raise Rejected("there is nobody to subscribe to")
    made = await account.subscribe(selection.selectors)
    # The message may name people, whom privacy rules may want hidden.
    said = f": {redacted(made.message)}" if made.message and not config.privacy.rules_set else ""
    if made.status == "REFUSED":
        raise Rejected(f"subscription refused{said}")
    if made.status not in ("ACCEPTED", "PARTIAL") or not made.subscription_id:
        raise Transient(f"subscription neither accepted nor refused but {made.status or 'nothing'}{said}")
    partial = f"the subscription was accepted in part only{said}" if made.status == "PARTIAL" else None
    return Subscription(made.subscription_id, account.polling_url(made), partial)
