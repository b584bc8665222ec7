"""Serve HTTP/1.1 and websockets on one port."""

from __future__ import annotations

import re
from typing import cast
from urllib.parse import parse_qsl, urlsplit

import h11
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection
from wsproto.utilities import RemoteProtocolError

from streamd.simulators.avaya.control import Control
from streamd.simulators.avaya.http import Request, Response
from streamd.simulators.avaya.rest import RestApi
from streamd.simulators.avaya.service import Service
from streamd.simulators.avaya.session import Session
from streamd.simulators.avaya.stream import Stream, hang_up

_ENDPOINT = re.compile(r"/ws/notification/v1/analytics/realtime(?:/[A-Za-z]{6}/(?P<subscription>[^/]+))?")
_BODY_LIMIT = 1024 * 1024  # bytes
_CONTROL_PREFIX = "/_simulator/"


class _Hangup(Exception):
    """The connection is to end; `reset`: with RST."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self.reset = reset


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
        reset = False
        try:
            await self._serve_http(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            reset = True
        except _Hangup as hangup:
            reset = hangup.reset
        finally:
            await hang_up(stream, reset=reset)

    async def _serve_http(self, stream: Stream) -> None:
        connection = h11.Connection(h11.SERVER)
        while True:
            head = await _next_event(connection, stream)
            if not isinstance(head, h11.Request):
                return
            endpoint = _ENDPOINT.fullmatch(_path(head)) if _is_upgrade(head) else None
            refused = endpoint is not None and self._service.faults.spend("upgrade-503")
            if endpoint is not None and not refused:
                await self._serve_websocket(stream, connection, head, endpoint["subscription"] or "")
                return
            request = _request(head, await _read_body(connection, stream))
            response = (
                Response(503, b"no upstream", "text/plain") if refused else await self._respond(request)
            )
            await self._send(connection, stream, response)
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()

    async def _respond(self, request: Request) -> Response:
        if request.path.startswith(_CONTROL_PREFIX):
            return await self._control.respond(request)
        return self._rest.respond(request)

    async def _send(self, connection: h11.Connection, stream: Stream, response: Response) -> None:
        if response.reset:
            raise _Hangup(reset=True)
        half = len(response.body) // 2 if response.drip_seconds else len(response.body)
        await stream.send_all(_head(connection, response) + _data(connection, response.body[:half]))
        if response.drip_seconds:
            await trio.sleep(response.drip_seconds)
            await stream.send_all(_data(connection, response.body[half:]))
        end = connection.send(h11.EndOfMessage())
        if end:
            await stream.send_all(end)

    async def _serve_websocket(
        self, stream: Stream, connection: h11.Connection, head: h11.Request, subscription: str
    ) -> None:
        websocket = WSConnection(ConnectionType.SERVER)
        try:
            websocket.initiate_upgrade_connection(list(head.headers.raw_items()), _path(head))
        except RemoteProtocolError as error:  # no key, or not version 13
            raise _Hangup(reset=False) from error
        await stream.send_all(websocket.send(AcceptConnection()))
        early, _ = connection.trailing_data
        if early:
            websocket.receive_data(early)
        await Session(self._service, stream, websocket, subscription).run()


def _is_upgrade(head: h11.Request) -> bool:
    return any(name == b"upgrade" and value.lower() == b"websocket" for name, value in head.headers)


def _path(head: h11.Request) -> str:
    return urlsplit(head.target.decode("ascii", "replace")).path


def _request(head: h11.Request, body: bytes) -> Request:
    url = urlsplit(head.target.decode("ascii", "replace"))
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
    return Request(head.method.decode("ascii"), url.path, dict(parse_qsl(url.query)), headers, body)


async def _next_event(connection: h11.Connection, stream: Stream) -> h11.Event | type[h11.PAUSED]:
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            raise _Hangup(reset=False) from error
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(65536)))
        else:
            return cast("h11.Event | type[h11.PAUSED]", event)


async def _read_body(connection: h11.Connection, stream: Stream) -> bytes:
    body = bytearray()
    while True:
        event = await _next_event(connection, stream)
        if not isinstance(event, h11.Data):
            return bytes(body)
        body += event.data
        if len(body) > _BODY_LIMIT:
            raise _Hangup(reset=False)


def _head(connection: h11.Connection, response: Response) -> bytes:
    headers = [*response.headers, ("Content-Length", str(len(response.body)))]
    if response.body:
        headers.append(("Content-Type", response.content_type))
    if response.status == 204:
        headers = list(response.headers)
    return connection.send(h11.Response(status_code=response.status, headers=headers)) or b""


def _data(connection: h11.Connection, data: bytes) -> bytes:
    return (connection.send(h11.Data(data=data)) or b"") if data else b""
