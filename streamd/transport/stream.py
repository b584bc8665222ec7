"""TCP streams, with or without TLS and proxy, that say what has been read of them."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import NamedTuple

import trio

from streamd.errors import Rejected, Transient
from streamd.transport.faults import certificate_refusal, fault_words
from streamd.transport.proxy import ask_tunnel, parse_proxy, place
from streamd.transport.rounds import MOST_BYTES, ROOM_BYTES, Lost, Reading, Take, rounds

SEND_SECONDS = 10.0
_MUCH_BYTES = 65_536  # what brings so much may be all that the peer was allowed to send: more comes at once
# A reader that stood still so long, and then finds ROOM_BYTES, may have had no room for more: the peer's
# kernel keeps what it was given, and sends it once this end reads again.
STILL_SECONDS = 0.25
CATCH_UP_SECONDS = 2.0

# A peer that vanished is noticed in about 30 s: unanswered probes on a silent link, unacknowledged
# bytes on a busy one.
SOCKET_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000),
)


class Watched(trio.abc.Stream):
    """A TCP stream that keeps the proof of what was read from it; TLS stands on top of it.

    `last_bytes_at`: monotonic seconds at which bytes had last come (the connecting, before any did).
    `drained_at`: monotonic seconds; all bytes that had reached this host before it were taken by the layer
    above, which had also done with them: it is set when that layer asks for more (calls again, or returns
    True to `pour`) and the kernel had no more.
    `caught_up_at`: monotonic seconds; nothing that the peer sent before it is kept back for want of room.
    `fault`: how the stream ended, in words; None while it is up.
    A send that the peer does not take within `send_seconds` breaks the stream; one into a connection that
    the peer has cut is told by `receive_some` alone.
    """

    def __init__(self, stream: trio.SocketStream, send_seconds: float = SEND_SECONDS) -> None:
        self._stream = stream
        self._send_seconds = send_seconds
        self.last_bytes_at = self.drained_at = monotonic()
        self._empty_at = self.caught_up_at = self.drained_at
        self._went_on_at: float | None = None
        self._more = False  # the last reading may have left something
        self._number = stream.socket.fileno()
        self._rounds = rounds()
        self._rounds.add(self._number)
        self.fault: str | None = None

    @property
    def has_unread(self) -> bool:
        """Tell whether bytes, or the end, have come that were not read yet."""
        kernel = select.poll()
        kernel.register(self._number, select.POLLIN)
        return bool(kernel.poll(0))

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        # Only a new call proves that the layer above has worked off what the last one returned.
        self.drained_at = self._empty_at
        most = min(max_bytes or MOST_BYTES, MOST_BYTES)
        readings: list[Reading] = []
        await self._listen(most, readings.append)
        [reading] = readings
        self._note(reading, most)
        return reading.data

    async def pour(self, take: Callable[[bytes], bool]) -> None:
        """Have `take` called with what comes, as it is read, until it returns False; b"" at the end.

        It is called by another task, and by True says that it has worked off what it was given. Raises what
        it raises, and as `receive_some` does.
        """
        self.drained_at = self._empty_at
        wants_more = True

        def work_off(reading: Reading) -> bool:
            nonlocal wants_more
            self._note(reading, MOST_BYTES)
            wants_more = take(reading.data) and bool(reading.data)
            if wants_more:
                self.drained_at = self._empty_at
            return wants_more and not self._more

        while wants_more:
            await self._listen(MOST_BYTES, work_off)

    async def _listen(self, most: int, take: Take) -> None:
        """Have `take` called with what is there, or else with what comes until it wants no more."""
        if self._more:
            await trio.lowlevel.checkpoint()
        if self._number < 0:
            raise trio.ClosedResourceError("this stream was closed")
        try:
            reading = self._read_on(most) if self._more else None
            if reading is not None:
                take(reading)
            else:
                await self._rounds.listen(self._number, most, take)
        except Lost as error:
            self.fault = fault_words(error)
            raise

    def _read_on(self, most: int) -> Reading | None:
        before = monotonic()
        reading = self._rounds.read(self._number, most)
        if reading is None:
            self._note_empty(before)
            self.drained_at = before
        return reading

    def _note(self, reading: Reading, most: int) -> None:
        """Note what a reading proves."""
        size = len(reading.data)
        if size >= ROOM_BYTES and reading.at - self._empty_at > STILL_SECONDS:
            self._went_on_at = reading.at
        if size < most:
            self._note_empty(reading.at)
        self._more = size >= min(most, _MUCH_BYTES)
        if size:
            self.last_bytes_at = reading.at
        else:
            self.drained_at = reading.at
            self.fault = self.fault or "end of stream"

    def _note_empty(self, at: float) -> None:
        """Note that the kernel had no more `at` this instant."""
        self._empty_at = at
        if self._went_on_at is None or at - self._went_on_at > CATCH_UP_SECONDS:
            self._went_on_at = None
            self.caught_up_at = at

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        with trio.move_on_after(self._send_seconds) as deadline:
            try:
                await self._stream.send_all(data)
            except trio.BrokenResourceError as error:
                # Raised here, it would make TLS and trio-websocket drop what the peer sent before it left,
                # and the peer's reason with it: the reading meets the same end, after all of that.
                self.fault = self.fault or fault_words(error)
        if deadline.cancelled_caught:
            self.fault = f"the peer took no bytes for {self._send_seconds:g} s"
            raise trio.BrokenResourceError(self.fault)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        self.fault = self.fault or "closed here"
        self._rounds.leave(self._number)
        self._number = -1
        await self._stream.aclose()


class Opened(NamedTuple):
    """`stream` to read and write, `watch` at its TCP level; closing `stream` closes both."""

    stream: trio.abc.Stream
    watch: Watched

    async def pour(self, take: Callable[[bytes], bool]) -> None:
        """Have `take` called with what comes, until it returns False; b"" at the end (`Watched.pour`)."""
        if self.stream is self.watch:
            await self.watch.pour(take)
            return
        while take(data := bytes(await self.stream.receive_some())) and data:
            pass


async def open_tcp_stream(
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    proxy: str | None = None,
    timeout: float,  # noqa: ASYNC109 -- one deadline over all the steps, mapped to Transient here
) -> Opened:
    """Connect to `host:port`, through `proxy` (`http://…`) where given, with the TLS handshake done.

    `timeout` bounds all of it, in seconds. `server_hostname` is the name in the certificate, `host` unless
    given. Raises Rejected for certificates and for a proxy that refuses us, Transient for the rest.
    """
    try:
        with trio.fail_after(timeout):
            return await _open(host, port, tls, server_hostname or host, proxy)
    except trio.TooSlowError as error:
        raise Transient(f"{place(host, port)} could not be reached within {timeout:g} s") from error


async def _open(
    host: str, port: int, tls: ssl.SSLContext | None, server_hostname: str, proxy: str | None
) -> Opened:
    via = parse_proxy(proxy) if proxy is not None else None
    watch = await _connect(via.host, via.port) if via is not None else await _connect(host, port)
    try:
        if via is not None:
            await _mapped(place(via.host, via.port), ask_tunnel(watch, via, host, port))
        if tls is None:
            return Opened(watch, watch)
        # https_compatible: servers and balancers end TLS by closing TCP, and we never wait for a goodbye.
        secured = trio.SSLStream(watch, tls, server_hostname=server_hostname, https_compatible=True)
        await _mapped(place(host, port), secured.do_handshake())
    except BaseException:
        await trio.aclose_forcefully(watch)
        raise
    return Opened(secured, watch)


async def _connect(host: str, port: int) -> Watched:
    try:
        stream = await trio.open_tcp_stream(host, port)
    except OSError as error:
        raise Transient(f"cannot connect to {place(host, port)}: {fault_words(error)}") from error
    for level, option, value in SOCKET_OPTIONS:
        stream.setsockopt(level, option, value)
    return Watched(stream)


async def _mapped(where: str, step: Awaitable[None]) -> None:
    try:
        await step
    except trio.BrokenResourceError as error:
        refusal = certificate_refusal(error)
        if refusal is not None:
            raise Rejected(f"{where}: {refusal}") from error
        raise Transient(f"{where}: {fault_words(error)}") from error
