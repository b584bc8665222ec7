"""The pace of all calls to a server: who goes first, who waits for whom, and how the brake works."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import IntEnum

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from streamd.transport.limiter import Budget, Limiter

EACH_SECOND, EACH_MILLISECOND = Budget(1, 1.0), Budget(1, 0.001)


class Priority(IntEnum):
    URGENT = 0
    USUAL = 1
    CATALOGUE = 2


class TrioClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return trio.current_time()


def limiter_of(budget: Budget | None, at_once: int | None = None) -> Limiter:
    return Limiter(TrioClock(), budget, at_once=at_once, apart=[Priority.CATALOGUE])


async def call(limiter: Limiter, priority: int = Priority.USUAL, seconds: float = 0.0) -> None:
    async with limiter.turn(priority):
        await trio.sleep(seconds)


async def test_the_urgent_go_first_and_within_one_priority_whoever_came_first(
    autojump_clock: MockClock,
) -> None:
    limiter = limiter_of(EACH_SECOND)
    order: list[tuple[Priority, float]] = []
    await call(limiter)
    began = trio.current_time()

    async def note(priority: Priority) -> None:
        async with limiter.turn(priority):
            order.append((priority, trio.current_time() - began))

    async with trio.open_nursery() as nursery:
        for priority in (Priority.CATALOGUE, Priority.USUAL, Priority.URGENT, Priority.USUAL):
            nursery.start_soon(note, priority)
            await wait_all_tasks_blocked(0.001)
    expected = [Priority.URGENT, Priority.USUAL, Priority.USUAL, Priority.CATALOGUE]
    assert [priority for priority, _ in order] == expected
    assert [round(at) for _, at in order] == [1, 2, 3, 4]


async def test_no_window_of_a_budget_sees_more_calls_than_it_allows(autojump_clock: MockClock) -> None:
    limiter = limiter_of(Budget(5, 60.0))
    begun: list[float] = []

    async def note(seconds: float) -> None:
        await trio.sleep(seconds)
        async with limiter.turn():
            begun.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for number in range(17):
            nursery.start_soon(note, number * 7.0)
    for first, sixth in zip(begun, begun[5:], strict=False):
        assert sixth - first >= 60.0
    assert begun[-1] - begun[0] < 240.0


async def test_no_more_turns_are_held_at_once_than_allowed_and_a_failed_call_gives_its_own_back(
    autojump_clock: MockClock,
) -> None:
    limiter = limiter_of(None, at_once=2)
    held: list[int] = [0]

    async def hold(number: int) -> None:
        with trio.move_on_after(5 if number % 2 else 0.5):
            async with limiter.turn():
                held.append(held[-1] + 1)
                try:
                    await trio.sleep(1)
                finally:
                    held.append(held[-1] - 1)

    async with trio.open_nursery() as nursery:
        for number in range(9):
            nursery.start_soon(hold, number)
    assert max(held) == 2
    await call(limiter)


async def test_what_slows_one_apart_down_slows_nothing_else(autojump_clock: MockClock) -> None:
    limiter = limiter_of(EACH_MILLISECOND)
    limiter.slow_down(Priority.CATALOGUE, 120.0)
    began = trio.current_time()
    await call(limiter, Priority.USUAL)
    await call(limiter, Priority.URGENT)
    assert trio.current_time() - began < 1.0
    await call(limiter, Priority.CATALOGUE)
    assert trio.current_time() - began >= 120.0


@pytest.mark.parametrize("priority", list(Priority))
async def test_what_slows_the_server_down_slows_every_call(
    autojump_clock: MockClock, priority: Priority
) -> None:
    limiter = limiter_of(EACH_MILLISECOND)
    assert limiter.slow_down(Priority.USUAL, 30.0) == 30.0
    began = trio.current_time()
    await call(limiter, priority)
    assert trio.current_time() - began >= 30.0


async def test_penalties_without_a_time_grow_with_jitter_to_the_longest_and_shrink_when_a_call_is_accepted(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter = Limiter(TrioClock(), longest_penalty_seconds=300.0)
    assert all(0.5 <= Limiter(TrioClock()).slow_down() <= 1.0 for _ in range(20))
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    assert [limiter.slow_down() for _ in range(11)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    limiter.accepted()
    assert limiter.slow_down() == 1


async def test_a_call_that_is_given_up_while_it_waits_holds_nobody_up(autojump_clock: MockClock) -> None:
    limiter = limiter_of(EACH_SECOND)
    await call(limiter)
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as given_up:
            nursery.start_soon(call, limiter, Priority.CATALOGUE)
            with trio.move_on_after(0.1):
                await call(limiter, Priority.URGENT)
            given_up.cancel()
    began = trio.current_time()
    await call(limiter)
    assert trio.current_time() - began <= 1.0
