"""TLS, decrypted in the look: every byte, wherever records are cut, and nothing is claimed early."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from trio.testing import wait_all_tasks_blocked

from streamd.errors import Transient
from streamd.transport.rounds import rounds
from streamd.transport.secured import Secured
from streamd.transport.stream import Opened, open_tcp_stream
from streamd.transport.watched import Watched

LARGE = 3_000_000


class Peer:
    """The server's side, whose records can be kept back, cut and spoilt before they are sent."""

    def __init__(self, stream: trio.SocketStream, context: ssl.SSLContext) -> None:
        self.stream = stream
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def shake_hands(self) -> None:
        await self._until_done(self._tls.do_handshake)
        await self.stream.send_all(self._outgoing.read())

    async def read(self, most: int = 65_536) -> bytes:
        data: bytes = await self._until_done(lambda: self._tls.read(most))
        return data

    def sealed(self, *contents: bytes) -> bytes:
        """Give a record for each content, or several for a large one."""
        for content in contents:
            self._tls.write(content)
        return self._outgoing.read()

    def goodbye(self) -> bytes:
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.unwrap()
        return self._outgoing.read()

    async def _until_done(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                await self.stream.send_all(self._outgoing.read())
                self._incoming.write(await self.stream.receive_some())


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def version(request: pytest.FixtureRequest, server_tls: ssl.SSLContext, authority: trustme.CA) -> Any:
    """Return the server's context for one version of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    context.minimum_version = context.maximum_version = ssl.TLSVersion[request.param]
    return context


@asynccontextmanager
async def linked(server: ssl.SSLContext, client: ssl.SSLContext) -> AsyncIterator[tuple[Opened, Peer]]:
    """Yield a stream of ours and its peer, after the handshake."""
    with trio.fail_after(30), socket.create_server(("127.0.0.1", 0)) as listener:
        async with trio.open_nursery() as nursery:
            accepted: list[Peer] = []

            async def accept() -> None:
                connection, _ = await trio.to_thread.run_sync(listener.accept)
                peer = Peer(trio.SocketStream(trio.socket.from_stdlib_socket(connection)), server)
                await peer.shake_hands()
                accepted.append(peer)

            nursery.start_soon(accept)
            port = listener.getsockname()[1]
            opened = await open_tcp_stream("localhost", port, tls=client, timeout=20)
        [peer] = accepted
        try:
            yield opened, peer
        finally:
            await trio.aclose_forcefully(peer.stream)
            await trio.aclose_forcefully(opened.stream)


async def read_all(opened: Opened) -> bytes:
    got = b""
    while data := await opened.stream.receive_some():
        got += data
    return got


@pytest.mark.parametrize("size", [1, 3, 6, 23, 150, 1000])
async def test_records_give_their_content_wherever_they_are_cut(
    size: int, version: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    contents = [b"a", b"bc" * 40, bytes(700), b"the last"]
    got: list[bytes] = []
    async with linked(version, client_tls) as (opened, peer):
        records = peer.sealed(*contents) + peer.goodbye() + b"of no meaning"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(opened.stream.pour, lambda data: got.append(data) is None)
            for at in range(0, len(records), size):
                await peer.stream.send_all(records[at : at + size])
                rounds().look()
    assert b"".join(got) == b"".join(contents)
    assert got[-1] == b"", "the end is told"


async def test_all_records_of_a_reading_are_worked_off_at_once_and_in_the_look(
    version: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    got: list[bytes] = []
    async with linked(version, client_tls) as (opened, peer), trio.open_nursery() as nursery:
        nursery.start_soon(opened.stream.pour, lambda data: got.append(data) is None)
        await wait_all_tasks_blocked()
        await peer.stream.send_all(peer.sealed(*[b"line\n"] * 50))
        rounds().look()
        assert got == [b"line\n" * 50]
        nursery.cancel_scope.cancel()


async def test_what_is_poured_after_enough_is_kept_for_the_next_reading(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with linked(server_tls, client_tls) as (opened, peer):
        await peer.stream.send_all(peer.sealed(b"enough", b"of it") + peer.goodbye())
        assert await opened.stream.receive_some(6) == b"enough"
        got: list[bytes] = []
        await opened.stream.pour(lambda data: bool(got.append(data)))
        assert got == [b"of it"]
        await opened.stream.pour(lambda data: bool(got.append(data)))
        assert got == [b"of it", b""]
        assert await opened.stream.receive_some() == b""


@pytest.mark.parametrize("most", [1, 4096, 16_384, None])
async def test_a_reading_gives_no_more_than_is_asked_for(
    most: int | None, version: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    content = bytes(range(256)) * (4 if most == 1 else 400)
    async with linked(version, client_tls) as (opened, peer):
        await peer.stream.send_all(peer.sealed(content) + peer.goodbye())
        got: list[bytes] = []
        while data := await opened.stream.receive_some(most):
            got.append(data)
        assert b"".join(got) == content
        assert max(map(len, got)) <= (most or len(content))


@pytest.mark.parametrize("pours", [True, False])
async def test_a_spoilt_record_costs_none_before_it(
    pours: bool, version: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    got: list[bytes] = []
    async with linked(version, client_tls) as (opened, peer):
        good, bad = peer.sealed(b"good"), bytearray(peer.sealed(b"bad"))
        bad[-1] ^= 1
        await peer.stream.send_all(good + bad)
        if not pours:
            got.append(await opened.stream.receive_some())
        with pytest.raises(trio.BrokenResourceError):
            await opened.stream.pour(lambda data: got.append(data) is None)
        with pytest.raises(trio.BrokenResourceError):
            await opened.stream.receive_some()
        assert got == [b"good"]
        assert opened.watch.fault == "TLS: DECRYPTION_FAILED_OR_BAD_RECORD_MAC"


async def test_what_follows_a_spoilt_record_hides_nothing_of_the_fault(
    version: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with linked(version, client_tls) as (opened, peer):
        good, bad = peer.sealed(b"good"), bytearray(peer.sealed(b"bad"))
        bad[-1] ^= 1
        await peer.stream.send_all(good + bad + peer.sealed(b"more"))
        assert await opened.stream.receive_some() == b"good"
        with pytest.raises(trio.BrokenResourceError):
            await opened.stream.send_all(b"a pong")
        with pytest.raises(trio.BrokenResourceError):
            await opened.stream.receive_some()
        assert opened.watch.fault == "TLS: DECRYPTION_FAILED_OR_BAD_RECORD_MAC"


async def test_a_peer_that_closes_tcp_alone_has_ended_too(
    version: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with linked(version, client_tls) as (opened, peer):
        await peer.stream.send_all(peer.sealed(b"whole", b"cut")[:-1])
        await peer.stream.aclose()
        assert await read_all(opened) == b"whole"
        assert opened.watch.fault == "end of stream"


async def test_what_the_layer_above_has_not_worked_off_is_not_proved(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    proved: list[float] = []
    async with linked(server_tls, client_tls) as (opened, peer):
        watch = opened.watch

        def take(_: bytes) -> bool:
            proved.append(watch.drained_at)
            return len(proved) == 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(opened.stream.pour, take)
            for _ in range(2):
                await wait_all_tasks_blocked()
                await peer.stream.send_all(peer.sealed(b"x"))
                await trio.sleep(0.01)
                rounds().look()
                came_at = watch.last_bytes_at
                assert proved[-1] < came_at
                assert (watch.drained_at >= came_at) == (len(proved) == 1)


async def test_a_reading_that_is_given_up_costs_nothing(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with linked(server_tls, client_tls) as (opened, peer):
        records = peer.sealed(b"abcdef")
        await peer.stream.send_all(records[:10])
        with trio.move_on_after(0.05):
            await opened.stream.receive_some()
        await peer.stream.send_all(records[10:])
        assert await opened.stream.receive_some() == b"abcdef"


async def test_several_may_send_much_at_a_time_while_much_is_read(
    version: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with linked(version, client_tls) as (opened, peer), trio.open_nursery() as nursery:
        for letter in (b"a", b"b"):
            nursery.start_soon(opened.stream.send_all, letter * LARGE)
        got = b""
        while len(got) < 2 * LARGE:
            got += await peer.read()
        assert {got[:LARGE], got[LARGE:]} == {b"a" * LARGE, b"b" * LARGE}

        nursery.start_soon(peer.stream.send_all, peer.sealed(b"c" * LARGE) + peer.goodbye())
        await opened.stream.send_all(b"meanwhile")
        assert await read_all(opened) == b"c" * LARGE
        assert await peer.read() == b"meanwhile"


@pytest.mark.parametrize("pours", [True, False])
async def test_reading_goes_on_while_several_wait_for_a_peer_that_takes_nothing(
    pours: bool, version: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    got: list[bytes] = []

    async def read() -> None:
        if pours:
            await opened.stream.pour(lambda data: got.append(data) is None)
        while True:
            got.append(await opened.stream.receive_some())

    async with linked(version, client_tls) as (opened, peer), trio.open_nursery() as nursery:
        for letter in (b"a", b"b"):
            nursery.start_soon(opened.stream.send_all, letter * LARGE)
            await wait_all_tasks_blocked()
        nursery.start_soon(read)
        for number in range(1, 4):
            await wait_all_tasks_blocked()
            await peer.stream.send_all(peer.sealed(b"%d" % number))
            await until(lambda: len(got) == number, seconds=3)  # noqa: B023
        taken = bytearray()
        while len(taken) < 2 * LARGE:
            taken += await peer.read()
        assert taken == b"a" * LARGE + b"b" * LARGE
        nursery.cancel_scope.cancel()


async def test_nothing_is_sent_behind_a_record_that_was_cut_short(
    version: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with linked(version, client_tls) as (opened, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(opened.stream.send_all, b"a" * 4 * LARGE)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        with pytest.raises(trio.BrokenResourceError):
            await opened.stream.send_all(b"next")
        await peer.stream.send_all(peer.sealed(b"still read"))
        assert await opened.stream.receive_some() == b"still read"


@pytest.mark.parametrize("pours", [True, False])
async def test_a_stream_that_was_closed_gives_nothing_more(
    pours: bool, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with linked(server_tls, client_tls) as (opened, peer):
        await peer.stream.send_all(peer.sealed(b"enough", b"of it") + peer.goodbye())
        assert await opened.stream.receive_some(6) == b"enough"
        await opened.stream.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await (opened.stream.pour(lambda _: True) if pours else opened.stream.receive_some())
        with pytest.raises(trio.ClosedResourceError):
            await opened.stream.send_all(b"anything")


async def test_a_server_whose_certificate_is_not_accepted_is_told_so(server_tls: ssl.SSLContext) -> None:
    told: list[str] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, pytest.raises(ssl.SSLError) as caught:
            server_tls.wrap_socket(connection, server_side=True).recv(1)
        told.append(caught.value.reason)

    with trio.fail_after(20), socket.create_server(("127.0.0.1", 0)) as listener:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, serve)
            watch = Watched(await trio.open_tcp_stream("127.0.0.1", listener.getsockname()[1]))
            secured = Secured(watch, ssl.create_default_context(), "localhost")
            with pytest.raises(trio.BrokenResourceError):
                await secured.do_handshake()
            await secured.aclose()
    assert told == ["TLSV1_ALERT_UNKNOWN_CA"]


async def test_a_server_that_leaves_in_the_handshake_is_transient(
    serve: Any, client_tls: ssl.SSLContext
) -> None:
    async def leave(stream: trio.SocketStream) -> None:
        await stream.receive_some()

    with pytest.raises(Transient, match="EOF"):
        await open_tcp_stream("localhost", await serve(leave), tls=client_tls, timeout=5)


@pytest.fixture
def openssl(authority: trustme.CA, tmp_path: Path, nursery: trio.Nursery) -> Callable[..., Any]:
    """Return a function that starts `openssl s_server` and gives its process and the lines that it says."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")
    certificate = tmp_path / "server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
    command = ["openssl", "s_server", "-accept", "127.0.0.1:0", "-msg", "-cert", str(certificate)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}

    async def start(*options: str) -> tuple[trio.Process, list[str]]:
        server = await nursery.start(partial(trio.run_process, [*command, *options], check=False, **pipes))
        lines: list[str] = []

        async def listen() -> None:
            text = ""
            async for part in server.stdout:
                text += part.decode()
                lines[:] = text.splitlines()

        nursery.start_soon(listen)
        return server, lines

    return start


async def until(holds: Callable[[], object], seconds: float = 20) -> None:
    with trio.fail_after(seconds):
        while not holds():
            await trio.sleep(0.01)


@pytest.mark.parametrize(
    ("version", "command", "answer", "is_answered_at_once"),
    [("-tls1_2", b"r\n", ", ClientHello", True), ("-tls1_3", b"K\n", ", KeyUpdate", False)],
    ids=["renegotiation", "new keys"],
)
async def test_a_server_that_asks_for_other_keys_gets_them_and_is_understood(
    version: str,
    command: bytes,
    answer: str,
    is_answered_at_once: bool,
    openssl: Any,
    client_tls: ssl.SSLContext,
    nursery: trio.Nursery,
) -> None:
    got: list[bytes] = []
    process, lines = await openssl(version)

    async def pour_to_the_end() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await opened.stream.pour(lambda data: got.append(data) is None)

    def answers() -> int:
        return sum(line.startswith("<<<") and line.endswith(answer) for line in lines)

    await until(lambda: any(line.startswith("ACCEPT ") for line in lines))
    port = int(next(line for line in lines if line.startswith("ACCEPT ")).rpartition(":")[2])
    opened = await open_tcp_stream("localhost", port, tls=client_tls, timeout=20)
    nursery.start_soon(pour_to_the_end)
    await until(lambda: any(line.startswith("CIPHER") for line in lines))
    before, said = answers(), len(lines)
    await process.stdin.send_all(command)
    await until(lambda: len(lines) > said)  # else it takes what follows for a part of its command
    if is_answered_at_once:
        await until(lambda: answers() > before)
    await process.stdin.send_all(b"more\n")
    await until(lambda: b"".join(got) == b"more\n")
    await opened.stream.send_all(b"and back\n")  # with TLS 1.3 new keys are due before that, and no sooner
    await until(lambda: answers() > before and "and back" in lines)
    await trio.aclose_forcefully(opened.stream)


async def test_what_is_sent_while_other_keys_are_agreed_on_is_sent_after_that(
    openssl: Any, client_tls: ssl.SSLContext, nursery: trio.Nursery
) -> None:
    process, lines = await openssl("-tls1_2")
    await until(lambda: any(line.startswith("ACCEPT ") for line in lines))
    port = int(next(line for line in lines if line.startswith("ACCEPT ")).rpartition(":")[2])
    opened = await open_tcp_stream("localhost", port, tls=client_tls, timeout=20)
    await until(lambda: any(line.startswith("CIPHER") for line in lines))
    await process.stdin.send_all(b"r\n")
    await until(lambda: opened.watch.has_unread)
    process.send_signal(signal.SIGSTOP)  # it says nothing to our answer
    try:
        with trio.move_on_after(0.1):
            await opened.stream.receive_some()
        await opened.stream.send_all(b"first\n")
        await opened.stream.send_all(b"second\n")
    finally:
        process.send_signal(signal.SIGCONT)
    got: list[bytes] = []
    nursery.start_soon(opened.stream.pour, lambda data: got.append(data) is None)
    await until(lambda: [line for line in lines if line in ("first", "second")] == ["first", "second"])
    await process.stdin.send_all(b"back\n")
    await until(lambda: b"".join(got) == b"back\n")
    nursery.cancel_scope.cancel()
    await trio.aclose_forcefully(opened.stream)
