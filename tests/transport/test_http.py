"""What is promised of a connector's HTTP requests, against scripted servers on real sockets."""

from __future__ import annotations

import gzip
import logging
import socket
import ssl
from datetime import UTC, datetime
from time import monotonic

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import ProtocolViolation, Rejected, Transient
from streamd.transport.http import open_http, retry_after_seconds

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def http(serve):
    """Return `http(script, **options)`: a client for a server that runs `script` for each connection."""

    async def client(script, *, tls=None, scheme="http", server_tls=None, **options):
        port = await serve(script, server_tls)
        return open_http(f"{scheme}://localhost:{port}/api", tls=tls, **{"timeout": 5.0, **options})

    return client


async def test_a_request_carries_what_was_asked_and_the_answer_is_whole(http, wire):
    seen = []

    async def script(stream):
        seen.append(await wire.read_head(stream))
        await stream.send_all(b"HTTP/1.1 404 Not Found\r\nX-Id: 7\r\nContent-Length: 4\r\n\r\nnone")
        await trio.sleep_forever()

    async with await http(script, headers={"AppKey": "k"}) as client:
        answer = await client.request("GET", "v1/x", params={"a": "1 2"}, auth=("me", "pw"))
    assert (answer.status, answer.body, answer.headers["x-id"]) == (404, b"none", "7")
    head = seen[0].lower()
    assert head.startswith((b"get /api/v1/x?a=1+2 http/1.1\r\n", b"get /api/v1/x?a=1%202 http/1.1\r\n"))
    assert b"appkey: k\r\n" in head
    assert b"authorization: basic " in head


async def test_json_and_forms_are_encoded(http, wire):
    seen = []

    async def script(stream):
        for _ in range(2):
            data = b""
            while not data.endswith((b"}", b"=v")):
                data += await stream.receive_some()
            seen.append(data)
            await stream.send_all(OK)
        await trio.sleep_forever()

    async with await http(script) as client:
        await client.request("POST", "j", json={"k": "ü"})
        await client.request("POST", "f", form={"k": "v"})
    assert b"content-type: application/json" in seen[0].lower()
    assert seen[0].endswith('{"k":"ü"}'.encode())
    assert b"application/x-www-form-urlencoded" in seen[1]


async def test_redirects_are_answers_like_any_other(http, wire):
    async def script(stream):
        await wire.read_head(stream)
        await stream.send_all(b"HTTP/1.1 302 Found\r\nLocation: http://evil/\r\nContent-Length: 0\r\n\r\n")

    async with await http(script) as client:
        assert (await client.request("GET", "")).status == 302


@pytest.mark.parametrize(
    "part", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"]
)
async def test_the_deadline_covers_every_step_of_a_request(http, wire, part):
    async def script(stream):
        await wire.read_head(stream)
        await stream.send_all(part)
        await trio.sleep_forever()

    async with await http(script, timeout=0.2) as client:
        began = monotonic()
        with pytest.raises(Transient, match=r"within 0\.2 s"):
            await client.request("GET", "x")
    assert monotonic() - began < 5


async def test_a_drip_of_bytes_does_not_stretch_the_deadline(http, wire):
    async def script(stream):
        await wire.read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        while True:
            await stream.send_all(b"x")
            await trio.sleep(0.02)

    async with await http(script, timeout=0.2) as client:
        with trio.fail_after(5), pytest.raises(Transient):
            await client.request("GET", "x")


async def test_a_stale_connection_costs_one_more_try_when_the_method_allows_it(http, wire):
    requests = []

    async def script(stream):
        requests.append(await wire.read_head(stream))
        if len(requests) % 2 == 0:
            await stream.send_all(OK)

    async with await http(script) as client:
        assert (await client.request("GET", "x")).body == b"ok"
        assert len(requests) == 2
        with pytest.raises(Transient):
            await client.request("POST", "x")
        assert len(requests) == 3, "a POST may have been done: it is not repeated"


async def test_a_body_over_the_cap_is_a_violation_and_not_kept(http, wire):
    async def script(stream):
        await wire.read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await stream.send_all(b"x" * 10_000)

    async with await http(script, max_body_bytes=50_000) as client:
        with pytest.raises(ProtocolViolation, match="50000"):
            await client.request("GET", "x")


async def test_the_cap_counts_what_a_compressed_body_becomes(http, wire):
    packed = gzip.compress(bytes(1 << 20))

    async def script(stream):
        await wire.read_head(stream)
        await stream.send_all(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
        )
        await trio.sleep_forever()

    async with await http(script) as client:
        assert len((await client.request("GET", "x")).body) == 1 << 20
    async with await http(script, max_body_bytes=100_000) as client:
        with pytest.raises(ProtocolViolation):
            await client.request("GET", "x")


async def test_a_stream_hands_over_each_chunk_when_it_comes(http, wire):
    go = trio.Event()

    async def script(stream):
        await wire.read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await go.wait()
        await stream.send_all(b"3\r\ntwo\r\n0\r\n\r\n")

    async with await http(script, timeout=5) as client, client.stream("GET", "x") as stream:
        assert stream.status == 200
        assert await stream.receive() == b"one"
        first = stream.last_bytes_at
        go.set()
        assert await stream.receive() == b"two"
        assert stream.last_bytes_at > first
        assert await stream.receive() == b""


async def test_a_stream_that_breaks_or_is_left_early_is_let_go(http, wire):
    async def script(stream):
        await wire.read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")

    async with await http(script) as client:
        async with client.stream("GET", "x") as stream:
            assert await stream.receive() == b"one"
        with trio.CancelScope() as scope:
            async with client.stream("GET", "x") as stream:
                scope.cancel()
                await stream.receive()
        async with client.stream("GET", "x") as stream:
            await stream.receive()
            with pytest.raises(Transient):
                await stream.receive()


async def test_waiting_for_the_head_of_a_stream_has_a_deadline(http, wire):
    async def script(stream):
        await trio.sleep_forever()

    async with await http(script, timeout=0.2) as client:
        with pytest.raises(Transient, match="within"):
            async with client.stream("GET", "x"):
                raise AssertionError("opened")


async def test_no_more_requests_run_at_once_than_allowed(http, wire):
    running = highest = 0

    async def script(stream):
        nonlocal running, highest
        while True:
            await wire.read_head(stream)
            running += 1
            highest = max(highest, running)
            await trio.sleep(0.01)
            running -= 1
            await stream.send_all(OK)

    async with await http(script, max_requests=3) as client, trio.open_nursery() as nursery:
        for _ in range(12):
            nursery.start_soon(client.request, "GET", "x")
    assert highest == 3


async def test_cancelled_requests_cost_the_client_nothing(http, wire):
    async def script(stream):
        while True:
            await wire.read_head(stream)
            await trio.sleep(0.005)
            await stream.send_all(OK)

    async with await http(script, max_requests=20) as client:
        for wait in range(40):
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(client.request, "GET", "x")
                await trio.sleep(wait * 0.0003)
                nursery.cancel_scope.cancel()
        assert (await client.request("GET", "x")).body == b"ok"


async def test_a_certificate_that_does_not_verify_is_rejected_at_once(http, server_tls):
    async def script(stream):
        await stream.receive_some()

    context = ssl.create_default_context()
    async with await http(script, scheme="https", server_tls=server_tls, tls=context) as client:
        with trio.fail_after(30), pytest.raises(Rejected, match="certificate"):
            await client.request("GET", "x")


async def test_a_certificate_that_verifies_is_used(http, wire, server_tls, client_tls):
    async def script(stream):
        await wire.read_head(stream)
        await stream.send_all(OK)

    async with await http(script, scheme="https", server_tls=server_tls, tls=client_tls) as client:
        assert (await client.request("GET", "x")).body == b"ok"


async def test_a_port_where_nobody_listens_is_transient():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with open_http(f"http://127.0.0.1:{unused.getsockname()[1]}") as client:
            with pytest.raises(Transient, match="Connection refused"):
                await client.request("GET", "x")


async def test_a_url_of_the_vendor_that_is_none_is_a_violation_that_does_not_show_it(http, wire):
    async with open_http("http://localhost:1") as client:
        for url in ("ftp://h/?token=s3cret", "http://h:port/?token=s3cret"):
            with pytest.raises(ProtocolViolation) as caught:
                await client.request("GET", url)
            assert "s3cret" not in str(caught.value)


async def test_no_url_reaches_a_log_or_an_error(http, wire, caplog):
    async def script(stream):
        if b"again" not in await wire.read_head(stream):
            await stream.send_all(OK)

    caplog.set_level(logging.DEBUG)
    async with await http(script) as client:
        await client.request("GET", "x?token=s3cret")
        with pytest.raises(Transient) as caught:
            await client.request("GET", "again?token=s3cret")
    assert "s3cret" not in caplog.text + str(caught.value)


async def test_requests_go_through_the_proxy_and_the_environment_is_ignored(serve, wire, monkeypatch):
    seen = []

    async def script(stream):
        seen.append(await wire.read_head(stream))
        await stream.send_all(OK)

    monkeypatch.setenv("HTTP_PROXY", "http://localhost:1")
    port = await serve(script)
    async with open_http(f"http://localhost:{port}", timeout=5) as client:
        await client.request("GET", "x")
    async with open_http("http://vendor.invalid", proxy=f"http://u:p@localhost:{port}", timeout=5) as client:
        await client.request("GET", "x")
    assert seen[1].startswith(b"GET http://vendor.invalid/x ")
    assert b"proxy-authorization: basic " in seen[1].lower()


NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "120"}, 120.0),
        ({"retry-after": "Fri, 01 May 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Fri, 01 May 2026 12:00:30 GMT", "date": "Fri, 01 May 2026 12:00:20 GMT"}, 10.0),
        ({"retry-after": "Fri, 01 May 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "0" * 20 + "7"}, 7.0),
    ],
)
def test_both_forms_of_retry_after_are_understood(headers, seconds):
    assert retry_after_seconds(headers, NOW) == seconds


@pytest.mark.parametrize("value", ["901", "1795823445", "9" * 5000, "Sat, 02 May 2026 12:00:00 GMT"])
def test_no_server_can_ask_for_a_wait_of_more_than_fifteen_minutes(value):
    assert retry_after_seconds({"retry-after": value}, NOW) == 900.0


@given(st.text(), st.text())
def test_any_retry_after_is_a_wait_or_none(value, date):
    seconds = retry_after_seconds({"retry-after": value, "date": date}, NOW)
    assert seconds is None or 0 <= seconds <= 900
