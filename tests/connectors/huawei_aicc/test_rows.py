"""Rows of every width and spelling, and what is none; each tolerance of section 5 as a captured payload."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.connectors.huawei_aicc.rows import CALL_ID, CDR, RECORDING, RowReader, Shape, shape_of
from streamd.errors import BadRecord
from streamd.transport.lines import TooLong

CDR_LINE = (
    b"TESTAK0001,202405010001,1,101,1714521600-7,13800000001,9555,2024-05-01 08:00:00,2024-05-01 08:00:05,"
    b"2024-05-01 08:00:05,2024-05-01 08:00:09,2024-05-01 08:00:09,2024-05-01 08:01:39,2,1001,0,573,-1,"
    b"1,1,42,7,7,0,0,12,15,5,501"
)
RECORDING_LINE = (
    b"TESTAK0001,202405010001,1,101,1714521600-7,13800000001,9555,2024-05-01 08:00:09,2024-05-01 08:01:39,"
    rb"Y:/1/0/20240501/101/0800.V3,1,success,Y:\1\0\20240501\101\0800.V3,1,0,5,7,7"
)


def read(*lines: bytes, shape: Shape = CDR, pieces: int = 1) -> list[list[str] | BadRecord]:
    reader = RowReader(shape, "a.zip: a.csv")
    found = []
    for at in range(0, len(lines), pieces):
        found += reader.read(lines[at : at + pieces])
    return [*found, *reader.read([], last=True)]


def cut(line: bytes, columns: int) -> bytes:
    return b",".join(line.split(b",")[:columns])


def texts(line: bytes) -> list[str]:
    return line.decode().split(",")


def reasons(found: Sequence[object]) -> list[str]:
    return [each.reason for each in found if isinstance(each, BadRecord)]


@pytest.mark.parametrize("width", [18, 23, 29])
def test_a_cdr_row_of_every_release_is_a_row(width: int) -> None:
    assert read(cut(CDR_LINE, width)) == [texts(cut(CDR_LINE, width))]


@pytest.mark.parametrize("width", [13, 18])
def test_a_recording_row_of_every_release_is_a_row(width: int) -> None:
    line = cut(RECORDING_LINE, width)
    assert read(line, shape=RECORDING) == [texts(line)]


def test_columns_that_nobody_documented_are_kept() -> None:
    assert read(CDR_LINE + b",new,er") == [[*texts(CDR_LINE), "new", "er"]]


def test_a_header_and_a_byte_order_mark_are_left_out_and_carriage_returns_too() -> None:
    header = b",".join(name.encode() for name in CDR.columns)
    wanted = [texts(CDR_LINE)]
    assert read(header, CDR_LINE) == wanted
    assert read(b"\xef\xbb\xbf" + header + b"\r", CDR_LINE + b"\r") == wanted
    assert read(b'\xef\xbb\xbf"Developer",' + header, CDR_LINE) == wanted
    assert read(b"\xef\xbb\xbf" + CDR_LINE) == wanted
    assert read(header) == []
    assert read() == []


def test_chinese_text_is_read_in_utf8_and_in_gb18030() -> None:
    for charset in ("utf-8", "gb18030", "gbk"):
        line = CDR_LINE.replace(b",1001,", ",座席一,".encode(charset))
        [row] = read(line)
        assert isinstance(row, list)
        assert row[14] == "座席一"


def test_quotes_hold_commas_quotes_and_line_ends() -> None:
    wanted = texts(CDR_LINE)
    wanted[6] = 'a,b "c"'
    assert read(CDR_LINE.replace(b"9555", b'"a,b ""c"""')) == [wanted]
    quoted = b",".join(b'"' + cell + b'"' for cell in CDR_LINE.split(b","))
    assert read(quoted, quoted) == [texts(CDR_LINE)] * 2
    wanted[6] = "a\nb"
    first, second = CDR_LINE.replace(b"9555", b'"a\nb"').split(b"\n")
    for pieces in (1, 2, 3):
        assert read(first, second, CDR_LINE, pieces=pieces) == [wanted, texts(CDR_LINE)]


def test_backslashes_and_empty_cells_are_text_like_any_other() -> None:
    [row] = read(RECORDING_LINE, shape=RECORDING)
    assert isinstance(row, list)
    assert row[12] == r"Y:\1\0\20240501\101\0800.V3"
    abandoned = CDR_LINE.replace(b"101,1714", b",1714", 1)
    [row] = read(abandoned)
    assert isinstance(row, list)
    assert row[3] == ""


def test_a_quote_that_stays_open_costs_its_own_line_only() -> None:
    broken = CDR_LINE.replace(b"9555", b'"9555')
    found = read(broken, *[CDR_LINE] * 40, broken)
    assert reasons(found) == ["quotes that do not match"] * 2
    assert found.count(texts(CDR_LINE)) == 40


def test_short_rows_rows_without_an_id_and_no_text_at_all_are_told_apart_and_cost_no_other() -> None:
    nameless = CDR_LINE.replace(b"1714521600-7", b"")
    found = read(CDR_LINE, b"a,b,c,d,e", cut(CDR_LINE, 25), nameless, b"\xff\xfe,\xff", CDR_LINE)
    assert reasons(found) == [
        "a row of 5 columns",
        "a row of 25 columns",
        "a row without call_id",
        "neither UTF-8 nor GB18030",
    ]
    assert found[0] == found[-1] == texts(CDR_LINE)
    assert next(each.payload for each in found if isinstance(each, BadRecord)) == b"a,b,c,d,e"


def test_a_release_between_the_known_ones_is_told_by_its_first_row() -> None:
    line = cut(CDR_LINE, 25)
    assert read(line, line) == [texts(line)] * 2


def test_a_line_that_is_too_long_is_told_by_its_beginning() -> None:
    reader = RowReader(CDR, "a.zip")
    [bad, row] = reader.read([TooLong(b"abc", 2_000_000), CDR_LINE], last=True)
    assert isinstance(bad, BadRecord)
    assert bad.payload == b"abc"
    assert row == texts(CDR_LINE)


def test_members_are_told_by_their_names_with_or_without_a_sequence() -> None:
    assert shape_of("20240501010514001123_call.csv") is CDR
    assert shape_of("20240501010514001123_record_2.csv") is RECORDING
    assert shape_of("a/b/20240501010514001123_CALL_12.CSV") is CDR
    for name in ("readme.txt", "20240501_call.csv.gz", "_callx.csv", ""):
        assert shape_of(name) is None


@given(
    st.lists(st.one_of(st.binary(max_size=200), st.sampled_from([CDR_LINE, CDR_LINE[:90]])), max_size=30),
    st.integers(1, 9),
)
def test_any_bytes_give_rows_or_bad_records_however_they_are_cut(lines: list[bytes], pieces: int) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    found = read(*(line for line in lines if line), pieces=pieces)
    for each in found:
        assert isinstance(each, BadRecord) or (len(each) >= 18 and each[CALL_ID])
