"""Ask the client's token endpoint for a bearer token (vendors/omilia.md section 3a, RFC 6749 section 4.4)."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote_plus, urlencode

import msgspec
import trio

from streamd.simulators.omilia.client import Answer, Caller, Unanswered
from streamd.simulators.omilia.service import Service
from streamd.simulators.omilia.subscriptions import Subscription

_EARLY = 30.0  # seconds before its end that a cached token is no longer used, at most half of its life


class NoToken(Exception):
    """The token endpoint gave none; `reason` as in the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Bearer:
    """The tokens of one subscription; however many pushes wait, one call is made at a time."""

    def __init__(self, service: Service, subscription: Subscription) -> None:
        self._service, self._subscription = service, subscription
        self._caller = Caller(subscription.delivery.token_path, service.trust)
        self._one_at_a_time = trio.Lock()
        self._token, self._until = "", 0.0

    async def token(self) -> str:
        """Return a token, for one push; raise NoToken."""
        faults = self._service.faults
        if faults.spend("bearer-forged"):
            return _forged()
        async with self._one_at_a_time:
            good = faults.has("token-kept") or trio.current_time() < self._until
            if not self._token or not good or faults.has("token-per-push"):
                await self._fetch()
            return self._token

    def forget(self, token: str) -> None:
        """Use `token` no more."""
        if token == self._token:
            self._token = ""

    def close(self) -> None:
        self._caller.close()

    async def _fetch(self) -> None:
        service = self._service
        form, headers, body = self._request()
        self._token, status = "", 0
        try:
            answer = await self._caller.post(headers, body, service.faults.number("push-timeout", 10))
        except Unanswered as unanswered:
            wrong = unanswered.reason
        else:
            status, wrong = answer.status, self._take(answer)
        service.log.token_called(self._subscription, form, status, wrong or "token")
        if wrong:
            raise NoToken(wrong)

    def _take(self, answer: Answer) -> str:
        """Keep the token of `answer`; return what is wrong with it."""
        if answer.status != 200:
            return f"status {answer.status}"
        try:
            found = msgspec.json.decode(answer.body, type=dict)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return "no JSON object"
        token, seconds = found.get("access_token"), found.get("expires_in")
        if not isinstance(token, str) or not token:
            return "no access_token"
        life = float(seconds) if isinstance(seconds, int | float) else 0.0
        self._token, self._until = token, trio.current_time() + life - min(_EARLY, life / 2)
        return ""

    def _request(self) -> tuple[str, dict[str, str], bytes]:
        """Return the form's name, headers and body of the token call."""
        faults, delivery = self._service.faults, self._subscription.delivery
        identifier, secret = delivery.auth_id, delivery.auth_secret
        if self._subscription.previous_secret and faults.spend("secret-previous"):
            secret = self._subscription.previous_secret
        if faults.spend("secret-wrong"):
            secret += "-wrong"
        fields = {"grant_type": "client_credentials"}
        scope = "nobody.configured.this" if faults.spend("scope-wrong") else delivery.auth_scope
        if scope:
            fields["scope"] = scope
        headers = {"Accept": "application/json"}
        form = next(each for each in _FORMS if faults.has(each))
        if form in ("token-basic", "token-both"):
            headers["Authorization"] = _basic(quote_plus(identifier), quote_plus(secret))
        if form == "token-basic-raw":
            headers["Authorization"] = _basic(identifier, secret)
        if form in ("token-body", "token-both", "token-json"):
            fields |= {"client_id": identifier, "client_secret": secret}
        if form == "token-json":
            return form, {**headers, "Content-Type": "application/json"}, msgspec.json.encode(fields)
        return (
            form,
            {**headers, "Content-Type": "application/x-www-form-urlencoded"},
            urlencode(fields).encode(),
        )


_FORMS = ("token-body", "token-basic", "token-basic-raw", "token-both", "token-json")


def _basic(identifier: str, secret: str) -> str:
    return "Basic " + b64encode(f"{identifier}:{secret}".encode()).decode("ascii")


def _forged() -> str:
    """Return a JWT of somebody else's, for somebody else."""
    parts = (
        b'{"alg":"HS256","typ":"JWT"}',
        b'{"iss":"https://elsewhere.example","aud":"elsewhere","exp":4102444800}',
        b"\0" * 32,
    )
    return ".".join(urlsafe_b64encode(part).decode("ascii").rstrip("=") for part in parts)
