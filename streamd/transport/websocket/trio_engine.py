"""The default engine: trio-websocket 0.12, with the precautions of LIBRARIES.md, section 3."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import h11
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream
from wsproto.utilities import ProtocolError

from streamd.errors import ProtocolViolation
from streamd.transport.background import sole
from streamd.transport.stream import RECEIVE_BYTES, Watched
from streamd.transport.websocket.inbox import (
    ABNORMAL,
    INVALID_DATA,
    PROTOCOL_ERROR,
    TOO_BIG,
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
_VIOLATIONS = frozenset({PROTOCOL_ERROR, 1003, INVALID_DATA, TOO_BIG})


class TrioWebsocketEngine:
    """An Engine: the library reads in its own nursery, and a drain empties its queue into the inbox.

    The library's limit on messages counts characters of text, not bytes.
    """

    def __init__(
        self,
        stream: UpgradingStream,
        watch: Watched,
        target: Target,
        headers: Iterable[tuple[str, str]],
        max_message_bytes: int,
    ) -> None:
        self._stream = stream
        self._watch = watch
        self._target = target
        self._headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
        self._max_message_bytes = max_message_bytes
        self._connection: WebSocketConnection
        self._drained = False
        self._goodbye = trio.Event()
        self._goodbye.set()

    async def run(self, inbox: Inbox, *, task_status: trio.TaskStatus[None]) -> Closed:
        started = False
        try:
            async with trio.open_nursery() as library:
                self._connection = await self._wrap(library)
                started = True
                task_status.started()
                closed = await self._drain(inbox)
                # Closing ends the queue first; the library must go on reading to see the peer's answer.
                await self._goodbye.wait()
                library.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            error = sole(group)
            if not isinstance(error, (ProtocolError, h11.ProtocolError)):
                raise error from error.__cause__
            if not started:
                raise ProtocolViolation(f"{self._target.place}: upgrade not valid") from error
            return Closed(PROTOCOL_ERROR, "protocol violated", by_peer=False, clean=False)
        return closed

    async def send(self, message: str | bytes) -> None:
        try:
            await self._connection.send_message(message)
        except ConnectionClosed as error:
            raise LinkClosed(self._closed()) from error

    async def ping(self) -> None:
        try:
            await self._connection.ping()
        except ConnectionClosed as error:
            raise LinkClosed(self._closed()) from error

    async def close(self, code: int) -> None:
        self._goodbye = trio.Event()
        try:
            await self._connection.aclose(code)
        finally:
            self._goodbye.set()

    def all_delivered(self) -> bool:
        # The drain waiting at an empty queue is the only proof, and there is no public way to see it:
        # a message may be in the queue, or already handed to a drain that has not run since.
        return self._drained or self._connection._recv_channel.statistics().tasks_waiting_receive == 1

    async def _wrap(self, library: trio.Nursery) -> WebSocketConnection:
        return await wrap_client_stream(
            library,
            self._stream,  # type: ignore[arg-type]  # any trio Stream will do, says its docstring
            self._target.authority,
            self._target.resource,
            extra_headers=self._headers,
            # With a queue of no length each message is in the drain's hands before the next is read:
            # the library empties its queue when a message is too big, and those before it would go too.
            message_queue_size=0,
            max_message_size=self._max_message_bytes,
            receive_buffer_size=RECEIVE_BYTES,
        )

    async def _drain(self, inbox: Inbox) -> Closed:
        while True:
            try:
                message = await self._connection.get_message()
            except ConnectionClosed:
                self._drained = True
                return self._closed()
            data = message.encode() if isinstance(message, str) else bytes(message)
            try:
                inbox.put((data,), len(data))
            except LinkClosed as overrun:
                return overrun.closed

    def _closed(self) -> Closed:
        reason = self._connection.closed
        if reason is None or reason.code == ABNORMAL:
            return Closed(ABNORMAL, self._watch.fault or "connection lost", by_peer=True, clean=False)
        ours = reason.code in _VIOLATIONS
        return Closed(reason.code, reason.reason or "", by_peer=not ours, clean=not ours)
