"""One session at one O2G server over REST, with every status judged (vendors/o2g.md, section 1)."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import trio

from streamd.checks import is_loopback
from streamd.connector import Context
from streamd.connectors.o2g.config import O2gConfig, root_url
from streamd.connectors.o2g.protocol import Denied, SessionGone, Verdict, WrongPassword, judge
from streamd.connectors.o2g.rest import (
    Authentication,
    Cookies,
    Logins,
    Pair,
    Root,
    SessionInfo,
    SubscriptionAnswer,
    error_text,
    read,
    read_numbers,
)
from streamd.errors import RateLimited, Rejected, StreamdError, Transient
from streamd.redaction import redact
from streamd.transport.http import Http, Response, open_http, retry_after_seconds

# The services whose path is known where a server does not list them (1.3).
_PATHS = {
    "subscriptions": "/subscriptions",
    "telephony": "/telephony",
    "logins": "/logins",
    "users": "/users",
    "acdagent": "/acd/agent",
}
# Package -> the service that gives its state.
_STATE_SERVICES = {"telephony": "telephony", "agent": "acdagent", "routingManagement": "routing"}
GOODBYE_SECONDS = 2.0


class Account:
    """An open session. Calls raise Transient or RateLimited (try later), Denied or SessionGone (log in anew),
    or Rejected (a fault)."""

    def __init__(
        self, ctx: Context[O2gConfig], http: Http, authenticate_url: str, sessions_url: str, where: str
    ) -> None:
        self.info = SessionInfo()
        self.where = where
        """Which server it is, for people: host and port."""
        self._ctx = ctx
        self._http = http
        self._authenticate_url = authenticate_url
        self._sessions_url = sessions_url
        self._cookies = Cookies()
        self._base_url = ""
        self._renewals = 0
        self._renewing = trio.Lock()

    # -- the session

    async def open(self, cookies: Cookies) -> None:
        """Open the session."""
        self._cookies = cookies
        body = {"applicationName": self._ctx.config.application_name}
        answer = await self._call("session", "POST", self._sessions_url, json=body)
        self.info = read(SessionInfo, answer.body, "the session")
        base = chosen(self._ctx.config, self.info.urls, self._sessions_url, "base")
        self._base_url = base.rstrip("/")

    async def keep_alive(self) -> None:
        """Reset the session's timer; raises SessionGone when there is no session any more, WrongPassword."""
        url = f"{self._sessions_url.rstrip('/')}/keepalive"
        try:
            await self._call("keepalive", "POST", url, content=b"")
        except WrongPassword:
            raise
        except (Denied, Rejected) as error:
            raise SessionGone(error.reason) from error

    async def close(self) -> None:
        """End the session; a failure is logged, for it expires anyway."""
        await self._goodbye("logout", self._sessions_url)

    # -- what it can be asked

    async def logins(self, package: str) -> Sequence[str]:
        """List the logins that can be monitored: all, those of the contact centre for its agents (1.5)."""
        url = self._service_url("logins")
        answer = await self._call("logins", "GET", f"{url}?onlyACD" if package == "agent" else url)
        return read(Logins, answer.body, "the list of logins").login_names

    async def subscribe(self, selectors: Sequence[Mapping[str, Any]]) -> SubscriptionAnswer:
        """Subscribe (1.6). When this raises Transient, the server may have a subscription all the same."""
        body = {
            "filter": {"selectors": selectors},
            "version": "1.0",
            "timeout": self._ctx.config.timeout_minutes,
        }
        answer = await self._call("subscribe", "POST", self._service_url("subscriptions"), json=body)
        made = read(SubscriptionAnswer, answer.body, "the subscription")
        if made.subscription_id:
            redact(made.subscription_id, passing=True)
        return made

    def polling_url(self, made: SubscriptionAnswer) -> str:
        """Give the URL of the event channel, a secret: whoever has it can read it."""
        url = chosen(self._ctx.config, made.urls, self._sessions_url, "polling")
        redact(url, passing=True)
        return url

    async def unsubscribe(self, subscription_id: str) -> None:
        """End a subscription; a failure is logged, for it ends with its session anyway."""
        url = f"{self._service_url('subscriptions')}/{quote(subscription_id, safe='')}"
        await self._goodbye("unsubscribe", url)

    async def ask_snapshot(self, package: str) -> None:
        """Have the state of all users of a package sent on the channel."""
        url = f"{self._service_url(_STATE_SERVICES[package])}/state/snapshot"
        await self._call("snapshot", "POST", url, content=b"")

    async def state(self, package: str, login: str) -> bytes:
        """Get the state of one user, as JSON; raises Rejected when the server does not give it."""
        url = f"{self._service_url(_STATE_SERVICES[package])}/state"
        answer = await self._call("state", "GET", url, params={"loginName": login})
        return answer.body

    async def monitor_pilot(self, number: str) -> None:
        """Have the calls of a pilot told."""
        url = f"{self._service_url('acdpilotmonitoring')}/{quote(number, safe='')}"
        await self._call("pilot", "POST", url, content=b"")

    async def realtime_numbers(self, what: str) -> Sequence[str]:
        """List what indicators there are of: `agents`, `pilots`, `queues`, `pgAgents` or `pgOthers`."""
        answer = await self._call("rti", "GET", f"{self._service_url('acdrealtime')}/{what}")
        return read_numbers(answer.body, f"the list of {what}")

    async def start_realtime(self, context: Mapping[str, Any]) -> None:
        """Set the context of realtime indicators, and have them told."""
        url = self._service_url("acdrealtime")
        await self._call("rti", "POST", f"{url}/ctx", json=context)
        await self._call("rti", "POST", f"{url}/snapshot", content=b"")

    # -- inside

    def _service_url(self, service: str) -> str:
        relative = self.info.relative_url(service) or _PATHS.get(service)
        if relative is None:
            raise Rejected(f"the server has no service {service} for this account")
        return f"{self._base_url}{relative}"

    async def _call(self, what: str, method: str, url: str, **parts: Any) -> Response:
        """Send one call, and once more with a new token if it is denied."""
        renewals = self._renewals
        answer = await self._send(method, url, parts)
        if judge(answer.status) is Verdict.DENIED:
            await self._renew(renewals)
            answer = await self._send(method, url, parts)
        raise_unless_ok(self._ctx, what, answer)
        return answer

    async def _send(self, method: str, url: str, parts: Mapping[str, Any]) -> Response:
        headers = {"Cookie": self._cookies.header}
        answer = await self._http.request(method, url, headers=headers, **parts)
        self._cookies.take(answer.headers)
        return answer

    async def _renew(self, renewals: int) -> None:
        """Get a new token, unless another call has just done so; the session's own cookies stay."""
        async with self._renewing:
            if renewals == self._renewals:
                fresh, _ = await _authenticated(self._ctx, self._http, self._authenticate_url)
                self._cookies.adopt(fresh)
                self._renewals += 1

    async def _goodbye(self, what: str, url: str) -> None:
        try:
            answer = await self._send("DELETE", url, {})
        except StreamdError as error:
            self._ctx.log.info("goodbye_failed", what=what, reason=str(error))
            return
        if judge(answer.status) not in (Verdict.OK, Verdict.GONE):
            self._ctx.log.info("goodbye_failed", what=what, status=answer.status)

    def __repr__(self) -> str:
        return f"Account({self.where}, {self._cookies!r})"


async def log_in(ctx: Context[O2gConfig], http: Http, tls: ssl.SSLContext, url: str) -> Account:
    """Ask a server of `urls` how to log in, log in, and open a session.

    Raises WrongPassword, Rejected for what it is set up to refuse, Transient for the rest.
    """
    config = ctx.config
    # A door of its own: none of the cookies of an earlier session may be shown here.
    async with open_http(url, tls=tls, proxy=config.proxy, timeout=config.request_timeout_seconds) as door:
        root = await _root(ctx, door, root_url(url))
        version = root.chosen()
        if version is None:
            raise Rejected("the server offers no version of its API that is current")
        authenticate_url = chosen(config, version.urls, url, "authentication")
        cookies, sessions_url = await _authenticated(ctx, door, authenticate_url)
    parts = urlsplit(url)
    account = Account(ctx, http, authenticate_url, sessions_url, parts.netloc.rpartition("@")[2])
    await account.open(cookies)
    ctx.counters.count("logins")
    return account


async def look(ctx: Context[O2gConfig], http: Http, url: str) -> None:
    """Ask a server how it is, without logging in; raises as `log_in` does."""
    await _root(ctx, http, root_url(url))


async def _root(ctx: Context[O2gConfig], http: Http, url: str) -> Root:
    answer = await http.request("GET", url)
    raise_unless_ok(ctx, "server information", answer)
    return read(Root, answer.body, "the server information")


async def _authenticated(ctx: Context[O2gConfig], http: Http, url: str) -> tuple[Cookies, str]:
    """Give the cookies of a new token, and the URL of sessions."""
    config = ctx.config
    answer = await http.request("GET", url, auth=(config.login, config.password.reveal()))
    if judge(answer.status) is Verdict.DENIED:
        raise WrongPassword(f"authentication: {answer.status} {error_text(answer.body)}".rstrip())
    raise_unless_ok(ctx, "authentication", answer)
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


def raise_unless_ok(ctx: Context[O2gConfig], what: str, answer: Response) -> None:
    """Raise what the status asks for."""
    verdict = judge(answer.status)
    if verdict is Verdict.OK:
        return
    ctx.counters.count("rest_errors")
    reason = f"{what}: {answer.status} {error_text(answer.body)}".rstrip()
    if verdict is Verdict.DENIED:
        raise Denied(reason)
    if verdict in (Verdict.REFUSED, Verdict.GONE):
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
