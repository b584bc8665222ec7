"""Scripted servers on real sockets, and the websocket wire format to script them with."""

from __future__ import annotations

import ssl
import struct
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha1

import pytest
import trio
import trustme

Script = Callable[[trio.abc.Stream], Awaitable[None]]


class Wire:
    """RFC 6455 from the server's side, unmasked and as wrong as a test wants it."""

    TEXT, BINARY, CONT, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10

    @staticmethod
    def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
        head = bytes([(0x80 if fin else 0) | opcode])
        if len(payload) < 126:
            return head + bytes([len(payload)]) + payload
        if len(payload) < 65536:
            return head + struct.pack("!BH", 126, len(payload)) + payload
        return head + struct.pack("!BQ", 127, len(payload)) + payload

    @classmethod
    def text(cls, payload: bytes) -> bytes:
        return cls.frame(cls.TEXT, payload)

    @classmethod
    def close(cls, code: int, reason: bytes = b"") -> bytes:
        return cls.frame(cls.CLOSE, struct.pack("!H", code) + reason)

    @staticmethod
    async def read_head(stream: trio.abc.Stream) -> bytes:
        head = b""
        while b"\r\n\r\n" not in head:
            data = await stream.receive_some()
            if not data:
                raise trio.BrokenResourceError
            head += data
        return head

    @classmethod
    async def upgrade(cls, stream: trio.abc.Stream, then: bytes = b"") -> bytes:
        """Answer the upgrade, with `then` in the same segment; return the request's head."""
        head = await cls.read_head(stream)
        key = head.lower().split(b"sec-websocket-key:")[1]
        key = head[len(head) - len(key) :].split(b"\r\n")[0].strip()
        accept = b64encode(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        await stream.send_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + then
        )
        return head

    @staticmethod
    async def read_frame(stream: trio.abc.Stream) -> tuple[int, bytes]:
        """Read one masked frame of a client, shorter than 64 KiB; return its opcode and payload."""

        async def exactly(size: int) -> bytes:
            data = b""
            while len(data) < size:
                more = await stream.receive_some(size - len(data))
                if not more:
                    raise trio.BrokenResourceError
                data += more
            return data

        first, second = await exactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await exactly(2))
        mask = await exactly(4)
        payload = await exactly(size)
        return first & 0x0F, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))

    @classmethod
    def answer(cls, opcode: int, payload: bytes) -> bytes:
        """Answer a ping by its pong, a Close by its echo."""
        return cls.frame(cls.PONG if opcode == cls.PING else opcode, payload)

    @classmethod
    async def say_goodbye(cls, stream: trio.abc.Stream) -> None:
        """Wait for the client's Close, whatever else it sends, and echo it."""
        opcode, payload = await cls.read_frame(stream)
        while opcode != cls.CLOSE:
            opcode, payload = await cls.read_frame(stream)
        await stream.send_all(cls.answer(opcode, payload))


@pytest.fixture
def wire() -> type[Wire]:
    return Wire


@pytest.fixture
async def serve(nursery: trio.Nursery) -> Callable[..., Awaitable[int]]:
    """Return `serve(script, tls=None)`: runs `script(stream)` for each connection; gives the port."""

    async def start(script: Script, tls: ssl.SSLContext | None = None) -> int:
        async def handle(stream: trio.SocketStream) -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await script(stream if tls is None else trio.SSLStream(stream, tls, server_side=True))

        listeners = await nursery.start(trio.serve_tcp, _closing(handle), 0)
        port: int = listeners[0].socket.getsockname()[1]
        return port

    return start


def _closing(handle: Callable[[trio.SocketStream], Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def run(stream: trio.SocketStream) -> None:
        try:
            await handle(stream)
        finally:
            await trio.aclose_forcefully(stream)

    return run


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
