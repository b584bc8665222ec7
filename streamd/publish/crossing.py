"""The bridge between trio and one asyncio loop in a thread of its own (LIBRARIES.md, 2.3)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, TypeVar

import trio
from outcome import Error, Outcome, Value, capture

from streamd.errors import Transient

T = TypeVar("T")
_ENDED = "the Kafka thread has ended"
Main = Callable[[Callable[[], None]], Coroutine[Any, Any, None]]


class Crossing:
    """Runs the loop, and coroutine functions on it for callers on the trio side."""

    def __init__(self) -> None:
        self._trips: set[_Trip[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._inbox: deque[Callable[[], None]] = deque()
        self._expected = False
        self._outbox: list[Callable[[], None]] = []

    async def run(self, main: Main, *, task_status: trio.TaskStatus[None]) -> None:
        """Run `main(started)` on a new loop in a new thread, and when cancelled, cancel it and wait for it.

        `main` must end soon after its cancellation. Raises what it raises.
        """
        self._token = token = trio.lowlevel.current_trio_token()
        turning, ended = trio.Event(), trio.Event()
        result: Outcome[None] = Value(None)

        async def live() -> None:
            nonlocal result
            with trio.CancelScope(shield=True):
                result = await trio.to_thread.run_sync(
                    capture,
                    asyncio.run,
                    self._live(main, token, turning),
                    limiter=trio.CapacityLimiter(1),
                    thread_name="kafka",
                )
            self._strand()
            ended.set()
            turning.set()

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(live)
                try:
                    await turning.wait()
                    if not ended.is_set():
                        task_status.started()
                    await ended.wait()
                finally:
                    with trio.CancelScope(shield=True):
                        await turning.wait()
                    self.try_soon(self._cancel)
        finally:
            result.unwrap()  # before the cancellation that it may have brought about

    async def _live(self, main: Main, token: trio.lowlevel.TrioToken, turning: trio.Event) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(_Executor(thread_name_prefix="kafka"))

        def started() -> None:
            self._loop = loop
            token.run_sync_soon(turning.set)

        self._main = asyncio.current_task()
        try:
            await main(started)
        except asyncio.CancelledError:
            return  # asked for by `run`
        finally:
            self._loop = None

    def _cancel(self) -> None:
        if self._main is not None:
            self._main.cancel()

    async def call(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run `function` on the loop; cancelled, it is cancelled there and this returns at once.

        Raises what it raises, and Transient when the loop has ended.
        """
        trip = _Trip(function, self)
        if not self.try_soon(trip.begin):
            await trio.lowlevel.checkpoint_if_cancelled()  # a caller that all else ends with is not told why
            raise Transient(_ENDED)
        self._trips.add(trip)
        try:
            return await trip.wait()
        finally:
            self._trips.discard(trip)

    def try_soon(self, callback: Callable[[], None]) -> bool:
        """Have the loop call `callback`; from the trio side. False: it has ended.

        What comes within one turn of either side crosses over with one wake-up: each costs a system call and
        a change of threads.
        """
        loop = self._loop
        if loop is None:
            return False
        self._inbox.append(callback)
        if not self._expected:
            self._expected = True
            try:
                loop.call_soon_threadsafe(self._open_inbox)
            except RuntimeError:  # closed in this very moment
                return False
        return True

    def _open_inbox(self) -> None:
        self._expected = False  # before the first look: what is put in after the last finds it so
        while self._inbox:
            self._inbox.popleft()()

    def send_back(self, delivery: Callable[[], None]) -> None:
        """Have trio call `delivery`; from the asyncio side."""
        self._outbox.append(delivery)
        if len(self._outbox) == 1:
            asyncio.get_running_loop().call_soon(self._post)

    def _post(self) -> None:
        deliveries, self._outbox = self._outbox, []
        assert self._token is not None
        try:
            self._token.run_sync_soon(_call_all, deliveries)
        except trio.RunFinishedError:
            return  # nobody is left to tell

    def _strand(self) -> None:
        """Tell those who wait for what the loop did not come to any more."""
        for trip in self._trips:
            trip.deliver(Error(Transient(_ENDED)))


def _call_all(deliveries: list[Callable[[], None]]) -> None:
    for delivery in deliveries:
        delivery()


class _Executor(ThreadPoolExecutor):
    """The loop's helper threads; asyncio.run does not wait at its end for one that hangs, as DNS may."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads end by themselves."""
        super().shutdown(wait=False, cancel_futures=True)


class _Trip(Generic[T]):
    """One call on its way: there, its outcome back, or its cancellation."""

    def __init__(self, function: Callable[[], Coroutine[Any, Any, T]], crossing: Crossing) -> None:
        self._function = function
        self._crossing = crossing
        self._waiter: trio.lowlevel.Task | None = trio.lowlevel.current_task()
        self._task: asyncio.Task[T] | None = None

    async def wait(self) -> T:
        """Wait on the trio side."""
        result: T = await trio.lowlevel.wait_task_rescheduled(self._abort)
        return result

    def begin(self) -> None:
        """Begin on the asyncio side."""
        self._task = asyncio.get_running_loop().create_task(self._function())
        self._task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[T]) -> None:
        result: Outcome[T] = Error(Transient(_ENDED)) if task.cancelled() else capture(task.result)
        self._crossing.send_back(partial(self.deliver, result))

    def deliver(self, result: Outcome[T]) -> None:
        """End the wait on the trio side, unless it has ended."""
        if self._waiter is not None:
            trio.lowlevel.reschedule(self._waiter, result)
            self._waiter = None

    def _abort(self, raise_cancel: object) -> trio.lowlevel.Abort:
        self._waiter = None
        self._crossing.try_soon(self._cancel)  # where the loop has ended, the task has, too
        return trio.lowlevel.Abort.SUCCEEDED

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
