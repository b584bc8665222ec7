"""One session at one O2G server over REST, with every status judged (vendors/o2g.md, section 1)."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import trio

from streamd.connector import Context
from streamd.connectors.o2g.config import O2gConfig
from streamd.connectors.o2g.login import Entry, authenticated, chosen, enter, raise_unless_ok
from streamd.connectors.o2g.protocol import Denied, SessionGone, Verdict, WrongPassword, judge
from streamd.connectors.o2g.rest import Logins, SessionInfo, SubscriptionAnswer, read, read_numbers
from streamd.errors import Rejected, StreamdError, Transient
from streamd.redaction import redact
from streamd.transport.http import Http, Response

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

    def __init__(self, ctx: Context[O2gConfig], http: Http, entry: Entry, where: str) -> None:
        self.info = SessionInfo()
        self.where = where
        """Which server it is, for people: host and port."""
        self._ctx = ctx
        self._http = http
        self._authenticate_url = entry.authenticate_url
        self._sessions_url = entry.sessions_url
        self._keepalive_url = f"{entry.sessions_url.rstrip('/')}/keepalive"
        self._cookies = entry.cookies
        self._base_url = ""
        self._renewals = 0
        self._renewing = trio.Lock()

    # -- the session

    async def open(self) -> None:
        """Open the session."""
        body = {"applicationName": self._ctx.config.application_name}
        answer = await self._call("session", "POST", self._sessions_url, json=body)
        self.info = read(SessionInfo, answer.body, "the session")
        base = chosen(self._ctx.config, self.info.urls, self._sessions_url, "base")
        self._base_url = base.rstrip("/")

    async def keep_alive(self) -> None:
        """Reset the session's timer; raises SessionGone when there is no session any more, WrongPassword."""
        try:
            await self._call("keepalive", "POST", self._keepalive_url, content=b"")
        except WrongPassword:
            raise
        except (Denied, Rejected) as error:
            raise SessionGone(error.reason) from error

    async def confirm(self) -> None:
        """Find out whether the session lives, after a call was denied: one that is gone denies everything.

        Raises SessionGone; a server with a bad moment proves nothing.
        """
        try:
            await self.keep_alive()
        except SessionGone:
            raise
        except Transient as error:
            self._ctx.log.info("session_unconfirmed", reason=error.reason)

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
        """Send one call, and once more if it is denied, with a new token if the old one is no longer good.

        That is asked first: a new token may be good for a new session only (section 5, question 6), and a
        call may be denied for itself.
        """
        renewals = self._renewals
        answer = await self._send(method, url, parts)
        if judge(answer.status) is Verdict.DENIED:
            if url == self._keepalive_url or not await self._is_alive():
                await self._renew(renewals)
            answer = await self._send(method, url, parts)
        raise_unless_ok(self._ctx, what, answer)
        return answer

    async def _send(self, method: str, url: str, parts: Mapping[str, Any]) -> Response:
        headers = {"Cookie": self._cookies.header}
        answer = await self._http.request(method, url, headers=headers, **parts)
        self._cookies.take(answer.headers)
        return answer

    async def _is_alive(self) -> bool:
        answer = await self._send("POST", self._keepalive_url, {"content": b""})
        return judge(answer.status) is Verdict.OK

    async def _renew(self, renewals: int) -> None:
        """Get a new token, unless another call has just done so; the session's own cookies stay."""
        async with self._renewing:
            if renewals == self._renewals:
                fresh, _ = await authenticated(self._ctx, self._http, self._authenticate_url)
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
    """Log in at a server of `urls`, and open a session.

    Raises WrongPassword, Rejected for what it is set up to refuse, Transient for the rest.
    """
    entry = await enter(ctx, tls, url)
    account = Account(ctx, http, entry, urlsplit(url).netloc.rpartition("@")[2])
    await account.open()
    ctx.counters.count("logins")
    return account
