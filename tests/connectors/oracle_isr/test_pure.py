"""The decisions that need no server: codes, times, cells, what runs, what is known."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.connectors.oracle_isr.cells import Cell, divide, heeds_bounds
from streamd.connectors.oracle_isr.codes import Action, action
from streamd.connectors.oracle_isr.known import DAYS, SCHEDULE, Known, KnownSet, stage_at
from streamd.connectors.oracle_isr.normalise import LinkName, link_name
from streamd.connectors.oracle_isr.running import RunningSet
from streamd.connectors.oracle_isr.zone import Zone
from streamd.pull.windows import Window

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
BERLIN = Zone("Europe/Berlin")
UTC_ZONE = Zone("UTC")


# -- the codes, row by row (section 6)

TABLE = [
    (0, Action.GO_ON),
    (-1, Action.SUSPECT_TOKEN),
    (1, Action.GIVE_UP),
    (2, Action.HOST_REFUSED),
    *((code, Action.BAD_QUERY) for code in (3, 4, 5, 6, 7, 8, 9, 14, 18, 27)),
    *((code, Action.RETRY) for code in (10, 15, 20)),
    (11, Action.LATER),
    *((code, Action.LATER) for code in (12, 13, 17, 21, 22)),
    (16, Action.SUSPECT_TOKEN),
    *((code, Action.NOTHING_FOUND) for code in (19, 26)),
    *((code, Action.LATER) for code in (23, 24, 25)),
    (4711, Action.SUSPECT_TOKEN),
    (None, Action.SUSPECT_TOKEN),
]


@pytest.mark.parametrize(("code", "wanted"), TABLE)
def test_every_code_has_its_action(code: int | None, wanted: Action) -> None:
    assert action(code) is wanted


# -- times


def test_times_are_read_in_the_servers_zone_with_any_fraction() -> None:
    assert BERLIN.read("2024-05-01 06:37:27.21", NOW) == datetime(2024, 5, 1, 4, 37, 27, 210000, UTC)
    assert UTC_ZONE.read("2024-05-01 06:37:27.0", NOW) == datetime(2024, 5, 1, 6, 37, 27, tzinfo=UTC)
    assert [UTC_ZONE.read(text, NOW) for text in ("", "today", "2024-13-01 00:00:00", "2024-05-01")] == [
        None
    ] * 4


def test_the_hour_that_autumn_has_twice_is_the_later_one_unless_that_is_to_come() -> None:
    first, second = datetime(2024, 10, 27, 0, 30, tzinfo=UTC), datetime(2024, 10, 27, 1, 30, tzinfo=UTC)
    assert BERLIN.read("2024-10-27 02:30:00", second + SECOND) == second
    assert BERLIN.read("2024-10-27 02:30:00", first + SECOND) == first


def test_a_time_that_spring_leaves_out_is_read_all_the_same() -> None:
    assert BERLIN.read("2024-03-31 02:30:00", NOW) == datetime(2024, 3, 31, 1, 30, tzinfo=UTC)


@given(st.datetimes(datetime(2024, 1, 1), datetime(2025, 1, 1)))  # noqa: DTZ001 - hypothesis wants it so
def test_bounds_never_leave_out_what_they_should_hold_whichever_hour_the_server_means(
    naive: datetime,
) -> None:
    at = naive.replace(tzinfo=UTC)
    for far in (at, at + timedelta(hours=30)):
        lower = BERLIN.read(BERLIN.lower(at), far)
        upper = BERLIN.read(BERLIN.upper(at), at - timedelta(hours=30))
        assert lower is not None
        assert upper is not None
        assert lower <= at <= upper
        assert upper - lower <= timedelta(hours=2, seconds=1)


# -- cells


def match(number: int, start: datetime = NOW, **more: Any) -> dict[str, Any]:
    written = start.strftime("%Y-%m-%d %H:%M:%S")
    ids = {"recordingId": number, "ingressCallId": f"call-{number}", "startTime": written}
    return {**ids, "ani": "1", "dnis": f"{number % 7}", **more}


def test_a_cut_cell_is_divided_by_ends_then_by_starts_then_by_numbers_and_then_not_at_all() -> None:
    cell = Cell(at=NOW, ends=Window(NOW - timedelta(hours=1), NOW))
    listed = [match(1), match(2)]
    steps = []
    while (division := divide(cell, listed)) is not None:
        steps.append(division.whole)
        cell = division.cells[0]
    assert steps == [True] * (len(steps) - 1) + [False]
    assert cell.number == "1"
    assert cell.starts is not None
    assert cell.starts.span == SECOND


@given(
    st.lists(st.tuples(st.integers(0, 7200), st.integers(0, 200_000)), max_size=60, unique=True),
    st.integers(1, 10),
)
def test_dividing_finds_every_recording_or_says_that_it_may_not(
    times: list[tuple[int, int]], most: int
) -> None:
    there = {
        number: (NOW - timedelta(seconds=ended), NOW - timedelta(seconds=ended + lasted))
        for number, (ended, lasted) in enumerate(times)
    }

    def within(window: Window | None, at: datetime) -> bool:
        return window is None or window.begin <= at <= window.end

    waiting, found, certain = [Cell(at=NOW, ends=Window(NOW - timedelta(hours=2), NOW))], set(), True
    while waiting:
        cell = waiting.pop()
        fitting = [
            number
            for number, (ended, started) in there.items()
            if within(cell.ends, ended)
            and within(cell.starts, started)
            and cell.number in (None, f"{number % 7}")
        ]
        found |= set(fitting[:most])
        if len(fitting) > most:
            division = divide(cell, [match(number) for number in fitting[:most]])
            certain = certain and division is not None and division.whole
            waiting += division.cells if division is not None else ()
    assert not certain or found == there.keys()


def test_bounds_that_a_server_ignores_are_noticed() -> None:
    cell = Cell(at=NOW, starts=Window(NOW - 2 * SECOND, NOW - SECOND))
    assert heeds_bounds(cell, [match(1, NOW - SECOND)], UTC_ZONE)
    assert not heeds_bounds(cell, [match(1, NOW - timedelta(days=1))], UTC_ZONE)
    division = divide(cell, [match(1)], by_time=False)
    assert division is not None
    assert [each.number for each in division.cells] == ["1"]


# -- what runs


def running(*trees: dict[str, Any], of: RunningSet | None = None, **how: Any) -> RunningSet:
    found = of or RunningSet({})
    observe(found, trees, **how)
    return found


def observe(
    of: RunningSet, trees: Iterable[dict[str, Any]], *, at: datetime = NOW, whole: bool = True
) -> list[LinkName]:
    return [each.link for each in of.observe(trees, at, complete=whole, has_ended=lambda link: False)]


@pytest.mark.parametrize(
    "reply",
    [
        {"isrUcid": "x-isr-ucid-call-1"},
        {"ingressCallId": "call-1"},
        {"isrUcid": "x-isr-ucid-call-1", "ingressCallId": "call-1"},
    ],
)
def test_start_and_end_are_linked_whichever_call_id_a_reply_carries(reply: dict[str, str]) -> None:
    live = match(1, tmpRecordingId=91)
    found = running(live)
    entry = found.find({"recordingId": 501, "startTime": "2024-05-01 12:00:00.120", **reply})
    assert entry is not None
    assert entry.link == link_name(live)
    assert entry.link.call_id == "call-1"


def test_recordings_without_any_call_id_are_linked_by_who_spoke_with_whom() -> None:
    live = {"tmpRecordingId": 9, "startTime": "2024-05-01 12:00:00", "ani": "1", "dnis": "2"}
    found = running(live)
    assert link_name(live).call_id == "rec:9"
    entry = found.find({"recordingId": 501, "startTime": "2024-05-01 12:00:00.5", "ani": "1", "dnis": "2"})
    assert entry is not None


def test_what_is_not_in_a_whole_list_runs_no_more_and_in_a_cut_one_it_may() -> None:
    found = running(match(1), match(2))
    observe(found, [match(1)], whole=False)
    assert found.missing() == []
    observe(found, [match(1)], at=NOW + SECOND)
    assert [each.gone_at for each in found.missing()] == [NOW + SECOND]
    observe(found, [match(1), match(2)], at=NOW + 2 * SECOND)
    assert found.missing() == []


def test_recordings_that_share_a_link_are_told_once_and_awaited_each() -> None:
    same = {"ingressCallId": "call-1"}
    found = RunningSet({})
    assert len(observe(found, [match(1, **same), match(2, **same)])) == 1
    assert observe(found, [match(2, **same), match(1, **same)]) == []
    entry = found.find(match(7, **same))
    assert entry is not None
    found.finish(entry, "501")
    found.finish(entry, "501")
    assert len(found) == 1
    found.finish(entry, "502")
    assert len(found) == 0


def test_recordings_without_any_call_id_are_told_each() -> None:
    live = {"startTime": "2024-05-01 12:00:00", "ani": "1", "dnis": "2"}
    both = [{**live, "tmpRecordingId": 1}, {**live, "tmpRecordingId": 2}]
    found = RunningSet({})
    assert [link.call_id for link in observe(found, both)] == ["rec:1", "rec:2"]
    assert observe(found, both) == []


def test_what_has_ended_is_not_begun_again_by_a_list_that_lags() -> None:
    found = RunningSet({})
    assert found.observe([match(1)], NOW, complete=True, has_ended=lambda link: True) == []
    assert len(found) == 0


def test_what_runs_comes_back_from_the_keyed_state() -> None:
    found = running(match(1), match(2))
    observe(found, [match(2)])
    stored = {name: value for name, value in found.take_changes().items() if value is not None}
    again = RunningSet(stored)
    assert [each.link for each in again.missing()] == [link_name(match(1))]
    assert observe(again, [match(1), match(2)]) == []
    assert found.take_changes() == {}


# -- what is known


def known(ended: datetime, call: str = "a", stage: int = 0) -> Known:
    return Known(ended.timestamp(), ended.timestamp(), b"x", call, "s", stage)


def test_the_schedule_is_followed_and_ends() -> None:
    found = KnownSet({})
    found.note("1", known(NOW))
    for stage, after in enumerate(SCHEDULE):
        assert found.due(NOW + after - SECOND, 10) == []
        assert found.due(NOW + after, 10) == ["1"]
        assert found.due(NOW + after, 10) == ["1"]  # until it is noted
        found.note("1", known(NOW, stage=stage + 1))
    assert found.due(NOW + DAYS, 10) == []


def test_a_recording_that_is_found_late_is_not_read_again_for_what_is_past() -> None:
    assert stage_at(NOW, NOW) == 0
    assert stage_at(NOW, NOW + timedelta(minutes=30)) == 2
    assert stage_at(NOW, NOW + timedelta(days=2)) == len(SCHEDULE)


def test_what_is_known_is_forgotten_after_seven_days_and_bounded() -> None:
    found = KnownSet({})
    found.note("old", known(NOW - DAYS - SECOND, "a"))
    found.note("new", known(NOW, "b"))
    found.take_changes()
    found.forget_old(NOW)
    assert "old" not in found
    assert "new" in found
    assert not found.has_link(LinkName("a", "s"))
    assert found.take_changes() == {"known/old": None}


def test_of_too_many_the_oldest_are_forgotten() -> None:
    found = KnownSet({}, most=100)
    for number in range(110):
        found.note(str(number), known(NOW + number * timedelta(milliseconds=1)))
    found.forget_old(NOW)
    assert len(found) == 100
    assert "9" not in found
    assert "10" in found


@pytest.mark.parametrize("year", ["0001", "1969", "2101", "9999"])
def test_a_time_that_no_recording_can_have_is_none(year: str) -> None:
    assert Zone("UTC").read(f"{year}-12-31 23:59:59", datetime(2026, 1, 1, tzinfo=UTC)) is None
