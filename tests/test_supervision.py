"""The supervisor's loop: restarts with growing waits, parks what crashes too often, and stops in peace."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from streamd.errors import SpoolUnusable, Transient
from streamd.spool.spool import SpoolClosed
from streamd.spool.sqlite import SpoolCorrupt
from streamd.supervision import Nudge, leaf, supervise
from tests.spool.rig import TrioClock

Run = Callable[[], Awaitable[None]]


class Watched:
    """A supervised run that crashes as long as it is told to, and what the supervisor said, with times."""

    def __init__(self, lasts: float = 0.0, error: Callable[[], BaseException] = ZeroDivisionError) -> None:
        self.lasts = lasts
        self.error = error
        self.log: list[tuple[str, float]] = []
        self.nudge = Nudge()

    async def run(self) -> None:
        self.note("run")
        await trio.sleep(self.lasts)
        raise self.error()

    async def crashed(self, error: BaseException) -> None:
        self.note("crashed")

    async def parked(self, error: BaseException) -> None:
        self.note("parked")

    def note(self, what: str) -> None:
        self.log.append((what, round(trio.current_time() - self.began, 3)))

    @asynccontextmanager
    async def supervised(self, run: Run | None = None) -> AsyncIterator[None]:
        self.began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                lambda: supervise(
                    run or self.run,
                    crashed=self.crashed,
                    parked=self.parked,
                    nudge=self.nudge,
                    clock=TrioClock(),
                )
            )
            yield
            nursery.cancel_scope.cancel()

    def times(self, what: str) -> list[float]:
        return [when for said, when in self.log if said == what]


async def test_a_bug_is_restarted_after_one_two_and_four_seconds_then_parked_and_probed_each_quarter_hour(
    autojump_clock: trio.testing.MockClock,
) -> None:
    watched = Watched()
    async with watched.supervised():
        await trio.sleep(2 * 900 + 60)
    assert watched.times("run") == [0, 1, 3, 7, 907, 1807]
    assert watched.times("crashed") == [0, 1, 3]
    assert watched.times("parked") == [7, 907, 1807]


async def test_waits_grow_to_thirty_seconds_for_what_is_not_bad_enough_to_be_parked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    watched = Watched(lasts=25)
    async with watched.supervised():
        await trio.sleep(400)
    waits = [
        run - crash for crash, run in zip(watched.times("crashed"), watched.times("run")[1:], strict=False)
    ]
    assert waits[:7] == [1, 2, 4, 8, 16, 30, 30]
    assert watched.times("parked") == []


async def test_what_ran_for_more_than_a_minute_starts_over(autojump_clock: trio.testing.MockClock) -> None:
    watched = Watched(lasts=61)
    async with watched.supervised():
        await trio.sleep(400)
    assert watched.times("run") == [0, 62, 124, 186, 248, 310, 372]


async def test_a_nudge_tries_what_is_parked_at_once_and_a_success_ends_the_parking(
    autojump_clock: trio.testing.MockClock,
) -> None:
    watched = Watched()
    async with watched.supervised():
        await trio.sleep(100)
        assert watched.times("parked") == [7]
        watched.lasts = 1000
        watched.nudge.give()
        await trio.sleep(10)
        assert watched.times("run")[-1] == 100
        await trio.sleep(1000)
        assert watched.log[-2:] == [("crashed", 1100), ("run", 1101)]


async def test_what_returns_although_it_should_run_for_ever_is_restarted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    watched = Watched()

    async def returns() -> None:
        watched.note("run")

    async with watched.supervised(returns):
        await trio.sleep(2)
    assert watched.times("run") == [0, 1]


@pytest.mark.parametrize("error", [SpoolClosed("x"), SpoolCorrupt("x"), SpoolUnusable("x")])
@pytest.mark.parametrize("grouped", [False, True])
async def test_an_error_of_the_spool_ends_the_core_and_is_nobody_s_crash(
    autojump_clock: trio.testing.MockClock, error: Exception, grouped: bool
) -> None:
    bare: Callable[[], BaseException] = lambda: error  # noqa: E731
    watched = Watched(error=(lambda: ExceptionGroup("", [ValueError(), error])) if grouped else bare)
    with pytest.raises(ExceptionGroup) as caught:
        async with watched.supervised():
            await trio.sleep(10)
    assert caught.value.split(type(error))[0] is not None
    assert watched.times("crashed") == []


@pytest.mark.parametrize("errors", [[ZeroDivisionError()], [Transient("x"), ZeroDivisionError()], []])
async def test_a_bug_in_the_moment_of_a_stop_does_not_outlive_it(
    autojump_clock: trio.testing.MockClock, errors: list[Exception]
) -> None:
    watched = Watched()

    async def ends_badly(error: Exception) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise error

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            for error in errors:
                nursery.start_soon(ends_badly, error)

    async with watched.supervised(run):
        await trio.sleep(1)
    assert watched.times("run") == []


async def test_an_interrupt_is_no_crash(autojump_clock: trio.testing.MockClock) -> None:
    watched = Watched(error=lambda: BaseExceptionGroup("", [KeyboardInterrupt(), ValueError()]))
    with pytest.raises(BaseExceptionGroup) as caught:
        async with watched.supervised():
            await trio.sleep(10)
    assert caught.value.split(KeyboardInterrupt)[0] is not None


def test_of_several_errors_a_bug_is_told_before_what_was_expected() -> None:
    bug, expected = ZeroDivisionError(), Transient("x")
    assert leaf(bug) is bug
    assert leaf(ExceptionGroup("", [bug, ExceptionGroup("", [expected])])) is bug
    assert leaf(ExceptionGroup("", [Transient("y"), expected])) is expected


async def test_a_nudge_given_before_a_wait_has_begun_is_not_lost() -> None:
    nudge = Nudge()
    since = nudge.given
    nudge.give()
    with trio.fail_after(1):
        assert await nudge.wait(900, since)
    assert not await nudge.wait(0.01, nudge.given)
