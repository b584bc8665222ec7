"""Serve the two ports: exports-api, with the simulator's own control, and IAM."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import trio

from streamd.simulators.http import Request, Response, serve_connection
from streamd.simulators.omilia.control import Control
from streamd.simulators.omilia.exports import Exports
from streamd.simulators.omilia.iam import Iam
from streamd.simulators.omilia.service import Service
from streamd.simulators.stream import Stream

_CONTROL_PREFIX = "/_simulator/"

Handler = Callable[[trio.SocketStream], Awaitable[None]]


def exports_handler(service: Service) -> Handler:
    """Return what serves a connection to exports-api."""
    exports, control = Exports(service), Control(service)

    async def respond(request: Request) -> Response:
        if request.path.startswith(_CONTROL_PREFIX):
            return control.respond(request)
        return _answered(service, "exports", request, exports.respond(request))

    return _handler(service, respond)


def iam_handler(service: Service) -> Handler:
    """Return what serves a connection to IAM."""
    iam = Iam(service)

    async def respond(request: Request) -> Response:
        return _answered(service, "iam", request, iam.respond(request))

    return _handler(service, respond)


def _handler(service: Service, respond: Callable[[Request], Awaitable[Response]]) -> Handler:
    async def serve(tcp: trio.SocketStream) -> None:
        tls = service.options.ssl_context
        stream: Stream = tcp if tls is None else trio.SSLStream(tcp, tls, server_side=True)
        await serve_connection(stream, respond)

    return serve


def _answered(service: Service, api: str, request: Request, response: Response) -> Response:
    """Log the request; give the response the platform's Date."""
    service.log.requested(api, request.method, request.path, response.status)
    headers = [*response.headers, ("Date", service.clock.http_date())]
    return msgspec.structs.replace(response, headers=headers)
