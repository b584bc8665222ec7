"""Learn where an identity provider issues tokens, by its own word (OpenID Connect Discovery, RFC 8414)."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from streamd.config.checks import check_base_url
from streamd.errors import ProtocolViolation, Rejected, Transient
from streamd.lenient import UNREADABLE
from streamd.transport.http import Http

_MOST_BYTES = 1 << 20


class _Metadata(Struct):
    issuer: str
    token_endpoint: str


class Discovery:
    """The metadata of one issuer, asked for once."""

    def __init__(self, http: Http, issuer: str, insecure: bool) -> None:
        self._http = http
        self._issuer = issuer
        self._insecure = insecure
        self._found: str | None = None

    async def token_url(self) -> str:
        """Give the provider's token endpoint. Raises Transient or Rejected."""
        if self._found is None:
            self._found = await self._ask()
        return self._found

    async def _ask(self) -> str:
        for place in _places(self._issuer):
            answer = await self._http.request("GET", place, max_body_bytes=_MOST_BYTES)
            if answer.status == 200:
                return self._read(answer.body)
            if answer.status != 404:
                raise Transient(f"the issuer's metadata: status {answer.status}")
        raise Rejected("the issuer publishes no metadata: token_url is needed")

    def _read(self, body: bytes) -> str:
        try:
            metadata = msgspec.json.decode(body, type=_Metadata)
        except UNREADABLE as error:
            raise ProtocolViolation("the issuer's metadata cannot be read") from error
        if metadata.issuer != self._issuer:  # RFC 8414, section 3.3
            raise Rejected("the issuer's metadata are those of another one")
        if check_base_url(metadata.token_endpoint, "", self._insecure):
            raise Rejected("the issuer's token_endpoint is no URL with TLS: token_url is needed")
        return metadata.token_endpoint


def _places(issuer: str) -> tuple[str, str]:
    """Give where metadata may be: behind the issuer's path, or between its host and path (RFC 8414, 3.1)."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    root = f"{parts.scheme}://{parts.netloc}"
    return (
        f"{root}{path}/.well-known/openid-configuration",
        f"{root}/.well-known/oauth-authorization-server{path}",
    )
