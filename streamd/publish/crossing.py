"""The bridge between trio and one asyncio loop in a thread of its own (LIBRARIES.md, 2.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
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

    async def run(self, main: Main, *, task_status: trio.TaskStatus[None]) -> None:
        """Run `main(started)` on a new loop in a new thread, and when cancelled, cancel it and wait for it.

        `main` must end soon after its cancellation. Raises what it raises.
        """
        token = trio.lowlevel.current_trio_token()
        turning, ended = trio.Event(), trio.Event()
        result: Outcome[None] = Value(None)

        async def live() -> None:
            nonlocal result
            with trio.CancelScope(shield=True):
                result = await trio.to_thread.run_sync(
                    capture, asyncio.run, self._live(main, token, turning), limiter=trio.CapacityLimiter(1)
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
                    self._try_soon(self._cancel)
        finally:
            result.unwrap()  # before the cancellation that it may have brought about

    async def _live(self, main: Main, token: trio.lowlevel.TrioToken, turning: trio.Event) -> None:
        loop = asyncio.get_running_loop()

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
        trip = _Trip(function, self._try_soon)
        if not self._try_soon(trip.begin):
            raise Transient(_ENDED)
        self._trips.add(trip)
        try:
            return await trip.wait()
        finally:
            self._trips.discard(trip)

    def _try_soon(self, callback: Callable[[], None]) -> bool:
        loop = self._loop
        if loop is None:
            return False
        try:
            loop.call_soon_threadsafe(callback)
        except RuntimeError:  # closed in this very moment
            return False
        return True

    def _strand(self) -> None:
        """Tell those who wait for what the loop did not come to any more."""
        for trip in self._trips:
            trip.deliver(Error(Transient(_ENDED)))


class _Trip(Generic[T]):
    """One call on its way: there, its outcome back, or its cancellation."""

    def __init__(
        self, function: Callable[[], Coroutine[Any, Any, T]], try_soon: Callable[[Callable[[], None]], bool]
    ) -> None:
        self._function = function
        self._try_soon = try_soon
        self._token = trio.lowlevel.current_trio_token()
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
        try:
            self._token.run_sync_soon(self.deliver, result)
        except trio.RunFinishedError:
            return  # nobody is left to tell

    def deliver(self, result: Outcome[T]) -> None:
        """End the wait on the trio side, unless it has ended."""
        if self._waiter is not None:
            trio.lowlevel.reschedule(self._waiter, result)
            self._waiter = None

    def _abort(self, raise_cancel: object) -> trio.lowlevel.Abort:
        self._waiter = None
        self._try_soon(self._cancel)  # where the loop has ended, the task has, too
        return trio.lowlevel.Abort.SUCCEEDED

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
