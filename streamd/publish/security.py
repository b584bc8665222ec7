"""How a connection to Kafka is secured: TLS, SASL, and tokens for OAUTHBEARER."""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import AuthenticationFailedError

from streamd.config import KafkaConfig

_TOKEN_TIMEOUT_SECONDS = 10.0
_REUSE = 0.8  # of a token's life; the broker drops the connection at its end (LIBRARIES.md, 1.1)


def connection_arguments(config: KafkaConfig) -> dict[str, Any]:
    """Give the arguments of `create_conn` and of aiokafka's clients that say how to connect.

    Reads the certificate files: OSError (ssl.SSLError is one) where they cannot be used.
    """
    arguments: dict[str, Any] = {"security_protocol": config.security_protocol}
    if config.security_protocol in ("SSL", "SASL_SSL"):
        arguments["ssl_context"] = _tls(config)
    if config.security_protocol.startswith("SASL"):
        arguments["sasl_mechanism"] = config.sasl_mechanism
        if config.sasl_mechanism == "OAUTHBEARER":
            arguments["sasl_oauth_token_provider"] = TokenProvider(config)
        elif config.sasl_password is not None:
            arguments["sasl_plain_username"] = config.sasl_username
            arguments["sasl_plain_password"] = config.sasl_password.reveal()
    return arguments


def _tls(config: KafkaConfig) -> ssl.SSLContext:
    for file in (config.ca_file, config.certificate_file, config.key_file):
        if file is not None:
            Path(file).open("rb").close()  # OpenSSL does not say which file it misses
    context = ssl.create_default_context(cafile=config.ca_file)
    if config.certificate_file is not None:
        context.load_cert_chain(config.certificate_file, config.key_file)
    return context


class _Grant(msgspec.Struct):
    """An access token (RFC 6749, section 5.1)."""

    access_token: str
    expires_in: float = 60.0


_decode_grant = msgspec.json.Decoder(_Grant, strict=False).decode


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]
    """Fetches tokens by client credentials (RFC 6749, section 4.4) and keeps each for most of its life."""

    def __init__(self, config: KafkaConfig) -> None:
        if not config.sasl_oauth_token_url or not config.sasl_oauth_client_id:
            raise ValueError("OAUTHBEARER needs sasl_oauth_token_url and sasl_oauth_client_id")
        secret = config.sasl_oauth_client_secret
        self._url = config.sasl_oauth_token_url
        self._login = httpx.BasicAuth(config.sasl_oauth_client_id, secret.reveal() if secret else "")
        self._tls = ssl.create_default_context()
        if config.ca_file is not None:
            self._tls.load_verify_locations(config.ca_file)
        self._token = ""
        self._good_until = 0.0

    async def token(self) -> str:
        """Give a token; only OSError and KafkaError pass, anything else kills the producer (trap 6)."""
        if time.monotonic() >= self._good_until:
            grant = await self._fetch()
            self._token = grant.access_token
            self._good_until = time.monotonic() + _REUSE * grant.expires_in
        return self._token

    async def _fetch(self) -> _Grant:
        response = await self._post()
        if response.status_code in (400, 401, 403):
            raise AuthenticationFailedError(f"{self._url} refuses a token: {response.status_code}")
        if response.status_code != 200:
            raise OSError(f"{self._url} gives no token: {response.status_code}")
        try:
            return _decode_grant(response.content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise OSError(f"{self._url} answers what is no token: {error}") from error

    async def _post(self) -> httpx.Response:
        data = {"grant_type": "client_credentials"}
        try:
            async with httpx.AsyncClient(
                verify=self._tls, trust_env=False, timeout=_TOKEN_TIMEOUT_SECONDS
            ) as client:
                return await client.post(self._url, data=data, auth=self._login)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OSError(f"{self._url}: {type(error).__name__} {error}") from error
