"""Wall times: both hours in which clocks change, a zone at +05:45, and which reading is certain."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.connectors.huawei_aicc.zones import Asked, Reader, ask, epoch_of, zone_error

BERLIN, KATHMANDU, SHANGHAI = (ZoneInfo(f) for f in ("Europe/Berlin", "Asia/Kathmandu", "Asia/Shanghai"))
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # its clocks change by half an hour


def utc(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


def test_a_window_is_asked_for_in_the_tenants_wall_time() -> None:
    begin, end = utc("2024-05-01T00:00:00"), utc("2024-05-01T01:00:00")
    assert ask(begin, end, SHANGHAI) == Asked("2024-05-01 08:00:00", "2024-05-01 09:00:00", end)
    assert ask(begin, end, KATHMANDU) == Asked("2024-05-01 05:45:00", "2024-05-01 06:45:00", end)


def test_what_is_asked_for_in_fractions_of_a_second_is_certain_to_the_second_before() -> None:
    asked = ask(utc("2024-05-01T00:00:00.9"), utc("2024-05-01T01:00:00.9"), UTC_ZONE)
    assert asked == Asked("2024-05-01 00:00:00", "2024-05-01 01:00:00", utc("2024-05-01T01:00:00"))


UTC_ZONE = ZoneInfo("UTC")


def test_no_wall_time_is_asked_for_that_clocks_jump_over() -> None:
    for minute in range(180):
        at = utc("2024-03-31T00:00:00") + timedelta(minutes=minute)
        asked = ask(at, at + timedelta(minutes=15), BERLIN)
        assert asked.covered == at + timedelta(minutes=15)
        for text in (asked.begin, asked.end):
            assert not "2024-03-31 02:00:00" <= text < "2024-03-31 03:00:00"


@pytest.mark.parametrize("zone", [BERLIN, LORD_HOWE, KATHMANDU, SHANGHAI])
def test_whichever_way_the_server_reads_a_window_it_holds_all_that_counts_as_covered(zone: ZoneInfo) -> None:
    nights = ("2024-10-26T22:00:00", "2024-04-06T13:00:00", "2024-03-30T22:00:00")
    for night in nights:
        for minute in range(0, 360, 7):
            begin = utc(night) + timedelta(minutes=minute)
            end = begin + timedelta(minutes=45)
            asked = ask(begin, end, zone)
            for first in (0, 1):
                for second in (0, 1):
                    wall = datetime.fromisoformat(asked.begin).replace(tzinfo=zone, fold=first)
                    assert wall.astimezone(UTC) <= begin
                    wall = datetime.fromisoformat(asked.end).replace(tzinfo=zone, fold=second)
                    assert wall.astimezone(UTC) >= asked.covered


def test_in_the_second_pass_of_the_repeated_hour_only_the_first_reading_counts() -> None:
    asked = ask(utc("2024-10-27T00:50:00"), utc("2024-10-27T01:20:00"), BERLIN)
    assert asked == Asked("2024-10-27 01:59:59", "2024-10-27 02:20:00", utc("2024-10-27T00:20:00"))


def test_an_end_can_be_pulled_back_to_before_the_repeated_hour() -> None:
    asked = ask(utc("2024-10-26T23:00:00"), utc("2024-10-27T00:20:00"), BERLIN, within_repeated=False)
    assert asked == Asked("2024-10-27 01:00:00", "2024-10-27 01:59:59", utc("2024-10-26T23:59:59"))


def test_rows_are_read_in_their_zone() -> None:
    assert Reader(SHANGHAI).read("2024-05-01 08:00:09") == utc("2024-05-01T00:00:09")
    assert Reader(KATHMANDU).read("2024-05-01 05:45:09") == utc("2024-05-01T00:00:09")
    assert Reader(BERLIN).read("2024-03-31 01:59:59") == utc("2024-03-31T00:59:59")
    assert Reader(BERLIN).read("2024-03-31 03:00:00") == utc("2024-03-31T01:00:00")


def test_in_the_repeated_hour_a_row_does_not_begin_before_its_call() -> None:
    reader = Reader(BERLIN)
    text = "2024-10-27 02:10:00"
    assert reader.read(text) == utc("2024-10-27T00:10:00")
    assert reader.read(text, utc("2024-10-27T00:09:58")) == utc("2024-10-27T00:10:00")
    assert reader.read(text, utc("2024-10-27T01:09:58")) == utc("2024-10-27T01:10:00")
    assert reader.read("2024-10-27 03:10:00", utc("2024-10-27T00:10:00")) == utc("2024-10-27T02:10:00")


@pytest.mark.parametrize(
    "text", ["", "YYYY-MM-DD hh:mm:ss", "2024-02-30 00:00:00", "0", "2024-05-01", "1" * 19]
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert Reader(SHANGHAI).read(text) is None


@given(st.datetimes(), st.sampled_from([BERLIN, KATHMANDU, SHANGHAI, LORD_HOWE]))
def test_any_time_is_read_as_its_zone_says_or_has_no_room(at: datetime, zone: ZoneInfo) -> None:
    text = at.isoformat(" ", "seconds")
    reader = Reader(zone)
    try:
        wanted = datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)
    except OverflowError:
        wanted = None
    if 2 < at.year < 9998:
        assert reader.read(text) == reader.read(text) == wanted


@given(st.text())
def test_any_text_is_a_time_or_none(text: str) -> None:
    found = Reader(BERLIN).read(text, utc("2024-05-01T00:00:00"))
    assert found is None or found.tzinfo is UTC


def test_a_call_id_tells_when_its_call_began() -> None:
    assert epoch_of("1714521600-12") == utc("2024-05-01T00:00:00")
    for call_id in ("1714521600", "abc-1", "-1", "", "17145216000-1"):
        assert epoch_of(call_id) is None


def test_only_what_another_zone_explains_is_an_error_of_the_zone() -> None:
    assert zone_error(timedelta(hours=-8, seconds=30)) == timedelta(hours=-8)
    assert zone_error(timedelta(hours=5, minutes=45)) == timedelta(hours=5, minutes=45)
    assert zone_error(timedelta(seconds=80)) == timedelta(0)
    assert zone_error(timedelta(minutes=7)) is None
