"""The default engine: trio-websocket 0.12, with the precautions of LIBRARIES.md, section 3."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable

import h11
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream
from wsproto.utilities import ProtocolError

from streamd.errors import ProtocolViolation
from streamd.transport.background import sole
from streamd.transport.rounds import MOST_BYTES
from streamd.transport.watched import Watched
from streamd.transport.websocket.inbox import (
    ABNORMAL,
    INVALID_DATA,
    PROTOCOL_ERROR,
    TOO_BIG,
    UNSUPPORTED_DATA,
    Closed,
    Inbox,
    LinkClosed,
)
from streamd.transport.websocket.target import Target
from streamd.transport.websocket.upgrade import UpgradingStream

# At DEBUG it prints every frame.
logging.getLogger("trio-websocket").setLevel(logging.WARNING)

# trio-websocket reports what it found broken as if the peer had sent a Close with that code. A peer that
# really sends one of these is treated alike: nothing is claimed about what it sent before.
_VIOLATIONS = frozenset({PROTOCOL_ERROR, UNSUPPORTED_DATA, INVALID_DATA, TOO_BIG})


class TrioWebsocketEngine:
    """An Engine: the library reads in its own nursery, and its queue is emptied at each of its turns.

    The queue has no bound of its own: it holds no more than the frames of one reading of the socket, for it
    is emptied before the library reads again. The library's limit on messages counts characters of text.
    """

    def __init__(
        self,
        stream: UpgradingStream,
        watch: Watched,
        target: Target,
        headers: Iterable[tuple[str, str]],
        max_message_bytes: int,
    ) -> None:
        self._stream = _TappedStream(stream, self._before_reading, self._collect)
        self._watch = watch
        self._target = target
        self._headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
        self._max_message_bytes = max_message_bytes
        self._connection: WebSocketConnection | None = None
        self._inbox: Inbox
        self._closing = False

    async def run(self, inbox: Inbox, *, task_status: trio.TaskStatus[None]) -> Closed:
        self._inbox = inbox
        try:
            async with trio.open_nursery() as library:
                self._connection = await self._wrap(library)
                task_status.started()
                # The library may have worked off more than the 101 already, and be reading again.
                self._collect()
                if self._is_over() and self._stream.reading:  # else it is to send its Close yet
                    library.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            error = sole(group)
            if isinstance(error, LinkClosed):
                return error.closed
            if not isinstance(error, (ProtocolError, h11.ProtocolError)):
                raise error from error.__cause__
            if self._connection is None:
                raise ProtocolViolation(f"{self._target.place}: upgrade not valid") from error
            return Closed(PROTOCOL_ERROR, "protocol violated", by_peer=False, clean=False)
        self._collect()
        return self._closed()

    async def send(self, message: str | bytes) -> None:
        assert self._connection is not None
        try:
            await self._connection.send_message(message)
        except ConnectionClosed as error:
            raise LinkClosed(self._closed()) from error

    async def ping(self) -> None:
        assert self._connection is not None
        try:
            await self._connection.ping()
        except ConnectionClosed as error:
            # A Close may be here whose answer is yet to be sent, and messages before it in the queue.
            self._collect()
            raise LinkClosed(self._closed()) from error

    async def close(self, code: int) -> None:
        assert self._connection is not None
        self._closing = True
        self._collect()
        await self._connection.aclose(code)

    async def _wrap(self, library: trio.Nursery) -> WebSocketConnection:
        return await wrap_client_stream(
            library,
            self._stream,  # type: ignore[arg-type]  # any trio Stream will do, says its docstring
            self._target.authority,
            self._target.resource,
            extra_headers=self._headers,
            message_queue_size=math.inf,  # type: ignore[arg-type]  # handed on to trio, which takes it
            max_message_size=self._max_message_bytes,
            receive_buffer_size=MOST_BYTES,
        )

    def _before_reading(self) -> None:
        self._collect()
        # After a Close, or a violation, the library would go on reading until the peer closes TCP.
        if self._is_over():
            raise trio.ClosedResourceError("the link is over")

    def _is_over(self) -> bool:
        return self._connection is not None and self._connection.closed is not None and not self._closing

    def _collect(self) -> None:
        """Move what the library has queued to the inbox, as one list.

        `get_message` would cost two switches of tasks for each message, and could not tell when all of a
        reading has been handed over, which is what `drained_at` claims. Hence the private queue.
        """
        if self._connection is None:
            return
        messages: list[bytes] = []
        queue = self._connection._recv_channel
        try:
            while True:
                message = queue.receive_nowait()
                messages.append(message.encode() if isinstance(message, str) else bytes(message))
        except (trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
            if messages:
                self._inbox.put(messages, sum(map(len, messages)))

    def _closed(self) -> Closed:
        reason = self._connection.closed if self._connection is not None else None
        if reason is None or reason.code == ABNORMAL:
            return Closed(ABNORMAL, self._watch.fault or "connection lost", by_peer=True, clean=False)
        ours = reason.code in _VIOLATIONS
        return Closed(reason.code, reason.reason or "", by_peer=not ours, clean=not ours)


class _TappedStream(trio.abc.Stream):
    """The library's stream: calls `before_reading` when it has worked off what it read, and `before_sending`.

    The latter for the Close frame that refuses a message: after it the library throws its queue away.
    """

    def __init__(
        self, stream: trio.abc.Stream, before_reading: Callable[[], None], before_sending: Callable[[], None]
    ) -> None:
        self.reading = False
        self._stream = stream
        self._before_reading = before_reading
        self._before_sending = before_sending

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        self._before_reading()
        self.reading = True
        try:
            return await self._stream.receive_some(max_bytes)
        finally:
            self.reading = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self._before_sending()
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()
