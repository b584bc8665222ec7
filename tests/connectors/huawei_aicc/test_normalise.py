"""Rows become events: typed, with words beside codes, under ids that are the same by every way."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.config import PrivacyConfig, Secret
from streamd.connectors.huawei_aicc.normalise import CDRS, RECORDINGS, Normaliser, events
from streamd.connectors.huawei_aicc.rows import CDR, RECORDING, Shape
from streamd.model import Event
from streamd.privacy import Privacy

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = datetime(2024, 5, 1, 1, tzinfo=UTC)
LEG, INDEX = csv.reader(
    [
        "TESTAK0001,202405010001,1,101,1714521600-7,13800000001,9555,2024-05-01 08:00:00,2024-05-01 08:00:05,"
        "2024-05-01 08:00:05,2024-05-01 08:00:09,2024-05-01 08:00:09,2024-05-01 08:01:39,2,1001,0,573,1,"
        "1,1,42,7,7,0,0,12,15,5,501",
        "TESTAK0001,202405010001,1,101,1714521600-7,13800000001,9555,2024-05-01 08:00:09,2024-05-01 08:01:39,"
        r"Y:/1/0/20240501/101/0800.V3,1,success,Y:\1\0\20240501\101\0800.V3,1,0,5,7,8",
    ]
)


def put(row: list[str], shape: Shape = CDR, **cells: str) -> list[str]:
    row = list(row)
    for name, cell in cells.items():
        row[shape.columns.index(name)] = cell
    return row


def made(
    row: list[str], shape: Shape = CDR, revision: int = 1, privacy: PrivacyConfig | None = None
) -> list[Event]:
    fact = Normaliser(SHANGHAI, Privacy(privacy or PrivacyConfig()), "TESTAK0001").fact(shape, row)
    return events(fact, revision, NOW, "live")


def data(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(event.data))
    return found


def test_a_leg_is_a_cdr_with_its_times_in_utc_and_words_beside_its_codes() -> None:
    [event] = made(LEG)
    assert (event.stream, event.type, event.key) == (CDRS, "streamd.cdr.recorded", "1|1714521600-7")
    assert (event.subject, event.tenant, event.phase) == ("1714521600-7", "202405010001", "live")
    assert event.time == datetime(2024, 5, 1, 0, 1, 39, tzinfo=UTC)
    assert data(event) == {
        "revision": 1,
        "account_id": "202405010001",
        "cc_id": "1",
        "agent_id": "101",
        "call_id": "1714521600-7",
        "caller_no": "13800000001",
        "callee_no": "9555",
        "wait_begin": "2024-05-01T00:00:00Z",
        "wait_end": "2024-05-01T00:00:05Z",
        "ack_begin": "2024-05-01T00:00:05Z",
        "ack_end": "2024-05-01T00:00:09Z",
        "call_begin": "2024-05-01T00:00:09Z",
        "call_end": "2024-05-01T00:01:39Z",
        "device_type": "2",
        "device_type_word": "agent",
        "device_no": "1001",
        "call_type": "0",
        "call_type_word": "normal_in",
        "release_cause": "573",
        "call_id_num": "1",
        "vdn_id": "1",
        "pre_device_type": "1",
        "pre_device_type_word": "queue",
        "pre_device_no": "42",
        "skill_id": "7",
        "current_skill_id": "7",
        "device_in": "0",
        "pre_device_in": "0",
        "service_no": "12",
        "leave_reason": "15",
        "leave_reason_word": "user_released",
        "media_type": "5",
        "media_type_word": "voice",
        "sub_media_type": "501",
    }


def test_the_last_row_of_a_call_is_a_cdr_and_the_end_of_the_call() -> None:
    cdr, ended = made(put(LEG, call_id_num="-1"))
    assert (cdr.type, ended.type) == ("streamd.cdr.recorded", "streamd.call.ended")
    assert (ended.stream, ended.key, ended.time) == (CDRS, cdr.key, cdr.time)
    told = data(ended)
    assert told["release_cause"] == "573"
    assert told["call_end"] == "2024-05-01T00:01:39Z"
    assert told["leave_reason_word"] == "user_released"
    assert "wait_begin" not in told


def test_a_recording_row_is_a_recording() -> None:
    [event] = made(INDEX, RECORDING)
    assert (event.stream, event.type, event.key) == (
        RECORDINGS,
        "streamd.recording.available",
        "1|1714521600-7",
    )
    told = data(event)
    assert told["original_file_name"] == r"Y:\1\0\20240501\101\0800.V3"
    assert (told["call_type"], told["call_type_word"]) == ("0", "inbound")
    assert (told["task_status"], told["task_status_word"]) == ("1", "converted")
    assert (told["user_wanted_skill_id"], told["current_skill_id"]) == ("7", "8")


def test_an_id_tells_the_row_its_type_its_revision_and_its_content() -> None:
    ids = [event.id for event in (*made(put(LEG, call_id_num="-1")), *made(INDEX, RECORDING))]
    assert len(set(ids)) == 3
    assert [event.id for event in made(put(LEG, call_id_num="-1", service_no="9"))] == ids[:2]
    assert made(LEG, revision=2)[0].id != made(LEG)[0].id
    for change in ("call_id", "cc_id", "call_id_num", "device_no", "device_type", "wait_begin", "call_begin"):
        assert made(put(LEG, **{change: "3"}))[0].id != made(LEG)[0].id


def test_a_row_that_is_found_again_when_nothing_remembers_it_has_no_id_of_another_content() -> None:
    """A backfill of long ago counts revisions from 1 anew."""
    first, changed = made(LEG)[0], made(put(LEG, release_cause="574"), revision=2)[0]
    assert made(LEG)[0].id == first.id
    assert made(put(LEG, release_cause="574"))[0].id not in (first.id, changed.id)


def test_what_privacy_hides_is_in_no_id() -> None:
    hidden = PrivacyConfig(drop=["caller_no"])
    shown, other = (
        Normaliser(SHANGHAI, Privacy(hidden), "AK").fact(CDR, row) for row in (LEG, put(LEG, caller_no="1"))
    )
    assert shown.told == other.told
    assert shown.content != other.content


@pytest.mark.parametrize(("shape", "row", "width", "known"), [(CDR, LEG, 26, 23), (RECORDING, INDEX, 15, 13)])
def test_a_layout_between_two_releases_is_unknown_behind_the_older_one(
    shape: Shape, row: list[str], width: int, known: int
) -> None:
    cut = [cell or "x" for cell in row[:width]]
    [event] = made(cut, shape)
    told = data(event)
    assert told["extra"] == {f"column_{at}": cut[at - 1] for at in range(known + 1, width + 1)}
    assert not set(shape.columns[known:]) & set(told)


def test_the_content_of_a_row_is_all_but_the_service_number_whatever_the_release_adds() -> None:
    def content(row: list[str]) -> bytes:
        return Normaliser(SHANGHAI, Privacy(PrivacyConfig()), "AK").fact(CDR, row).content

    assert content(put(LEG, service_no="99")) == content(LEG)
    assert content(put(LEG, release_cause="574")) != content(LEG)
    assert content([*LEG[:18], *[""] * 11]) == content(LEG[:18])


def test_the_developer_is_told_only_where_it_is_another() -> None:
    [event] = made(put(LEG, developer="OTHER"))
    assert data(event)["developer"] == "OTHER"


def test_empty_cells_are_left_out_and_unknown_columns_and_times_that_are_none_are_kept() -> None:
    [event] = made([*put(LEG, agent_id="", ack_begin="", call_begin="soon"), "new", "", "er"])
    told = data(event)
    assert "agent_id" not in told
    assert "ack_begin" not in told
    assert told["extra"] == {"call_begin": "soon", "column_30": "new", "column_32": "er"}


def test_a_row_of_an_old_release_has_what_it_has() -> None:
    [event] = made(LEG[:18])
    assert data(event)["call_id_num"] == "1"
    assert "vdn_id" not in data(event)
    [event] = made(INDEX[:13], RECORDING)
    assert data(event)["original_file_name"].endswith(".V3")


def test_a_code_that_nobody_knows_has_no_word() -> None:
    [event] = made(put(LEG, device_type="77", leave_reason="x"))
    assert data(event)["device_type"] == "77"
    assert "device_type_word" not in data(event)
    assert "leave_reason_word" not in data(event)


def test_a_begin_that_is_hours_away_from_the_call_id_doubts_the_zone() -> None:
    normaliser = Normaliser(ZoneInfo("UTC"), Privacy(PrivacyConfig()), "AK")
    assert normaliser.fact(CDR, LEG).zone_error == timedelta(hours=8)
    assert Normaliser(SHANGHAI, Privacy(PrivacyConfig()), "AK").fact(CDR, LEG).zone_error == timedelta(0)


def test_privacy_rules_name_columns_and_leave_what_a_row_is_known_by() -> None:
    rules = PrivacyConfig(
        drop=["caller_no", "column_30"], mask=["callee_no"], hash=["agent_id"], hash_key=Secret("k")
    )
    [event] = made([*LEG, "new"], privacy=rules)
    told = data(event)
    assert "caller_no" not in told
    assert "extra" not in told
    assert told["callee_no"] == "***"
    assert told["agent_id"] not in ("101", "")
    assert str(event.id).rpartition("-")[0] == str(made(LEG)[0].id).rpartition("-")[0]


@pytest.mark.parametrize("shape", [CDR, RECORDING])
@given(st.data())
def test_any_cells_make_events_that_can_be_written(shape: Shape, data: st.DataObject) -> None:
    cell = st.one_of(
        st.text(max_size=20), st.sampled_from(LEG), st.datetimes().map(lambda at: at.isoformat(" "))
    )
    row = data.draw(st.lists(cell, min_size=shape.widths[0], max_size=32))
    for event in made(row, shape):
        msgspec.json.encode(event.data)
        assert event.time is None or event.time.tzinfo is UTC
