"""Serve one websocket, from its upgrade to its end.

Three tasks: one reads, one writes, one watches the clock; a fourth sends the snapshot. Only the writer
writes, so frames are never torn.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from socket import SO_SNDBUF, SOL_SOCKET

import trio
from wsproto import WSConnection
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import RemoteProtocolError

from streamd.simulators.avaya import authentication, feed, wire
from streamd.simulators.avaya.outgoing import Outgoing
from streamd.simulators.avaya.phase import TALKING, Phase
from streamd.simulators.avaya.service import Service
from streamd.simulators.avaya.snapshot import send_snapshot
from streamd.simulators.avaya.subscriptions import Subscription
from streamd.simulators.stream import Stream, hang_up, transport

_CLOSE_SECONDS = 2.0  # how long the peer has to answer our close frame


class Session:
    """One websocket; `number` counts from 1, `subscription` is set once it is confirmed."""

    def __init__(
        self, service: Service, stream: Stream, websocket: WSConnection, url_subscription: str
    ) -> None:
        """Take an open `stream` and a `websocket` that has accepted the upgrade."""
        service.sockets_opened += 1
        self.number = service.sockets_opened
        self.phase = Phase.UNAUTHENTICATED
        self.subscription: Subscription | None = None
        self.sent = 0
        self.closed = trio.Event()
        self.changed = trio.lowlevel.ParkingLot()
        self.outgoing = Outgoing(stream, self._frame)
        self._service, self._stream, self._websocket = service, stream, websocket
        self._url_subscription = url_subscription
        self._text: list[str] = []
        self._opened = self._since = self._last_ping = trio.current_time()
        self._close_by = math.inf
        self._expiry_done = -math.inf
        self._peer_closed = self._reset = False

    def __repr__(self) -> str:
        producer = self.subscription.producer if self.subscription else None
        return f"<Session {self.number} {self.phase.value} {producer} sent={self.sent}>"

    async def run(self) -> None:
        """Serve until the peer or the service ends it."""
        if self._service.faults.has("slow-reader-dropped"):
            transport(self._stream).setsockopt(SOL_SOCKET, SO_SNDBUF, 65536)
        self._service.sessions.append(self)
        try:
            await self._serve()
        finally:
            self._leave()
            await hang_up(self._stream, reset=self._reset)
            self.closed.set()

    async def _serve(self) -> None:
        try:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._write)
                self._nursery.start_soon(self._watch)
                await self._read()
                self._nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            self.phase = Phase.CLOSING  # the peer is gone: nothing can be said to it any more

    def _leave(self) -> None:
        self.phase = Phase.ENDED
        self._service.sessions.remove(self)
        if self.subscription is not None:
            feed.vanish(self._service, self.subscription.producer)

    # Receiving

    async def _read(self) -> None:
        while True:
            for event in self._events():
                self._handle(event)
            data = await self._stream.receive_some(65536)
            if not data:
                return
            if self.phase is not Phase.DEAD and not self._peer_closed:
                self._websocket.receive_data(bytes(data))

    def _events(self) -> Iterator[Event]:
        try:
            yield from self._websocket.events()
        except RemoteProtocolError:
            self.end("close:1002")

    def _handle(self, event: Event) -> None:
        match event:
            case Ping() if self.phase is not Phase.CLOSING:
                self._answer_ping(self._websocket.send(event.response()))
            case TextMessage():
                self._text.append(event.data)
                if event.message_finished:
                    text, self._text = "".join(self._text), []
                    self._handle_text(text)
            case BytesMessage() if self.phase in TALKING:
                self._refuse(authentication.CONSTRAINT_VIOLATION)
            case CloseConnection():
                self._handle_close(event)

    def _answer_ping(self, pong: bytes) -> None:
        self._last_ping = trio.current_time()
        faults = self._service.faults
        if faults.has("late-pong"):
            self._nursery.start_soon(self._pong_late, pong, faults.number("late-pong"))
        elif not faults.has("no-pong"):
            self.outgoing.say(pong)

    async def _pong_late(self, pong: bytes, seconds: float) -> None:
        await trio.sleep(seconds)
        if self.phase is not Phase.CLOSING:
            self.outgoing.say(pong)

    def _handle_close(self, event: CloseConnection) -> None:
        self._peer_closed = True
        if self.phase is Phase.CLOSING:
            self._nursery.cancel_scope.cancel()
            return
        self.outgoing.say(self._websocket.send(event.response()))
        self._enter_closing()

    def _handle_text(self, text: str) -> None:
        if self.phase not in TALKING:
            return
        if self.subscription is not None and self._service.faults.has("reauth-closes"):
            self.close()
        elif self.subscription is None or not self._service.faults.has("reauth-ignored"):
            now = trio.current_time()
            status, found = authentication.judge(self._service, text, self._url_subscription, now)
            (self._answer if self.subscription is None else self._answer_again)(status, found)

    def _answer(self, status: str, found: Subscription | None) -> None:
        if status == authentication.NO_REPLY:
            return
        if found is not None and not authentication.take_place(self._service, found):
            status, found = authentication.INTERNAL_SERVER_ERROR, None
        if found is None:
            self._refuse(status)
            return
        self.outgoing.say(wire.text_frame(authentication.reply(self._service, status)))
        self.subscription = found
        self._since = self._last_ping = trio.current_time()
        self.changed.unpark_all()
        self._start_snapshot(found)

    def _answer_again(self, status: str, found: Subscription | None) -> None:
        if found is not self.subscription:
            self._refuse(status if found is None else authentication.UNKNOWN_SUBSCRIPTION)
            return
        self.outgoing.say(wire.text_frame(authentication.reply(self._service, status)))
        if self._service.faults.has("reauth-snapshot"):
            self.snapshot_again()

    def _refuse(self, status: str) -> None:
        self.outgoing.say(wire.text_frame(authentication.reply(self._service, status)))
        keeps = self._service.faults.has("invalid-token-keeps-open")
        if not (status == authentication.INVALID_TOKEN and keeps):
            self.close()

    # Sending

    def listens_to(self, producer: str) -> bool:
        """Tell whether this socket is sent the messages of `producer`."""
        confirmed = self.phase in (Phase.SNAPSHOT, Phase.LIVE)
        return confirmed and self.subscription is not None and self.subscription.producer == producer

    def offer(self, messages: Sequence[wire.Message]) -> None:
        """Take live messages; never blocks. Until the snapshot is out they are held back (seed).

        A socket that leaves too much waiting is reset: the service cannot hold it all (row 18).
        """
        mixed = self._service.faults.has("live-in-snapshot")
        self.outgoing.put(messages, hold=self.phase is Phase.SNAPSHOT and not mixed)
        if self.outgoing.bytes > self._limit:
            self.end("rst")

    def snapshot_again(self) -> None:
        """Send INITIALIZING messages once more, unless a snapshot is under way."""
        if self.phase is Phase.LIVE and self.subscription is not None:
            self._start_snapshot(self.subscription)

    @property
    def _limit(self) -> float:
        return self._service.faults.number("slow-reader-dropped", self._service.options.outbox_bytes)

    def _start_snapshot(self, subscription: Subscription) -> None:
        self.phase = Phase.SNAPSHOT
        self._nursery.start_soon(self._snapshot, subscription)

    async def _snapshot(self, subscription: Subscription) -> None:
        await send_snapshot(self._service, subscription, self.outgoing, self._limit)
        if self.phase is Phase.SNAPSHOT:
            self.phase = Phase.LIVE
        self.outgoing.release()

    async def _write(self) -> None:
        while True:
            await self.outgoing.write()
            if self._peer_closed:
                self._nursery.cancel_scope.cancel()

    def _frame(self, messages: Sequence[wire.Message]) -> list[bytes]:
        """Log `messages`, which go out now, and return their frames."""
        assert self.subscription is not None, "data goes to confirmed sockets only"
        self.sent += len(messages)
        self._service.log.sent(time.time(), self.subscription.id, self.number, messages)
        return wire.framing(self._service.faults)(messages)

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
        yield self._close_by, lambda: self.end("fin")
        if self.phase in (Phase.DEAD, Phase.CLOSING):
            return
        faults, subscription = self._service.faults, self.subscription
        if subscription is None:
            yield self._opened + faults.number("auth-silence-seconds", 15.0), self.close
            return
        if faults.has("half-open"):
            yield self._since + faults.number("half-open"), self._go_dead
        yield self._last_ping + subscription.ping_interval, lambda: self._miss_ping(subscription)
        if subscription.expires_at != self._expiry_done:
            yield subscription.expires_at, lambda: self._expire(subscription)

    def _go_dead(self) -> None:
        self.phase = Phase.DEAD
        self.outgoing.stop()

    def _miss_ping(self, subscription: Subscription) -> None:
        subscription.inactive = True
        self.close()

    def _expire(self, subscription: Subscription) -> None:
        self._expiry_done = subscription.expires_at
        if self._service.faults.has("expiry-closes"):
            self.close()
        elif self._service.faults.has("expiry-silent"):
            self.phase = Phase.SILENT
            self.outgoing.stop_data()

    # Ending

    def close(self) -> None:
        """Close with the code that the service uses when it ends a socket by itself."""
        self.end(f"close:{int(self._service.faults.number('close-code', 1000))}")

    def end(self, mode: str) -> None:
        """End this socket: `fin` (no close frame), `rst`, or `close:CODE`. A second call is ignored.

        After a close frame the peer has two seconds to answer. A socket that is half-open says nothing.
        """
        if mode in ("fin", "rst"):
            self._reset = mode == "rst"
            self.phase = Phase.CLOSING
            self._nursery.cancel_scope.cancel()
        elif self.phase is Phase.DEAD:
            self.subscription = None
        elif self.phase is not Phase.CLOSING:
            self.outgoing.say(self._websocket.send(CloseConnection(code=int(mode.removeprefix("close:")))))
            self._enter_closing()

    def _enter_closing(self) -> None:
        self.phase = Phase.CLOSING
        self.outgoing.stop_data()
        self._close_by = trio.current_time() + _CLOSE_SECONDS
        self.changed.unpark_all()
