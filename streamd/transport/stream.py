"""TCP streams, with or without TLS and proxy, that say what has been read of them."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable
from typing import NamedTuple

import trio

from streamd.errors import Rejected, Transient
from streamd.transport.faults import certificate_refusal, fault_words
from streamd.transport.proxy import ask_tunnel, parse_proxy, place
from streamd.transport.secured import Secured
from streamd.transport.watched import Watched

# A peer that vanished is noticed in about 30 s: unanswered probes on a silent link, unacknowledged
# bytes on a busy one.
SOCKET_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000),
)


class Opened(NamedTuple):
    """`stream` to read and write, `watch` at its TCP level; closing `stream` closes both."""

    stream: Watched | Secured
    watch: Watched


async def open_tcp_stream(
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    proxy: str | None = None,
    timeout: float,  # noqa: ASYNC109 -- one deadline over all the steps, mapped to Transient here
) -> Opened:
    """Connect to `host:port`, through `proxy` (`http://…`) where given, with the TLS handshake done.

    `timeout` bounds all of it, in seconds. `server_hostname` is the name in the certificate, `host` unless
    given. Raises Rejected for certificates and for a proxy that refuses us, Transient for the rest.
    """
    try:
        with trio.fail_after(timeout):
            return await _open(host, port, tls, server_hostname or host, proxy)
    except trio.TooSlowError as error:
        raise Transient(f"{place(host, port)} could not be reached within {timeout:g} s") from error


async def _open(
    host: str, port: int, tls: ssl.SSLContext | None, server_hostname: str, proxy: str | None
) -> Opened:
    via = parse_proxy(proxy) if proxy is not None else None
    watch = await _connect(via.host, via.port) if via is not None else await _connect(host, port)
    try:
        if via is not None:
            await _mapped(place(via.host, via.port), ask_tunnel(watch, via, host, port))
        if tls is None:
            return Opened(watch, watch)
        secured = Secured(watch, tls, server_hostname)
        await _mapped(place(host, port), secured.do_handshake())
    except BaseException:
        await trio.aclose_forcefully(watch)
        raise
    return Opened(secured, watch)


async def _connect(host: str, port: int) -> Watched:
    try:
        stream = await trio.open_tcp_stream(host, port)
    except OSError as error:
        raise Transient(f"cannot connect to {place(host, port)}: {fault_words(error)}") from error
    for level, option, value in SOCKET_OPTIONS:
        stream.setsockopt(level, option, value)
    return Watched(stream)


async def _mapped(where: str, step: Awaitable[None]) -> None:
    try:
        await step
    except trio.BrokenResourceError as error:
        refusal = certificate_refusal(error)
        if refusal is not None:
            raise Rejected(f"{where}: {refusal}") from error
        raise Transient(f"{where}: {fault_words(error)}") from error
