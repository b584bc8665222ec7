"""Sockets read in rounds: what is read for a task is its own, and nothing is claimed that was not read."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic, sleep

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from streamd.live.reach import ON_ITS_WAY_SECONDS
from streamd.transport import rounds
from streamd.transport.stream import Watched


@asynccontextmanager
async def pair(room: int | None = None) -> AsyncIterator[tuple[Watched, socket.socket]]:
    """Yield a stream and its peer; `room` for what the stream has not read, in bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = trio.socket.socket()
        if room:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        await client.connect(("127.0.0.1", listener.getsockname()[1]))
        peer, _ = listener.accept()
    watched = Watched(trio.SocketStream(client))
    try:
        yield watched, peer
    finally:
        peer.close()
        await trio.aclose_forcefully(watched)


async def test_what_was_read_for_a_task_that_is_cancelled_before_its_turn_is_not_lost() -> None:
    got = []
    async with pair() as (watched, peer), trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def read() -> None:
            with scope:
                got.append(await watched.receive_some())

        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        peer.send(b"x")
        assert rounds.rounds().look() == 1
        scope.cancel()
    assert got == [b"x"]


async def test_a_stream_closed_behind_a_look_that_found_nothing_ends_its_reading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nothing(*_: object) -> int:
        raise BlockingIOError

    async with pair() as (watched, peer), trio.open_nursery() as nursery:

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await watched.receive_some()

        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        monkeypatch.setattr(os, "readv", nothing)
        peer.send(b"x")
        assert rounds.rounds().look() == 1
        await trio.aclose_forcefully(watched)


async def test_more_than_what_is_read_at_once_is_not_claimed() -> None:
    async with pair(room=4_000_000) as (watched, peer):
        sender = threading.Thread(target=peer.sendall, args=(bytes(600_000),))
        sender.start()
        await trio.sleep(0.3)
        arrived = monotonic()
        assert len(await watched.receive_some(1_000_000)) == rounds.MOST_BYTES
        with trio.move_on_after(0):
            await watched.receive_some(1)
        sender.join()
        assert watched.drained_at < arrived, "the kernel had as much again"


async def test_nothing_is_claimed_that_a_small_room_keeps_back_while_many_have_little() -> None:
    size, seconds, rate = 600, 2.0, 1500

    def serve(busy: socket.socket, quiet: list[socket.socket]) -> None:
        began = monotonic()
        busy.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(int(seconds * rate)):
            busy.sendall(struct.pack("d", monotonic()) + bytes(size - 8))
            for each in quiet if number % 10 == 0 else ():
                each.send(b".")
            sleep(max(0.0, began + number / rate - monotonic()))
        busy.shutdown(socket.SHUT_WR)

    async def drain(stream: Watched) -> None:
        while await stream.receive_some():
            pass

    async with AsyncExitStack() as stack:
        watched, busy = await stack.enter_async_context(pair(room=30_000))
        others = [await stack.enter_async_context(pair()) for _ in range(16)]
        sender = threading.Thread(target=serve, args=(busy, [peer for _, peer in others]))
        async with trio.open_nursery() as nursery:
            for stream, _ in others:
                nursery.start_soon(drain, stream)
            sender.start()
            claimed, rest = 0.0, b""
            while data := await watched.receive_some():
                rest += data
                whole = len(rest) - len(rest) % size
                for at in range(0, whole, size):
                    (sent_at,) = struct.unpack_from("d", rest, at)
                    assert sent_at > claimed - ON_ITS_WAY_SECONDS
                rest = rest[whole:]
                claimed = min(watched.last_bytes_at, watched.drained_at, watched.caught_up_at)
            nursery.cancel_scope.cancel()
        sender.join()
