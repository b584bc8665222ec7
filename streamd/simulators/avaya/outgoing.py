"""Hold what waits for one socket and write it, whole frames at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio
from trio.abc import SendStream

from streamd.simulators.avaya.wire import Message

_BATCH = 512  # messages in one write at most


class Outgoing:
    """Control frames, which go first, and data messages; `write` is called by one task only.

    `frames` is called with the messages of each write, when they are about to be handed to the stream.
    `bytes` is the size of the messages that wait, those held back for the end of a snapshot included.
    """

    def __init__(self, stream: SendStream, frames: Callable[[Sequence[Message]], list[bytes]]) -> None:
        self.bytes = 0
        self._stream, self._frames = stream, frames
        self._control: list[bytes] = []
        self._ready: list[Message] = []
        self._held: list[Message] = []
        self._work = trio.Event()
        self._progress = trio.lowlevel.ParkingLot()
        self._takes_data = self._takes_control = True

    def say(self, frame: bytes) -> None:
        """Queue a control frame or a reply."""
        if self._takes_control:
            self._control.append(frame)
            self._work.set()

    def put(self, messages: Sequence[Message], *, hold: bool = False) -> None:
        """Queue data messages; `hold` keeps them back until `release`."""
        if self._takes_data:
            (self._held if hold else self._ready).extend(messages)
            self.bytes += sum(len(message.payload) for message in messages)
            self._work.set()

    def release(self) -> None:
        """Queue what was held back."""
        self._ready += self._held
        self._held = []
        self._work.set()

    def stop_data(self) -> None:
        """Drop what waits and what comes; control frames still go out."""
        self._takes_data = False
        self._ready, self._held, self.bytes = [], [], 0
        self._progress.unpark_all()

    def stop(self) -> None:
        """Say nothing any more."""
        self.stop_data()
        self._takes_control = False
        self._control = []

    async def below(self, limit: float) -> None:
        """Wait until at most `limit` bytes wait, or nothing is ready to be written."""
        while self._ready and self.bytes > limit:
            await self._progress.park()

    async def write(self) -> None:
        """Wait for something to write and write all of it; stream errors pass."""
        await self._work.wait()
        self._work = trio.Event()
        while self._control or self._ready:
            await self._stream.send_all(self._next())
            self._progress.unpark_all()

    def _next(self) -> bytes:
        if self._control:
            data, self._control = b"".join(self._control), []
            return data
        messages = self._ready[:_BATCH]
        del self._ready[:_BATCH]
        self.bytes -= sum(len(message.payload) for message in messages)
        return b"".join(self._frames(messages))
