"""What a websocket is to the rest of streamd, whichever engine carries it."""

from __future__ import annotations

from time import monotonic
from typing import Protocol

import trio
from msgspec import Struct

from streamd.errors import Transient
from streamd.transport.stream import Opened
from streamd.transport.websocket.inbox import Closed, Inbox, LinkClosed

CLOSE_SECONDS = 1.5


class WebSocket(Protocol):
    """An open websocket. One task receives; any task may send, ping and close."""

    async def receive(self) -> list[bytes]:
        """Return every complete message that is here, at least one, text as UTF-8.

        Raises LinkClosed once the link has ended and all messages before its end were handed out.
        """

    async def send(self, message: str | bytes) -> None:
        """Send one message, `str` as text; a cancelled call still sends the whole frame.

        Raises LinkClosed when the link is or goes down; whether the message arrived is then unknown.
        """

    async def ping(self, timeout: float) -> float:  # noqa: ASYNC109 -- a missed pong is not always an error
        """Ping the peer and wait up to `timeout` seconds for its pong; return the seconds that took.

        Bytes that came since the ping was sent prove life too (a pong stands behind a backlog in the
        stream): then `timeout` ends the wait without an error. Raises Transient when there was neither,
        LinkClosed when the link is or goes down.
        """

    async def aclose(self, code: int = 1000) -> None:
        """Say goodbye with `code`, wait at most CLOSE_SECONDS for the answer, and cut the connection."""

    @property
    def last_bytes_at(self) -> float:
        """Monotonic seconds at which bytes last came from the peer."""

    @property
    def drained_at(self) -> float:
        """Monotonic seconds: every message complete on this host before it was returned by `receive`."""


class Engine(Protocol):
    """One websocket implementation on one stream."""

    async def run(self, inbox: Inbox, *, task_status: trio.TaskStatus[None]) -> Closed:
        """Upgrade, report started, then put messages into `inbox` until the link ends; return its end.

        What was read is in the inbox before the stream is asked for more: `drained_at` rests on that.
        Raises, before started only: HandshakeRejected, ProtocolViolation, Rejected, Transient.
        """

    async def send(self, message: str | bytes) -> None:
        """Send one message whole or break the stream; raises LinkClosed."""

    async def ping(self) -> None:
        """Send a ping and return when its pong came; one call at a time.

        Raises LinkClosed, with all that came before the end in the inbox: what is told here is its end.
        """

    async def close(self, code: int) -> None:
        """Send a Close frame and return when the peer answered or the link ended."""


class _Ping(Struct):
    sent_at: float
    answered: trio.Event
    waiting: trio.CancelScope


class Link:
    """A WebSocket over any engine; its tasks live in `nursery`."""

    def __init__(self, opened: Opened, engine: Engine, inbox: Inbox, nursery: trio.Nursery) -> None:
        self._stream = opened.stream
        self._watch = opened.watch
        self._engine = engine
        self._inbox = inbox
        self._nursery = nursery
        self._scope = trio.CancelScope()
        self._closing = False
        self._ping: _Ping | None = None
        self._handed_out_at = opened.watch.drained_at

    async def open(self) -> None:
        """Upgrade, and read from then on until `aclose`, which must follow. Raises what Engine.run does."""
        await self._nursery.start(self._run)
        # A cancelled session still says goodbye, and the answer to that must be read.
        self._scope.shield = True

    async def receive(self) -> list[bytes]:
        messages = await self._inbox.take()
        # The inbox is empty at this very moment, so this stamp belongs to what is returned.
        self._handed_out_at = self._watch.drained_at
        return messages

    async def send(self, message: str | bytes) -> None:
        self._raise_if_ended()
        # Half a frame on the wire would end the link, so a cancelled caller waits for the other half;
        # Watched bounds the wait for a peer that does not read.
        with trio.CancelScope(shield=True):
            await self._engine.send(message)
        await trio.lowlevel.checkpoint_if_cancelled()

    async def ping(self, timeout: float) -> float:  # noqa: ASYNC109 -- see WebSocket.ping
        self._raise_if_ended()
        if self._ping is None:
            self._ping = _Ping(monotonic(), trio.Event(), trio.CancelScope())
            self._nursery.start_soon(self._await_pong, self._ping)
        ping, asked_at = self._ping, monotonic()
        with trio.move_on_after(timeout):
            await ping.answered.wait()
            self._raise_if_ended()
            return monotonic() - ping.sent_at
        if self._watch.last_bytes_at > asked_at:
            # Forgotten, for the next one must go out: the vendor may count pings and never answer them.
            if self._ping is ping:
                self._ping = None
            ping.waiting.cancel()
            return monotonic() - ping.sent_at
        raise Transient(f"no pong and no other byte within {timeout:g} s")

    async def aclose(self, code: int = 1000) -> None:
        if not self._closing:
            self._closing = True
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
                if self._inbox.closed is None:
                    await self._engine.close(code)
        self._scope.cancel()
        self._end(Closed(code, "closed here", by_peer=False, clean=False))
        await trio.aclose_forcefully(self._stream)

    @property
    def last_bytes_at(self) -> float:
        return self._watch.last_bytes_at

    @property
    def drained_at(self) -> float:
        if self._inbox.empty:
            self._handed_out_at = self._watch.drained_at
        return self._handed_out_at

    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Run the engine until the link ends; its end goes behind the messages in the inbox."""
        with self._scope:
            closed = await self._engine.run(self._inbox, task_status=task_status)
            if not self._closing:
                self._end(closed)

    async def _await_pong(self, ping: _Ping) -> None:
        with ping.waiting:
            try:
                await self._engine.ping()
            except LinkClosed as error:
                self._end(error.closed)
        if self._ping is ping:
            self._ping = None
        ping.answered.set()

    def _end(self, closed: Closed) -> None:
        self._inbox.end(closed)
        if self._ping is not None:
            self._ping.answered.set()

    def _raise_if_ended(self) -> None:
        if self._inbox.closed is not None:
            raise LinkClosed(self._inbox.closed)
