"""A hint brings the next poll forward, and no number of hints makes polls come closer than allowed."""

from __future__ import annotations

from datetime import UTC, datetime

import trio
from trio.testing import MockClock

from streamd.pull.hints import MOST_KINDS, Hints


class TrioClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return trio.current_time()


async def test_without_hints_polls_are_as_far_apart_as_configured_and_the_first_is_at_once(
    autojump_clock: MockClock,
) -> None:
    hints = Hints(TrioClock(), poll_seconds=10.0)
    polls = []
    for _ in range(3):
        assert await hints.wait() == frozenset()
        polls.append(trio.current_time())
        await trio.sleep(3)  # the poll itself
    assert polls == [0.0, 10.0, 20.0]


async def test_a_hint_brings_a_poll_forward_with_all_that_was_hinted_at(autojump_clock: MockClock) -> None:
    hints = Hints(TrioClock(), poll_seconds=10.0)
    await hints.wait()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(give_after, hints, 4.0, "a", "b", "a")
        assert await hints.wait() == {"a", "b"}
        assert trio.current_time() == 4.0
    assert await hints.wait() == frozenset()
    assert trio.current_time() == 14.0


async def test_hints_that_come_during_a_poll_wait_for_the_next_one_a_second_later(
    autojump_clock: MockClock,
) -> None:
    hints = Hints(TrioClock(), poll_seconds=10.0)
    await hints.wait()
    hints.give("early")
    await trio.sleep(0.2)
    hints.give("late")
    assert await hints.wait() == {"early", "late"}
    assert trio.current_time() == 1.0


async def test_a_flood_of_hints_costs_one_poll_a_second_and_bounded_memory(autojump_clock: MockClock) -> None:
    hints = Hints(TrioClock(), poll_seconds=10.0)
    polls: list[int] = []

    async def flood() -> None:
        for number in range(100_000):
            hints.give(str(number))
            if not number % 1000:
                await trio.sleep(0.1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(flood)
        with trio.move_on_after(10.5):
            while True:
                polls.append(len(await hints.wait()))
    assert len(polls) <= 11
    assert max(polls) == MOST_KINDS


async def test_a_cancelled_wait_keeps_the_hints(autojump_clock: MockClock) -> None:
    hints = Hints(TrioClock(), poll_seconds=10.0)
    await hints.wait()
    hints.give("a")
    with trio.move_on_after(0.5) as given_up:
        await hints.wait()
    assert given_up.cancelled_caught
    assert await hints.wait() == {"a"}


async def test_a_poll_that_is_more_frequent_than_a_second_stays_so(autojump_clock: MockClock) -> None:
    hints = Hints(TrioClock(), poll_seconds=0.05)
    await hints.wait()
    await hints.wait()
    assert trio.current_time() == 0.05


async def give_after(hints: Hints, seconds: float, *what: str) -> None:
    await trio.sleep(seconds)
    for each in what:
        hints.give(each)
