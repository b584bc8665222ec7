"""What is promised under attack: a request costs one task, which ends, and memory stays flat."""

from __future__ import annotations

import gc
import gzip
import itertools
import json
import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from streamd.ingress.listener import Listener
from tests.ingress.conftest import Served, configured, echo, until_closed

HEAD = b"POST /a HTTP/1.1\r\nHost: h\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
INSIDE = b"GET /a HTTP/1.1\r\nHost: smuggled\r\n\r\n"

SMUGGLING = {
    "both lengths": HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INSIDE,
    "both lengths, turned": HEAD
    + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n"
    + INSIDE,
    "two lengths": HEAD + b"Content-Length: 0\r\nContent-Length: 35\r\n\r\n" + INSIDE,
    "two lengths in one": HEAD + b"Content-Length: 0, 35\r\n\r\n" + INSIDE,
    "signed length": HEAD + b"Content-Length: +0\r\n\r\n" + INSIDE,
    "length with a space": HEAD + b"Content-Length : 0\r\n\r\n" + INSIDE,
    "hex length": HEAD + b"Content-Length: 0x23\r\n\r\n" + INSIDE,
    "endless length": HEAD + b"Content-Length: " + b"9" * 200 + b"\r\n\r\n" + INSIDE,
    "folded": HEAD + b"X: y\r\n Content-Length: 35\r\n\r\n" + INSIDE,
    "folded with a tab": HEAD + b"Transfer-Encoding:\r\n\tchunked\r\n\r\n0\r\n\r\n" + INSIDE,
    "chunked in 1.0": b"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INSIDE,
    "hidden chunked": HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + INSIDE,
    "two codings": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + INSIDE,
    "two hosts": HEAD + b"Host: other\r\n\r\n" + INSIDE,
    "bare CR": HEAD + b"X: y\rContent-Length: 35\r\n\r\n" + INSIDE,
    "null": HEAD + b"X: y\x00Content-Length: 35\r\n\r\n" + INSIDE,
    "chunk too long": CHUNKED + b"1\r\nab\r\n0\r\n\r\n" + INSIDE,
    "signed chunk": CHUNKED + b"-1\r\na\r\n0\r\n\r\n" + INSIDE,
    "endless chunk": CHUNKED + b"f" * 30 + b"\r\na\r\n",
}

BROKEN = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another version": b"GET /a HTTP/9.9\r\nHost: h\r\n\r\n",
    "blank lines": b"\r\n" * 5000,
    "one long line": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    "many headers": HEAD + b"a:\r\n" * 20_000 + b"\r\n",
    "long chunk extension": CHUNKED + b"1;" + b"x" * 70_000,
    "long trailer": CHUNKED + b"0\r\n" + b"X: y\r\n" * 20_000,
    "tiny chunks": CHUNKED + b"1\r\nx\r\n" * 300 + b"0\r\n\r\n",
    "half a body": HEAD + b"Content-Length: 500\r\n\r\nhalf",
    "half a head": b"POST /a HTTP/1.1\r\nHo",
    "half a chunk": CHUNKED + b"ff\r\nhalf",
    "bomb": HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
    "bomb in a bomb": b"",
    "cut gzip": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\n" + gzip.compress(b"")[:5],
    "unknown path": b"GET /../../etc/passwd%00 HTTP/1.1\r\nHost: h\r\n\r\n",
    "not a target": b"GET http://[::1 HTTP/1.1\r\nHost: h\r\n\r\n",
    "tunnel": b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n",
    "upgrade": HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n",
    "nothing": b"",
}
_BOMB = gzip.compress(bytes(8 << 20), 9)
BROKEN["bomb"] += b"%x\r\n" % len(_BOMB) + _BOMB + b"\r\n0\r\n\r\n"
_INNER = gzip.compress(_BOMB, 9)
BROKEN["bomb in a bomb"] = (
    HEAD + b"Content-Encoding: gzip, gzip\r\nContent-Length: %d\r\n\r\n" % len(_INNER) + _INNER
)


@pytest.mark.parametrize("name", SMUGGLING)
async def test_a_request_that_two_readers_could_read_in_two_ways_ends_its_connection(start, name):
    served: Served = await start()
    async with served.desk.claim("/a", echo):
        answer = await served.ask(SMUGGLING[name])
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.split()[1] in (b"400", b"501")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == "error"


METHODS = st.sampled_from([b"GET", b"POST", b"HEAD", b"PUT", b"get", b"P\x00ST", b""])
TARGETS = st.sampled_from([b"/a", b"/a?b", b"*", b"//a", b"/%61", b"http://h/a", b"", b"/\xff", b"/a b"])
NAMES = st.sampled_from(
    [b"Content-Length", b"Transfer-Encoding", b"Content-Encoding", b"Expect", b"Connection", b"Host", b"X"]
)
VALUES = st.sampled_from(
    [
        b"0",
        b"5",
        b"5, 5",
        b"-1",
        b"chunked",
        b"gzip",
        b"deflate",
        b"100-continue",
        b"close",
        b"keep-alive",
        b"",
    ]
) | st.binary(max_size=10)
FIELDS = st.lists(st.tuples(NAMES, VALUES).map(b": ".join), max_size=6).map(b"\r\n".join)
ENDS = st.sampled_from([b"\r\n\r\n", b"\n\n", b"\r\n", b"\r\n \r\n\r\n"])
BODIES = st.binary(max_size=40) | st.sampled_from(
    [b"hello", b"5\r\nhello\r\n0\r\n\r\n", gzip.compress(b"hi")]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    line = b" ".join(
        [draw(METHODS), draw(TARGETS), draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP"]))]
    )
    return (
        line + b"\r\n" + b"Host: h\r\n" * draw(st.integers(0, 2)) + draw(FIELDS) + draw(ENDS) + draw(BODIES)
    )


async def _ask_a_new_ingress(data: bytes) -> bytes:
    listener = Listener(configured(request_timeout_seconds=0.1))
    async with trio.open_nursery() as nursery:
        await nursery.start(listener.run)
        served = Served(listener)
        async with served.desk.claim("/a", echo), await served.connect() as stream:
            await stream.send_all(data)
            answer = await until_closed_or_reset(stream)
        nursery.cancel_scope.cancel()
    return answer


async def until_closed_or_reset(stream: trio.SocketStream) -> bytes:
    with suppress(trio.BrokenResourceError):
        await stream.send_eof()
        return await until_closed(stream)
    return b""


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=requests() | st.binary(max_size=200))
def test_any_request_gets_an_answer_or_a_close_and_tells_nothing_of_the_inside(bell, data):
    with capture_logs() as logs:
        answer = trio.run(_ask_a_new_ingress, data)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert not any(
        word in answer.lower() for word in (b"server:", b"traceback", b"python", b"streamd", b"h11")
    )
    assert not [line for line in logs if line["log_level"] == "error"]


async def test_slow_drips_end_at_the_deadline_and_take_nothing_from_others(start):
    served: Served = await start(request_timeout_seconds=1.5, max_connections=40)
    async with served.desk.claim("/a", echo):
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                for data in (HEAD + b"X: " + b"x" * 900, CHUNKED + b"1\r\nx\r\n" * 300):
                    for _ in range(10):
                        nursery.start_soon(_until_cut, served, data)
                await trio.sleep(0.1)
                for _ in range(20):
                    assert b" 200 " in await served.post(b"x")


async def _until_cut(served: Served, data: bytes) -> None:
    async with await served.connect() as stream:
        with suppress(trio.BrokenResourceError):
            for byte in data:
                await stream.send_all(bytes([byte]))
                await trio.sleep(0.02)
            raise AssertionError("it was not cut")


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def hostile(dice: random.Random) -> Iterator[bytes]:
    """Give hand-made attacks and mutations of them and of a good request, for ever."""
    good = HEAD + b"Content-Length: 5\r\n\r\nhello"
    attacks = [*SMUGGLING.values(), *BROKEN.values(), good]
    while True:
        data = bytearray(dice.choice(attacks))
        for _ in range(dice.choice([0, 0, 1, 3])):
            if data:
                data[dice.randrange(min(len(data), 200))] = dice.randrange(256)
        yield bytes(data[: dice.randrange(len(data) + 1)] if dice.random() < 0.2 else data)


def attack(port: int, dice: random.Random, count: int) -> None:
    """Send so many attacks one after the other, each on a connection of its own."""
    for data in itertools.islice(hostile(dice), count):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as stream, suppress(OSError):
            stream.sendall(data)
            if dice.random() < 0.9:  # the others leave without a word
                stream.shutdown(socket.SHUT_WR)
                stream.recv(65_536)


async def test_10_000_hostile_requests_leave_it_serving_and_its_memory_flat(start):
    served: Served = await start(max_body_bytes=1 << 20, request_timeout_seconds=1.0, max_connections=64)
    baseline = trio.lowlevel.current_statistics().tasks_living

    async def storm(count: int) -> None:
        async with trio.open_nursery() as nursery:
            for seed in range(8):
                dice = random.Random(seed)
                nursery.start_soon(trio.to_thread.run_sync, attack, served.port, dice, count // 8)

    with capture_logs() as logs:
        async with served.desk.claim("/a", echo):
            looks = []
            for _ in range(5):
                await storm(2000)
                gc.collect()
                looks.append(resident_bytes())
            with trio.fail_after(30):
                while trio.lowlevel.current_statistics().tasks_living > baseline:
                    await trio.sleep(0.05)
            assert b" 200 " in await served.post(b"x")
    assert (
        min(later - earlier for earlier, later in itertools.pairwise(looks)) < 2000 * 256
    )  # what is kept, grows always
    assert not [line for line in logs if line["log_level"] == "error"]
    assert len(logs) < 60
    assert served.counts["requests_413"] > 50
