"""Wait for sockets in rounds: those that have anything to read are found together, and read in a row.

trio asks the kernel anew for each wait, and wakes each reader by itself. With 200 sockets of 20 lines a
second each that costs twice what a reading costs here, and leaves less of the CPU's caches to what follows.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

import outcome
import trio
from trio.lowlevel import Abort, RaiseCancelT, RunVar, Task

# Each reading costs 100 to 300 CPU us, with what follows from it, whatever it brings: where they would follow
# each other closely, one is made out of several. Of many sockets each has little, and there the looks of the
# commits (spool/beat.py) are often enough; but not for one that may be held up for want of room, which nobody
# would know of where it lasts less than STILL_SECONDS (watched.py) each time.
PAUSE_SECONDS, LONG_PAUSE_SECONDS = 0.01, 0.15
_MANY = 16  # sockets in one round
MOST_BYTES = 262_144
ROOM_BYTES = 16_384  # of a reading: there may have been no room for more, where segments are small
_ROUND_BYTES = 1024**2  # of a look: to work it off takes some 0.1 s, in which no task gets a turn


class Reading(NamedTuple):
    """What was read at once, b"" at the end; `at`: monotonic seconds before the kernel was asked."""

    data: bytes
    at: float


class Lost(trio.BrokenResourceError):
    """The socket failed, or TLS on it; an OSError of what follows from a reading is another thing."""


Take = Callable[[Reading], object]
"""Works off what was read; its truth says whether more is wanted."""


class _Listener:
    """A task that listens; what was read for it, until `take` has had it."""

    def __init__(self, task: Task, most: int, take: Take) -> None:
        self.task = task
        self.most = most
        self.take = take
        self.reading: Reading | None = None
        self.is_cancelled = False


class Rounds:
    """The sockets of one trio run. A round keeps its distance from the one before it; else what comes is read
    at once."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._room = memoryview(bytearray(MOST_BYTES))
        self._listening: dict[int, _Listener] = {}
        self._pause = trio.CancelScope()  # the one that is next, or under way
        self._bytes = 0
        self._passed_over: list[int] = []  # had something in the last look, and no turn

    def add(self, number: int) -> None:
        """Look at this file number too, until it is closed."""
        self._epoll.register(number, select.EPOLLIN)

    async def listen(self, number: int, most: int, take: Take) -> None:
        """Have `take` called with what the rounds read, as `read` does, until it wants no more.

        It is called in the round: to wake this task costs more than to decode a line. One task for each file
        number. Raises Lost, what `take` raises, and ClosedResourceError after `leave`.
        """
        if number in self._listening:
            raise trio.BusyResourceError("another task waits for this socket")

        listener = _Listener(trio.lowlevel.current_task(), most, take)

        def abort(_: RaiseCancelT) -> Abort:
            if listener.reading is not None:  # that is not lost; the look wakes its task
                listener.is_cancelled = True
                return Abort.FAILED
            del self._listening[number]
            return Abort.SUCCEEDED

        self._listening[number] = listener
        await trio.lowlevel.wait_task_rescheduled(abort)

    def read(self, number: int, most: int) -> Reading | None:
        """Read `most` bytes, or MOST_BYTES, at once; None: there are none. Raises Lost.

        os.read would make room for all of them, and cut it to what there was: four times as dear.
        """
        at = monotonic()
        try:
            size = os.readv(number, [self._room[:most]])
        except BlockingIOError:
            return None
        except OSError as error:
            raise Lost("the connection is lost") from error
        self._bytes += size
        return Reading(self._room[:size].tobytes(), at)

    def leave(self, number: int) -> None:
        """Let nobody listen to a file number that is about to be closed."""
        if number in self._listening:
            self._wake(number, outcome.Error(trio.ClosedResourceError("closed here")))

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
        """Read what is there now for whoever listens; return how many sockets had anything.

        All is read before any of it is worked off: each of the two leaves the CPU's caches to itself.
        """
        found = self._epoll.poll(0)
        if self._passed_over:  # the kernel names them in the same order again
            places = {number: place for place, number in enumerate(self._passed_over)}
            found.sort(key=lambda each: places.get(each[0], len(places)))
            self._passed_over.clear()
        heard = []
        largest = 0
        full = self._bytes + _ROUND_BYTES
        for number, _ in found:
            if number not in self._listening:
                continue
            if self._bytes >= full:
                self._passed_over.append(number)
            else:
                before = self._bytes
                if self._read_for(number):
                    heard.append(number)
                largest = max(largest, self._bytes - before)
        for number in heard:
            self._hand_on(number)
        if self._bytes >= full:
            self._pause.cancel()  # the others follow at once
        elif found:
            seconds = LONG_PAUSE_SECONDS if len(heard) >= _MANY and largest < ROOM_BYTES else PAUSE_SECONDS
            self._pause.deadline = trio.current_time() + seconds
        return len(found)

    def _read_for(self, number: int) -> bool:
        """Read for who listens to this file number; tell whether there was anything after all."""
        listener = self._listening[number]
        try:
            listener.reading = self.read(number, listener.most)
        except Lost as error:
            self._wake(number, outcome.Error(error))
        return listener.reading is not None

    def _hand_on(self, number: int) -> None:
        """Have what was read worked off; where no more is wanted, or can be, its task goes on."""
        listener = self._listening[number]
        assert listener.reading is not None
        told = outcome.capture(listener.take, listener.reading)
        listener.reading = None
        if listener.is_cancelled or not getattr(told, "value", False):
            self._wake(number, told)

    def _wake(self, number: int, told: outcome.Outcome[object]) -> None:
        trio.lowlevel.reschedule(self._listening.pop(number).task, told)


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
