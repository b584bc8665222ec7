"""Wait for sockets in rounds: those that have anything to read are found together, and read in a row.

trio asks the kernel anew for each wait, and wakes each reader by itself. With 200 sockets of 20 lines a
second each that costs twice what a reading costs here, and leaves less of the CPU's caches to what follows.
"""

from __future__ import annotations

import os
import select

import outcome
import trio
from trio.lowlevel import Abort, RaiseCancelT, RunVar, Task

# Each reading costs 100 to 300 CPU us, with what follows from it, whatever it brings: where they would follow
# each other closely, one is made out of several. The more sockets, the less there is to each reading.
PAUSE_SECONDS, LONG_PAUSE_SECONDS = 0.01, 0.02
_MANY = 16  # sockets in one round
MOST_BYTES = 262_144


class Rounds:
    """The sockets of one trio run. A round keeps its distance from the one before it; else what comes is told
    at once."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._room = memoryview(bytearray(MOST_BYTES))
        self._waiting: dict[int, Task] = {}

    def add(self, number: int) -> None:
        """Look at this file number too, until it is closed."""
        self._epoll.register(number, select.EPOLLIN)

    async def readable(self, number: int) -> None:
        """Return when there is anything to read, be it the end; one task for each file number.

        Raises ClosedResourceError after `leave`.
        """
        if number in self._waiting:
            raise trio.BusyResourceError("another task waits for this socket")
        self._waiting[number] = trio.lowlevel.current_task()

        def abort(_: RaiseCancelT) -> Abort:
            del self._waiting[number]
            return Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def read(self, number: int, most: int) -> bytes:
        """Read `most` bytes, or MOST_BYTES at once; raises as os.read does, BlockingIOError too.

        os.read would make room for all of them, and cut it to what there was: five times as dear.
        """
        size = os.readv(number, [self._room[:most]])
        return self._room[:size].tobytes()

    def leave(self, number: int) -> None:
        """Let nobody wait for a file number that is about to be closed."""
        task = self._waiting.pop(number, None)
        if task is not None:
            trio.lowlevel.reschedule(task, outcome.Error(trio.ClosedResourceError("closed here")))

    async def run(self) -> None:
        """Make the rounds for ever."""
        try:
            while True:
                found = self._look()
                if found:
                    await trio.sleep(PAUSE_SECONDS if found < _MANY else LONG_PAUSE_SECONDS)
                else:
                    await trio.lowlevel.wait_readable(self._epoll)
        finally:
            self._epoll.close()

    def _look(self) -> int:
        """Wake whoever waits for what is readable now; return how much there is, waited for or not."""
        found = self._epoll.poll(0)
        for number, _ in found:
            task = self._waiting.pop(number, None)
            if task is not None:
                trio.lowlevel.reschedule(task)
        return len(found)


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
