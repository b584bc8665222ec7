"""The buffer behind a socket that cannot wait: what it keeps, what it drops, and what it says of that."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import trio

from streamd.connector import NO_CHANGES, Changes, Feed, Give, Item, Link
from streamd.instant import Instant, here
from streamd.link import SessionLink
from streamd.live.intake import MOST_AT_ONCE, UNDERWAY_SECONDS, Intake
from streamd.probe import AppendingFeed
from streamd.runtime import Runtime
from streamd.spool.beat import LEAST_SECONDS, Beat
from streamd.spool.spool import Spool
from tests.scripted import Record, Script, gaps, runtime
from tests.spool.rig import MEASURES_STATE, START, TOPIC, Rig, choke, event, eventually, relieve, state

SHARE = 64 * 1024**2
LATER = START + timedelta(days=1)


def held(rig: Rig, at: datetime) -> Instant:
    return here(rig.clock).before(at)


class Bench:
    """An intake on a real link, runtime and spool; its share of the spool can be taken and given back."""

    def __init__(self, rig: Rig, spool: Spool, most: int) -> None:
        self.rig = rig
        self._choked = False
        self.spool = spool
        self.record = Record()
        self.runtime: Runtime = runtime(spool, self.record, rig.clock)
        self.link: Link = SessionLink(self.runtime, Script())
        self.intake = Intake(self.runtime, self.link, most, underway_seconds=0.0)

    def stick(self) -> None:
        self.spool.usage("emea").share = 0

    def choke(self) -> None:
        """Leave no room for streamd's own events either."""
        if not self._choked:
            choke(self.spool)
        self._choked = True

    def unstick(self) -> None:
        if self._choked:
            relieve(self.spool)
        self._choked = False
        self.spool.usage("emea").share = SHARE

    def put(self, *items: Item, at: datetime) -> None:
        self.intake.put_nowait(items, {}, held(self.rig, at))

    def committed(self) -> list[int]:
        return [each["data"]["n"] for each in self.rig.events(TOPIC)]

    def states(self) -> dict[str, Any]:
        """Give the last state of each key, as a compacted topic keeps it."""
        return {each["subject"]: each["data"]["n"] for each in self.rig.events(f"p.{MEASURES_STATE.topic}")}


@asynccontextmanager
async def bench(rig: Rig, most: int) -> AsyncIterator[Bench]:
    """Yield an intake with its spool at work; `run` is the test's to start."""
    spool = rig.spool(partitions=1)
    async with trio.open_nursery() as writing:
        writing.start_soon(spool.write)
        yield Bench(rig, spool, most)
        writing.cancel_scope.cancel()


@asynccontextmanager
async def ending() -> AsyncIterator[None]:
    """Let a test that fails end: its intake hands over what is left, within a deadline by the clock."""
    try:
        yield
    except BaseException:
        clock = trio.lowlevel.current_clock()
        if isinstance(clock, trio.testing.MockClock):
            clock.autojump_threshold = 0.05
        raise


@asynccontextmanager
async def pumping(rig: Rig, most: int) -> AsyncIterator[Bench]:
    """Yield an intake that runs, on a spool at work."""
    async with bench(rig, most) as on, trio.open_nursery() as session, ending():
        session.start_soon(on.intake.run)
        yield on
        session.cancel_scope.cancel()


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def parsed(text: str) -> datetime:
    return datetime.fromisoformat(text)


def keyed(number: int, key: str) -> Item:
    each = state(number, key)
    each.subject = key
    return each


async def test_what_is_put_is_committed_in_its_order_with_its_changes(
    rig: Rig, mock_clock: trio.testing.MockClock
) -> None:
    async with pumping(rig, 1000) as on:
        for number in range(0, 300, 3):
            items = [event(number), event(number + 1), event(number + 2)]
            on.intake.put_nowait(items, {"last": str(number).encode()}, held(rig, at(number)))
            if number % 30 == 0:
                await trio.lowlevel.checkpoint()
        await on.intake.flush()
        assert on.committed() == list(range(300))
        assert on.spool.state("emea", "last") == b"297"
        assert on.intake.proof(LATER) == LATER


async def test_what_comes_while_the_spool_rests_is_in_its_next_commit(
    rig: Rig, mock_clock: trio.testing.MockClock
) -> None:
    spool = rig.spool(partitions=1, beat=Beat())
    async with trio.open_nursery() as session, ending():
        session.start_soon(spool.write)
        on = Bench(rig, spool, 100)
        session.start_soon(on.intake.run)
        on.put(event(0), at=at(0))
        await eventually(lambda: spool.commits == 1)
        for number in (1, 2, 3):
            on.put(event(number), at=at(number))
            await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(LEAST_SECONDS)
        await eventually(lambda: spool.commits == 2)
        assert on.committed() == [0, 1, 2, 3]
        session.cancel_scope.cancel()


async def test_no_append_brings_much_more_than_fits_into_memory_several_times_over(
    rig: Rig, mock_clock: trio.testing.MockClock
) -> None:
    sizes = []

    class Measured(Gated):
        def feed(self, give: Give) -> Feed:
            def measured() -> Any:
                given = give()
                sizes.append(len(given[0]) if given else 0)
                return given

            return self._ctx.feed(measured)

    total = 3 * MOST_AT_ONCE + MOST_AT_ONCE // 2
    async with bench(rig, total) as on, trio.open_nursery() as session, ending():
        on.intake = Intake(Measured(on.runtime), on.link, total + 1)
        for number in range(0, total, 10):
            on.put(*map(event, range(number, number + 10)), at=at(number))
        session.start_soon(on.intake.run)
        await eventually(lambda: len(on.committed()) == total)
        assert max(sizes) < MOST_AT_ONCE + 10
        assert on.committed() == list(range(total))
        session.cancel_scope.cancel()


async def test_an_overflow_is_one_gap_around_what_was_dropped_with_its_count_and_declared_while_stuck(
    rig: Rig, mock_clock: trio.testing.MockClock
) -> None:
    async with pumping(rig, 10) as on:
        on.stick()
        on.spool.usage("emea").bytes += 1  # something waits already
        for number in range(50):
            mock_clock.jump(1)
            on.put(event(number), keyed(number, f"key{number % 3}"), at=at(number + 1))
            await trio.testing.wait_all_tasks_blocked()
        await eventually(lambda: gaps(rig))
        ((opened, gap),) = gaps(rig)
        assert (opened, gap["cause"], gap["to"]) == ("opened", "overflow", None)
        on.unstick()
        await eventually(lambda: len(gaps(rig)) == 2)
        await on.intake.flush()
        kept = on.committed()
        dropped = sorted(set(range(50)) - set(kept))
        assert kept == sorted(kept)
        assert len(dropped) > 20
        _, (closed, gap) = gaps(rig)
        assert (closed, gap["count"], gap["state"]) == ("closed", len(dropped), "restored")
        assert parsed(gap["from"]) <= at(dropped[0] + 1)
        assert parsed(gap["from"]) >= at(dropped[0])
        assert parsed(gap["to"]) >= at(dropped[-1] + 1)
        assert on.states() == {"key0": 48, "key1": 49, "key2": 47}
        assert on.record.counts["dropped_events"] == len(dropped)
        assert on.intake.proof(LATER) == LATER


async def test_after_an_overflow_it_keeps_again_as_soon_as_there_is_room_although_more_keeps_coming(
    rig: Rig, mock_clock: trio.testing.MockClock
) -> None:
    async with pumping(rig, 1000) as on:
        on.stick()
        on.spool.usage("emea").bytes += 1
        number = 0
        for number in range(30):
            on.put(*[event(number)] * 100, at=at(0))
            await trio.lowlevel.checkpoint()
        assert on.intake.dropped
        on.unstick()

        async def a_never_ending_stream() -> None:
            nonlocal number
            while True:
                await trio.to_thread.run_sync(lambda: None)
                number += 1
                on.put(event(number), at=at(0))

        async with trio.open_nursery() as vendor:
            vendor.start_soon(a_never_ending_stream)
            await eventually(lambda: not on.intake.dropped)
            await eventually(lambda: len(gaps(rig)) >= 2)
            vendor.cancel_scope.cancel()


class Gated:
    """The context of a spool that takes one append each time it is let."""

    def __init__(self, ctx: Runtime) -> None:
        self.gate = trio.Semaphore(0)
        self._ctx = ctx

    def feed(self, give: Give) -> Feed:
        return AppendingFeed(give, self.append)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)

    async def append(self, items: Sequence[Item], changes: Changes = NO_CHANGES) -> None:
        await self.gate.acquire()
        await self._ctx.append(items, changes)


async def test_what_is_dropped_while_an_append_is_under_way_belongs_to_the_same_gap(
    rig: Rig, mock_clock: trio.testing.MockClock
) -> None:
    async with bench(rig, 2) as on, trio.open_nursery() as session, ending():
        ctx = Gated(on.runtime)
        on.intake = Intake(ctx, on.link, 2, underway_seconds=0.0)
        session.start_soon(on.intake.run)

        async def put(*numbers: int) -> None:
            for number in numbers:
                on.put(event(number), keyed(number, "only"), at=at(number))
                await trio.testing.wait_all_tasks_blocked()

        await put(0, 1, 2, 3)  # one is under way, one fills the buffer, two are dropped
        assert on.intake.dropped == 2
        await eventually(lambda: len(gaps(rig)) == 1)
        ctx.gate.release()
        await eventually(lambda: on.committed() == [0] and ctx.gate.statistics().tasks_waiting)
        await put(4, 5, 6)  # the second is under way, one fills the buffer, two are dropped
        assert on.intake.dropped == 4
        ctx.gate.release()
        await eventually(lambda: on.committed() == [0, 1] and ctx.gate.statistics().tasks_waiting)
        assert on.intake.dropped == 4  # the hole is not over
        ctx.gate.release()
        await eventually(lambda: len(gaps(rig)) == 2)
        _, gap = gaps(rig)[1]
        assert (gap["count"], parsed(gap["from"]) <= at(2), parsed(gap["to"]) >= at(6)) == (4, True, True)
        assert on.committed() == [0, 1, 4]
        assert on.states() == {"only": 6}
        session.cancel_scope.cancel()


async def test_an_ended_run_has_handed_over_all_it_had_also_what_was_on_its_way(
    rig: Rig, mock_clock: trio.testing.MockClock
) -> None:
    for number in range(20):
        home = Rig(rig.home / str(number))
        home.home.mkdir()
        async with bench(home, 1000) as on:
            async with trio.open_nursery() as session, ending():
                session.start_soon(on.intake.run)
                with trio.CancelScope(shield=True):
                    for each in range(10):
                        on.put(event(each), at=at(0))
                        await trio.lowlevel.checkpoint()
                        if each == number % 10:
                            session.cancel_scope.cancel()
                    await on.intake.flush()
            assert on.committed() == list(range(10))
        home.close()


async def test_what_a_stuck_spool_does_not_take_within_the_deadline_holds_the_proof_back(
    rig: Rig, mock_clock: trio.testing.MockClock
) -> None:
    async with bench(rig, 10) as on:
        on.stick()
        on.spool.usage("emea").bytes += 1
        async with trio.open_nursery() as session, ending():
            session.start_soon(on.intake.run)
            on.put(event(1), at=at(1))
            await trio.testing.wait_all_tasks_blocked()
            on.put(event(2), at=at(2))
            await trio.testing.wait_all_tasks_blocked()
            assert on.intake.proof(LATER) == at(1)
            session.cancel_scope.cancel()
            mock_clock.autojump_threshold = 0.05  # nothing but the deadline is to come
        assert trio.current_time() == pytest.approx(2, abs=0.6)
        await on.intake.flush()
        assert trio.current_time() < 3
        assert on.intake.proof(LATER) == at(1)


@pytest.mark.parametrize("puts", [1, 3, 6])
async def test_a_clock_that_is_set_back_does_not_make_the_proof_pass_what_waits(
    rig: Rig, mock_clock: trio.testing.MockClock, puts: int
) -> None:
    async with pumping(rig, 2) as on:
        on.choke()
        for number in range(puts):
            on.put(event(number), at=rig.clock.now())
            await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(60)
        rig.clock.step = timedelta(hours=-2)
        assert on.intake.proof(rig.clock.now()) == START + rig.clock.step
        on.unstick()
        await on.intake.flush()
        assert on.intake.proof(rig.clock.now()) == rig.clock.now()


async def test_a_hole_that_cannot_be_declared_holds_the_proof_back(
    rig: Rig, mock_clock: trio.testing.MockClock
) -> None:
    async with pumping(rig, 2) as on:
        on.choke()
        for number in range(6):
            on.put(event(number), at=at(number))
            await trio.testing.wait_all_tasks_blocked()
        assert on.intake.dropped
        assert on.intake.proof(LATER) == at(0)
        assert gaps(rig) == []
        on.unstick()
        await eventually(lambda: on.intake.proof(LATER) == LATER)
        await eventually(lambda: [what for what, _ in gaps(rig)] == ["opened", "closed"])


@pytest.mark.parametrize("seed", range(12))
async def test_the_proof_never_passes_what_is_neither_committed_nor_declared(
    rig: Rig, mock_clock: trio.testing.MockClock, seed: int
) -> None:
    dice = random.Random(seed)
    received: dict[int, datetime] = {}

    def check(on: Bench) -> None:
        proven = on.intake.proof(LATER)
        assert proven is not None
        committed = set(on.committed())
        open_since = [parsed(gap["from"]) for gap in _latest_gaps(on.rig) if gap["to"] is None]
        closed = [(parsed(gap["from"]), parsed(gap["to"])) for gap in _latest_gaps(on.rig) if gap["to"]]
        for number, instant in received.items():
            if instant < proven and number not in committed:
                inside = any(since <= instant for since in open_since)
                assert inside or any(since <= instant <= until for since, until in closed)

    async with pumping(rig, 8) as on:
        on.spool.usage("emea").bytes += 1
        for number in range(120):
            match dice.randrange(12):
                case 0 | 1:
                    on.stick()
                case 2 | 3 | 4:
                    on.unstick()
                case 5:
                    on.choke()
                case 6 | 7:
                    await trio.to_thread.run_sync(lambda: None)
                case 8:
                    await trio.testing.wait_all_tasks_blocked()
                case _:
                    await trio.lowlevel.checkpoint()
            mock_clock.jump(0.01)
            received[number] = on.rig.clock.now()
            on.put(event(number), keyed(number, "only"), at=received[number])
            check(on)
        on.unstick()
        await eventually(lambda: on.intake.proof(LATER) == LATER and not on.intake.dropped)
        await on.intake.flush()
        check(on)
        assert on.states() == {"only": 119}
        lost = 120 - len(on.committed())
        assert sum(gap["count"] for gap in _latest_gaps(rig)) == lost


def _latest_gaps(rig: Rig) -> list[dict[str, Any]]:
    return list({gap["gap_id"]: gap for _, gap in gaps(rig)}.values())


async def test_an_append_that_fails_ends_the_run_and_holds_the_proof_back(
    rig: Rig, mock_clock: trio.testing.MockClock
) -> None:
    bad = event(1)
    bad.received = bad.received.replace(tzinfo=None)
    async with bench(rig, 10) as on:
        on.put(bad, at=at(1))
        with pytest.raises(ExceptionGroup) as caught:
            await on.intake.run()
        assert caught.value.split(ValueError)[1] is None
        assert on.intake.proof(LATER) == at(1)


async def test_what_is_not_committed_was_sent_before_it_was_received(
    rig: Rig, mock_clock: trio.testing.MockClock
) -> None:
    async with bench(rig, 1) as on:
        intake = Intake(on.runtime, on.link, 1)
        for number in range(2):
            intake.put_nowait([event(number)], {}, held(rig, at(number)))
        assert intake.proof(LATER) == at(-UNDERWAY_SECONDS)


async def test_a_hole_begins_before_what_was_sent_long_before_it_was_received(
    rig: Rig, mock_clock: trio.testing.MockClock
) -> None:
    async with bench(rig, 1) as on, trio.open_nursery() as session, ending():
        on.intake.put_nowait([event(0)], {}, held(rig, at(10)))
        on.intake.put_nowait([event(1)], {}, held(rig, at(11)), sent_after=lambda: at(3))
        session.start_soon(on.intake.run)
        await eventually(lambda: len(gaps(rig)) == 2)
        assert {gap["from"] for _, gap in gaps(rig)} == {_latest_gaps(rig)[0]["from"]}
        assert parsed(_latest_gaps(rig)[0]["from"]) == at(3)
        session.cancel_scope.cancel()
