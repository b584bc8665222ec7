"""`complete_through` against a naive model that remembers every commit and every row."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from random import Random

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from streamd.model import DEAD_LETTER
from streamd.spool.completeness import Completeness
from streamd.spool.proofs import Proof
from streamd.spool.rows import Row
from streamd.spool.spool import SpoolClosed
from tests.spool.rig import ORIGIN, OTHER, PREFIX, START, TOPIC, Rig, event

LETTERS = f"{PREFIX}.{DEAD_LETTER.topic}"


def at(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


class Naive:
    """Every commit with what it proved, and every row that has not left: nothing is ever merged."""

    def __init__(self, last_row: int, outstanding: set[int]) -> None:
        self.commits: list[tuple[int, datetime]] = []
        self.waiting = {row: row for row in outstanding}
        self.last_row = last_row
        self.best: datetime | None = None

    def mark(self, last_row: int, rows: set[int], proven: datetime | None) -> None:
        self.waiting |= {row: row for row in rows}
        if proven is not None:
            self.commits.append((last_row, proven))

    def replaced(self, row: int, stand_in: int) -> None:
        self.waiting[stand_in] = min(self.waiting[row], self.waiting[stand_in])

    def left(self, row: int) -> None:
        del self.waiting[row]

    @property
    def through(self) -> datetime | None:
        """Give the latest proof of a commit behind which nothing waits."""
        held = min(self.waiting.values(), default=None)
        proven = [proof for last_row, proof in self.commits if held is None or last_row < held]
        self.best = max([*proven, *filter(None, [self.best])], default=None)
        return self.best


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.integers(0, 3), st.booleans()),
        st.tuples(st.just("foreign"), st.integers(1, 3)),
        st.tuples(st.just("leave"), st.floats(0, 0.999)),
        st.tuples(st.just("refuse"), st.floats(0, 0.999), st.integers(1, 3)),
        st.tuples(st.just("collapse")),
    ),
    max_size=60,
)


@given(STEPS, st.integers(0, 3), st.sampled_from([4, 5, 4096]))
def test_it_never_claims_more_than_the_naive_model_and_as_much_once_all_has_left(
    steps: list[tuple[str, float, bool]], outstanding: int, most: int
) -> None:
    naive, ours = _walk(steps, outstanding, most)
    for row in sorted(naive.waiting):
        naive.left(row)
        ours.left(row)
    assert ours.through == naive.through


def _walk(steps: list[tuple[str, float, bool]], outstanding: int, most: int) -> tuple[Naive, Completeness]:
    last_row = 10
    ours = Completeness(last_row, outstanding, most)
    naive = Naive(last_row, set(range(last_row - outstanding + 1, last_row + 1)))
    for clock, (step, *values) in enumerate(steps):
        waiting = sorted(naive.waiting)
        match step:
            case "commit":
                fresh = set(range(last_row + 1, last_row + int(values[0]) + 1))
                last_row += len(fresh)
                proven = at(clock) if values[1] else None
                ours.mark(last_row, len(fresh), proven)
                naive.mark(last_row, fresh, proven)
            case "foreign":  # rows of another connector
                last_row += int(values[0])
            case "leave" if waiting:
                row = waiting[int(values[0] * len(waiting))]
                naive.left(row)
                ours.left(row)
            case "refuse" if waiting:  # several rows, whose dead letters are one row
                last_row += 1
                ours.mark(last_row, 1, None)
                naive.mark(last_row, {last_row}, None)
                for row in waiting[int(values[0] * len(waiting)) :][: int(values[1])]:
                    ours.replaced(row, last_row)
                    naive.replaced(row, last_row)
                    naive.left(row)
                    ours.left(row)
            case "collapse":
                last_row += len(waiting)
                naive.waiting = dict.fromkeys(range(last_row - len(waiting) + 1, last_row + 1), 0)
                ours.collapse(last_row, len(waiting))
        limit = naive.through
        assert ours.through is None or (limit is not None and ours.through <= limit)
    return naive, ours


@given(st.lists(st.one_of(st.integers(0, 3), st.floats(0, 0.999)), max_size=60))
def test_where_every_commit_is_proven_it_claims_exactly_as_much_as_the_naive_model(
    steps: list[float],
) -> None:
    ours, naive, last_row = Completeness(0, 0), Naive(0, set()), 0
    ours.mark(0, 0, at(0))
    naive.mark(0, set(), at(0))
    for clock, step in enumerate(steps, start=1):
        if isinstance(step, int):
            fresh = set(range(last_row + 1, last_row + step + 1))
            last_row += step
            ours.mark(last_row, step, at(clock))
            naive.mark(last_row, fresh, at(clock))
        elif naive.waiting:
            row = sorted(naive.waiting)[int(step * len(naive.waiting))]
            ours.left(row)
            naive.left(row)
        assert ours.through == naive.through


def test_a_row_that_waits_holds_back_what_was_proven_behind_it_and_nothing_before() -> None:
    marks = Completeness(0, 0)
    marks.mark(1, 1, at(1))
    marks.mark(2, 1, at(2))
    marks.mark(3, 1, at(3))
    marks.mark(3, 0, at(4))
    marks.left(2)
    assert marks.through is None
    marks.left(1)
    assert marks.through == at(2)
    marks.left(3)
    assert marks.through == at(4)


def test_an_idle_connector_is_complete_through_its_last_proof() -> None:
    marks = Completeness(0, 0)
    for second in range(5):
        marks.mark(second * 10, 0, at(second))
        assert marks.through == at(second)


def test_rows_from_before_a_restart_hold_back_every_proof_since() -> None:
    marks = Completeness(5, 2)
    marks.mark(5, 0, at(1))
    marks.left(4)
    assert marks.through is None
    marks.left(5)
    assert marks.through == at(1)


@pytest.mark.parametrize("refusals", [1, 3])
def test_a_dead_letter_holds_back_what_the_refused_row_did(refusals: int) -> None:
    marks = Completeness(0, 0)
    marks.mark(1, 1, at(1))
    marks.mark(2, 1, at(2))
    row = 1
    for stand_in in range(3, 3 + refusals):
        marks.mark(stand_in, 1, at(stand_in))
        marks.replaced(row, stand_in)
        marks.left(row)
        row = stand_in
    marks.left(2)
    assert marks.through is None
    marks.left(row)
    assert marks.through == at(row)


def test_a_long_outage_keeps_a_bounded_number_of_marks_and_still_ends_complete() -> None:
    marks = Completeness(0, 0, most=16)
    for row in range(1, 1001):
        marks.mark(row, 1, at(row))
    assert len(marks._rows) <= 17
    for row in range(1, 1001):
        marks.left(row)
        assert marks.through is None or marks.through <= at(row)
    assert marks.through == at(1000)


@given(st.integers(0, 2), st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30), st.randoms())
def test_what_was_appended_before_a_fence_has_left_when_its_rows_have_whatever_comes_behind(
    outstanding: int, steps: list[tuple[bool, bool]], random: Random
) -> None:
    """Each step: one more row, with a proof or without, and perhaps a fence behind it."""
    marks = Completeness(outstanding, outstanding)
    waiting, row = set(range(1, outstanding + 1)), outstanding
    fences: list[tuple[int, set[int]]] = []
    for proven, fenced in steps:
        row += 1
        marks.mark(row, 1, at(row) if proven else None)
        waiting.add(row)
        if fenced:
            fences.append((marks.fence(), set(waiting)))
        while waiting and random.random() < 0.5:
            left = random.choice(sorted(waiting))
            waiting.remove(left)
            marks.left(left)
            for fence, before in fences:
                assert marks.has_left(fence) == (not before & waiting)


async def test_published_returns_when_what_was_appended_before_has_left_and_asks_for_nothing_behind_it(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool(partitions=1)
    nursery.start_soon(spool.write)
    await spool.published(ORIGIN.connector)
    await spool.append(ORIGIN, [event(1)], {})
    await spool.append(OTHER, [event(9)], {})
    done = trio.Event()

    async def wait() -> None:
        await spool.published(ORIGIN.connector)
        done.set()

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    await spool.append(ORIGIN, [event(2)], {})
    rows: list[Row] = []
    while len(rows) < 3:
        rows += await spool.lane(TOPIC, 0).take()
    spool.acknowledge(rows[1:2])
    await spool.flush()
    assert not done.is_set()
    spool.acknowledge(rows[:1])
    await done.wait()
    assert spool.usage(ORIGIN.connector).rows == 1


@pytest.mark.parametrize("end", ["letter", "move", "end"])
async def test_published_waits_for_dead_letters_and_over_a_move_and_ends_with_the_writer(
    rig: Rig, nursery: trio.Nursery, end: str
) -> None:
    spool = rig.spool(partitions=1)
    writing = await nursery.start(cancellable, spool.write)
    await spool.append(ORIGIN, [event(1)], {})
    outcome = trio.Event()

    async def wait() -> None:
        try:
            await spool.published(ORIGIN.connector)
        except SpoolClosed:
            assert end == "end"
        outcome.set()

    nursery.start_soon(wait)
    if end == "letter":
        rows = await spool.lane(TOPIC, 0).take()
        await spool.replace(rows, [(ORIGIN, event(2, stream=DEAD_LETTER))])
        topic = LETTERS
    else:
        await spool.assign(TOPIC, 2)
        topic = TOPIC
    await trio.testing.wait_all_tasks_blocked()
    assert not outcome.is_set()
    if end == "end":
        writing.cancel()
    else:
        lane = next(spool.lane(topic, each) for each in range(2) if spool.lane(topic, each).has_rows)
        spool.acknowledge(await lane.take())
    await outcome.wait()


async def cancellable(
    run: Callable[[], Awaitable[None]], *, task_status: trio.TaskStatus[trio.CancelScope]
) -> None:
    with trio.CancelScope() as scope:
        task_status.started(scope)
        await run()


@pytest.mark.parametrize("waits", [True, False])
async def test_a_clock_that_jumped_ahead_and_is_set_right_leaves_no_claim_in_the_future(
    rig: Rig, mock_clock: trio.testing.MockClock, waits: bool
) -> None:
    clock, spool = rig.clock, rig.spool(partitions=1)

    def prove() -> Proof:
        return Proof(clock.now(), clock.now())

    spool.prove_with(ORIGIN, "s", prove)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spool.write)

        async def claimed_after(seconds: float) -> datetime | None:
            mock_clock.jump(seconds)
            await spool.flush()
            return spool.complete_through(ORIGIN.connector)

        assert await claimed_after(1) == clock.now()
        clock.step = timedelta(hours=3)
        assert await claimed_after(1) == clock.now()
        if waits:
            await spool.append(ORIGIN, [event(1)], {})
        before = at(2)
        clock.step = timedelta(0)
        assert spool.complete_through(ORIGIN.connector) == before
        assert await claimed_after(1) == (before if waits else clock.now())
        assert await claimed_after(1) == (before if waits else clock.now())
        nursery.cancel_scope.cancel()
