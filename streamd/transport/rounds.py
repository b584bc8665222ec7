"""Wait for sockets in rounds: those that have anything to read are found together, and read in a row.

trio asks the kernel anew for each wait, and wakes each reader by itself. With 200 sockets of 20 lines a
second each that costs twice what a reading costs here, and leaves less of the CPU's caches to what follows.
"""

from __future__ import annotations

import os
import select
from time import monotonic
from typing import NamedTuple

import outcome
import trio
from trio.lowlevel import Abort, RaiseCancelT, RunVar, Task

# Each reading costs 100 to 300 CPU us, with what follows from it, whatever it brings: where they would follow
# each other closely, one is made out of several. Of many sockets each has little, and there the looks of the
# commits (spool/beat.py) are often enough; but not for one that may be held up for want of room, which nobody
# would know of where it lasts less than STILL_SECONDS (stream.py) each time.
PAUSE_SECONDS, LONG_PAUSE_SECONDS = 0.01, 0.15
_MANY = 16  # sockets in one round
MOST_BYTES = 262_144
ROOM_BYTES = 16_384  # of a reading: there may have been no room for more, where segments are small
_ROUND_BYTES = 4 * 1024**2  # and twice that in memory at once, before anything of it is worked off


class Reading(NamedTuple):
    """What was read at once, b"" at the end; `at`: monotonic seconds before the kernel was asked."""

    data: bytes
    at: float


class Rounds:
    """The sockets of one trio run. A round keeps its distance from the one before it; else what comes is read
    at once."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._room = memoryview(bytearray(MOST_BYTES))
        self._waiting: dict[int, tuple[Task, int]] = {}
        self._pause = trio.CancelScope()  # the one that is next, or under way
        self._bytes = 0

    def add(self, number: int) -> None:
        """Look at this file number too, until it is closed."""
        self._epoll.register(number, select.EPOLLIN)

    async def receive(self, number: int, most: int) -> Reading:
        """Return what the next round reads, as `read` does; one task for each file number.

        Raises ClosedResourceError after `leave`.
        """
        if number in self._waiting:
            raise trio.BusyResourceError("another task waits for this socket")

        def abort(_: RaiseCancelT) -> Abort:
            del self._waiting[number]
            return Abort.SUCCEEDED

        self._waiting[number] = trio.lowlevel.current_task(), most
        reading: Reading = await trio.lowlevel.wait_task_rescheduled(abort)
        return reading

    def read(self, number: int, most: int) -> Reading | None:
        """Read `most` bytes, or MOST_BYTES, at once; None: there are none. Raises OSError.

        os.read would make room for all of them, and cut it to what there was: four times as dear.
        """
        at = monotonic()
        try:
            size = os.readv(number, [self._room[:most]])
        except BlockingIOError:
            return None
        self._bytes += size
        return Reading(self._room[:size].tobytes(), at)

    def leave(self, number: int) -> None:
        """Let nobody wait for a file number that is about to be closed."""
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            trio.lowlevel.reschedule(waiting[0], outcome.Error(trio.ClosedResourceError("closed here")))

    async def run(self) -> None:
        """Make the rounds for ever."""
        try:
            while True:
                self._pause = trio.CancelScope()
                if not self.look():
                    await trio.lowlevel.wait_readable(self._epoll)
                    continue
                with self._pause:
                    await trio.sleep_forever()
        finally:
            self._epoll.close()

    def look(self) -> int:
        """Read what is there now for whoever waits for it; return how many sockets had anything."""
        found = self._epoll.poll(0)
        woken = largest = 0
        full = self._bytes + _ROUND_BYTES
        for number, _ in found:
            if self._bytes < full and number in self._waiting:
                before = self._bytes
                woken += self._wake(number)
                largest = max(largest, self._bytes - before)
        if self._bytes >= full:
            self._pause.cancel()  # the others follow at once
        elif found:
            seconds = LONG_PAUSE_SECONDS if woken >= _MANY and largest < ROOM_BYTES else PAUSE_SECONDS
            self._pause.deadline = trio.current_time() + seconds
        return len(found)

    def _wake(self, number: int) -> bool:
        """Read for the task that waits for this file number; tell whether there was anything after all."""
        task, most = self._waiting[number]
        told: outcome.Outcome[Reading]
        try:
            reading = self.read(number, most)
        except OSError as error:
            told = outcome.Error(error)
        else:
            if reading is None:
                return False
            told = outcome.Value(reading)
        del self._waiting[number]
        trio.lowlevel.reschedule(task, told)
        return True


_OF_THIS_RUN: RunVar[Rounds] = RunVar("rounds")


def rounds() -> Rounds:
    """Give the rounds of this trio run, which a system task makes."""
    try:
        return _OF_THIS_RUN.get()
    except LookupError:
        made = Rounds()
        _OF_THIS_RUN.set(made)
        trio.lowlevel.spawn_system_task(made.run)
        return made
