"""What a server and whoever answers its requests say to each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Protocol

from msgspec import Struct, field

from streamd.errors import StreamdError

CLIENT_LEFT = 499
"""The status told of a request whose client left before it had its answer; never sent."""


class Request(Struct, frozen=True):
    """A request that was read to its end, or its head while `body` is still to come.

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
Send = Callable[[bytes], Awaitable[None]]


class Streamed(Struct, frozen=True):
    """An answer that is sent while it is made, without a deadline; it ends its connection.

    `write` is cancelled when the client leaves. What it raises cuts the answer short, and the client sees it.
    """

    status: int
    headers: Mapping[str, str]
    write: Callable[[Send], Awaitable[None]]


class Refusal(StreamdError):
    """A request is not served as it came: the client gets `status` and nothing else."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class ClientLeft(StreamdError):
    """The client has closed its connection before its request was whole."""


class Body(Protocol):
    """A request's body as it comes in."""

    async def receive(self) -> bytes:
        """Give what has come next, b"" at the end. Raises Refusal and ClientLeft, which are the server's."""
        ...


class Service(Protocol):
    """Who answers the requests of a server, and is told what became of each."""

    async def serve(self, head: Request, body: Body) -> Response | Streamed:
        """Answer one request; `body` need not be read. What else it raises becomes a 500."""
        ...

    def refusal(self, status: HTTPStatus) -> Response:
        """Make the answer for a request that is refused; it must tell nothing of the inside."""
        ...

    def answered(self, head: Request, status: int) -> None:
        """Be told of the end of a request whose head was read."""
        ...

    def turned_away(self, peer: str, reason: str) -> None:
        """Be told of a connection that brought no request: not HTTP, no TLS, too slow, one too many."""
        ...

    def crashed(self, head: Request, error: Exception) -> None:
        """Be told of the bug behind a 500, or behind an answer that HTTP does not allow."""
        ...
