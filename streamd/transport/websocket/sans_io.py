"""The engine for large feeds: the sans-I/O protocol of `websockets` on our own stream."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import count

import trio
from websockets.client import ClientProtocol
from websockets.frames import BINARY, CONT, PONG, TEXT, Frame
from websockets.protocol import CONNECTING, OPEN, Event
from websockets.uri import WebSocketURI

from streamd.errors import ProtocolViolation
from streamd.transport.rounds import MOST_BYTES
from streamd.transport.watched import Watched
from streamd.transport.websocket.inbox import ABNORMAL, INVALID_DATA, Closed, Inbox, LinkClosed
from streamd.transport.websocket.target import Target
from streamd.transport.websocket.upgrade import UpgradingStream

# At DEBUG it prints the request's headers, with their tokens.
logging.getLogger("websockets").setLevel(logging.WARNING)


class SansIoEngine:
    """An Engine: reads up to 256 KiB, decodes every frame of it, and puts the messages away as one list."""

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
        self._headers = tuple(headers)
        uri = WebSocketURI(target.secure, target.host, target.port, target.path, target.query)
        self._protocol = ClientProtocol(uri, max_size=max_message_bytes)
        self._send_lock = trio.StrictFIFOLock()
        self._parts: list[bytes] = []
        self._is_text = False
        self._violation: Closed | None = None
        self._payloads = count(1)
        self._pinged = b""
        self._pong = trio.Event()
        self._ended = trio.Event()

    async def run(self, inbox: Inbox, *, task_status: trio.TaskStatus[None]) -> Closed:
        await self._upgrade()
        task_status.started()
        try:
            await self._read(inbox)
        except LinkClosed as end:
            return end.closed
        finally:
            self._ended.set()
            self._pong.set()
        raise AssertionError("the reading ends with LinkClosed")

    async def send(self, message: str | bytes) -> None:
        self._raise_unless_open()
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        else:
            self._protocol.send_binary(message)
        await self._flush()

    async def ping(self) -> None:
        self._raise_unless_open()
        self._pong = trio.Event()
        self._pinged = b"%d" % next(self._payloads)
        self._protocol.send_ping(self._pinged)
        await self._flush()
        await self._pong.wait()

    async def close(self, code: int) -> None:
        if self._protocol.state is not OPEN:
            return
        self._protocol.send_close(code)
        try:
            await self._flush()
        except LinkClosed:
            return  # the stream is down: there is nobody to say goodbye to
        await self._ended.wait()

    async def _upgrade(self) -> None:
        request = self._protocol.connect()
        for name, value in self._headers:
            request.headers[name] = value
        self._protocol.send_request(request)
        await self._flush()
        while self._protocol.state is CONNECTING:
            self._protocol.receive_data(await self._stream.receive_some(MOST_BYTES))
            error = self._protocol.handshake_exc
            if error is not None:
                kind = type(error).__name__
                raise ProtocolViolation(f"{self._target.place}: upgrade not valid: {kind}") from error

    async def _read(self, inbox: Inbox) -> None:
        # The first frames may have come in the segment of the 101, so the events come before the reading.
        while True:
            messages = self._messages(self._protocol.events_received())
            if messages:
                inbox.put(messages, sum(map(len, messages)))
            await self._answer()
            over = None if self._protocol.state is OPEN else self._over()
            if over is not None:
                raise LinkClosed(over)
            self._protocol.receive_data(await self._receive())

    def _messages(self, events: list[Event]) -> list[bytes]:
        messages: list[bytes] = []
        for frame in events:
            if not isinstance(frame, Frame):
                continue
            opcode = frame.opcode
            if opcode is TEXT or opcode is BINARY:
                self._is_text = opcode is TEXT
                if not frame.fin:
                    self._parts = [bytes(frame.data)]
                    continue
                message = bytes(frame.data)
            elif opcode is CONT:
                self._parts.append(bytes(frame.data))
                if not frame.fin:
                    continue
                message = b"".join(self._parts)
                self._parts = []
            else:
                if opcode is PONG and frame.data == self._pinged:
                    self._pong.set()
                continue
            # websockets leaves the check of UTF-8 to whoever decodes; ASCII is told far quicker.
            if self._is_text and not message.isascii() and not _is_utf8(message):
                self._violation = Closed(INVALID_DATA, "invalid UTF-8", by_peer=False, clean=False)
                self._protocol.fail(INVALID_DATA, "invalid UTF-8")
                break
            messages.append(message)
        return messages

    async def _answer(self) -> None:
        """Send what the protocol has to say (pongs, Close) if the stream still takes it.

        A peer that is gone may have left messages in our kernel: the reading goes on to their end.
        """
        try:
            await self._flush()
        except LinkClosed:
            self._protocol.data_to_send()

    async def _receive(self) -> bytes | bytearray:
        try:
            data = await self._stream.receive_some(MOST_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkClosed(self._lost()) from error
        if not data:
            raise LinkClosed(self._lost())
        return data

    async def _flush(self) -> None:
        with trio.CancelScope(shield=True):  # half a frame would end the link; Watched bounds the sending
            async with self._send_lock:
                data = b"".join(self._protocol.data_to_send())
                if not data:
                    return
                try:
                    await self._stream.send_all(data)
                except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                    raise LinkClosed(self._lost()) from error

    def _over(self) -> Closed | None:
        """Tell how the link ended; None while the peer's Close is not here and nothing was violated."""
        protocol = self._protocol
        if self._violation is not None:
            return self._violation
        if protocol.parser_exc is not None:
            sent = protocol.close_sent
            code, reason = (sent.code, sent.reason) if sent is not None else (ABNORMAL, "protocol violated")
            return Closed(int(code), reason, by_peer=False, clean=False)
        if protocol.close_rcvd is not None:
            received = protocol.close_rcvd
            by_peer = protocol.close_rcvd_then_sent is True
            return Closed(int(received.code), received.reason, by_peer=by_peer, clean=True)
        return None

    def _lost(self) -> Closed:
        return Closed(ABNORMAL, self._watch.fault or "connection lost", by_peer=True, clean=False)

    def _raise_unless_open(self) -> None:
        if self._protocol.state is not OPEN:
            raise LinkClosed(self._over() or Closed(ABNORMAL, "closing", by_peer=False, clean=False))


def _is_utf8(message: bytes) -> bool:
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True
