"""Call the client's servers: HTTP/1.1 on h11 over trio, with bodies that drip or end too early."""

from __future__ import annotations

import gzip
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import SplitResult, urlsplit

import h11
import trio
from msgspec import Struct

from streamd.simulators.stream import Stream, transport

_ANSWER_LIMIT = 1024 * 1024  # bytes
_CHUNK = 16_384  # bytes of body in an HTTP chunk
_DRIPS = 10


class Answer(Struct, frozen=True):
    """What the client answered; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Unanswered(Exception):
    """There was no answer; `reason` in one word or two."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Manner(Struct, frozen=True):
    """How a body is sent. `abort` cuts it in the middle, `forget` hangs up before the answer."""

    gzip: bool = False
    chunked: bool = False
    slow_seconds: float = 0.0
    abort: bool = False
    forget: bool = False


PLAIN = Manner()


class Caller:
    """POST to one URL, over a connection that is kept while it can be; one call at a time."""

    def __init__(self, url: str, trust: Callable[[], ssl.SSLContext]) -> None:
        self._url, self._trust = url, trust
        self._stream: Stream | None = None
        self._connection = h11.Connection(h11.CLIENT)

    async def post(
        self, headers: Mapping[str, str], body: bytes, seconds: float, manner: Manner = PLAIN
    ) -> Answer:
        """Return the answer; raise Unanswered when there is none within `seconds` (real)."""
        try:
            with trio.fail_after(seconds):
                return await self._post(headers, body, manner)
        except trio.TooSlowError as error:
            reason: Exception = error
        except (OSError, ssl.SSLError) as error:
            reason = error
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            reason = error
        except (h11.RemoteProtocolError, h11.LocalProtocolError, ValueError) as error:
            reason = error
        finally:
            if self._connection.our_state is not h11.IDLE:
                self.close()
        secure = isinstance(reason.__cause__, ssl.SSLError) or isinstance(reason, ssl.SSLError)
        raise Unanswered("TLS" if secure else _REASONS.get(type(reason), "unreachable")) from reason

    def close(self) -> None:
        """Close TCP at once."""
        if self._stream is not None:
            transport(self._stream).socket.close()
            self._stream = None

    async def _post(self, headers: Mapping[str, str], body: bytes, manner: Manner) -> Answer:
        url = urlsplit(self._url)
        stream = await self._connected(url)
        if manner.gzip:
            body = gzip.compress(body, 1)
        await self._send(stream, _request(url, headers, body, manner), body, manner)
        if manner.forget:
            raise h11.RemoteProtocolError("hung up on purpose")
        answer = await self._receive(stream)
        if self._connection.our_state is h11.DONE and self._connection.their_state is h11.DONE:
            self._connection.start_next_cycle()
        return answer

    async def _connected(self, url: SplitResult) -> Stream:
        if self._stream is not None:
            if not transport(self._stream).socket.is_readable():
                return self._stream
            self.close()  # an idle connection that can be read from has ended
        if url.scheme not in ("http", "https") or url.hostname is None:
            raise ValueError("no URL")
        secure = url.scheme == "https"
        tcp = await trio.open_tcp_stream(url.hostname, url.port or (443 if secure else 80))
        tcp.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
        self._connection = h11.Connection(h11.CLIENT)
        self._stream = tcp
        if secure:
            self._stream = trio.SSLStream(tcp, self._trust(), server_hostname=url.hostname)
        return self._stream

    async def _send(self, stream: Stream, head: h11.Request, body: bytes, manner: Manner) -> None:
        start = self._connection.send(head) or b""
        if manner == PLAIN or manner == Manner(gzip=True):
            data = self._connection.send(h11.Data(data=body)) or b""
            await stream.send_all(start + data + (self._connection.send(h11.EndOfMessage()) or b""))
            return
        await stream.send_all(start)
        sent = body[: len(body) // 2] if manner.abort else body
        size = max(1, len(body) // _DRIPS) if manner.slow_seconds else _CHUNK
        for begin in range(0, len(sent), size):
            await trio.sleep(manner.slow_seconds / _DRIPS)
            data = self._connection.send(h11.Data(data=sent[begin : begin + size])) or b""
            await stream.send_all(data)
        if manner.abort:
            raise h11.LocalProtocolError("cut on purpose")
        await stream.send_all(self._connection.send(h11.EndOfMessage()) or b"")

    async def _receive(self, stream: Stream) -> Answer:
        head: h11.Response | None = None
        body = bytearray()
        while True:
            event = self._connection.next_event()
            if event is h11.NEED_DATA:
                self._connection.receive_data(bytes(await stream.receive_some(65_536)))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > _ANSWER_LIMIT:
                    raise ValueError("too long an answer")
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
                return Answer(head.status_code, headers, bytes(body))


def _request(url: SplitResult, headers: Mapping[str, str], body: bytes, manner: Manner) -> h11.Request:
    host = url.netloc.rpartition("@")[2]
    sent = [("Host", host), *headers.items()]
    sent.append(("Transfer-Encoding", "chunked") if manner.chunked else ("Content-Length", str(len(body))))
    if manner.gzip:
        sent.append(("Content-Encoding", "gzip"))
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    return h11.Request(method="POST", target=target, headers=sent)


_REASONS: Mapping[type[Exception], str] = {
    trio.TooSlowError: "timeout",
    h11.LocalProtocolError: "not sent",
    ValueError: "not sent",
    h11.RemoteProtocolError: "no answer",
    trio.BrokenResourceError: "cut",
    trio.ClosedResourceError: "cut",
}
