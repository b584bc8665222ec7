"""What is promised of bodies: inflated within bounds, in small steps."""

from __future__ import annotations

import gzip
import random
import zlib
from contextlib import suppress

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from streamd.ingress.content import read_content
from streamd.transport.exchange import Refusal, Request, Response
from tests.ingress.conftest import Served, echo

MIB = 1 << 20


class Pieces:
    """`Body` of what comes in these pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._pieces.pop(0) if self._pieces else b""


def raw_deflate(content: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(content) + compressor.flush()


ENCODED = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "X-GZIP": gzip.compress,
    "deflate": zlib.compress,
    " Deflate ": raw_deflate,
}


def read(encoding: str, pieces: list[bytes], most: int = MIB) -> bytes:
    head = Request("POST", "/a", "", {"content-encoding": encoding}, b"", "::1")
    return trio.run(read_content, head, Pieces(pieces), most, lambda size: None)


@given(content=st.binary(max_size=2000), cut=st.integers(0, 2000), encoding=st.sampled_from(sorted(ENCODED)))
def test_a_body_is_what_was_encoded_however_it_is_cut(content, cut, encoding):
    wire = ENCODED[encoding](content)
    assert read(encoding, [wire[:cut], wire[cut:]]) == content


@pytest.mark.parametrize("encoding", sorted(ENCODED))
@pytest.mark.parametrize("size", [128 * 1024 - 1, 128 * 1024, 256 * 1024 + 1, MIB])
def test_a_body_is_whole_at_every_step_and_at_the_limit(encoding, size):
    content = bytes(size)
    assert read(encoding, [ENCODED[encoding](content)]) == content


@given(wire=st.binary(max_size=300), encoding=st.sampled_from(["gzip", "deflate"]))
def test_any_bytes_inflate_or_are_refused(wire, encoding):
    with suppress(Refusal):
        read(encoding, [wire])


@pytest.mark.parametrize(
    ("encoding", "wire", "status"),
    [
        ("gzip", gzip.compress(bytes(200 * MIB), 1, mtime=0), 413),
        ("deflate", zlib.compress(bytes(200 * MIB), 1), 413),
        ("", bytes(MIB + 1), 413),
        ("gzip", gzip.compress(b"hello", mtime=0)[:-1], 400),
        ("gzip", gzip.compress(b"hello", mtime=0)[:-8] + bytes(8), 400),
        ("gzip", gzip.compress(b"hello", mtime=0) * 2, 400),
        ("gzip", gzip.compress(b"hello", mtime=0) + b"smuggled", 400),
        ("gzip", b"hello", 400),
        ("deflate", b"\xff" * 20, 400),
        ("br", b"hello", 415),
        ("gzip, gzip", gzip.compress(gzip.compress(b"hello", mtime=0), mtime=0), 415),
        ("gzip, identity", gzip.compress(b"hello", mtime=0), 415),
    ],
)
async def test_what_does_not_inflate_within_the_bounds_is_refused(start, encoding, wire, status):
    served: Served = await start(max_body_bytes=MIB)
    async with served.desk.claim("/a", echo, failed=served.failed.append):
        answer = await served.post(wire, Content_Encoding=encoding)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert (b"Accept-Encoding: gzip, deflate" in answer) == (status == 415)
    assert served.failed == [status]


async def test_a_large_body_leaves_turns_to_other_tasks(start):
    served: Served = await start()
    content = random.Random(1).randbytes(MIB) * 8
    wire = gzip.compress(content, 1)
    turns, handled_at = 0, 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async def handle(request: Request) -> Response:
        nonlocal handled_at
        handled_at = turns
        assert request.body == content
        return Response(200)

    bomb = gzip.compress(bytes(8 * MIB), 9)
    assert len(bomb) < 32_768  # comes in one piece
    async with served.desk.claim("/a", handle), trio.open_nursery() as nursery:
        nursery.start_soon(count_turns)
        assert b" 200 " in await served.post(wire, Content_Encoding="gzip")
        content, turns = bytes(8 * MIB), 0
        assert b" 200 " in await served.post(bomb, Content_Encoding="gzip")
        assert handled_at > 8 * 8
        nursery.cancel_scope.cancel()


async def test_bodies_in_flight_have_a_bound_together_and_give_their_room_back(start):
    served: Served = await start(max_body_bytes=1000)
    go_on, waiting = trio.Event(), trio.Semaphore(0)

    async def hold(request: Request) -> Response:
        waiting.release()
        await go_on.wait()
        return await echo(request)

    async with served.desk.claim("/a", hold), trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(served.post, bytes(1000))
            await waiting.acquire()
        assert b" 503 " in await served.post(b"x")
        go_on.set()
    async with served.desk.claim("/a", echo):
        for _ in range(3):
            assert b" 200 " in await served.post(bytes(1000))
