"""An endless response is read as it comes, and its end is told from its loss."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import ProtocolViolation, Transient
from streamd.transport.endless import ChunkedBody, CountedBody, EndlessResponse, open_endless

Script = Callable[[trio.abc.Stream], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece)


CHUNKS = chunked(b"one\n", b"tw", b"o\nthree", b"\n") + b"0\r\n\r\n"


@pytest.mark.parametrize("place", range(len(CHUNKS) + 1))
def test_chunks_give_their_content_wherever_they_are_cut(place: int) -> None:
    body = ChunkedBody()
    assert body.feed(CHUNKS[:place]) + body.feed(CHUNKS[place:]) == b"one\ntwo\nthree\n"
    assert body.ended


@given(st.lists(st.binary(min_size=1, max_size=40)), st.integers(1, 9))
def test_any_chunks_in_any_pieces_give_their_content(pieces: list[bytes], size: int) -> None:
    data, body = chunked(*pieces), ChunkedBody()
    found = b"".join(body.feed(data[at : at + size]) for at in range(0, len(data), size))
    assert found == b"".join(pieces)
    assert not body.ended


def test_sizes_may_have_leading_zeros_extensions_and_capitals() -> None:
    assert ChunkedBody().feed(b"000A;name=value\r\n0123456789\r\n") == b"0123456789"


@pytest.mark.parametrize(
    "data",
    [
        b"x\r\n",
        b"-1\r\n",
        b"\r\n",
        b"3\r\nabcd\r\n",
        b"f" * 20 + b"\r\n",
        b"1" * 5000,
        b"1;" + b"x" * 5000 + b"\r\na\r\n",
    ],
)
def test_what_is_no_chunk_is_a_violation(data: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        ChunkedBody().feed(data)


def test_a_counted_body_ends_by_its_length_and_one_without_never() -> None:
    body = CountedBody(3)
    assert (body.feed(b"ab"), body.ended, body.feed(b"cd"), body.ended) == (b"ab", False, b"c", True)
    assert not CountedBody(None).ended


def server(*parts: bytes, hold: bool = False) -> Script:
    async def script(stream: trio.abc.Stream) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += await stream.receive_some()
        heads.append(request)
        for part in parts:
            await stream.send_all(part)
            await trio.sleep(0.03)  # longer than the pause between two readings
        if hold:
            await trio.sleep_forever()

    heads: list[bytes] = []
    script.heads = heads  # type: ignore[attr-defined]
    return script


async def received(response: EndlessResponse) -> bytes:
    pieces: list[bytes] = []

    def take(piece: bytes) -> bool:
        pieces.append(piece)
        return False

    await response.pour(take)
    return b"".join(pieces)


async def test_pieces_come_as_they_are_sent_and_the_end_is_the_servers(serve: Any) -> None:
    script = server(HEAD + chunked(b"first"), chunked(b"second"), b"0\r\n\r\n")
    port = await serve(script)
    async with open_endless("POST", f"http://localhost:{port}/events?id=a.b-c") as response:
        assert response.status == 200
        assert response.headers["transfer-encoding"] == "chunked"
        assert [await received(response) for _ in range(4)] == [b"first", b"second", b"", b""]
    [head] = script.heads  # type: ignore[attr-defined]
    assert head.startswith(b"POST /events?id=a.b-c HTTP/1.1\r\n")
    assert b"Content-Length: 0\r\n" in head
    assert b"identity" in head
    assert b"ookie" not in head


async def test_tls_too(serve: Any, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    port = await serve(server(HEAD + chunked(b"first") + b"0\r\n\r\n"), server_tls)
    async with open_endless("POST", f"https://localhost:{port}/", tls=client_tls) as response:
        assert [await received(response) for _ in range(2)] == [b"first", b""]


async def test_a_cut_body_is_a_loss_and_no_end(serve: Any) -> None:
    port = await serve(server(HEAD + chunked(b"first")))
    async with open_endless("POST", f"http://localhost:{port}/") as response:
        assert await received(response) == b"first"
        with pytest.raises(Transient, match="in the middle of the body"):
            await received(response)


async def test_it_says_up_to_when_all_was_read(serve: Any) -> None:
    port = await serve(server(HEAD + chunked(b"first"), chunked(b"second"), hold=True))
    async with open_endless("POST", f"http://localhost:{port}/") as response:
        await received(response)
        before = monotonic()
        await received(response)
        came = response.watch.last_bytes_at
        assert response.watch.drained_at < came, "it may not have been handed on yet"
        with trio.move_on_after(0.05):
            await received(response)
        assert response.watch.last_bytes_at == came
        assert before <= response.watch.drained_at <= monotonic()


@pytest.mark.parametrize(
    "answer", [b"NOT HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"]
)
async def test_what_is_no_such_answer_is_a_violation(serve: Any, answer: bytes) -> None:
    port = await serve(server(answer, hold=True))
    with pytest.raises(ProtocolViolation):
        async with open_endless("POST", f"http://localhost:{port}/"):
            pass


async def test_a_server_that_does_not_answer_is_given_up_in_time(serve: Any) -> None:
    port = await serve(server(hold=True))
    with pytest.raises(Transient, match=r"no answer within 0\.1 s"):
        async with open_endless("POST", f"http://localhost:{port}/", timeout=0.1):
            pass


async def test_refusals_are_given_with_their_status(serve: Any) -> None:
    port = await serve(server(b"HTTP/1.1 403 Forbidden\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n"))
    async with open_endless("POST", f"http://localhost:{port}/") as response:
        assert (response.status, response.headers["retry-after"]) == (403, "3")
        assert await received(response) == b""


@pytest.mark.parametrize("url", ["", "ftp://x/", "http://", "http://[", "http://x:99999/", "http://a b/"])
async def test_what_is_no_url_is_a_violation_that_does_not_show_it(url: str) -> None:
    with pytest.raises(ProtocolViolation, match=r"^not an HTTP URL$"):
        async with open_endless("POST", url):
            pass
