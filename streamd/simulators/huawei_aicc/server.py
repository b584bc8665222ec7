"""Serve CC-FS, and the simulator's own control."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import trio

from streamd.simulators.http import Request, Response, serve_connection
from streamd.simulators.huawei_aicc.control import Control
from streamd.simulators.huawei_aicc.exports import Exports
from streamd.simulators.huawei_aicc.service import Service
from streamd.simulators.stream import Stream

_CONTROL_PREFIX = "/_simulator/"

Handler = Callable[[trio.SocketStream], Awaitable[None]]


def handler(service: Service) -> Handler:
    """Return what serves a connection."""
    exports, control = Exports(service), Control(service)

    async def respond(address: str, request: Request) -> Response:
        if request.path.startswith(_CONTROL_PREFIX):
            return control.respond(request)
        response = await exports.respond(request, address)
        headers = [*response.headers, ("Date", service.clock.http_date())]
        return msgspec.structs.replace(response, headers=headers)

    async def serve(tcp: trio.SocketStream) -> None:
        tls = service.options.ssl_context
        stream: Stream = tcp if tls is None else trio.SSLStream(tcp, tls, server_side=True)
        await serve_connection(stream, partial(respond, tcp.socket.getpeername()[0]))

    return serve
