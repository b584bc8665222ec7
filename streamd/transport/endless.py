"""An HTTP response without an end, read as it comes, that says what has been read of it.

A server that pushes events flushes each in an HTTP chunk of its own. httpx walks every chunk through h11 and
seven generators; here only the head goes through h11, and a piece is all chunks that the socket had. And only
on our own stream can be known that nothing more had arrived (`drained_at`, see transport/watched.py).
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import NamedTuple, Protocol
from urllib.parse import quote, urlsplit

import h11
import trio

from streamd.errors import ProtocolViolation, Rejected, Transient
from streamd.transport.faults import certificate_refusal
from streamd.transport.proxy import place
from streamd.transport.rounds import Lost
from streamd.transport.stream import Opened, open_tcp_stream
from streamd.transport.tls import client_context

_LONGEST_SIZE_LINE = 4096
_HEX = frozenset(b"0123456789abcdefABCDEF")
_SAFE = "/?#[]@!$&'()*+,;=:%-._~"


class Body(Protocol):
    """The framing of a body: what of the bytes on the wire is content."""

    @property
    def ended(self) -> bool:
        """Tell whether its end was seen."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Return the content in `data`; raises ProtocolViolation."""
        ...


class ChunkedBody:
    """A body in chunks (RFC 9112, section 7.1). It ends with the size line of the last chunk: trailers say
    nothing to us."""

    def __init__(self) -> None:
        self.ended = False
        self._unread = b""
        self._left = 0  # of a chunk that has begun, its CRLF too

    def feed(self, data: bytes) -> bytes:
        if self._unread:
            data = self._unread + data
            self._unread = b""
        content: list[bytes] = []
        at = 0
        while not self.ended:
            if self._left:
                end = at + self._left
                if end > len(data):
                    break
                if data[end - 2 : end] != b"\r\n":
                    raise ProtocolViolation("a chunk is not as long as it says")
                content.append(data[at : end - 2])
                self._left = 0
                at = end
            end = data.find(b"\n", at)
            if end < 0:
                if len(data) - at > _LONGEST_SIZE_LINE:
                    raise ProtocolViolation("a chunk without a size")
                self._unread = data[at:]
                return b"".join(content)
            if end - at > _LONGEST_SIZE_LINE:
                raise ProtocolViolation("a size that does not end")
            size = _size(data[at:end])
            self.ended = size == 0
            self._left = size + 2
            at = end + 1
        if not self.ended and at < len(data):
            content.append(self._part(data[at:]))
        return b"".join(content)

    def _part(self, data: bytes) -> bytes:
        """Take what is here of a chunk that goes on; its CRLF, or half of it, waits for the rest."""
        size = self._left - 2
        part = data[:size]
        self._left -= len(part)
        self._unread = data[size:]
        return part


class CountedBody:
    """A body of so many bytes; None: it ends with the connection, so that its end proves nothing."""

    def __init__(self, length: int | None) -> None:
        self._left = length

    @property
    def ended(self) -> bool:
        return self._left == 0

    def feed(self, data: bytes) -> bytes:
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        return data


class EndlessResponse:
    """A response whose body is still coming; `status` and `headers` (lower-case names) are here.

    `watch`: how far its stream was read.
    """

    def __init__(self, opened: Opened, where: str, head: h11.Response, first: bytes) -> None:
        self.status = head.status_code
        self.headers: Mapping[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers
        }
        self.watch = opened.watch
        self._opened = opened
        self._where = where
        self._body = _body(self.status, self.headers, where)
        self._first = first

    @property
    def ended(self) -> bool:
        """Tell whether the body has ended as the server means it."""
        return self._body.ended

    async def pour(self, take: Callable[[bytes], bool]) -> None:
        """Have `take` called with each piece of the body, cut anywhere, until it returns False or the end.

        It is called by another task, and by True says that it has worked off the piece. Raises what it
        raises, Transient when the connection is lost, ProtocolViolation. Has no deadline.
        """

        def feed(data: bytes) -> bool:
            if not data:
                raise Transient(f"{self._where}: closed in the middle of the body")
            piece = self._body.feed(data)
            return (not piece or take(piece)) and not self._body.ended

        first, self._first = self._first, b""
        if self._body.ended or (first and not feed(first)):
            return
        try:
            await self._opened.stream.pour(feed)
        except Lost as error:
            raise Transient(f"{self._where}: {self.watch.fault or 'connection lost'}") from error

    def __repr__(self) -> str:
        return f"EndlessResponse({self._where}, {self.status})"


class _Target(NamedTuple):
    host: str
    port: int
    secure: bool
    path: str


@asynccontextmanager
async def open_endless(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    proxy: str | None = None,
    timeout: float = 10.0,  # noqa: ASYNC109 -- one deadline over connecting and head, mapped to Transient here
) -> AsyncIterator[EndlessResponse]:
    """Send a request without a body and yield the response, whatever its status, once its head is here.

    Nothing is asked of the server but what `headers` say: no compression. Leaving cuts the connection.
    Raises Transient, ProtocolViolation, Rejected (certificates, proxy); never shows the URL.
    """
    target = _parsed(url)
    where = f"{method} {place(target.host, target.port)}"
    context = (tls or client_context()) if target.secure else None
    deadline = trio.current_time() + timeout
    opened = await open_tcp_stream(target.host, target.port, tls=context, proxy=proxy, timeout=timeout)
    try:
        try:
            with trio.fail_at(deadline):
                head, first = await _asked(opened, where, _request(method, target, headers or {}))
        except trio.TooSlowError as error:
            raise Transient(f"{where}: no answer within {timeout:g} s") from error
        yield EndlessResponse(opened, where, head, first)
    finally:
        await trio.aclose_forcefully(opened.stream)


async def _asked(opened: Opened, where: str, request: h11.Request) -> tuple[h11.Response, bytes]:
    """Send the request; return the head of the answer and the bytes behind it."""
    http = h11.Connection(h11.CLIENT)
    lost = f"{where}: lost before the answer"
    try:
        await opened.stream.send_all((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
        while True:
            event = _next_event(http, where)
            if isinstance(event, h11.Response):
                return event, http.trailing_data[0]
            if event is h11.NEED_DATA:
                data = await opened.stream.receive_some()
                if not data:
                    raise Transient(lost)
                http.receive_data(bytes(data))
    except trio.BrokenResourceError as error:
        refusal = certificate_refusal(error)
        if refusal is not None:  # with TLS 1.3 it comes after the handshake
            raise Rejected(f"{where}: {refusal}") from error
        raise Transient(f"{lost}: {opened.watch.fault or 'connection lost'}") from error


def _next_event(http: h11.Connection, where: str) -> object:
    try:
        return http.next_event()
    except h11.RemoteProtocolError as error:
        raise ProtocolViolation(f"{where}: the answer is not HTTP") from error


def _request(method: str, target: _Target, headers: Mapping[str, str]) -> h11.Request:
    default = 443 if target.secure else 80
    host = place(target.host, target.port)
    own = {
        "Host": host if target.port != default else host.rpartition(":")[0],
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        **({"Content-Length": "0"} if method != "GET" else {}),
    }
    try:
        return h11.Request(method=method, target=target.path, headers=list({**own, **headers}.items()))
    except h11.LocalProtocolError:
        raise ProtocolViolation("not an HTTP URL") from None


def _parsed(url: str) -> _Target:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ProtocolViolation("not an HTTP URL") from None
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host.isascii() or len(host.split()) != 1:
        raise ProtocolViolation("not an HTTP URL")
    secure = parts.scheme == "https"
    path = quote(parts.path or "/", safe=_SAFE) + (
        f"?{quote(parts.query, safe=_SAFE)}" if parts.query else ""
    )
    return _Target(host, port or (443 if secure else 80), secure, path)


def _body(status: int, headers: Mapping[str, str], where: str) -> Body:
    """Choose the framing (RFC 9112, section 6.3)."""
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise ProtocolViolation(f"{where}: compressed, although that was not asked for")
    if "transfer-encoding" in headers:
        return ChunkedBody()
    if status == 204:
        return CountedBody(0)
    length = headers.get("content-length")
    return CountedBody(int(length) if length is not None else None)


@lru_cache(1024)  # there are many chunks of few sizes
def _size(line: bytes) -> int:
    digits = line.split(b";", 1)[0].strip()
    if not digits or len(digits) > 15 or not _HEX.issuperset(digits):
        raise ProtocolViolation("a chunk whose size is none")
    return int(digits, 16)
