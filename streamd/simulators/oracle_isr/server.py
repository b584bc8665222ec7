"""Serve the one port: FACE, with the simulator's own control."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from streamd.simulators.http import Request, Response, serve_connection
from streamd.simulators.oracle_isr.control import Control
from streamd.simulators.oracle_isr.face import Face
from streamd.simulators.oracle_isr.service import Service
from streamd.simulators.stream import Stream

_CONTROL_PREFIX = "/_simulator/"

Handler = Callable[[trio.SocketStream], Awaitable[None]]


def face_handler(service: Service) -> Handler:
    """Return what serves a connection."""
    face, control = Face(service), Control(service)

    async def respond(request: Request) -> Response:
        if request.path.startswith(_CONTROL_PREFIX):
            return control.respond(request)
        return await face.respond(request)

    async def serve(tcp: trio.SocketStream) -> None:
        tls = service.options.ssl_context
        stream: Stream = tcp if tls is None else trio.SSLStream(tcp, tls, server_side=True)
        await serve_connection(stream, respond)

    return serve
