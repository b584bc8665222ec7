"""What is promised of the HTTP server, asked with raw sockets and with our own client."""

from __future__ import annotations

import socket
from contextlib import suppress
from time import monotonic

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.errors import Transient
from streamd.transport.http import open_http
from streamd.transport.listening import open_tcp_listeners, open_unix_listener
from streamd.transport.server import Request, Response, Streamed, serve_http


class Served:
    """A server under test: what its handler saw, and the errors that it reported."""

    def __init__(self):
        self.requests = []
        self.errors = []
        self.port = 0

    async def connect(self):
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def ask(self, data):
        """Send `data` on a new connection and return all that comes until the server closes."""
        async with await self.connect() as stream:
            await stream.send_all(data)
            return await until_closed(stream)


async def until_closed(stream):
    answer = b""
    with trio.fail_after(30):
        while data := await stream.receive_some():
            answer += data
    return answer


async def echo(request):
    return Response(200, {"Content-Type": "text/plain"}, b"%d bytes" % len(request.body))


@pytest.fixture
def start(nursery):
    async def start(handler=echo, *, tls=None, **limits):
        served = Served()

        async def handle(request):
            served.requests.append(request)
            return await handler(request)

        async def serve(task_status):
            await serve_http(
                handle,
                await open_tcp_listeners("127.0.0.1:0", tls=tls),
                on_error=lambda request, error: served.errors.append((request, error)),
                task_status=task_status,
                **limits,
            )

        (listener,) = await nursery.start(serve)
        served.port = getattr(listener, "transport_listener", listener).socket.getsockname()[1]
        return served

    return start


async def test_a_request_reaches_the_handler_whole(start):
    served = await start()
    answer = await served.ask(
        b"POST /a%20b/c?d=%31 HTTP/1.1\r\nHost: h\r\nX-Id: 1\r\nX-Id: 2\r\nConnection: close\r\n"
        b"Content-Length: 5\r\n\r\nhello"
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n5 bytes")
    (request,) = served.requests
    assert (request.method, request.path, request.query, request.body) == (
        "POST",
        "/a b/c",
        "d=%31",
        b"hello",
    )
    assert (request.headers["x-id"], request.peer) == ("1, 2", "127.0.0.1")


async def test_one_connection_carries_request_after_request(start):
    served = await start()
    async with await served.connect() as stream:
        for _ in range(3):
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
        # Two in one segment are answered one after the other.
        await stream.send_all(
            b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        )
        assert (await until_closed(stream)).count(b"HTTP/1.1 200 ") == 2
    assert [request.path for request in served.requests] == ["/", "/", "/", "/1", "/2"]


async def test_a_chunked_body_and_an_expected_100_are_understood(start):
    served = await start()
    async with await served.connect() as stream:
        await stream.send_all(
            b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 100 ")
        await stream.send_all(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        assert (await stream.receive_some()).endswith(b"6 bytes")


async def test_head_is_answered_without_a_body(start):
    served = await start()
    answer = await served.ask(b"HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n")


async def test_a_handler_that_fails_is_a_500_without_details_and_is_reported(start):
    async def fail(request):
        raise LookupError("s3cret")

    served = await start(fail)
    answer = await served.ask(b"GET /path-s3cret HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"s3cret" not in answer
    ((request, error),) = served.errors
    assert isinstance(error, LookupError)
    assert "s3cret" not in repr(request)


MALFORMED = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nbad header\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nnot hex\r\n",
]


@pytest.mark.parametrize("data", MALFORMED)
async def test_what_is_not_http_is_a_400_without_details(start, data):
    served = await start()
    answer = await served.ask(data)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"\r\n\r\nBad Request\n")
    assert served.requests == []


async def test_a_head_that_is_too_long_is_refused(start):
    served = await start(max_head_bytes=1000)
    answer = await served.ask(b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 2000)
    assert answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "request_",
    [
        b"Content-Length: 2000000\r\n\r\n" + b"x" * 2_000_000,
        b"Transfer-Encoding: chunked\r\n\r\n" + b"3e8\r\n" + b"x" * 1000 + b"\r\n" + b"1\r\ny\r\n0\r\n\r\n",
    ],
    ids=["declared", "chunked"],
)
async def test_a_body_that_is_too_long_is_a_413_that_the_client_can_read(start, request_):
    served = await start(max_body_bytes=1000)
    async with await served.connect() as stream, trio.open_nursery() as both:
        both.start_soon(stream.send_all, b"POST / HTTP/1.1\r\nHost: h\r\n" + request_)
        assert (await until_closed_or_answered(stream)).startswith(b"HTTP/1.1 413 ")
    assert served.requests == []


async def until_closed_or_answered(stream):
    with trio.fail_after(30):
        return await stream.receive_some()


async def test_a_body_at_the_cap_is_taken(start):
    served = await start(max_body_bytes=1000)
    answer = await served.ask(
        b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000
    )
    assert answer.endswith(b"1000 bytes")


HALF_A_POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 500\r\n\r\n"


async def _drip(stream, data):
    for byte in data:
        try:
            await stream.send_all(bytes([byte]))
        except trio.BrokenResourceError:
            return
        await trio.sleep(0.02)


@pytest.mark.parametrize(
    ("begin", "drip"),
    [(b"", b"GET / HTTP/1.1\r\nX: " + b"x" * 500), (HALF_A_POST, b"x" * 500)],
    ids=["head", "body"],
)
async def test_a_client_that_drips_ends_at_the_deadline(start, begin, drip):
    served = await start(request_timeout=0.3, head_timeout=0.3)
    async with await served.connect() as stream, trio.open_nursery() as both:
        began = monotonic()
        await stream.send_all(begin)
        both.start_soon(_drip, stream, drip)
        assert (await until_closed_or_answered(stream)).startswith(b"HTTP/1.1 408 ")
        assert 0.3 <= monotonic() - began < 5
        both.cancel_scope.cancel()
    assert served.requests == []


async def test_a_silent_client_is_closed(start):
    served = await start(head_timeout=0.2)
    async with await served.connect() as stream:
        began = monotonic()
        assert await until_closed(stream) == b""
        assert 0.1 < monotonic() - began < 5


async def test_a_handler_that_takes_too_long_is_a_503(start):
    async def hang(request):
        await trio.sleep_forever()

    served = await start(hang, request_timeout=0.2)
    answer = await served.ask(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503 ")


async def test_a_client_that_does_not_take_its_answer_is_cut(start):
    async def large(request):
        return Response(200, {}, bytes(64 << 20))

    served = await start(large, request_timeout=0.3)
    async with await served.connect() as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await trio.sleep(0.6)
        received = 0
        with trio.fail_after(30), suppress(trio.BrokenResourceError):
            while data := await stream.receive_some():
                received += len(data)
    assert received < 64 << 20


async def test_connections_over_the_bound_get_a_503_and_room_comes_back(start):
    served = await start(max_connections=2)
    first, second = await served.connect(), await served.connect()
    for stream in (first, second):
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
    answer = await served.ask(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1" in answer
    await first.aclose()
    await second.aclose()
    await trio.testing.wait_all_tasks_blocked(0.05)
    answer = await served.ask(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_leaves_anywhere_disturbs_nobody(start):
    served = await start()
    whole = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
    for size in range(0, len(whole), 7):
        async with await served.connect() as stream:
            await stream.send_all(whole[:size])
    answer = await served.ask(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert served.errors == []


async def _ask_a_new_server(data, errors):
    (listener,) = await open_tcp_listeners("127.0.0.1:0")

    async def serve(task_status):
        await serve_http(
            echo,
            [listener],
            on_error=lambda request, error: errors.append(error),
            head_timeout=0.05,
            request_timeout=0.05,
            task_status=task_status,
        )

    async with trio.open_nursery() as nursery:
        await nursery.start(serve)
        async with await trio.open_tcp_stream(*listener.socket.getsockname()) as stream:
            await stream.send_all(data)
            with suppress(trio.BrokenResourceError):  # its patience may have ended
                await stream.send_eof()
            answer = await until_closed(stream)
        nursery.cancel_scope.cancel()
    return answer


POSTS = st.binary(max_size=50).map(lambda tail: b"POST / HTTP/1.1\r\nHost: h\r\n" + tail)


@settings(max_examples=50)
@given(data=st.binary(max_size=200) | POSTS)
def test_any_bytes_get_an_answer_or_a_close_and_no_error(data):
    errors = []
    answer = trio.run(_ask_a_new_server, data, errors)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert errors == []


async def test_an_answer_that_http_does_not_allow_is_reported_and_the_server_goes_on(start):
    async def wrong(request):
        return Response(200, {"X": "two\r\nlines"} if request.path == "/wrong" else {})

    served = await start(wrong)
    assert await served.ask(b"GET /wrong HTTP/1.1\r\nHost: h\r\n\r\n") == b""
    answer = await served.ask(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert len(served.errors) == 1


async def test_tls_is_served_and_a_client_without_it_disturbs_nobody(start, server_tls, client_tls):
    served = await start(tls=server_tls)
    await served.ask(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    async with open_http(f"https://localhost:{served.port}", tls=client_tls, timeout=5) as client:
        assert (await client.request("POST", "x", content=b"hello")).body == b"5 bytes"
    assert served.requests[0].peer == "127.0.0.1"


async def test_a_unix_socket_is_served_to_its_owner_alone_and_removed(tmp_path, nursery):
    path = tmp_path / "control.sock"
    seen = []

    async def handle(request):
        seen.append(request)
        return Response(204)

    for _ in range(2):  # the second time over a socket that a crash left
        async with open_unix_listener(path) as listener, trio.open_nursery() as serving:
            assert path.stat().st_mode & 0o777 == 0o600

            async def serve(task_status, listener=listener):
                await serve_http(handle, [listener], on_error=print, task_status=task_status)

            await serving.start(serve)
            async with await trio.open_unix_socket(str(path)) as stream:
                await stream.send_all(b"GET /status HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                assert (await until_closed(stream)).startswith(b"HTTP/1.1 204 ")
            serving.cancel_scope.cancel()
        assert not path.exists()
        with socket.socket(socket.AF_UNIX) as left_over:
            left_over.bind(str(path))
    assert {request.peer for request in seen} == {"unix"}


async def test_an_address_that_is_taken_is_transient(start):
    served = await start()
    with pytest.raises(Transient, match="in use"):
        await open_tcp_listeners(f"127.0.0.1:{served.port}")


def test_a_request_shows_no_secret():
    headers = {"authorization": "s3cret"}
    request = Request("POST", "/oracle_isr/x/s3cret", "t=s3cret", headers, b"s3cret", "::1")
    assert "s3cret" not in repr(request)


# -- answers that are sent while they are made


ASKED = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_a_streamed_answer_comes_piece_by_piece_beyond_the_deadline_and_ends_the_connection(start):
    more = trio.Event()

    async def write(send):
        await send(b"one")
        await more.wait()
        await trio.sleep(0.3)
        await send(b"two")

    async def answer(request):
        return Streamed(200, {"Content-Type": "text/plain"}, write)

    served = await start(answer, request_timeout=0.2)
    async with await served.connect() as stream:
        await stream.send_all(ASKED)
        with trio.fail_after(30):
            came = b""
            while b"one" not in came:
                came += await stream.receive_some()
        more.set()
        came += await until_closed(stream)
    assert came.startswith(b"HTTP/1.1 200")
    assert came.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert b"Connection: close" in came


@pytest.mark.parametrize("busy", [True, False])
async def test_a_streamed_answer_is_cancelled_when_its_client_leaves(start, busy):
    ended = trio.Event()

    async def write(send):
        try:
            await send(b"one")
            while busy:
                await send(b"x" * 100_000)
            await trio.sleep_forever()
        finally:
            ended.set()

    async def answer(request):
        return Streamed(200, {}, write)

    served = await start(answer)
    async with await served.connect() as stream:
        await stream.send_all(ASKED)
        await stream.receive_some(100)
    with trio.fail_after(30):
        await ended.wait()
    assert served.errors == []


async def test_a_bug_cuts_a_streamed_answer_short_so_that_the_client_sees_it(start):
    async def write(send):
        await send(b"one")
        raise ZeroDivisionError

    async def answer(request):
        return Streamed(200, {}, write)

    served = await start(answer)
    assert (await served.ask(ASKED)).endswith(b"3\r\none\r\n")
    assert [type(error) for _, error in served.errors] == [ZeroDivisionError]
