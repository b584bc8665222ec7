"""A TCP stream that says what has been read of it."""

from __future__ import annotations

import select
from collections.abc import Callable
from time import monotonic

import trio

from streamd.transport.faults import fault_words
from streamd.transport.rounds import MOST_BYTES, ROOM_BYTES, Lost, Reading, Take, rounds

SEND_SECONDS = 10.0
_MUCH_BYTES = 65_536  # what brings so much may be all that the peer was allowed to send: more comes at once
# A reader that stood still so long, and then finds ROOM_BYTES, may have had no room for more: the peer's
# kernel keeps what it was given, and sends it once this end reads again.
STILL_SECONDS = 0.25
CATCH_UP_SECONDS = 2.0


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
            raise Lost(self.fault)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        self.fault = self.fault or "closed here"
        self._rounds.leave(self._number)
        self._number = -1
        await self._stream.aclose()
