"""The way into an O2G server: what it offers, the token, and which of its URLs to use (1.0 to 1.2)."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

from msgspec import Struct

from streamd.config.checks import is_loopback
from streamd.connector import Context
from streamd.connectors.o2g.config import O2gConfig, root_url
from streamd.connectors.o2g.protocol import Denied, Verdict, WrongPassword, judge
from streamd.connectors.o2g.rest import Authentication, Cookies, Pair, Root, error_text, read
from streamd.errors import RateLimited, Rejected, Transient
from streamd.transport.http import Http, Response, open_http, retry_after_seconds


class Entry(Struct, frozen=True):
    """Where to authenticate, a token in its jar, and where to open a session with it."""

    authenticate_url: str
    cookies: Cookies
    sessions_url: str


async def enter(ctx: Context[O2gConfig], tls: ssl.SSLContext, url: str) -> Entry:
    """Ask a server of `urls` how to log in, and get a token.

    Raises WrongPassword, Rejected for what it is set up to refuse, Transient for the rest.
    """
    config = ctx.config
    # A client of its own: none of the cookies of an earlier session may be shown here.
    async with open_http(url, tls=tls, proxy=config.proxy, timeout=config.request_timeout_seconds) as door:
        root = await _root(ctx, door, root_url(url))
        version = root.chosen()
        if version is None:
            raise Rejected("the server offers no version of its API that is current")
        authenticate_url = chosen(config, version.urls, url, "authentication")
        cookies, sessions_url = await authenticated(ctx, door, authenticate_url)
    return Entry(authenticate_url, cookies, sessions_url)


async def look(ctx: Context[O2gConfig], http: Http, url: str) -> None:
    """Ask a server how it is, without logging in; raises as `enter` does."""
    await _root(ctx, http, root_url(url))


async def _root(ctx: Context[O2gConfig], http: Http, url: str) -> Root:
    answer = await http.request("GET", url)
    raise_unless_ok(ctx, "server information", answer, gone=Transient)
    return read(Root, answer.body, "the server information")


async def authenticated(ctx: Context[O2gConfig], http: Http, url: str) -> tuple[Cookies, str]:
    """Give the cookies of a new token, and the URL of sessions."""
    config = ctx.config
    answer = await http.request("GET", url, auth=(config.login, config.password.reveal()))
    if judge(answer.status) is Verdict.DENIED:
        raise WrongPassword(f"authentication: {answer.status} {error_text(answer.body)}".rstrip())
    raise_unless_ok(ctx, "authentication", answer, gone=Transient)
    given = read(Authentication, answer.body, "the answer to the authentication")
    cookies = Cookies()
    cookies.take(answer.headers)
    cookies.take_token(given.credential)
    if not cookies.has_token:
        raise Transient("authentication: the answer has no token")
    if given.expired:
        ctx.log.warning("password_expires", login=config.login)
    return cookies, chosen(config, given.urls, url, "sessions")


def chosen(config: O2gConfig, urls: Pair, asked: str, what: str) -> str:
    """Choose the intranet or the internet URL; raises Rejected where it would send secrets in the clear.

    Without `address`: the one that is most like where we `asked`, else the private one; real servers have
    given http://host:80 as the private one of https. Never rebuilt by hand.
    """
    preferred, other = (
        (urls.public, urls.private) if config.address == "public" else (urls.private, urls.public)
    )
    if config.address is None and _likeness(other, asked) > _likeness(preferred, asked):
        preferred, other = other, preferred
    url = preferred or other
    host = _host(url)
    if not url or not host or not url.startswith(("http://", "https://")):
        raise Rejected(f"the server gives no {what} URL")
    if url.startswith("http://") and not (config.insecure or is_loopback(host)):
        raise Rejected(
            f"the server's {what} URL on {host} is http://: "
            "choose the other one with address, or set insecure = true"
        )
    return url


def raise_unless_ok(
    ctx: Context[O2gConfig], what: str, answer: Response, *, gone: type[Transient | Rejected] = Rejected
) -> None:
    """Raise what the status asks for; `gone` for a 404: on the way in it passes, for a web server answers so
    while its O2G is starting."""
    verdict = judge(answer.status)
    if verdict is Verdict.OK:
        return
    ctx.counters.count("rest_errors")
    reason = f"{what}: {answer.status} {error_text(answer.body)}".rstrip()
    if verdict is Verdict.DENIED:
        raise Denied(reason)
    if verdict is Verdict.GONE:
        raise gone(reason)
    if verdict is Verdict.REFUSED:
        raise Rejected(reason)
    retry_after = retry_after_seconds(answer.headers, ctx.clock.now())
    if verdict is Verdict.SLOW_DOWN:
        raise RateLimited(reason, retry_after=retry_after)
    raise Transient(reason, retry_after=retry_after)


def _likeness(url: str | None, asked: str) -> int:
    """Say how much of two URLs is the same: 0 nothing, 1 the host, 2 the port too."""
    if not url or _host(url) != _host(asked):
        return 0
    return 1 + (url.split("/")[:3] == asked.split("/")[:3])


def _host(url: str | None) -> str | None:
    try:
        return urlsplit(url or "").hostname
    except ValueError:
        return None
