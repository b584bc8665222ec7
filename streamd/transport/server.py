"""A small HTTP/1.1 server on h11 and trio: every step of a request has a deadline and every size a bound.

For the admin endpoint, the control socket and the ingress. No framework: a route is the handler's own `if`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

import h11
import trio
from msgspec import Struct, field

_RECEIVE_BYTES = 65_536
_OVERFLOW = 32  # connections over the bound that still get their 503, beyond that they are just closed
_REFUSAL_SECONDS = 2.0


class Request(Struct, frozen=True):
    """A request that was read to its end.

    `path` is percent-decoded, `query` is not. `headers` in lower case, repeated ones joined by ", ".
    `body` as it was on the wire: a content-encoding is the handler's. `peer`: the client's address or "unix".
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    peer: str

    def __repr__(self) -> str:  # paths and headers carry secrets
        return f"Request({self.method} of {len(self.body)} bytes from {self.peer})"


class Response(Struct, frozen=True):
    """What a handler answers; Content-Length and Date are added."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


Handler = Callable[[Request], Awaitable[Response]]
OnError = Callable[[Request, Exception], None]


class _Limits(Struct, frozen=True):
    max_head_bytes: int
    max_body_bytes: int
    max_connections: int
    head_seconds: float
    request_seconds: float
    idle_seconds: float


async def serve_http(
    handler: Handler,
    listeners: Sequence[trio.abc.Listener[Any]],
    *,
    on_error: OnError,
    max_head_bytes: int = 16_384,
    max_body_bytes: int = 1 << 20,
    request_timeout: float = 30.0,
    head_timeout: float = 10.0,
    idle_timeout: float = 60.0,
    max_connections: int = 256,
    task_status: trio.TaskStatus[list[trio.abc.Listener[Any]]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer requests on `listeners` with `handler` until cancelled; closes them then.

    A client has `head_timeout` seconds for a request's head and `request_timeout` for all of it, however it
    drips (408); the handler has what is left of that (503), and the client as much again to take the answer.
    A connection without a request is closed after `idle_timeout`. Refused without the handler: what is not
    HTTP (400), heads (431) and bodies (413) that are too long, connections over `max_connections` (503).
    `handler` must not keep Cancelled. What it raises becomes a 500 without details and goes to `on_error`.
    """
    limits = _Limits(
        max_head_bytes=max_head_bytes,
        max_body_bytes=max_body_bytes,
        max_connections=max_connections,
        head_seconds=min(head_timeout, request_timeout),
        request_seconds=request_timeout,
        idle_seconds=idle_timeout,
    )
    door = _Door(handler, on_error, limits)
    await trio.serve_listeners(door.admit, list(listeners), task_status=task_status)


class _Door:
    """Counts the connections."""

    def __init__(self, handler: Handler, on_error: OnError, limits: _Limits) -> None:
        self._handler = handler
        self._on_error = on_error
        self._limits = limits
        self._open = 0

    async def admit(self, stream: trio.abc.Stream) -> None:
        self._open += 1
        try:
            excess = self._open - self._limits.max_connections
            connection = _Connection(stream, self._handler, self._on_error, self._limits)
            if excess <= 0:
                await connection.serve()
            elif excess <= _OVERFLOW:
                await connection.turn_away()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the client left, or its TLS handshake failed: nobody is there to be told
        finally:
            self._open -= 1
            await trio.aclose_forcefully(stream)


class _Connection:
    """One client's connection, request after request."""

    def __init__(self, stream: trio.abc.Stream, handler: Handler, on_error: OnError, limits: _Limits) -> None:
        self._stream = stream
        self._handler = handler
        self._on_error = on_error
        self._limits = limits
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.max_head_bytes)

    async def serve(self) -> None:
        patience = self._limits.head_seconds
        while await self._first_bytes(patience):
            if not await self._serve_one():
                return
            self._http.start_next_cycle()
            patience = self._limits.idle_seconds

    async def turn_away(self) -> None:
        with trio.move_on_after(_REFUSAL_SECONDS):
            await self._stream.receive_some(_RECEIVE_BYTES)
            await self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "1"})

    async def _first_bytes(self, seconds: float) -> bool:
        """Wait for the beginning of a request; False when the client closes or stays silent."""
        if self._http.trailing_data[0]:
            return True
        data: bytes | bytearray = b""
        with trio.move_on_after(seconds):
            data = await self._stream.receive_some(_RECEIVE_BYTES)
        self._http.receive_data(bytes(data))
        return bool(data)

    async def _serve_one(self) -> bool:
        """Serve one request; tell whether the connection can carry another."""
        deadline = trio.current_time() + self._limits.request_seconds
        request: Request | HTTPStatus = HTTPStatus.REQUEST_TIMEOUT
        with trio.CancelScope(deadline=deadline):
            request = await self._read_request()
        if isinstance(request, HTTPStatus):
            await self._refuse(request)
            return False
        response = await self._handle(request, deadline)
        with trio.move_on_after(self._limits.request_seconds) as sending:
            try:
                await self._send(response, with_body=request.method != "HEAD")
            except h11.LocalProtocolError as error:
                self._on_error(request, error)  # a header or status of the handler's that HTTP does not allow
                return False
        done = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        return done and not sending.cancelled_caught

    async def _read_request(self) -> Request | HTTPStatus:
        """Read one request to its end, or return the status that refuses it."""
        head: h11.Request | HTTPStatus = HTTPStatus.REQUEST_TIMEOUT
        with trio.move_on_after(self._limits.head_seconds):
            head = await self._read_head()
        if isinstance(head, HTTPStatus):
            return head
        headers = _headers(head)
        body = await self._read_body(headers.get("content-length", ""))
        if isinstance(body, HTTPStatus):
            return body
        path, query = _split_target(head.target.decode("latin-1"))
        return Request(head.method.decode("ascii"), path, query, headers, body, _peer(self._stream))

    async def _read_head(self) -> h11.Request | HTTPStatus:
        event = await self._next_event()
        if isinstance(event, h11.Request):
            return event
        return event if isinstance(event, HTTPStatus) else HTTPStatus.BAD_REQUEST

    async def _read_body(self, declared: str) -> bytes | HTTPStatus:
        if declared.isdecimal() and int(declared[:20]) > self._limits.max_body_bytes:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        parts: list[bytes] = []
        room = self._limits.max_body_bytes
        while True:
            event = await self._next_event()
            if isinstance(event, h11.EndOfMessage):
                return b"".join(parts)
            if not isinstance(event, h11.Data):
                return event if isinstance(event, HTTPStatus) else HTTPStatus.BAD_REQUEST
            parts.append(bytes(event.data))
            room -= len(event.data)
            if room < 0:
                return HTTPStatus.REQUEST_ENTITY_TOO_LARGE

    async def _next_event(self) -> h11.Event | HTTPStatus:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                return HTTPStatus(error.error_status_hint)
            if isinstance(event, h11.Event):
                return event
            if self._http.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                await self._stream.send_all(self._http.send(go_on) or b"")
            self._http.receive_data(bytes(await self._stream.receive_some(_RECEIVE_BYTES)))

    async def _handle(self, request: Request, deadline: float) -> Response:
        with trio.CancelScope(deadline=deadline):
            try:
                return await self._handler(request)
            except Exception as error:  # noqa: BLE001 -- one request's bug must not end the others' server
                self._on_error(request, error)
                return _plain(HTTPStatus.INTERNAL_SERVER_ERROR)
        return _plain(HTTPStatus.SERVICE_UNAVAILABLE)

    async def _refuse(self, status: HTTPStatus, headers: Mapping[str, str] | None = None) -> None:
        """Answer without the handler and end the connection so that the client can read the answer."""
        with trio.move_on_after(_REFUSAL_SECONDS):
            await self._send(_plain(status, {"Connection": "close", **(headers or {})}))
            # Closing while the client still sends would reset the connection and take the answer with it.
            if isinstance(self._stream, trio.abc.HalfCloseableStream):
                await self._stream.send_eof()
            while await self._stream.receive_some(_RECEIVE_BYTES):
                pass

    async def _send(self, response: Response, *, with_body: bool = True) -> None:
        headers = {**response.headers, "Date": formatdate(usegmt=True)}
        if response.status != HTTPStatus.NO_CONTENT:
            headers["Content-Length"] = str(len(response.body))
        head = h11.Response(status_code=response.status, headers=list(headers.items()))
        data = self._http.send(head) or b""
        if with_body:
            data += self._http.send(h11.Data(data=response.body)) or b""
        data += self._http.send(h11.EndOfMessage()) or b""
        await self._stream.send_all(data)


def _plain(status: HTTPStatus, headers: Mapping[str, str] | None = None) -> Response:
    body = f"{status.phrase}\n".encode()
    return Response(status, {"Content-Type": "text/plain; charset=utf-8", **(headers or {})}, body)


def _headers(head: h11.Request) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in head.headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _split_target(target: str) -> tuple[str, str]:
    # A path may begin with two slashes, which urlsplit would take for a host.
    if not target.startswith("/"):
        try:
            parts = urlsplit(target)
        except ValueError:
            return "", ""
        return unquote(parts.path), parts.query
    path, _, query = target.partition("?")
    return unquote(path), query


def _peer(stream: trio.abc.Stream) -> str:
    inner = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
    if not isinstance(inner, trio.SocketStream) or inner.socket.family == trio.socket.AF_UNIX:
        return "unix"
    try:
        return str(inner.socket.getpeername()[0])
    except OSError:
        return "gone"
