"""The pace of an account's calls: who goes first, and who waits for whom."""

from __future__ import annotations

from datetime import UTC, datetime

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from streamd.connectors.avaya.limiter import Limiter, Priority


class TrioClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return trio.current_time()


async def test_renewals_go_first_and_the_catalogue_last(autojump_clock: MockClock) -> None:
    limiter = Limiter(TrioClock(), per_second=1.0)
    order: list[tuple[Priority, float]] = []
    await limiter.turn()
    began = trio.current_time()

    async def call(priority: Priority) -> None:
        await limiter.turn(priority)
        order.append((priority, trio.current_time() - began))

    async with trio.open_nursery() as nursery:
        for priority in (Priority.CATALOGUE, Priority.USUAL, Priority.URGENT, Priority.USUAL):
            nursery.start_soon(call, priority)
            await wait_all_tasks_blocked(0.001)
    expected = [Priority.URGENT, Priority.USUAL, Priority.USUAL, Priority.CATALOGUE]
    assert [priority for priority, _ in order] == expected
    assert [round(at) for _, at in order] == [1, 2, 3, 4]


async def test_what_slows_the_catalogue_down_slows_nothing_else(autojump_clock: MockClock) -> None:
    limiter = Limiter(TrioClock(), per_second=1000.0)
    limiter.slow_down(Priority.CATALOGUE, 120.0)
    began = trio.current_time()
    await limiter.turn(Priority.USUAL)
    await limiter.turn(Priority.URGENT)
    assert trio.current_time() - began < 1.0
    await limiter.turn(Priority.CATALOGUE)
    assert trio.current_time() - began >= 120.0


async def test_what_slows_the_account_down_slows_every_call(autojump_clock: MockClock) -> None:
    for priority in Priority:
        limiter = Limiter(TrioClock(), per_second=1000.0)
        limiter.slow_down(Priority.USUAL, 30.0)
        began = trio.current_time()
        await limiter.turn(priority)
        assert trio.current_time() - began >= 30.0


async def test_a_call_that_is_given_up_while_it_waits_holds_nobody_up(autojump_clock: MockClock) -> None:
    limiter = Limiter(TrioClock(), per_second=1.0)
    await limiter.turn()
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as given_up:
            nursery.start_soon(limiter.turn, Priority.CATALOGUE)
            with trio.move_on_after(0.1):
                await limiter.turn(Priority.URGENT)
            given_up.cancel()
    began = trio.current_time()
    await limiter.turn()
    assert trio.current_time() - began <= 1.0
