"""The sessions of an Avaya connector: one for each measure producer, sharing account, token and pace."""

from __future__ import annotations

import random
import ssl
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import monotonic
from typing import NoReturn

import trio

from streamd.connector import Context, Link, Session
from streamd.connectors.avaya.account import Account, Refusal
from streamd.connectors.avaya.catalogue import Catalogue
from streamd.connectors.avaya.config import AvayaConfig, endpoint_refusal
from streamd.connectors.avaya.discretion import Discretion
from streamd.connectors.avaya.flow import Flow
from streamd.connectors.avaya.losses import ConnectionLost
from streamd.connectors.avaya.measures import MergedMeasures, prefix
from streamd.connectors.avaya.normalise import is_stateful
from streamd.connectors.avaya.protocol import Loss, Standing, backoff_seconds
from streamd.connectors.avaya.rest import Subscription
from streamd.connectors.avaya.retiring import retire_removed_producers
from streamd.connectors.avaya.stream import Stream
from streamd.connectors.avaya.subscription import OwnSubscription, Renewal
from streamd.connectors.avaya.wire import AuthenticationResponse, authentication, decode, parts
from streamd.errors import Rejected, StreamdError, Transient
from streamd.nurseries import lone_error
from streamd.privacy import Privacy
from streamd.redaction import STARS
from streamd.transport.background import open_background
from streamd.transport.http import Http, open_http
from streamd.transport.tls import client_context
from streamd.transport.websocket import HandshakeRejected, LinkClosed, WebSocket, open_websocket

MOST_MESSAGE_BYTES = 128 * 1024**2
GOODBYE_SECONDS = 2.0


@asynccontextmanager
async def open_sessions(ctx: Context[AvayaConfig]) -> AsyncIterator[Sequence[Session]]:
    """Yield a session for each producer. Leaving says goodbye: by default the subscriptions stay as they are,
    for a restart within their life to use."""
    config = ctx.config
    tls = client_context(config.ca_file, config.certificate_file, config.key_file)
    async with _open_account_http(config, tls) as http, open_background() as background:
        background.start_soon(retire_removed_producers, ctx)
        account = Account(ctx, http)
        catalogue = Catalogue(ctx, account)
        sessions = [ProducerSession(ctx, account, catalogue, tls, name) for name in config.measure_producers]
        try:
            yield sessions
        finally:
            if config.delete_on_shutdown:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + GOODBYE_SECONDS):
                    async with trio.open_nursery() as nursery:
                        for session in sessions:
                            nursery.start_soon(session.unsubscribe)


async def probe(ctx: Context[AvayaConfig]) -> None:
    """Log in, list the subscriptions, and look the producers up; nothing is created.

    Raises Rejected, for an unknown producer too, or Transient. A catalogue that is mute proves nothing.
    """
    config = ctx.config
    tls = client_context(config.ca_file, config.certificate_file, config.key_file)
    async with _open_account_http(config, tls) as http:
        account = Account(ctx, http)
        await account.subscriptions()
        unknown = await Catalogue(ctx, account).unknown(config.measure_producers)
        if unknown:
            raise Rejected("; ".join(unknown))


def _open_account_http(config: AvayaConfig, tls: ssl.SSLContext) -> AbstractAsyncContextManager[Http]:
    return open_http(
        config.base_url,
        tls=tls,
        proxy=config.proxy,
        timeout=config.request_timeout_seconds,
        headers={"appkey": config.appkey.reveal()},
    )


class ProducerSession:
    """The session of one measure producer: its subscription, its rows, and one connection after the other."""

    def __init__(
        self,
        ctx: Context[AvayaConfig],
        account: Account,
        catalogue: Catalogue,
        tls: ssl.SSLContext,
        producer: str,
    ) -> None:
        self._ctx = ctx
        self._account = account
        self._catalogue = catalogue
        self._tls = tls
        self._producer = producer
        self._own = OwnSubscription(ctx, account, producer)
        self._standing = Standing()
        self._flow = Flow(
            producer, self._known_measures(), Discretion(Privacy(ctx.config.privacy)), ctx.dead_letter
        )
        self._seen_alive_at: float | None = None
        self._next = Loss("the beginning")
        self._token = ""
        self._was_forced = False
        self._refusal: Refusal | None = None
        self._max_message_bytes = ctx.config.max_message_bytes

    @property
    def name(self) -> str:
        return self._producer

    @property
    def scope(self) -> Sequence[str]:
        return [self._producer]

    @property
    def stateful(self) -> bool:
        return is_stateful(self._producer)

    async def run(self, link: Link) -> None:
        """Bring the subscription to ACTIVE, connect, and stream until the link is lost.

        Raises Transient, with the wait where the contract names one, or Rejected.
        """
        # A refused session is run again when it has waited for minutes, or an operator wants a try now.
        self._account.try_again(self._refusal)
        try:
            with lone_error():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._catalogue.keep, self._flow, self._producer)
                    await self._connect_once_or_twice(link)
        except Rejected:
            self._refusal = self._account.refusal
            raise

    async def unsubscribe(self) -> None:
        """Delete the subscription at the vendor; a failure is logged, for the subscription expires anyway."""
        try:
            await self._own.delete()
        except StreamdError as error:
            self._ctx.log.warning("unsubscribe_failed", producer=self._producer, reason=str(error))

    async def _connect_once_or_twice(self, link: Link) -> NoReturn:
        loss = await self._connect(link)
        self._note(loss)
        if loss.at_once:
            loss = await self._connect(link)
            self._note(loss)
        self._give_up(loss)

    async def _connect(self, link: Link) -> Loss:
        subscription = await self._subscription()
        await self._catalogue.first(self._producer)
        frame, self._token = await self._own.authentication()
        endpoint = subscription.endpoint or ""
        # Before the token goes anywhere: the URL comes from the server's answer.
        refusal = endpoint_refusal(self._ctx.config, endpoint)
        if refusal is not None:
            raise Rejected(refusal)
        config = self._ctx.config
        try:
            async with open_websocket(
                endpoint,
                engine=config.websocket_engine,
                tls=self._tls,
                proxy=config.proxy,
                headers=[(name, value.reveal()) for name, value in config.websocket_headers.items()],
                timeout=config.request_timeout_seconds,
                max_message_bytes=self._max_message_bytes,
            ) as websocket:
                return await self._converse(link, websocket, subscription, frame)
        except HandshakeRejected as error:
            return self._standing.on_upgrade(error.status_code, error.retry_after)

    async def _subscription(self) -> Subscription:
        """Do what the last loss asked for, then give a subscription that is ACTIVE."""
        wanted = self._next
        check = wanted.check
        if wanted.recreate:
            await self._own.delete()
        if wanted.renew and self._own.is_known:
            check = await self._own.renew() is not Renewal.DONE
        subscription = await self._own.ready(self._seen_alive_at, check=check)
        self._next = Loss("nothing happened")  # only now: a call that failed is to be made again
        return subscription

    async def _converse(
        self, link: Link, websocket: WebSocket, subscription: Subscription, frame: str
    ) -> Loss:
        try:
            await websocket.send(frame)
            status, frames = await self._answered(websocket)
            loss = self._standing.on_authentication(status, monotonic())
            if loss is not None:
                if loss.refused:
                    # The frame without its token: the server calls it malformed.
                    frame = authentication(subscription.subscription_id, STARS)
                    self._ctx.log.error("authentication_refused", status=status, frame=frame)
                return loss
            return await self._stream(link, websocket, subscription, frames)
        except LinkClosed as closed:
            return self._standing.on_close(closed.code, closed.by_peer, monotonic())

    async def _answered(self, websocket: WebSocket) -> tuple[str | None, list[bytes]]:
        """Wait for the authentication response; return its status, and the other frames that came meanwhile.

        None when there was none in time.
        """
        others: list[bytes] = []
        with trio.move_on_after(self._ctx.config.authentication_timeout_seconds):
            while True:
                frames = deque(await websocket.receive())
                while frames:
                    frame = frames.popleft()
                    status, rest = _answer(frame)
                    others += rest
                    if status is not None:
                        return status, [*others, *frames]
        return None, others

    async def _stream(
        self, link: Link, websocket: WebSocket, subscription: Subscription, frames: list[bytes]
    ) -> Loss:
        stream = Stream(
            self._ctx,
            link,
            websocket,
            self._flow,
            self._own,
            self._standing,
            may_force=not self._was_forced,
        )
        try:
            await stream.run(subscription, self._ctx.clock.now(), frames)
        except ConnectionLost as error:
            return error.loss
        finally:
            self._seen_alive_at = websocket.last_bytes_at
            if stream.had_snapshot:
                self._was_forced = False
            measures = self._flow.measures
            if measures is not None and not stream.is_settled:
                # What the spool did not take is not published, and may be taken yet, all the same.
                measures.doubt(self._ctx.states(prefix(self._producer)))
        raise AssertionError("a stream ends only with its link")

    def _note(self, loss: Loss) -> None:
        """Note what to do before the next connection."""
        self._next = loss
        self._was_forced = self._was_forced or loss.recreate
        if loss.alert:
            self._ctx.counters.count("link_alerts")
            self._ctx.log.warning("link_alert", producer=self._producer, reason=loss.reason)
        if loss.refresh_token:
            self._account.drop_token(self._token)
        if loss.oversize:
            self._max_message_bytes = min(2 * self._max_message_bytes, MOST_MESSAGE_BYTES)

    def _give_up(self, loss: Loss) -> NoReturn:
        """Raise what says when to connect again."""
        if loss.refused:
            raise Rejected(loss.reason)
        retry_after = loss.retry_after
        if loss.backoff:
            retry_after = backoff_seconds(loss.backoff, random.random())  # noqa: S311 - jitter, no secret
        raise Transient(loss.reason, retry_after=retry_after)

    def _known_measures(self) -> MergedMeasures | None:
        """Take the rows from the keyed state: what is committed of them."""
        if not is_stateful(self._producer):
            return None
        return MergedMeasures(self._producer, self._ctx.states(prefix(self._producer)))

    def __repr__(self) -> str:
        return f"ProducerSession({self._own!r})"


def _answer(frame: bytes) -> tuple[str | None, list[bytes]]:
    """Look for the authentication response in a frame, or array of frames; give its status and the rest."""
    rest: list[bytes] = []
    status: str | None = None
    for part in parts(frame):
        message = decode(part, "the authentication response")[0]
        if status is None and isinstance(message, AuthenticationResponse):
            status = message.status
        else:
            rest.append(part)
    return status, rest
