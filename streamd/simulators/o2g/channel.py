"""Serve one event channel: an endless chunked response of JSON lines (section 1.7).

Three tasks: one writes, one watches the clock, one notices that the peer has gone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from socket import SO_SNDBUF, SOL_SOCKET
from typing import TYPE_CHECKING

import h11
import trio

from streamd.simulators.o2g.subscriptions import Subscription
from streamd.simulators.o2g.wire import CHUNK_STARTED, KEEPALIVE, Line, channel_information, encode
from streamd.simulators.stream import Stream, hang_up, transport

if TYPE_CHECKING:
    from streamd.simulators.o2g.host import Host
    from streamd.simulators.o2g.service import Service

_BATCH = 512  # lines in one write at most
ENDS = ("clean", "fin", "rst")


class Channel:
    """One channel; `number` counts from 1 over all hosts, `bytes` wait to be written."""

    def __init__(self, service: Service, host: Host, subscription: Subscription) -> None:
        service.channels_opened += 1
        self.number = service.channels_opened
        self.host = host
        self.subscription = subscription
        self.bytes = self.sent = 0
        self.closed = trio.Event()
        self.changed = trio.lowlevel.ParkingLot()
        self._service = service
        self._ready: list[Line] = []
        self._work = trio.Event()
        self._scope = trio.CancelScope()
        self._takes = True
        self._dead = self._reset = False
        self._opened = self._last_line = self._last_beat = trio.current_time()

    def __repr__(self) -> str:
        return f"<Channel {self.number} sent={self.sent} waiting={self.bytes}>"

    async def serve(self, connection: h11.Connection, stream: Stream) -> None:
        """Serve until the peer or the service ends it."""
        if self._service.faults.has("slow-reader-dropped") or self._service.faults.has("slow-reader-skips"):
            transport(stream).setsockopt(SOL_SOCKET, SO_SNDBUF, 65536)
        self._begin()
        try:
            with self._scope:
                await self._serve(connection, stream)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            self._takes = False  # the peer is gone: nothing can be said to it any more
        finally:
            self._leave()
            await hang_up(stream, reset=self._reset)
            self.closed.set()

    def _begin(self) -> None:
        faults, subscription = self._service.faults, self.subscription
        subscription.channels.append(self)
        subscription.opened += 1
        self.offer([channel_information(CHUNK_STARTED)])
        if faults.spend("close-after-start"):
            self.end("clean")
            return
        again = int(faults.number("repeat-on-reopen"))
        if subscription.opened > 1 and again:
            self.offer(list(subscription.recent)[-again:])
        self.offer(list(subscription.waiting))
        subscription.waiting.clear()

    async def _serve(self, connection: h11.Connection, stream: Stream) -> None:
        head = h11.Response(
            status_code=200,
            headers=[("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")],
        )
        await stream.send_all(connection.send(head) or b"")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, connection, stream)
            nursery.start_soon(self._watch)
            while await stream.receive_some(4096):
                pass
            nursery.cancel_scope.cancel()

    def _leave(self) -> None:
        self._takes = False
        self.subscription.channels.remove(self)
        if self.subscription.ended and not self.subscription.channels:
            self.host.accounts.subscriptions.pop(self.subscription.id, None)
        self._service.log.missed(self.subscription.id, self._ready)
        self._ready = []

    # Sending

    def offer(self, lines: Sequence[Line]) -> bool:
        """Take lines; never blocks; tell whether they were taken.

        What nobody reads is lost, or ends the channel (row 25).
        """
        if not self._takes:
            return False
        skips = self._service.faults.number("slow-reader-skips", math.inf)
        if self.bytes > skips:
            return False
        self._ready += lines
        if lines and lines[0].package:
            self._last_line = trio.current_time()
        self.bytes += sum(len(each.payload) for each in lines)
        self._work.set()
        dropped = self._service.faults.number("slow-reader-dropped", self._service.options.outbox_bytes)
        if self.bytes > dropped:
            self.end("rst")
        return True

    async def _write(self, connection: h11.Connection, stream: Stream) -> None:
        while True:
            await self._work.wait()
            self._work = trio.Event()
            while self._ready and not self._dead:
                await self._send(connection, stream, self._take())
            if not self._takes and not self._dead:
                await self._finish(connection, stream)
                return

    def _take(self) -> bytes:
        """Take what is to be written next off the queue, record it as handed over, and return it."""
        lines = self._ready[:_BATCH]
        del self._ready[:_BATCH]
        self.bytes -= sum(len(each.payload) for each in lines)
        self.sent += len(lines)
        self.subscription.recent.extend(lines[-100:])
        self._service.log.sent(self.subscription.id, self.number, lines)
        if self._service.faults.has("channel-keeps-session"):
            self.host.accounts.touch(self.subscription.session)
        end = b"\r\n" if self._service.faults.has("crlf") else b"\n"
        return end.join([*(each.payload for each in lines), b""])

    async def _send(self, connection: h11.Connection, stream: Stream, data: bytes) -> None:
        for chunk in self._chunks(data):
            await stream.send_all(connection.send(h11.Data(data=chunk)) or b"")

    def _chunks(self, data: bytes) -> Iterable[bytes]:
        faults, draw = self._service.faults, self._service.exchange.random
        if faults.has("chunk-per-line"):
            return data.splitlines(keepends=True)
        if faults.has("chunk-random"):
            return _cut(data, lambda: 1 + int(draw.random() * 200))
        size = max(1, int(faults.number("chunk-bytes", len(data))))
        return _cut(data, lambda: size)

    async def _finish(self, connection: h11.Connection, stream: Stream) -> None:
        """End cleanly: the last lines, as switches want them, the last chunk, FIN."""
        faults = self._service.faults
        last = b""
        if faults.has("message-before-close"):
            last += encode({"eventName": "Message", "text": "ERROR: Socket Closed by timeout"}) + b"\n"
        if faults.has("truncated-end"):
            cut = {"eventName": "OnUserStateModified", "loginName": "odd-truncated", "state": "BUSY"}
            last += encode(cut)[:-12]
        elif faults.has("unterminated-end"):
            last += self._last_state()
        if last:
            await self._send(connection, stream, last)
        await stream.send_all(connection.send(h11.EndOfMessage()) or b"")
        self._scope.cancel()

    def _last_state(self) -> bytes:
        """Return a line, recorded as sent, that says of one user what he is anyway; empty: none is heard."""
        for user in self._service.exchange.people.users.values():
            event = {"eventName": "OnUserStateModified", "loginName": user.login, "state": user.state}
            found = Line(encode(event), "telephony", user.login, event["eventName"])
            if self.subscription.hears(found):
                self._service.log.sent(self.subscription.id, self.number, [found])
                return found.payload
        return b""

    # Time

    async def _watch(self) -> None:
        while True:
            at, act = min(self._deadlines(), key=lambda deadline: deadline[0])
            if at <= trio.current_time():
                act()
                await trio.lowlevel.checkpoint()
                continue
            with trio.move_on_at(at):
                await self.changed.park()

    def _deadlines(self) -> Iterator[tuple[float, Callable[[], None]]]:
        """Yield what happens when, on trio's clock, should nothing change before."""
        yield math.inf, self._go_dead
        if self._dead or not self._takes:
            return
        faults, service = self._service.faults, self._service
        if faults.has("half-open"):
            yield self._opened + faults.number("half-open"), self._go_dead
        timeout = self.subscription.timeout_minutes
        if timeout:
            since = self._last_line if faults.has("timeout-idle") else self._opened
            yield since + service.scaled(timeout * 60), lambda: self.end("clean")
        if not faults.has("no-heartbeat") and (not timeout or faults.has("heartbeat-always")):
            period = faults.number("heartbeat-seconds", service.options.heartbeat_seconds)
            yield self._last_beat + service.scaled(max(0.01, period)), self._beat

    def _beat(self) -> None:
        self._last_beat = trio.current_time()
        self.offer([channel_information(KEEPALIVE)])

    def _go_dead(self) -> None:
        self._dead = True
        self.changed.unpark_all()

    # Ending

    def end(self, mode: str) -> None:
        """End this channel: `clean` (what waits, then the last chunk), `fin` (in mid-body) or `rst`.

        A channel that is half-open keeps silent on a clean end. A second call only makes it harder.
        """
        if mode not in ENDS:
            raise ValueError(f"{mode!r}: {', '.join(ENDS)}")
        self._takes = False
        self._work.set()
        self.changed.unpark_all()
        if mode != "clean":
            self._reset = mode == "rst"
            self._scope.cancel()


def _cut(data: bytes, size: Callable[[], int]) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = start + size()
        yield data[start:end]
        start = end
