"""Bodies of requests, replies and callbacks: what is written, and that any bytes are read or refused."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.connectors.huawei_aicc.wire import (
    Callback,
    Reply,
    is_lockout,
    neighbours,
    predicted_names,
    query_body,
    read_callback,
    read_reply,
)
from streamd.connectors.huawei_aicc.zones import Asked
from streamd.errors import ProtocolViolation
from tests.connectors.huawei_aicc.vectors import BODY, CALLBACK

ID = "0f0e0d0c0b0a09080706050403020100"
DASHED = "0F0E0D0C-0b0a-0908-0706-050403020100"


def test_a_query_is_written_as_the_contract_has_it() -> None:
    asked = Asked("2024-05-01 00:00:00", "2024-05-01 01:00:00", datetime(2024, 5, 1, tzinfo=UTC))
    url = "https://streamd.example.net:8443/hooks/huawei/cdr"
    assert query_body(asked, "call_record", "202405010001", url) == BODY
    assert b"accountId" not in query_body(asked, "call", "", url)


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        (
            b'{"resultData":{"responseId":"%s"},"resultCode":"0","resultDesc":"success"}' % ID.encode(),
            Reply("0", "success", ID, is_bare=False),
        ),
        (
            b'{"response":{"version":"2.0","resultCode":"0","resultMsg":"success"},"resultData":{"responseId":"%s"},'
            b'"resultCode":"0","resultDesc":"success"}' % DASHED.encode(),
            Reply("0", "success", ID, is_bare=False),
        ),
        (b'{"response":{"resultCode":"0300016","resultMsg":"late"}}', Reply("0300016", "late", None)),
        (b'{"resultData":null,"resultCode":"0300012","resultDesc":""}', Reply("0300012", "", None)),
        (b'{"resultData":"","resultCode":"0300008"}', Reply("0300008", "", None)),
        (b'{"resultCode":300011}', Reply("0300011", "", None)),
        (b'{"resultCode":0,"resultData":{"responseId":"short"}}', Reply("0", "", None, is_bare=False)),
    ],
)
def test_a_reply_is_read_in_every_shape_that_was_seen(body: bytes, reply: Reply) -> None:
    assert read_reply(body) == reply


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"resultCode":null}', b'{"resultCode":""}'])
def test_what_is_no_reply_is_none(body: bytes) -> None:
    assert read_reply(body) is None


def test_a_callback_is_read_under_every_name_of_its_name() -> None:
    name = f"20240501_{ID}.zip"
    assert read_callback(CALLBACK) == Callback(ID, name)
    for field in ("billName", "fileName", "agentOprInfoFileName"):
        assert read_callback(CALLBACK.replace(b"billFileName", field.encode())) == Callback(ID, name)
    assert read_callback(
        CALLBACK.replace(b'"responseId":"' + ID.encode(), b'"responseId":"' + DASHED.encode())
    ) == (Callback(ID, name))


def test_a_name_that_is_not_of_its_own_job_is_none() -> None:
    for name in (b"20240501_ffffffffffffffffffffffffffffffff.zip", b"../../etc/passwd", b"x.zip"):
        body = CALLBACK.replace(f"20240501_{ID}.zip".encode(), name)
        assert read_callback(body) == Callback(ID, None)


def test_a_callback_that_names_no_file_says_that_there_is_none_unless_it_tells_a_failure() -> None:
    empty = CALLBACK.replace(f'"20240501_{ID}.zip"'.encode(), b"%s")
    for nothing in (b'""', b"null"):
        assert read_callback(empty % nothing) == Callback(ID, None, has_no_file=True)
    for code, has_no_file in ((b"0", True), (b"0300012", True), (b"0300015", False)):
        told = (empty % b'""').replace(b'"msgBody":{', b'"msgBody":{"resultCode":"%s",' % code)
        assert read_callback(told) == Callback(ID, None, has_no_file)


def test_only_the_servers_own_page_is_a_lockout() -> None:
    own = (
        b'{"timestamp":1714525500000,"status":403,"error":"Forbidden","message":"No message available",'
        b'"path":"/CCFS/resource/ccfs/queryBillData"}'
    )
    assert is_lockout(own)
    for body in (b"<html>403</html>", b"", b"{}", b'{"error":"blocked"}'):
        assert not is_lockout(body)


def test_names_are_predicted_for_each_day_once_likeliest_first() -> None:
    days = [date(2024, 5, 1), date(2024, 4, 30)]
    assert list(predicted_names(ID, days + neighbours(days[0]))) == [
        f"20240501_{ID}.zip",
        f"20240430_{ID}.zip",
        f"20240502_{ID}.zip",
    ]


@given(st.one_of(st.binary(), st.text().map(str.encode), st.just(b"[" * 100_000)))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    read_reply(body)
    is_lockout(body)
    with suppress(ProtocolViolation):
        read_callback(body)
