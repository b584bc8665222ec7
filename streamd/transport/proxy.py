"""HTTP CONNECT: a tunnel through a proxy, asked for on a stream to that proxy."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import unquote, urlsplit

import h11
import trio
from msgspec import Struct

from streamd.errors import ProtocolViolation, Rejected, Transient

_REFUSED = frozenset({401, 403, 407})


class Proxy(Struct, frozen=True):
    """Where the proxy is, and the value of its Proxy-Authorization header."""

    host: str
    port: int
    authorization: bytes | None = None

    def __repr__(self) -> str:
        return f"Proxy({place(self.host, self.port)})"


def parse_proxy(url: str) -> Proxy:
    """Read `http://[user:password@]host[:port]`; raises Rejected without showing the URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError:
        raise Rejected("the proxy's URL cannot be understood") from None
    if parts.scheme != "http" or not parts.hostname:
        raise Rejected("the proxy's URL must be http://host:port")
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = b"Basic " + b64encode(pair.encode())
    return Proxy(parts.hostname, port, authorization)


def place(host: str, port: int) -> str:
    """Write `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def ask_tunnel(stream: trio.abc.Stream, proxy: Proxy, host: str, port: int) -> None:
    """Turn `stream`, connected to `proxy`, into a tunnel to `host:port` (RFC 9110, section 9.3.6).

    Raises Rejected when the proxy refuses our credentials or the target, Transient for its bad moments.
    The deadline is the caller's.
    """
    http = h11.Connection(h11.CLIENT)
    headers = [(b"Host", place(host, port).encode())]
    if proxy.authorization is not None:
        headers.append((b"Proxy-Authorization", proxy.authorization))
    request = h11.Request(method=b"CONNECT", target=place(host, port).encode(), headers=headers)
    await stream.send_all(http.send(request) or b"")
    answer = await _read_answer(stream, http, proxy)
    if answer.status_code in _REFUSED:
        raise Rejected(f"{proxy!r} refused the tunnel: {answer.status_code}")
    if not 200 <= answer.status_code < 300:
        raise Transient(f"{proxy!r} gave no tunnel: {answer.status_code}")
    if http.trailing_data[0]:
        raise ProtocolViolation(f"{proxy!r} sent bytes before the tunnel was used")


async def _read_answer(stream: trio.abc.Stream, http: h11.Connection, proxy: Proxy) -> h11.Response:
    http.send(h11.EndOfMessage())
    while True:
        try:
            event = http.next_event()
        except h11.RemoteProtocolError as error:
            raise ProtocolViolation(f"{proxy!r} did not answer in HTTP") from error
        if isinstance(event, h11.Response):
            return event
        if event is h11.NEED_DATA:
            http.receive_data(bytes(await stream.receive_some(16384)))
