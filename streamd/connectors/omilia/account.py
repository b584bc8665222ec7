"""Open the account that a connector manages its subscriptions and exports with."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import trio

from streamd.connector import Context
from streamd.connectors.omilia.config import OmiliaConfig
from streamd.connectors.omilia.iam import Credentials, PasswordLogin, PersonalToken
from streamd.connectors.omilia.pace import pace_of
from streamd.connectors.omilia.rest import Exports
from streamd.transport.http import Http, open_http
from streamd.transport.tls import client_context

_GOODBYE_SECONDS = 2.0


@asynccontextmanager
async def open_exports(ctx: Context[OmiliaConfig]) -> AsyncIterator[Exports]:
    """Yield the calls of exports-api, none made yet; in the end log out, within two seconds."""
    config = ctx.config
    tls = client_context(config.ca_file, config.certificate_file, config.key_file)
    async with (
        _open_http(config, config.iam_url, tls) as iam,
        _open_http(config, config.exports_url, tls) as http,
    ):
        credentials = _credentials(ctx, iam)
        pace = pace_of(config.exports_url, config.group, ctx.clock, config.requests_per_minute)
        if pace.requests_per_minute != config.requests_per_minute:
            ctx.log.warning("requests_per_minute_differs", group=config.group, used=pace.requests_per_minute)
        try:
            yield Exports(
                http,
                credentials,
                ctx.clock,
                ctx.counters,
                group=config.group,
                pace=pace,
            )
        finally:
            with trio.move_on_after(_GOODBYE_SECONDS, shield=True):
                await credentials.close()


async def probe(ctx: Context[OmiliaConfig]) -> None:
    """Log in and list the subscriptions once, for `check --online`; raises Transient or Rejected."""
    async with open_exports(ctx) as exports:
        await exports.subscriptions()


def _open_http(config: OmiliaConfig, url: str, tls: ssl.SSLContext) -> AbstractAsyncContextManager[Http]:
    return open_http(url, tls=tls, proxy=config.proxy, timeout=config.request_timeout_seconds)


def _credentials(ctx: Context[OmiliaConfig], iam: Http) -> Credentials:
    config = ctx.config
    if config.personal_access_token is not None:
        return PersonalToken(config.personal_access_token.reveal(), config.personal_access_token_scheme)
    assert config.username is not None, "config.check has seen to it"
    assert config.password is not None, "config.check has seen to it"
    user = {"username": config.username, "password": config.password.reveal()}
    if config.otp is not None:
        user["otp"] = config.otp.reveal()
    return PasswordLogin(iam, ctx.clock, config.realm, user)
