"""Sources that are asked when a commit begins: what goes into it, and what they learn of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from streamd.model import Event
from streamd.spool.beat import LEAST_SECONDS, Beat
from streamd.spool.feed import Feed
from streamd.spool.spool import Spool, SpoolClosed
from tests.spool.rig import ORIGIN, OTHER, TOPIC, Rig, event, eventually


class Source:
    """Gives all that it has at once. `kept`: what it knows to be durable."""

    def __init__(self, spool: Spool) -> None:
        self.kept: list[int] = []
        self.asked = 0
        self._waiting: list[Event] = []
        self.feed: Feed = spool.feed(ORIGIN, self._give)

    def put(self, *items: Event) -> None:
        self._waiting += items
        self.feed.offer()

    def _give(self) -> tuple[Sequence[Event], dict[str, bytes | None], Callable[[], None]] | None:
        self.asked += 1
        given, self._waiting = self._waiting, []
        if not given:
            return None
        return given, {"last": b"%d" % given[-1].data["n"]}, lambda: self._keep(given)

    def _keep(self, given: Sequence[Event]) -> None:
        self.kept += [each.data["n"] for each in given]


def found(rig: Rig) -> list[int]:
    return [each["data"]["n"] for each in rig.events(TOPIC)]


async def test_what_a_source_gathers_until_a_commit_begins_goes_with_what_others_append(
    rig: Rig, nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    spool = rig.spool(partitions=1, beat=Beat())
    source = Source(spool)
    nursery.start_soon(spool.write)
    nursery.start_soon(source.feed.run)
    source.put(event(0))
    await eventually(lambda: source.kept == [0])
    nursery.start_soon(spool.append, OTHER, [event(9)], {})
    for number in (1, 2, 3):
        source.put(event(number))
        await wait_all_tasks_blocked()
    assert spool.commits == 1
    mock_clock.jump(LEAST_SECONDS)
    await eventually(lambda: source.kept == [0, 1, 2, 3])
    assert (spool.commits, source.asked, spool.state("emea", "last")) == (2, 2, b"3")
    assert sorted(found(rig)) == [0, 1, 2, 3, 9]


async def test_a_source_is_not_asked_before_it_runs_nor_while_its_share_is_used_up(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool(partitions=1)
    source = Source(spool)
    nursery.start_soon(spool.write)
    source.put(event(1))
    await spool.flush()
    assert source.asked == 0
    spool.usage("emea").share = 0
    nursery.start_soon(source.feed.run)
    await wait_all_tasks_blocked()
    await spool.append(OTHER, [event(9)], {})
    assert source.asked == 0
    assert spool.usage("emea").waiting
    spool.usage("emea").share = 1_000_000
    await eventually(lambda: source.kept == [1])


async def test_a_source_that_ends_during_a_commit_learns_of_it_and_gives_no_more(rig: Rig) -> None:
    spool = rig.spool(partitions=1)
    source = Source(spool)
    async with trio.open_nursery() as writing:
        writing.start_soon(spool.write)
        async with trio.open_nursery() as running:
            running.start_soon(source.feed.run)
            await wait_all_tasks_blocked()
            source.put(event(1))
            while source.asked == 0 or not source.feed._call:
                await trio.lowlevel.checkpoint()
            running.cancel_scope.cancel()
        assert source.kept == [1]
        source.put(event(2))
        await spool.flush()
        assert found(rig) == [1]
        writing.cancel_scope.cancel()


async def test_what_cannot_be_encoded_ends_its_own_source_and_no_other(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool(partitions=1)
    bad, good = Source(spool), Source(spool)
    nursery.start_soon(spool.write)
    nursery.start_soon(good.feed.run)
    broken = event(1)
    broken.received = broken.received.replace(tzinfo=None)
    bad.put(broken)
    good.put(event(2))
    with pytest.raises(ValueError):
        await bad.feed.run()
    await eventually(lambda: good.kept == [2])
    assert (bad.kept, found(rig)) == ([], [2])


@pytest.mark.parametrize("full", [False, True])
async def test_a_writer_that_ends_ends_its_sources(rig: Rig, full: bool) -> None:
    spool = rig.spool(partitions=1)
    source = Source(spool)
    ended = trio.Event()

    async def run() -> None:
        with pytest.raises(SpoolClosed):
            await source.feed.run()
        ended.set()

    async with trio.open_nursery() as sources:
        sources.start_soon(run)
        async with trio.open_nursery() as writing:
            writing.start_soon(spool.write)
            await wait_all_tasks_blocked()
            if full:
                spool.usage("emea").share = 0
                source.put(event(0))
                await eventually(lambda: spool.usage("emea").waiting)
            writing.cancel_scope.cancel()
        source.put(event(1))
        await ended.wait()
    assert (source.kept, found(rig)) == ([], [])
