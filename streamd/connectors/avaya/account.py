"""One Avaya account over REST: token, subscriptions, catalogue, with every status judged.

Sources: Auth 1.0.2, Notification 1.0.1, Analytics Producer Management 1.0.1 (P:auth, P:notif, P:prod).
Shared by the account's producers: one token, one pace.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from urllib.parse import quote

from msgspec import Struct

from streamd.connector import Context
from streamd.connectors.avaya.config import AvayaConfig
from streamd.connectors.avaya.measure_types import Producer, read_producer, read_producer_ids
from streamd.connectors.avaya.protocol import Verdict, judge, judge_token
from streamd.connectors.avaya.rest import (
    Subscription,
    problem_text,
    read_subscription,
    read_subscriptions,
    read_token,
)
from streamd.errors import RateLimited, Rejected, Transient
from streamd.redaction import redact, redacted
from streamd.transport.http import Http, Response, retry_after_seconds
from streamd.transport.limiter import Budget, Limiter
from streamd.transport.tokens import TokenCache

# All producers ask for tokens, each in its own time: a refusal is one for all, so that no account is locked.
ONE_REFUSAL_SECONDS = 300.0
MOST_SAID = 200  # characters of a problem's text
_PAGE, _MOST_PAGES = 25, 40
Parameters = Mapping[str, str]


class Priority(IntEnum):
    """Whose call comes first, so that the renewals of many producers are no spike."""

    URGENT = 0
    """Renewals, whose deadline is the expiry, and the token that everybody waits for."""
    USUAL = 1
    CATALOGUE = 2
    """Nothing depends on the catalogue: it waits for all others, and what slows it down slows only it."""


class Refusal(Struct, frozen=True):
    """What the token endpoint said of our credentials, and when, in monotonic seconds."""

    reason: str
    at: float


class Account:
    """The REST side. Every call raises Transient or RateLimited (try later) or Rejected (a fault)."""

    def __init__(self, ctx: Context[AvayaConfig], http: Http) -> None:
        """Use `http`, a client for the base URL that sends the appkey with every request."""
        self.generation = 0
        self.refusal: Refusal | None = None
        """The last one, while no other try is due."""
        self._token_expires_at = 0.0
        self._config = ctx.config
        self._clock = ctx.clock
        self._counters = ctx.counters
        self._http = http
        pace = Budget(1, 1 / ctx.config.requests_per_second)
        self._limiter = Limiter(ctx.clock, pace, apart=[Priority.CATALOGUE])
        self._tokens = TokenCache(self._fetch_token, ctx.clock.monotonic, random.random)
        account = quote(ctx.config.account_id, safe="")
        self._token_path = f"/api/auth/v1/{account}/protocol/openid-connect/token"
        self._subscriptions_path = f"/api/notification/v1/accounts/{account}/subscriptions"
        self._producers_path = f"/api/analytics/producer-management/v1/accounts/{account}/measure-producers"

    async def token(self) -> str:
        """Give a token that is good for now; `generation` counts the tokens that were fetched."""
        return await self._tokens.get()

    def drop_token(self, token: str) -> None:
        """Forget a token that the server does not accept."""
        self._tokens.invalidate(token)

    @property
    def token_expires_in(self) -> float:
        """Give the seconds that are left of the last token's life."""
        return self._token_expires_at - self._clock.monotonic()

    def try_again(self, known: Refusal | None) -> None:
        """Let the credentials be tried again by whoever has waited since `known`, or was told to by an
        operator; a refusal that came later is spared to all who did not know it yet."""
        if self.refusal is known:
            self.refusal = None

    async def create(self, extensions: Mapping[str, str]) -> Subscription:
        """Create a subscription. When this raises Transient, it may exist all the same."""
        body = {
            "family": "ANALYTICS",
            "events": ["ALL"],
            "transport": {"type": "WEBSOCKET"},
            "extensions": extensions,
        }
        answer = await self._call("create", "POST", self._subscriptions_path, json=body)
        if answer is None:
            raise Rejected(f"create: 404, account {self._config.account_id} is not known there")
        return read_subscription(answer)

    async def get(self, subscription_id: str) -> Subscription | None:
        """Get a subscription; None when it is gone."""
        answer = await self._call("get", "GET", self._path_of(subscription_id))
        return None if answer is None else read_subscription(answer)

    async def renew(self, subscription_id: str) -> Subscription | None:
        """Renew a subscription, INACTIVE or not, for the life of the token at hand; None when it is gone."""
        path = f"{self._path_of(subscription_id)}:renew"
        answer = await self._call("renew", "POST", path, priority=Priority.URGENT)
        return None if answer is None else read_subscription(answer)

    async def delete(self, subscription_id: str) -> None:
        """Delete a subscription; gone already counts as done."""
        await self._call("delete", "DELETE", self._path_of(subscription_id))

    async def subscriptions(self) -> list[Subscription]:
        """List the account's subscriptions, whoever made them."""
        found: dict[str, Subscription] = {}
        for number in range(_MOST_PAGES):
            # Whether Avaya counts pages from 0 or 1 is not documented: the first is asked for without one.
            parameters = {"pageSize": str(_PAGE), **({"pageNumber": str(number)} if number else {})}
            answer = await self._call("list", "GET", self._subscriptions_path, parameters)
            page = [] if answer is None else read_subscriptions(answer)
            unseen = [each for each in page if each.subscription_id not in found]
            found |= {each.subscription_id: each for each in unseen}
            if len(page) < _PAGE or (number > 1 and not unseen):
                break
        return list(found.values())

    async def sweep(self, extensions: Mapping[str, str], *, created_after: datetime) -> int:
        """Delete what a lost POST may have left behind; only for an account that nobody else uses."""
        left_behind = [
            each
            for each in await self.subscriptions()
            if extensions.items() <= (each.extensions or {}).items() and each.created_after(created_after)
        ]
        for each in left_behind:
            await self.delete(each.subscription_id)
        return len(left_behind)

    async def producer_ids(self) -> list[str]:
        """List the measure producers that the catalogue knows."""
        answer = await self._call("producers", "GET", self._producers_path, priority=Priority.CATALOGUE)
        return [] if answer is None else read_producer_ids(answer)

    async def producer(self, producer: str) -> Producer | None:
        """Get one producer with its measure sets; None when the catalogue does not know it."""
        path = f"{self._producers_path}/{quote(producer, safe='')}"
        answer = await self._call("producer", "GET", path, priority=Priority.CATALOGUE)
        return None if answer is None else read_producer(answer)

    def _path_of(self, subscription_id: str) -> str:
        return f"{self._subscriptions_path}/{quote(subscription_id, safe='')}"

    async def _call(
        self,
        what: str,
        method: str,
        path: str,
        params: Parameters | None = None,
        json: object = None,
        priority: Priority = Priority.USUAL,
    ) -> bytes | None:
        """Send one call with a token, and once more with a new token if that one is refused; None is 404.

        The catalogue is no judge of the token that all others use: there a refused one stays.
        """
        for _ in range(2):
            token = await self.token()
            async with self._limiter.turn(priority):
                answer = await self._request(method, path, token, params, json)
            verdict = judge(answer.status, problem_text(answer.body) if answer.status == 401 else "")
            if verdict is not Verdict.REFRESH_TOKEN:
                break
            if priority is Priority.CATALOGUE:
                raise Transient(f"{what}: 401")
            self.drop_token(token)
        else:
            raise Transient(f"{what}: 401 with a new token")
        if verdict is Verdict.GONE:
            return None
        self._raise_unless_ok(what, verdict, answer, priority)
        return answer.body

    async def _request(
        self, method: str, path: str, token: str, params: Parameters | None, json: object
    ) -> Response:
        headers = {"Authorization": f"Bearer {token}"}
        if json is None:
            return await self._http.request(method, path, params=params or {}, headers=headers)
        return await self._http.request(method, path, json=json, headers=headers)

    async def _fetch_token(self) -> tuple[str, float]:
        refusal = self.refusal
        if refusal is not None and self._clock.monotonic() - refusal.at < ONE_REFUSAL_SECONDS:
            raise Rejected(refusal.reason)
        form = {
            "grant_type": "client_credentials",
            "client_id": self._config.client_id,
            "client_secret": self._config.client_secret.reveal(),
        }
        async with self._limiter.turn(Priority.URGENT):
            asked_at = self._clock.monotonic()
            answer = await self._http.request("POST", self._token_path, form=form)
        try:
            self._raise_unless_ok("token", judge_token(answer.status), answer, Priority.URGENT)
        except Rejected as error:
            self.refusal = Refusal(error.reason, self._clock.monotonic())
            raise
        self.refusal = None
        token = read_token(answer.body)
        for text in (token.access_token, token.refresh_token):
            if isinstance(text, str):
                redact(text, passing=True)
        self.generation += 1
        self._token_expires_at = asked_at + token.expires_in
        return token.access_token, token.expires_in

    def _raise_unless_ok(self, what: str, verdict: Verdict, answer: Response, priority: Priority) -> None:
        if verdict is Verdict.OK:
            self._limiter.accepted(priority)
            return
        said = redacted(problem_text(answer.body))[-MOST_SAID:]  # cut last: half a token is too much of it
        reason = f"{what}: {answer.status} {said}".rstrip()
        self._counters.count("rest_errors")
        if verdict is Verdict.REFUSED:
            raise Rejected(reason)
        retry_after = retry_after_seconds(answer.headers, self._clock.now())
        if verdict is Verdict.SLOW_DOWN:
            raise RateLimited(reason, retry_after=self._limiter.slow_down(priority, retry_after))
        raise Transient(reason, retry_after=retry_after)
