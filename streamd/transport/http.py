"""HTTP requests of a connector: one httpx client, total deadlines, capped bodies, mapped errors."""

from __future__ import annotations

import logging
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from time import monotonic
from typing import TypedDict, Unpack

import httpx
import msgspec
import trio
from msgspec import Struct

from streamd.errors import ProtocolViolation, Rejected, StreamdError, Transient
from streamd.transport.faults import certificate_refusal, fault_words
from streamd.transport.headers import http_date, retry_after_seconds
from streamd.transport.proxy import parse_proxy, place
from streamd.transport.stream import SOCKET_OPTIONS
from streamd.transport.tls import client_context

__all__ = ["Http", "HttpStream", "RequestParts", "Response", "http_date", "open_http", "retry_after_seconds"]

# At INFO httpx prints whole URLs, and some vendors want their token in the query.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_KEEPALIVE_SECONDS = 30.0


class RequestParts(TypedDict, total=False):
    """What a request may carry; at most one of `content`, `json` and `form`."""

    params: Mapping[str, str]
    headers: Mapping[str, str]
    content: bytes
    json: object  # encoded by msgspec
    form: Mapping[str, str]
    auth: tuple[str, str]  # user and password for Basic


class Response(Struct, frozen=True):
    """A whole response. `headers` is case-blind; what a status means is the vendor's to say."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Response({self.status}, {len(self.body)} bytes)"


class HttpStream:
    """A response whose body is still coming. `last_bytes_at`: monotonic seconds of the last chunk."""

    def __init__(self, response: httpx.Response, where: str) -> None:
        self._response = response
        self._where = where
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.last_bytes_at = monotonic()
        self._chunks = response.aiter_bytes()
        self._unfinished = False

    async def receive(self) -> bytes:
        """Return the next piece of the body, decompressed, cut anywhere; b"" at its end.

        Without a deadline: whoever reads an endless body watches `last_bytes_at`. Raises Transient.
        """
        self._unfinished = True
        try:
            chunk = await anext(self._chunks, b"")
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _mapped(error, self._where) from error
        self.last_bytes_at = monotonic()
        self._unfinished = bool(chunk)
        return chunk

    async def read(self, max_bytes: int) -> bytes:
        """Read the body to its end; raises ProtocolViolation when it is longer than `max_bytes`."""
        parts: list[bytes] = []
        room = max_bytes
        while chunk := await self.receive():
            parts.append(chunk)
            room -= len(chunk)
            if room < 0:
                raise ProtocolViolation(f"{self._where}: body longer than {max_bytes} bytes")
        return b"".join(parts)

    async def aclose(self) -> None:
        """Let the connection go: it is reused only when the body was read to its end."""
        try:
            if self._unfinished:
                await self._run_out()
        finally:
            await self._response.aclose()

    async def _run_out(self) -> None:
        """Drive httpx's seven nested generators to their end, by cancelling what they wait for next.

        Left half-way they would be finalised by the garbage collector, with a warning of trio for each.
        httpcore drops the connection of a cancelled reading, under its own shield.
        """
        with trio.CancelScope() as scope, suppress(httpx.TransportError, httpx.DecodingError):
            scope.cancel()
            while await anext(self._chunks, b""):
                pass


class Http:
    """Requests to one vendor system; cookies live as long as this does."""

    def __init__(
        self, client: httpx.AsyncClient, timeout_seconds: float, max_body_bytes: int, max_requests: int
    ) -> None:
        self._client = client
        self._timeout_seconds = timeout_seconds
        self._max_body_bytes = max_body_bytes
        self._limiter = trio.CapacityLimiter(max_requests)

    async def request(
        self,
        method: str,
        url: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 -- mapped to Transient here
        max_body_bytes: int | None = None,
        **parts: Unpack[RequestParts],
    ) -> Response:
        """Send one request and read the whole answer, whatever its status, within `timeout` seconds.

        `url` is relative to the base URL, or absolute. An idempotent request is sent a second time when
        the connection ends before any answer: it was kept alive and the server had closed it. Raises
        Transient for the network and the deadline, Rejected for certificates, ProtocolViolation for a body
        longer than the cap and for a URL that is none. What the server did is then unknown.
        """
        request = self._build(method, url, parts)
        seconds = timeout or self._timeout_seconds
        async with self._limiter:
            try:
                with trio.fail_after(seconds):
                    async with self._opened(request) as stream:
                        body = await stream.read(max_body_bytes or self._max_body_bytes)
            except trio.TooSlowError as error:
                raise Transient(f"{_where(request)}: no answer within {seconds:g} s") from error
        return Response(stream.status, stream.headers, body)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 -- mapped to Transient here
        **parts: Unpack[RequestParts],
    ) -> AsyncIterator[HttpStream]:
        """Open a response that is read as it comes; `timeout` bounds the wait for its head only.

        Takes none of the places of `request`. Raises as `request` does.
        """
        request = self._build(method, url, parts)
        seconds = timeout or self._timeout_seconds
        async with AsyncExitStack() as stack:
            try:
                with trio.fail_after(seconds):
                    stream = await stack.enter_async_context(self._opened(request))
            except trio.TooSlowError as error:
                raise Transient(f"{_where(request)}: no answer within {seconds:g} s") from error
            yield stream

    @asynccontextmanager
    async def _opened(self, request: httpx.Request) -> AsyncIterator[HttpStream]:
        stream = HttpStream(await self._send(request), _where(request))
        try:
            yield stream
        finally:
            await stream.aclose()

    async def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._client.send(request, stream=True)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
            if request.method not in _IDEMPOTENT:
                raise _mapped(error, _where(request)) from error
        except httpx.TransportError as error:
            raise _mapped(error, _where(request)) from error
        try:
            return await self._client.send(request, stream=True)
        except httpx.TransportError as error:
            raise _mapped(error, _where(request)) from error

    def _build(self, method: str, url: str, parts: RequestParts) -> httpx.Request:
        headers = dict(parts.get("headers", {}))
        content, form = parts.get("content"), parts.get("form")
        if "json" in parts:
            content = msgspec.json.encode(parts["json"])
            headers.setdefault("Content-Type", "application/json")
        if "auth" in parts:
            headers["Authorization"] = _basic(*parts["auth"])
        try:
            request = self._client.build_request(
                method,
                httpx.URL(url),
                params=parts.get("params"),
                headers=headers,
                content=content,
                data=form,
            )
        except httpx.InvalidURL:
            raise ProtocolViolation("not an HTTP URL") from None
        if request.url.scheme not in {"http", "https"} or not request.url.host:
            raise ProtocolViolation("not an HTTP URL")
        request.stream = _Body(request.content)
        return request


class _Body(httpx.AsyncByteStream):
    """A request's whole body. httpx's own is an async generator, and trio warns where one is left unfinished:
    with each request that is cut short while it is sent."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Pieces([self._content])


class _Pieces:
    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._pieces:
            raise StopAsyncIteration
        return self._pieces.pop()


@asynccontextmanager
async def open_http(
    base_url: str,
    *,
    tls: ssl.SSLContext | None = None,
    proxy: str | None = None,
    timeout: float = 10.0,  # noqa: ASYNC109 -- the default of every request, not of this call
    headers: Mapping[str, str] | None = None,
    max_body_bytes: int = 16 << 20,
    max_requests: int = 8,
) -> AsyncIterator[Http]:
    """Open a client for `base_url`: nothing is sent yet. `headers` go with every request.

    `timeout` is the total deadline of a request in seconds, `max_requests` how many run at once. Nothing
    is taken from the environment: no proxy, no .netrc. Redirects are answers like any other.
    """
    if proxy is not None:
        parse_proxy(proxy)
    transport = httpx.AsyncHTTPTransport(
        verify=tls or client_context(),
        trust_env=False,
        proxy=proxy,
        # Without a bound in the pool: a bounded one loses places to cancelled requests (httpcore 1.0.9).
        limits=httpx.Limits(max_connections=None, keepalive_expiry=_KEEPALIVE_SECONDS),
        socket_options=SOCKET_OPTIONS,
    )
    async with httpx.AsyncClient(
        base_url=base_url,
        transport=transport,
        headers=headers,
        timeout=None,  # noqa: S113 -- each request has one deadline over all its steps
        trust_env=False,
    ) as client:
        yield Http(client, timeout, max_body_bytes, max_requests)


def _mapped(error: httpx.HTTPError, where: str) -> StreamdError:
    """Translate an error of httpx. Its own text is not used: it may quote the answer, or a URL."""
    refusal = certificate_refusal(error)
    if refusal is not None:
        return Rejected(f"{where}: {refusal}")
    if isinstance(error, httpx.DecodingError):
        return ProtocolViolation(f"{where}: body not as its content-encoding says")
    return Transient(f"{where}: {fault_words(error)} ({type(error).__name__})")


def _where(request: httpx.Request) -> str:
    port = request.url.port or (443 if request.url.scheme == "https" else 80)
    return f"{request.method} {place(request.url.host, port)}"


def _basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()
