"""Windows: every instant is asked for once the server has passed it, and none is passed unread."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from streamd.pull.windows import Pace, Window, bisect, ceil_hour, clip, floor_hour, settled, slices

START = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)
INSTANTS = st.datetimes(datetime(2025, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
SPANS = st.timedeltas(timedelta(0), timedelta(days=3))
STEPS = st.timedeltas(SECOND, timedelta(days=2))


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@given(INSTANTS, SPANS, st.timedeltas(timedelta(minutes=1), timedelta(days=2)))
def test_slices_adjoin_cover_the_window_in_order_and_none_is_longer_than_allowed(
    begin: datetime, span: timedelta, longest: timedelta
) -> None:
    cut = slices(Window(begin, begin + span), longest)
    assert all(timedelta(0) < each.span <= longest for each in cut)
    assert [each.begin for each in cut[1:]] == [each.end for each in cut[:-1]]
    if span:
        assert (cut[0].begin, cut[-1].end) == (begin, begin + span)
    else:
        assert cut == []


@pytest.mark.parametrize(
    ("present", "hours", "rest"), [(-1, 0, 3 * 3600), (0, 0, 3 * 3600), (2, 2, 3600), (3, 3, 0), (9, 3, 0)]
)
def test_what_has_not_settled_is_left_and_told(present: int, hours: int, rest: int) -> None:
    hour = timedelta(hours=1)
    part, left = settled(Window(START, START + 3 * hour), START + present * hour)
    assert (part, left) == (Window(START, START + hours * hour), rest)


@given(INSTANTS, SPANS)
def test_halves_of_a_window_adjoin_at_a_whole_second_until_it_is_one_second_short(
    begin: datetime, span: timedelta
) -> None:
    window = Window(begin, begin + span)
    halves = bisect(window)
    if span <= SECOND:
        assert halves is None
        return
    assert halves is not None
    left, right = halves
    assert (left.begin, left.end, right.end) == (begin, right.begin, window.end)
    assert min(left.span, right.span) > timedelta(0)
    assert left.span % SECOND == timedelta(0)
    assert max(left.span, right.span) < span


def test_a_walk_follows_a_server_whose_clock_went_back_farther_than_is_read_again() -> None:
    pace = Pace(step=60 * SECOND, overlap=120 * SECOND, settle=5 * SECOND, catch_up=3600 * SECOND)
    for ahead in (0, 100, -3600):  # of the watermark to the present: nothing has happened
        assert pace.resume(at(0), at(5 - ahead)) == at(0)
    assert pace.resume(at(0), at(5 - 3600)) == at(-3600)
    assert replace(pace, overlap=0 * SECOND).resume(at(0), at(5 - 30)) == at(0)


@given(INSTANTS)
def test_hours_are_rounded_outwards(instant: datetime) -> None:
    floor, ceil = floor_hour(instant), ceil_hour(instant)
    assert floor <= instant <= ceil
    assert instant - floor < timedelta(hours=1) > ceil - instant
    assert {floor.minute, ceil.minute, floor.second, ceil.microsecond} == {0}


@pytest.mark.parametrize(
    ("earliest", "latest", "left"),
    [
        (None, None, (0, 10)),
        (3, 7, (3, 7)),
        (-5, 20, (0, 10)),
        (10, None, None),
        (None, 0, None),
        (7, 3, None),
    ],
)
def test_a_window_is_clipped_to_what_lies_between_two_instants(
    earliest: int | None, latest: int | None, left: tuple[int, int] | None
) -> None:
    bounds = [None if each is None else at(each) for each in (earliest, latest)]
    expected = None if left is None else Window(at(left[0]), at(left[1]))
    assert clip(Window(at(0), at(10)), *bounds) == expected


PACE = Pace(
    step=timedelta(minutes=15),
    overlap=timedelta(minutes=30),
    settle=timedelta(minutes=5),
    catch_up=timedelta(days=1),
)


def test_the_newest_window_overlaps_the_last_one_and_leaves_time_to_settle() -> None:
    step = PACE.next(at(0), at(600))
    assert step is not None
    assert step.window == Window(at(-1800), at(300))
    assert (step.watermark, step.newest) == (at(300), True)


def test_a_walk_that_is_far_behind_takes_a_long_window_that_is_not_the_newest() -> None:
    step = PACE.next(at(0), at(3 * 86_400))
    assert step is not None
    assert (step.watermark, step.newest) == (at(86_400), False)


@pytest.mark.parametrize("now", [300, 299, 0, -86_400])
def test_nothing_is_due_before_something_has_settled_nor_where_the_server_s_clock_went_back(now: int) -> None:
    assert PACE.next(at(0), at(now)) is None


@given(
    INSTANTS,
    st.builds(Pace, STEPS, SPANS, SPANS, STEPS),
    st.lists(st.timedeltas(-3 * SECOND, timedelta(days=9))),
)
def test_no_instant_is_passed_unread_and_none_is_asked_for_before_the_server_has_passed_it(
    begin: datetime, pace: Pace, hops: list[timedelta]
) -> None:
    watermark, now = begin, begin
    for hop in hops:
        now += hop
        step = pace.next(watermark, now)
        if step is None:
            assert now - pace.settle <= watermark
            continue
        assert step.window.begin == watermark - pace.overlap
        assert watermark < step.watermark == step.window.end <= now - pace.settle
        assert step.watermark - watermark <= max(pace.step, pace.catch_up)
        assert step.newest == (now - pace.settle - watermark <= pace.step)
        assert not step.newest or step.watermark == now - pace.settle
        watermark = step.watermark
