"""Serve HTTP/1.1 and websockets on one port."""

from __future__ import annotations

import re
from functools import partial

import h11
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection
from wsproto.utilities import RemoteProtocolError

from streamd.simulators.avaya.control import Control
from streamd.simulators.avaya.rest import RestApi
from streamd.simulators.avaya.service import Service
from streamd.simulators.avaya.session import Session
from streamd.simulators.http import Hangup, Request, Response, path_of, serve_connection
from streamd.simulators.stream import Stream

_ENDPOINT = re.compile(r"/ws/notification/v1/analytics/realtime(?:/[A-Za-z]{6}/(?P<subscription>[^/]+))?")
_CONTROL_PREFIX = "/_simulator/"


class Server:
    """Answer connections on behalf of `service`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._rest = RestApi(service)
        self._control = Control(service)

    async def serve(self, tcp: trio.SocketStream) -> None:
        """Serve one connection, over TLS if the options say so, until either side ends it."""
        tls = self._service.options.ssl_context
        stream: Stream = tcp if tls is None else trio.SSLStream(tcp, tls, server_side=True)
        await serve_connection(stream, self._respond)

    async def _respond(self, request: Request) -> Response:
        endpoint = _ENDPOINT.fullmatch(request.path) if _is_upgrade(request) else None
        if endpoint is not None:
            if self._service.faults.spend("upgrade-503"):
                return Response(503, b"no upstream", "text/plain")
            subscription = endpoint["subscription"] or ""
            return Response(101, take_over=partial(self._serve_websocket, request.head, subscription))
        if request.path.startswith(_CONTROL_PREFIX):
            return await self._control.respond(request)
        return self._rest.respond(request)

    async def _serve_websocket(
        self, head: h11.Request, subscription: str, connection: h11.Connection, stream: Stream
    ) -> None:
        websocket = WSConnection(ConnectionType.SERVER)
        try:
            websocket.initiate_upgrade_connection(list(head.headers.raw_items()), path_of(head))
        except RemoteProtocolError as error:  # no key, or not version 13
            raise Hangup(reset=False) from error
        await stream.send_all(websocket.send(AcceptConnection()))
        early, _ = connection.trailing_data
        if early:
            websocket.receive_data(early)
        await Session(self._service, stream, websocket, subscription).run()


def _is_upgrade(request: Request) -> bool:
    return request.headers.get("upgrade", "").lower() == "websocket"
