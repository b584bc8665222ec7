"""The rests between commits: when something goes at once, and what waits to go together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from streamd.model import Origin
from streamd.spool.beat import LEAST_SECONDS, MOST_SECONDS, Beat
from streamd.spool.spool import Spool
from tests.spool.rig import ORIGIN, Rig, event, eventually


@asynccontextmanager
async def writing(rig: Rig, beat: Beat | None = None) -> AsyncIterator[tuple[Spool, trio.Nursery]]:
    spool = rig.spool(beat=beat or Beat())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spool.write)
        yield spool, nursery
        nursery.cancel_scope.cancel()


async def test_what_comes_alone_is_committed_at_once_and_what_follows_within_a_beat_together(
    rig: Rig, mock_clock: MockClock
) -> None:
    async with writing(rig) as (spool, callers):
        await spool.append(ORIGIN, [event(0)], {})
        for number in (1, 2, 3):
            callers.start_soon(spool.append, ORIGIN, [event(number)], {})
            await wait_all_tasks_blocked()
        assert spool.commits == 1
        mock_clock.jump(LEAST_SECONDS)
        await eventually(lambda: spool.usage(ORIGIN.connector).accepted == 4)
        assert spool.commits == 2


async def test_the_beat_grows_with_the_rate_and_not_with_a_lone_burst(autojump_clock: MockClock) -> None:
    async def rest(beat: Beat, records: int, sources: int = 1) -> float:
        began = trio.current_time()
        beat.begin()
        beat.bring(records, sources)
        await beat.rest()
        return trio.current_time() - began

    beat = Beat()
    assert await rest(beat, 100_000) == pytest.approx(LEAST_SECONDS)
    for records, seconds in ((40, LEAST_SECONDS), (400, MOST_SECONDS), (2, LEAST_SECONDS)):
        assert await rest(beat, records) == pytest.approx(seconds)
    assert await rest(beat, 400) > 2 * LEAST_SECONDS
    assert await rest(beat, 400, sources=200) == pytest.approx(LEAST_SECONDS), "each has but little"


async def test_a_source_that_brings_each_record_by_itself_counts_once_and_streamds_own_events_do_not(
    rig: Rig, mock_clock: MockClock
) -> None:
    brought: list[tuple[int, int]] = []

    class Noted(Beat):
        def bring(self, records: int, sources: int) -> None:
            brought.append((records, sources))
            super().bring(records, sources)

    async with writing(rig, Noted()) as (spool, callers):
        await spool.append(ORIGIN, [event(0)], {})
        for number in range(1, 40):
            callers.start_soon(spool.append, ORIGIN, [event(number)], {})
        other = Origin("other", "avaya")
        callers.start_soon(partial(spool.append, other, [event(40)], {}, own=True))
        await wait_all_tasks_blocked()
        mock_clock.jump(LEAST_SECONDS)
        await eventually(lambda: len(brought) == 2)
        assert brought[1] == (40, 1)


async def test_what_is_gathered_at_the_end_of_a_rest_goes_with_the_next_commit(
    rig: Rig, mock_clock: MockClock
) -> None:
    tasks: list[trio.Nursery] = []

    def gather() -> None:
        for callers in tasks:
            callers.start_soon(spool.append, ORIGIN, [event(2)], {})
        tasks.clear()

    async with writing(rig, Beat(gather=gather)) as (spool, callers):
        await spool.append(ORIGIN, [event(0)], {})
        callers.start_soon(spool.append, ORIGIN, [event(1)], {})
        tasks.append(callers)
        await wait_all_tasks_blocked()
        mock_clock.jump(LEAST_SECONDS)
        await eventually(lambda: spool.usage(ORIGIN.connector).accepted == 3)
        assert spool.commits == 2


async def test_what_takes_long_to_gather_begins_earlier_but_not_before_kafka_has_had_a_moment(
    autojump_clock: MockClock,
) -> None:
    gathered_at: list[float] = []

    def gather() -> None:
        gathered_at.append(trio.current_time())
        autojump_clock.jump(0.01)

    beat = Beat(gather=gather)
    for committing, expected in ((0.0, LEAST_SECONDS), (0.005, 0.005 + LEAST_SECONDS / 4)):
        began = trio.current_time()
        beat.begin()
        await trio.sleep(committing)
        await beat.rest()
        assert gathered_at[-1] - began == pytest.approx(expected)
