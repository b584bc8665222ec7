"""Be one O2G server: where it listens and the URLs that it hands out (section 1.0)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from socket import MSG_PEEK
from typing import NamedTuple

import trio

from streamd.simulators.o2g.accounts import Accounts
from streamd.simulators.o2g.options import O2gOptions
from streamd.simulators.stream import Stream
from streamd.simulators.switches import Switches

_TLS_HANDSHAKE = b"\x16"  # the first byte of a ClientHello (RFC 8446 5.1)


class Pair(NamedTuple):
    """An intranet and an internet URL of the same thing."""

    private: str
    public: str


class Host:
    """One server; `number` counts from 0. While it is not `up` nobody listens on its ports."""

    def __init__(self, number: int, options: O2gOptions, accounts: Accounts) -> None:
        self.number, self.options, self.accounts = number, options, accounts
        self.port = options.port and options.port + 2 * number
        self.event_port = options.event_port and options.event_port + 2 * number
        self.up = True

    def __repr__(self) -> str:
        return f"<Host {self.number} {'up' if self.up else 'down'}>"

    @property
    def _secure(self) -> bool:
        return self.options.ssl_context is not None

    @property
    def base_url(self) -> str:
        """Return the root as a client would be configured with it, without a path."""
        scheme = "https" if self._secure else "http"
        return f"{scheme}://{self.options.public_host or self.options.host}:{self.port}"

    def urls(self, path: str, faults: Switches, *, plain: bool = False) -> Pair:
        """Return both URLs of a REST path; `plain`: http even with TLS."""
        internal = self.options.private_host or self.options.host
        scheme = "https" if self._secure and not plain else "http"
        public = f"{scheme}://{self.options.public_host or self.options.host}:{self.port}{path}"
        if faults.has("internal-port-80"):
            return Pair(f"http://{internal}:80{path}", public)
        return Pair(f"{scheme}://{internal}:{self.port}{path}", public)

    def polling_urls(self, subscription_id: str, faults: Switches) -> Pair:
        scheme = "https" if self._secure and not faults.has("http-polling") else "http"
        path = f":{self.event_port}/OTEvents?subscriptionId={subscription_id}"
        names = (self.options.private_host, self.options.public_host)
        private, public = (f"{scheme}://{name or self.options.host}{path}" for name in names)
        return Pair(private, public)


async def listen(
    port: int,
    host: str,
    handler: Callable[[trio.SocketStream], Awaitable[None]],
    wanted: Callable[[], bool],
    changed: trio.lowlevel.ParkingLot,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve one port whenever it is `wanted`, until cancelled; connections end when it no longer is.

    `changed` wakes it to ask again. The port, if any free one was asked for, stays the same once chosen.
    """
    while True:
        listeners = await trio.open_tcp_listeners(port, host=host)
        port = listeners[0].socket.getsockname()[1]
        task_status.started(port)
        task_status = trio.TASK_STATUS_IGNORED
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(trio.serve_listeners, handler, listeners))
            while wanted():
                await changed.park()
            nursery.cancel_scope.cancel()
        while not wanted():
            await changed.park()


async def secured(tcp: trio.SocketStream, options: O2gOptions) -> Stream:
    """Return the stream to talk over: TLS where there is a context and the client begins with TLS."""
    if options.ssl_context is None:
        return tcp
    try:
        first = await tcp.socket.recv(1, MSG_PEEK)
    except OSError:
        return tcp  # reset already: whoever reads next will see it
    if first != _TLS_HANDSHAKE:
        return tcp
    return trio.SSLStream(tcp, options.ssl_context, server_side=True)
