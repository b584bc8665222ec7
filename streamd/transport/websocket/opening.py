"""Open a websocket: stream, upgrade, engine, and an end that never hangs."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Literal

import trio

from streamd.errors import Transient
from streamd.transport.background import open_background
from streamd.transport.stream import open_tcp_stream
from streamd.transport.tls import client_context
from streamd.transport.watched import Watched
from streamd.transport.websocket.inbox import Inbox
from streamd.transport.websocket.link import Engine, Link, WebSocket
from streamd.transport.websocket.sans_io import SansIoEngine
from streamd.transport.websocket.target import Target, parse_target
from streamd.transport.websocket.trio_engine import TrioWebsocketEngine
from streamd.transport.websocket.upgrade import UpgradingStream

EngineName = Literal["trio-websocket", "sans-io"]
_MakeEngine = Callable[[UpgradingStream, Watched, Target, Iterable[tuple[str, str]], int], Engine]
_ENGINES: Mapping[EngineName, _MakeEngine] = {"trio-websocket": TrioWebsocketEngine, "sans-io": SansIoEngine}


@asynccontextmanager
async def open_websocket(
    url: str,
    *,
    engine: EngineName = "trio-websocket",
    tls: ssl.SSLContext | None = None,
    proxy: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    timeout: float = 10.0,  # noqa: ASYNC109 -- one deadline over all the steps, mapped to Transient here
    max_message_bytes: int = 16 << 20,
    max_waiting_bytes: int = 64 << 20,
) -> AsyncIterator[WebSocket]:
    """Open the websocket at `url`, within `timeout` seconds for connecting and upgrade together.

    `tls` is the context for `wss://` (default: the system's trust). Messages that nobody receives are kept
    up to `max_waiting_bytes`; over it the link ends. Leaving says goodbye (at most CLOSE_SECONDS, also when
    cancelled) and cuts the connection. Raises HandshakeRejected for any status but 101, Rejected for
    certificates and refusing proxies, ProtocolViolation and Transient for the rest; never shows the URL.
    """
    target = parse_target(url)
    context = (tls or client_context()) if target.secure else None
    deadline = trio.current_time() + timeout
    opened = await open_tcp_stream(target.host, target.port, tls=context, proxy=proxy, timeout=timeout)
    try:
        async with open_background() as nursery:
            upgrading = UpgradingStream(opened, target.place)
            carrier = _ENGINES[engine](upgrading, opened.watch, target, headers, max_message_bytes)
            link = Link(opened, carrier, Inbox(max_waiting_bytes), nursery)
            try:
                with trio.fail_at(deadline):
                    await link.open()
            except trio.TooSlowError as error:
                raise Transient(f"{target.place} did not upgrade within {timeout:g} s") from error
            try:
                yield link
            finally:
                await link.aclose()
    finally:
        await trio.aclose_forcefully(opened.stream)
