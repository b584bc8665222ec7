"""Sockets read in rounds: what is read for a task is its own, and nothing is claimed that was not read."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from streamd.transport import rounds
from streamd.transport.watched import Watched


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


async def test_what_is_poured_is_worked_off_in_the_look_itself_until_no_more_is_wanted() -> None:
    got: list[bytes] = []

    def take(data: bytes) -> bool:
        got.append(data)
        return data != b"enough"

    async with pair() as (watched, peer), trio.open_nursery() as nursery:
        nursery.start_soon(watched.pour, take)
        for data in (b"x", b"enough"):
            await wait_all_tasks_blocked()
            peer.send(data)
            rounds.rounds().look()
            assert got[-1] == data
        await wait_all_tasks_blocked()
        peer.send(b"kept")
        rounds.rounds().look()
        assert len(got) == 2
        assert await watched.receive_some() == b"kept"


async def test_what_is_poured_is_proved_only_once_it_is_worked_off() -> None:
    def take(_: bytes) -> bool:
        proved.append(watched.drained_at)
        return len(proved) == 1

    proved: list[float] = []
    async with pair() as (watched, peer), trio.open_nursery() as nursery:
        before = monotonic()
        nursery.start_soon(watched.pour, take)
        await wait_all_tasks_blocked()
        peer.send(b"x")
        rounds.rounds().look()
        assert proved[0] < before <= watched.drained_at
        peer.send(b"not yet")
        before = monotonic()
        rounds.rounds().look()
        assert watched.drained_at < before, "it was taken, and no more was wanted: it may wait somewhere"


async def test_an_error_of_the_work_ends_the_pouring() -> None:
    def take(_: bytes) -> bool:
        raise LookupError("no such call")

    async with pair() as (watched, peer), trio.open_nursery() as nursery:

        async def pour() -> None:
            with pytest.raises(LookupError, match="no such call"), trio.fail_after(5):
                await watched.pour(take)

        nursery.start_soon(pour)
        await wait_all_tasks_blocked()
        peer.send(b"x")
        assert rounds.rounds().look() == 1


@pytest.mark.parametrize(("size", "readings"), [(1, 1), (600_000, 2)])
async def test_a_system_error_of_the_work_is_not_taken_for_a_lost_connection(
    size: int, readings: int
) -> None:
    works = 0

    def take(_: bytes) -> bool:
        nonlocal works
        works += 1
        if works == readings:
            raise OSError(errno.ENOSPC, "no room")
        return True

    async with pair(room=4_000_000) as (watched, peer), trio.open_nursery() as nursery:

        async def pour() -> None:
            with pytest.raises(OSError, match="no room"), trio.fail_after(5):
                await watched.pour(take)
            assert watched.fault is None

        nursery.start_soon(pour)
        await wait_all_tasks_blocked()
        await trio.to_thread.run_sync(peer.sendall, bytes(size))


async def test_work_that_cancels_what_was_read_in_the_same_look_loses_nothing_of_it() -> None:
    got: list[bytes] = []
    async with pair() as (one, peer), pair() as (other, other_peer):
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:

                def take(data: bytes) -> bool:
                    got.append(data)
                    nursery.cancel_scope.cancel()
                    return True

                nursery.start_soon(one.pour, take)
                nursery.start_soon(other.pour, take)
                await wait_all_tasks_blocked()
                peer.send(b"x")
                other_peer.send(b"x")
                assert rounds.rounds().look() == 2
                assert got == [b"x", b"x"]


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


@pytest.mark.parametrize(("largest", "soon"), [(600, False), (rounds.ROOM_BYTES, True)])
async def test_of_many_that_have_little_one_that_may_have_no_room_is_read_again_soon(
    largest: int, soon: bool
) -> None:
    async def drain(stream: Watched) -> None:
        while await stream.receive_some():
            pass

    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        peers = []
        for _ in range(17):
            watched, peer = await stack.enter_async_context(pair())
            nursery.start_soon(drain, watched)
            peers.append(peer)
        await wait_all_tasks_blocked()
        for peer in peers[1:]:
            peer.sendall(b".")
        peers[0].sendall(bytes(largest))
        assert rounds.rounds().look() == 17
        assert (rounds.rounds()._pause.deadline - trio.current_time() <= rounds.PAUSE_SECONDS) == soon
        nursery.cancel_scope.cancel()


async def test_who_had_no_turn_in_a_look_has_the_first_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "_ROUND_BYTES", 1500)
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        pairs = [await stack.enter_async_context(pair()) for _ in range(4)]
        for watched, _ in pairs:
            nursery.start_soon(watched.pour, bool)
        await wait_all_tasks_blocked()
        began = monotonic()
        for _ in range(3):
            for _, peer in pairs:
                peer.sendall(bytes(1000))
            rounds.rounds().look()
        assert all(watched.last_bytes_at > began for watched, _ in pairs)
        nursery.cancel_scope.cancel()
