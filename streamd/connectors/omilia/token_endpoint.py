"""Give Omilia the tokens that its pushes carry: OAuth 2.0 client credentials (RFC 6749, 2.3.1, 4.4 and 5).

How Omilia asks is not documented (vendors/omilia.md, section 3a). So all of it is taken: credentials in HTTP
Basic, form-encoded as the RFC has it or as they are, or in the body, which is a form, or JSON where bodies
may be lenient. Both at once are taken when they agree.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote_plus

import msgspec

from streamd.connector import Clock, Context
from streamd.connectors.omilia.config import OmiliaConfig
from streamd.connectors.omilia.replies import NO_HEADERS, busy, reply
from streamd.connectors.omilia.signing import Signer
from streamd.lenient import UNREADABLE
from streamd.transport.exchange import Request, Response

MOST_FAILURES = 10
FAILURE_SECONDS = 60.0
_MOST_PEERS = 1000
_MOST_BODY = 16_384
_MOST_FIELDS = 32
_HEADERS: Mapping[HTTPStatus, Mapping[str, str]] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": 'Basic realm="streamd"'},
    HTTPStatus.METHOD_NOT_ALLOWED: {"Allow": "POST"},
}

Credentials = tuple[str, str]


class OauthError(Exception):
    """What RFC 6749, section 5.2, has an answer for."""

    def __init__(self, error: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(error)
        self.error = error
        self.status = status


class Attempts:
    """Counts the failed attempts of each peer within a while.

    Whoever fails may share its address with Omilia, behind one proxy: so who knows the secret is let in all
    the same, and only what fails beyond the count is told nothing more.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def wait(self, peer: str) -> int:
        """Say for how many seconds what this peer fails at is not listened to."""
        since = self._clock.monotonic() - FAILURE_SECONDS
        times = [at for at in self._failures.get(peer, ()) if at > since]
        if len(times) < MOST_FAILURES:
            return 0
        return max(1, round(times[-MOST_FAILURES] - since))

    def failed(self, peer: str) -> None:
        """Note a failure."""
        times = self._failures.pop(peer, [])
        self._failures[peer] = [*times[-MOST_FAILURES + 1 :], self._clock.monotonic()]
        if len(self._failures) > _MOST_PEERS:
            self._failures.popitem(last=False)


class TokenEndpoint:
    """The endpoint of one connector. `refused`: called when the client that is ours was given no token."""

    def __init__(self, ctx: Context[OmiliaConfig], signer: Signer, refused: Callable[[str], None]) -> None:
        self._ctx = ctx
        self._config = ctx.config
        self._signer = signer
        self._refused = refused
        self._attempts = Attempts(ctx.clock)
        secrets = (ctx.config.auth_secret, ctx.config.previous_auth_secret)
        self._secrets = [each.reveal().encode() for each in secrets if each is not None]

    async def handle(self, request: Request) -> Response:
        """Answer one token request."""
        try:
            scope = self._checked(request)
        except OauthError as error:
            return self._refuse(request, error)
        token, seconds = await self._signer.issue(self._config.auth_id, scope)
        self._count("issued")
        content: dict[str, object] = {"access_token": token, "token_type": "Bearer", "expires_in": seconds}
        if scope is not None:
            content["scope"] = scope
        return reply(HTTPStatus.OK, content)

    def failed(self, status: int) -> None:
        """Be told of an answer that was no success: without a token nothing can be pushed."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._refused(f"a token request was answered {status}")

    def _refuse(self, request: Request, error: OauthError) -> Response:
        if error.status == HTTPStatus.UNAUTHORIZED:
            wait = self._attempts.wait(request.peer)
            if wait:
                self._count("limited")
                return busy(HTTPStatus.TOO_MANY_REQUESTS, wait)
            self._attempts.failed(request.peer)
        self._count(error.error)
        return reply(error.status, {"error": error.error}, _HEADERS.get(error.status, NO_HEADERS))

    def _checked(self, request: Request) -> str | None:
        """Give the scope of the token that is to be issued. Raises OauthError."""
        if request.method != "POST":
            raise OauthError("invalid_request", HTTPStatus.METHOD_NOT_ALLOWED)
        fields = self._fields(request)
        client = self._client(request, fields)
        if not self._is_right(client):
            if client is not None and client[0] == self._config.auth_id:
                self._refused("a token was asked for with a wrong secret")
            raise OauthError("invalid_client", HTTPStatus.UNAUTHORIZED)
        grant = fields.get("grant_type")
        if grant != "client_credentials":
            self._refused("a token was asked for in a way that is not client_credentials")
            raise OauthError("invalid_request" if grant is None else "unsupported_grant_type")
        return self._scope(fields.get("scope"))

    def _fields(self, request: Request) -> Mapping[str, str]:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if len(request.body) > _MOST_BODY:
            raise OauthError("invalid_request")
        if kind == "application/json" and self._config.lenient_body:
            self._count("json")
            return _json_fields(request.body)
        try:
            pairs = parse_qsl(
                request.body.decode("ascii"),
                keep_blank_values=True,
                max_num_fields=_MOST_FIELDS,
                errors="strict",
            )
        except ValueError as error:
            raise OauthError("invalid_request") from error
        fields = dict(pairs)
        if len(fields) < len(pairs):  # RFC 6749, section 3.2: no parameter more than once
            raise OauthError("invalid_request")
        return fields

    def _client(self, request: Request, fields: Mapping[str, str]) -> Credentials | None:
        """Give who asks: by Basic, by the body, or by both when they agree."""
        body = (fields.get("client_id", ""), fields.get("client_secret", ""))
        basic = _basic(request.headers.get("authorization", ""))
        if basic is None:
            return body if any(body) else None
        readings = list(_readings(basic))
        # The RFC forbids both at once; where they say the same, nothing is in doubt.
        agree = body in readings if body[1] else body[0] in {"", *(name for name, _ in readings)}
        if not agree:
            raise OauthError("invalid_request")
        return next(filter(self._is_right, readings), readings[0])

    def _is_right(self, client: Credentials | None) -> bool:
        """Compare with each secret in the same time, whatever is wrong."""
        if client is None:
            return False
        name = hmac.compare_digest(client[0].encode(errors="surrogatepass"), self._config.auth_id.encode())
        given = client[1].encode(errors="surrogatepass")
        secrets = [hmac.compare_digest(given, each) for each in self._secrets]
        return name & any(secrets)

    def _scope(self, asked: str | None) -> str | None:
        """Grant what is asked for, or all that is configured; what is not configured is refused."""
        known = (self._config.auth_scope or "").split()
        if asked is None or not asked.strip():
            return self._config.auth_scope
        if not set(asked.split()) <= set(known):
            self._refused("a token was asked for with a scope that is not configured")
            raise OauthError("invalid_scope")
        return " ".join(asked.split())

    def _count(self, what: str) -> None:
        self._ctx.counters.count(f"tokens_{what}")


def _json_fields(body: bytes) -> Mapping[str, str]:
    try:
        fields = msgspec.json.decode(body, type=dict[str, object])
    except UNREADABLE as error:
        raise OauthError("invalid_request") from error
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def _basic(header: str) -> str | None:
    """Give what Basic credentials hold; None where there are none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    if ":" not in text:
        raise OauthError("invalid_client", HTTPStatus.UNAUTHORIZED)
    return text


def _readings(basic: str) -> Iterator[Credentials]:
    """Read the pair as the RFC has it, form-encoded, and as most clients send it."""
    name, _, secret = basic.partition(":")
    yield unquote_plus(name), unquote_plus(secret)
    yield name, secret
