"""One client's connection to our HTTP server: h11 on a trio stream, request after request."""

from __future__ import annotations

from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus

import h11
import trio
from msgspec import Struct

from streamd.transport.exchange import (
    CLIENT_LEFT,
    ClientLeft,
    Refusal,
    Request,
    Response,
    Service,
    Streamed,
)
from streamd.transport.heads import read_head

_RECEIVE_BYTES = 65_536
_REFUSAL_SECONDS = 2.0
_EVENTS_A_TURN = 64  # of a body that is already here, before other tasks have their turn: 1 ms

_UNREAD = (h11.SEND_BODY, h11.ERROR)  # the client's states in which it may have more to send


class Limits(Struct, frozen=True):
    """The bounds of a server. `max_body_bytes` are those on the wire."""

    max_head_bytes: int = 16_384
    max_body_bytes: int = 1 << 20
    max_connections: int = 256
    head_seconds: float = 10.0
    request_seconds: float = 30.0
    idle_seconds: float = 60.0


class Connection:
    """Reads requests, has them answered and sends the answers, each step within its bounds."""

    def __init__(self, stream: trio.abc.Stream, service: Service, limits: Limits) -> None:
        self.peer = _peer(stream)
        self._stream = stream
        self._service = service
        self._limits = limits
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.max_head_bytes)
        self._raw = b""  # what has come since the last request's end

    async def serve(self) -> None:
        """Serve until the client, a deadline or a refusal ends it. Raises what the stream raises."""
        patience = min(self._limits.head_seconds, self._limits.request_seconds)
        while await self._first_bytes(patience):
            if not await self._serve_one():
                return
            self._http.start_next_cycle()
            self._raw = self._http.trailing_data[0]
            patience = self._limits.idle_seconds

    async def turn_away(self, status: HTTPStatus, *, listen: bool = False) -> None:
        """Refuse what could not be read; `listen`: or what was not, once the client has asked."""
        self._service.turned_away(self.peer, f"{status.value} {status.phrase}")
        with trio.move_on_after(_REFUSAL_SECONDS):
            if listen:
                await self._stream.receive_some(_RECEIVE_BYTES)
            await self._stream.send_all(self._encode(self._service.refusal(status), closing=True))
            await self._linger()

    async def _first_bytes(self, seconds: float) -> bool:
        """Wait for the beginning of a request; False when the client closes or stays silent."""
        if self._raw:
            return True
        data: bytes | bytearray = b""
        with trio.move_on_after(seconds):
            data = await self._stream.receive_some(_RECEIVE_BYTES)
        self._feed(data)
        return bool(data)

    async def _serve_one(self) -> bool:
        """Serve one request; tell whether the connection can carry another."""
        deadline = trio.current_time() + self._limits.request_seconds
        head: Request | HTTPStatus = HTTPStatus.REQUEST_TIMEOUT
        with trio.move_on_after(min(self._limits.head_seconds, self._limits.request_seconds)):
            head = await self._read_head()
        if isinstance(head, HTTPStatus):
            await self.turn_away(head)
            return False
        status = CLIENT_LEFT
        try:
            response = await self._answer(head, deadline)
            if isinstance(response, Streamed):
                if await self._stream_out(head, response):
                    status = response.status
                return False
            if not await self._deliver(head, response):
                return False
            status = int(response.status)
        except ClientLeft:
            return False
        finally:
            self._service.answered(head, status)
        if self._http.their_state in _UNREAD:
            with trio.move_on_after(_REFUSAL_SECONDS):
                await self._linger()
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _read_head(self) -> Request | HTTPStatus:
        event = await self._next_event()
        if not isinstance(event, h11.Request):
            return event if isinstance(event, HTTPStatus) else HTTPStatus.BAD_REQUEST
        raw, self._raw = self._raw[: len(self._raw) - len(self._http.trailing_data[0])], b""
        return read_head(event, raw, self.peer, self._limits.max_head_bytes)

    async def _answer(self, head: Request, deadline: float) -> Response | Streamed:
        body = _Body(self, head, self._limits.max_body_bytes)
        try:
            with trio.CancelScope(deadline=deadline):
                return await self._service.serve(head, body)
        except Refusal as refusal:
            return self._service.refusal(refusal.status)
        except ClientLeft:
            raise
        except Exception as error:  # noqa: BLE001 -- one request's bug must not end the others' server
            self._service.crashed(head, error)
            return self._service.refusal(HTTPStatus.INTERNAL_SERVER_ERROR)
        whole = self._finish_nowait()
        slow = HTTPStatus.SERVICE_UNAVAILABLE if whole else HTTPStatus.REQUEST_TIMEOUT
        return self._service.refusal(slow)

    async def _deliver(self, head: Request, response: Response) -> bool:
        """Send the answer; tell whether the client has taken it."""
        whole = self._finish_nowait()
        with trio.move_on_after(self._limits.request_seconds) as sending:
            try:
                data = self._encode(response, closing=not whole, with_body=head.method != "HEAD")
            except (h11.LocalProtocolError, AttributeError, TypeError, ValueError) as error:
                self._service.crashed(head, error)  # a header or status that HTTP does not allow
                return False
            await self._stream.send_all(data)
        return not sending.cancelled_caught

    async def _stream_out(self, head: Request, response: Streamed) -> bool:
        """Send an answer while it is made; tell whether the client has stayed for all of it."""
        sent = False
        async with trio.open_nursery() as nursery:

            async def send(data: bytes) -> None:
                try:
                    await self._send(h11.Data(data=data))
                except trio.BrokenResourceError:
                    nursery.cancel_scope.cancel()  # the client has left
                    await trio.sleep_forever()

            nursery.start_soon(self._until_left, nursery.cancel_scope)
            headers = {**response.headers, "Date": formatdate(usegmt=True), "Connection": "close"}
            await self._send(h11.Response(status_code=response.status, headers=list(headers.items())))
            try:
                await response.write(send)
            except Exception as error:  # noqa: BLE001 -- one request's bug must not end the others' server
                self._service.crashed(head, error)
            else:
                await self._send(h11.EndOfMessage())
                sent = True
            nursery.cancel_scope.cancel()
        return sent

    async def _until_left(self, answering: trio.CancelScope) -> None:
        with suppress(trio.BrokenResourceError):
            while await self._stream.receive_some(_RECEIVE_BYTES):
                pass
        answering.cancel()

    async def _send(self, event: h11.Event) -> None:
        await self._stream.send_all(self._http.send(event) or b"")

    def _finish_nowait(self) -> bool:
        """Skip what is here of a body that nobody wanted; tell whether that is the request's end."""
        for _ in range(_EVENTS_A_TURN):
            if self._http.their_state is not h11.SEND_BODY:
                break
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError:
                return False
            if not isinstance(event, h11.Event):
                return False
        return self._http.their_state not in _UNREAD

    async def next_body_event(self) -> h11.Event | HTTPStatus:
        """Give what comes next of a body; raises ClientLeft."""
        try:
            event = await self._next_event()
        except trio.BrokenResourceError as error:
            raise ClientLeft("its connection is lost") from error
        if isinstance(event, HTTPStatus) and self._http.trailing_data[1]:
            raise ClientLeft("it closed its connection")
        return event

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
            self._feed(await self._stream.receive_some(_RECEIVE_BYTES))

    def _feed(self, data: bytes | bytearray) -> None:
        if self._http.their_state is h11.IDLE:
            self._raw += data
        self._http.receive_data(bytes(data))

    async def _linger(self) -> None:
        # Closing while the client still sends would reset the connection and take the answer with it.
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()
        while await self._stream.receive_some(_RECEIVE_BYTES):
            pass

    def _encode(self, response: Response, *, closing: bool, with_body: bool = True) -> bytes:
        headers = {**response.headers, "Date": formatdate(usegmt=True)}
        if closing:
            headers["Connection"] = "close"
        if response.status != HTTPStatus.NO_CONTENT:
            headers["Content-Length"] = str(len(response.body))
        events: list[h11.Event] = [
            h11.Response(status_code=response.status, headers=list(headers.items())),
            h11.EndOfMessage(),
        ]
        if with_body:
            events.insert(1, h11.Data(data=response.body))
        return b"".join(self._http.send(event) or b"" for event in events)


class _Body:
    """The body of the request that a connection serves now."""

    def __init__(self, connection: Connection, head: Request, most: int) -> None:
        self._connection = connection
        self._complete = False
        declared = head.headers.get("content-length", "0")  # h11 has seen to it that it is a number
        self._too_long = int(declared) > most
        self._room = most
        self._events = 0

    async def receive(self) -> bytes:
        if self._complete:
            return b""
        if self._too_long:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        self._events += 1
        if self._events % _EVENTS_A_TURN == 0:
            await trio.lowlevel.checkpoint()
        event = await self._connection.next_body_event()
        if isinstance(event, h11.EndOfMessage):
            self._complete = True
            return b""
        if not isinstance(event, h11.Data):
            raise Refusal(event if isinstance(event, HTTPStatus) else HTTPStatus.BAD_REQUEST)
        self._room -= len(event.data)
        if self._room < 0:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return bytes(event.data)


def _peer(stream: trio.abc.Stream) -> str:
    inner = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
    if not isinstance(inner, trio.SocketStream) or inner.socket.family == trio.socket.AF_UNIX:
        return "unix"
    try:
        return str(inner.socket.getpeername()[0])
    except OSError:
        return "gone"
