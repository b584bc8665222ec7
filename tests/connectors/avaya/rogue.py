"""An Avaya server that does what a test says: REST answers and websockets, byte by byte."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha1
from typing import Any, NamedTuple

import trio

from tests.transport.conftest import Wire

QUEUE = "Queue_itd_1.0.0"
CONFIRMED = b'{"event":"authenticationResponse","status":"CONNECTION_CONFIRMED"}'
_ID = "0b7f5a52-6d0e-4b53-9a0c-3f1c7d2e8a11"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Socket = Callable[[trio.SocketStream, int], Awaitable[None]]
"""Plays a websocket after its upgrade; the number counts them from 1."""
Answer = tuple[int, dict[str, str], Any]
Rest = Callable[[str, str], Answer | Awaitable[Answer | None] | None]
"""Status, further headers, and the body to be written as JSON."""


class Request(NamedTuple):
    at: float
    method: str
    path: str


def message(
    row: object, payload_type: str = "LIVE", action: str = "UPSERT", producer: str = QUEUE, **measures: str
) -> bytes:
    """Write a message of the key `q-<row>`; by default its one measure is `n`, the row."""
    return json.dumps(
        {
            "accountId": "ABCDEF",
            "eventSourceId": "IXCC_1.0.0",
            "measureProducerId": producer,
            "payloadType": payload_type,
            "eventAction": action,
            "keys": {"queueId": f"q-{row}"},
            "measures": measures or {"n": str(row)},
        }
    ).encode()


async def confirm(stream: trio.SocketStream, *messages: bytes) -> None:
    """Take the authentication and confirm it, with `messages` right behind."""
    await Wire.read_frame(stream)
    await stream.send_all(b"".join(map(Wire.text, (CONFIRMED, *messages))))


async def answer_pings(stream: trio.SocketStream) -> None:
    """Answer pings for ever."""
    while True:
        opcode, payload = await Wire.read_frame(stream)
        if opcode == Wire.PING:
            await stream.send_all(Wire.frame(Wire.PONG, payload))


class Rogue:
    """The server. `rest` may answer a call instead of it: None leaves it the usual answer."""

    def __init__(self, play: Socket) -> None:
        self.play = play
        self.rest: Rest = lambda method, path: None
        self.sockets = 0
        self.requests: list[Request] = []
        self.expires_in: float | None = 900.0
        self.token_seconds = 900.0
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self, method: str, end: str) -> list[float]:
        """Give when calls of `method` were made to a path that ends in `end`."""
        return [each.at for each in self.requests if each.method == method and each.path.endswith(end)]

    def subscription(self, **changes: Any) -> dict[str, Any]:
        """Make the usual subscription; a change to None leaves the field out."""
        transport = {"endpoint": f"ws://127.0.0.1:{self.port}/ws", "pingInterval": 300}
        fields = {
            "subscriptionId": _ID,
            "status": "ACTIVE",
            "transport": transport,
            "expiresIn": self.expires_in,
        }
        return {name: value for name, value in (fields | changes).items() if value is not None}

    async def serve(self, stream: trio.SocketStream) -> None:
        try:
            await self._serve(stream)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client has gone

    async def _serve(self, stream: trio.SocketStream) -> None:
        request = await Wire.read_head(stream)
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if headers.get("upgrade", "").lower() == "websocket":
            await self._upgrade(stream, headers["sec-websocket-key"].encode())
            return
        while len(body) < int(headers.get("content-length", 0)):
            body += await stream.receive_some()
        self.requests.append(Request(trio.current_time(), method, path.partition("?")[0]))
        answer = self.rest(method, path)
        if isinstance(answer, Awaitable):
            answer = await answer
        status, more, content = answer or self.usual(method, path)
        payload = json.dumps(content).encode()
        fields = {"Content-Length": str(len(payload)), "Connection": "close", **more}
        written = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        await stream.send_all(f"HTTP/1.1 {status} X\r\n{written}\r\n".encode() + payload)
        await stream.aclose()

    async def _upgrade(self, stream: trio.SocketStream, key: bytes) -> None:
        accept = b64encode(sha1(key + _GUID, usedforsecurity=False).digest())
        await stream.send_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self.sockets += 1
        await self.play(stream, self.sockets)

    def usual(self, method: str, path: str) -> Answer:
        if path.endswith("/token"):
            token = f"token-number-{len(self.requests)}-and-some-more"
            return 200, {}, {"access_token": token, "expires_in": self.token_seconds}
        if "measure-producers" in path or method == "DELETE":
            return 404, {}, {}
        return 201 if path.endswith("/subscriptions") else 200, {}, self.subscription()


@asynccontextmanager
async def open_rogue(play: Socket) -> AsyncIterator[Rogue]:
    """Open the server on loopback until the block is left."""
    rogue = Rogue(play)
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        rogue.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, rogue.serve, listeners)
        yield rogue
        nursery.cancel_scope.cancel()
