"""Put the Omilia connector together: callbacks and token endpoint answer for as long as it is open."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import trio

from streamd.connector import Context, Session
from streamd.connectors.omilia.account import open_exports
from streamd.connectors.omilia.arrivals import Arrivals
from streamd.connectors.omilia.bearer import Gate, Judge
from streamd.connectors.omilia.callback import Callback
from streamd.connectors.omilia.config import OmiliaConfig
from streamd.connectors.omilia.delivery import (
    Delivery,
    callback_path,
    deliveries,
    own_paths,
    token_path,
    token_url,
)
from streamd.connectors.omilia.discovery import Discovery
from streamd.connectors.omilia.evidence import Evidence
from streamd.connectors.omilia.holes import Holes
from streamd.connectors.omilia.jwks import Jwks
from streamd.connectors.omilia.records import Records
from streamd.connectors.omilia.session import PushSession
from streamd.connectors.omilia.signing import Signer
from streamd.connectors.omilia.subscriptions import Subscriptions
from streamd.connectors.omilia.token_endpoint import TokenEndpoint
from streamd.nurseries import lone_error
from streamd.transport.http import Http, open_http
from streamd.transport.tls import client_context

_GOODBYE_SECONDS = 2.0


@asynccontextmanager
async def open_sessions(ctx: Context[OmiliaConfig]) -> AsyncIterator[Sequence[Session]]:
    """Yield a session for each data type. What is pushed is taken until the block is left.

    A subscription outlives it, unless `delete_on_shutdown`: what is pushed meanwhile fails, and comes again.
    """
    config, url = ctx.config, ctx.ingress.url
    evidence = Evidence(ctx)
    await evidence.open()
    records = Records(ctx, evidence)
    async with AsyncExitStack() as stack:
        exports = await stack.enter_async_context(open_exports(ctx))
        arrivals = Arrivals(config.data_types, ctx.clock)
        gate = Gate(await _open_judge(ctx, arrivals, stack), ctx.clock)
        callbacks = {each: Callback(ctx, each, records, gate, arrivals) for each in config.data_types}
        for each, callback in callbacks.items():
            await stack.enter_async_context(
                ctx.ingress.claim(
                    callback_path(config, each), callback.handle, admit=callback.admit, failed=callback.failed
                )
            )
        ask_token_url = await _open_token_url(ctx, stack)

        async def describe() -> Mapping[str, Delivery]:
            return deliveries(config, url, await ask_token_url())

        subscriptions = Subscriptions(ctx, exports, describe, own_paths(config, url))
        holes = Holes(ctx, exports, records, arrivals)
        with lone_error():
            async with ctx.serve_backfill(holes.backfill), trio.open_nursery() as nursery:
                nursery.start_soon(holes.run)
                try:
                    yield [
                        PushSession(
                            ctx, each, arrivals.streams[each], callback, exports, subscriptions, holes
                        )
                        for each, callback in callbacks.items()
                    ]
                finally:
                    nursery.cancel_scope.cancel()
                    with trio.move_on_after(_GOODBYE_SECONDS, shield=True):
                        await subscriptions.close()


async def _open_judge(ctx: Context[OmiliaConfig], arrivals: Arrivals, stack: AsyncExitStack) -> Judge:
    """Open what knows good tokens: those of our own endpoint, or those of somebody else's provider."""
    config = ctx.config
    if config.external:
        assert config.jwks_url is not None, "the configuration was checked"
        return Jwks(ctx, await _open_http(config, config.jwks_url, stack))
    signer = Signer(ctx)
    endpoint = TokenEndpoint(ctx, signer, arrivals.failed_for_all)
    await stack.enter_async_context(
        ctx.ingress.claim(token_path(config), endpoint.handle, failed=endpoint.failed)
    )
    return signer


async def _open_token_url(ctx: Context[OmiliaConfig], stack: AsyncExitStack) -> Callable[[], Awaitable[str]]:
    """Give what tells where Omilia is to get its tokens: the issuer itself, where nobody else says so."""
    config = ctx.config
    known = token_url(config, ctx.ingress.url)
    if known is None:
        assert config.issuer is not None, "the configuration was checked"
        http = await _open_http(config, config.issuer, stack)
        return Discovery(http, config.issuer, bool(config.insecure)).token_url

    async def tell() -> str:
        return known

    return tell


async def _open_http(config: OmiliaConfig, url: str, stack: AsyncExitStack) -> Http:
    tls = client_context(config.ca_file, config.certificate_file, config.key_file)
    http = open_http(url, tls=tls, proxy=config.proxy, timeout=config.request_timeout_seconds)
    return await stack.enter_async_context(http)
