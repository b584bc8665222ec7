"""Call the client's server: one HTTP/1.1 request after another, over a connection kept while it can be."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

import h11
import trio

from streamd.simulators.stream import Stream, transport

_ANSWER_LIMIT = 65_536  # bytes


class Unanswered(Exception):
    """There was no answer."""


class Client:
    """Sends to any URL; one request at a time."""

    def __init__(self, trust: Callable[[], ssl.SSLContext]) -> None:
        self._trust = trust
        self._stream: Stream | None = None
        self._origin = ""
        self._connection = h11.Connection(h11.CLIENT)

    async def request(self, method: str, url: str, form: bytes, seconds: float) -> tuple[int, bytes]:
        """Return status and body of the answer; raise Unanswered when there is none within `seconds`.

        The URL is sent as it stands.
        """
        try:
            with trio.fail_after(seconds):
                return await self._request(method, urlsplit(url), form)
        except (OSError, ssl.SSLError, trio.TooSlowError, trio.BrokenResourceError) as error:
            raise Unanswered from error
        except (h11.RemoteProtocolError, h11.LocalProtocolError) as error:
            raise Unanswered from error
        finally:
            if self._connection.our_state is not h11.IDLE:
                self.close()

    def close(self) -> None:
        """Close TCP at once."""
        if self._stream is not None:
            transport(self._stream).socket.close()
            self._stream = None

    async def _request(self, method: str, url: SplitResult, form: bytes) -> tuple[int, bytes]:
        stream = await self._connected(url)
        headers = [("Host", url.netloc), ("User-Agent", "ISR")]
        if method == "POST":
            headers += [
                ("Content-Type", "application/x-www-form-urlencoded"),
                ("Content-Length", str(len(form))),
            ]
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        sent = self._connection.send(h11.Request(method=method, target=target, headers=headers)) or b""
        data = self._connection.send(h11.Data(data=form)) or b"" if form else b""
        await stream.send_all(sent + data + (self._connection.send(h11.EndOfMessage()) or b""))
        status, body = await self._receive(stream)
        if self._connection.our_state is h11.DONE and self._connection.their_state is h11.DONE:
            self._connection.start_next_cycle()
        return status, body

    async def _connected(self, url: SplitResult) -> Stream:
        if self._stream is not None:
            if self._origin == url.netloc and not transport(self._stream).socket.is_readable():
                return self._stream
            self.close()  # elsewhere, or ended: an idle connection that can be read from
        secure = url.scheme == "https"
        host = url.hostname or ""
        tcp = await trio.open_tcp_stream(host, url.port or (443 if secure else 80))
        tcp.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
        self._connection = h11.Connection(h11.CLIENT)
        self._stream, self._origin = tcp, url.netloc
        if secure:
            self._stream = trio.SSLStream(tcp, self._trust(), server_hostname=host)
        return self._stream

    async def _receive(self, stream: Stream) -> tuple[int, bytes]:
        status, body = 0, bytearray()
        while True:
            event = self._connection.next_event()
            if event is h11.NEED_DATA:
                self._connection.receive_data(bytes(await stream.receive_some(65_536)))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data[: _ANSWER_LIMIT - len(body)]
            elif isinstance(event, h11.EndOfMessage):
                return status, bytes(body)
