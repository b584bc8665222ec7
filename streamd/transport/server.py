"""A small HTTP/1.1 server on h11 and trio: every step of a request has a deadline and every size a bound.

For the admin endpoint, the control socket and the ingress. No framework: a route is the handler's own `if`.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

import trio
from msgspec.structs import replace

from streamd.transport.connection import Connection, Limits
from streamd.transport.exchange import Body, Handler, Request, Response, Send, Service, Streamed

__all__ = ["Handler", "Limits", "Request", "Response", "Send", "Streamed", "serve_http", "serve_service"]

_OVERFLOW = 32  # connections over the bound that still get their 503, beyond that they are just closed

Answerer = Callable[[Request], Awaitable[Response | Streamed]]
OnError = Callable[[Request, Exception], None]


async def serve_http(
    handler: Answerer,
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
    """Answer whole requests on `listeners` with `handler`, as `serve_service` does.

    What the handler raises becomes a 500 without details and goes to `on_error`.
    """
    limits = Limits(
        max_head_bytes=max_head_bytes,
        max_body_bytes=max_body_bytes,
        max_connections=max_connections,
        head_seconds=head_timeout,
        request_seconds=request_timeout,
        idle_seconds=idle_timeout,
    )
    await serve_service(_Whole(handler, on_error), listeners, limits, task_status=task_status)


async def serve_service(
    service: Service,
    listeners: Sequence[trio.abc.Listener[Any]],
    limits: Limits,
    *,
    task_status: trio.TaskStatus[list[trio.abc.Listener[Any]]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer requests on `listeners` with `service` until cancelled; closes them then.

    A client has `head_seconds` for a request's head and `request_seconds` for all of it, however it
    drips (408); the service has what is left of that (503), and the client as much again to take the answer.
    A connection without a request is closed after `idle_seconds`. Refused without the service: what is not
    HTTP (400), heads that are too long (431), connections over `max_connections` (503). Bodies that are too
    long (413) are refused while the service reads them; one that it leaves unread ends the connection.
    `service` must not keep Cancelled.
    """
    door = _Door(service, limits)
    await trio.serve_listeners(door.admit, list(listeners), task_status=task_status)


class _Whole:
    """`Service` of a handler that wants whole requests."""

    def __init__(self, handler: Answerer, on_error: OnError) -> None:
        self._handler = handler
        self.crashed = on_error

    async def serve(self, head: Request, body: Body) -> Response | Streamed:
        content = bytearray()
        while data := await body.receive():
            content += data
        return await self._handler(replace(head, body=bytes(content)))

    def refusal(self, status: HTTPStatus) -> Response:
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = "1"
        return Response(status, headers, f"{status.phrase}\n".encode())

    def answered(self, head: Request, status: int) -> None:
        """Nobody asks."""

    def turned_away(self, peer: str, reason: str) -> None:
        """Nobody asks."""


class _Door:
    """Counts the connections."""

    def __init__(self, service: Service, limits: Limits) -> None:
        self._service = service
        self._limits = limits
        self._open = 0

    async def admit(self, stream: trio.abc.Stream) -> None:
        self._open += 1
        connection = Connection(stream, self._service, self._limits)
        try:
            excess = self._open - self._limits.max_connections
            if excess <= 0:
                await connection.serve()
            elif excess <= _OVERFLOW:
                await connection.turn_away(HTTPStatus.SERVICE_UNAVAILABLE, listen=True)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            # The client left, or its TLS handshake failed: nobody is there to be told.
            cause = error.__cause__
            if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
                self._service.turned_away(connection.peer, f"TLS: {cause.reason}")
        finally:
            self._open -= 1
            await trio.aclose_forcefully(stream)
