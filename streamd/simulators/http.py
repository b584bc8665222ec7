"""Serve HTTP/1.1 for the simulators: h11 over a trio stream, with answers that drip, reset or take over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import h11
import msgspec
import trio
from msgspec import Struct

from streamd.simulators.stream import Stream, hang_up

_BODY_LIMIT = 1024 * 1024  # bytes

Headers = Sequence[tuple[str, str]]


class Request(Struct, frozen=True):
    """One request; header names are lower case, `path` is without the query, `head` as h11 read it."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    head: h11.Request


class Response(Struct, frozen=True):
    """One response; `drip_seconds` delays its second half, `reset` sends RST in its place.

    `take_over` serves the connection from here to its end; of the response nothing is sent then.
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Headers = ()
    drip_seconds: float = 0.0
    reset: bool = False
    take_over: Callable[[h11.Connection, Stream], Awaitable[None]] | None = None


Respond = Callable[[Request], Awaitable[Response]]


class Hangup(Exception):
    """The connection is to end; `reset`: with RST."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self.reset = reset


def ok(body: Any, status: int = 200) -> Response:
    return Response(status, msgspec.json.encode(body))


async def serve_connection(stream: Stream, respond: Respond) -> None:
    """Answer the requests of one connection with `respond` until either side ends it."""
    reset = False
    try:
        await _serve(stream, respond)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        reset = True
    except Hangup as hangup:
        reset = hangup.reset
    finally:
        await hang_up(stream, reset=reset)


async def _serve(stream: Stream, respond: Respond) -> None:
    connection = h11.Connection(h11.SERVER)
    while True:
        head = await _next_event(connection, stream)
        if not isinstance(head, h11.Request):
            return
        response = await respond(_request(head, await _read_body(connection, stream)))
        if response.take_over is not None:
            await response.take_over(connection, stream)
            return
        await _send(connection, stream, response)
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return
        connection.start_next_cycle()


async def _send(connection: h11.Connection, stream: Stream, response: Response) -> None:
    if response.reset:
        raise Hangup(reset=True)
    half = len(response.body) // 2 if response.drip_seconds else len(response.body)
    await stream.send_all(_head(connection, response) + _data(connection, response.body[:half]))
    if response.drip_seconds:
        await trio.sleep(response.drip_seconds)
        await stream.send_all(_data(connection, response.body[half:]))
    end = connection.send(h11.EndOfMessage())
    if end:
        await stream.send_all(end)


def path_of(head: h11.Request) -> str:
    """Return the path of a request, without its query."""
    return urlsplit(head.target.decode("ascii", "replace")).path


def _request(head: h11.Request, body: bytes) -> Request:
    url = urlsplit(head.target.decode("ascii", "replace"))
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    return Request(head.method.decode("ascii"), url.path, query, headers, body, head)


async def _next_event(connection: h11.Connection, stream: Stream) -> h11.Event | type[h11.PAUSED]:
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            raise Hangup(reset=False) from error
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
            raise Hangup(reset=False)


def _head(connection: h11.Connection, response: Response) -> bytes:
    headers = [*response.headers, ("Content-Length", str(len(response.body)))]
    if response.body:
        headers.append(("Content-Type", response.content_type))
    if response.status == 204:
        headers = list(response.headers)
    return connection.send(h11.Response(status_code=response.status, headers=headers)) or b""


def _data(connection: h11.Connection, data: bytes) -> bytes:
    return (connection.send(h11.Data(data=data)) or b"") if data else b""
