"""What is promised of a TCP stream: its proof of reading, its deadlines, its proxy, its errors."""

from __future__ import annotations

import socket
import ssl
from base64 import b64encode
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from struct import pack
from time import monotonic

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from streamd.errors import ConfigError, Rejected, StreamdError, Transient
from streamd.live import reach
from streamd.live.reach import Reach
from streamd.transport import rounds, watched
from streamd.transport.endless import open_endless
from streamd.transport.stream import open_tcp_stream
from streamd.transport.tls import client_context
from streamd.transport.watched import Watched
from streamd.transport.websocket import LinkClosed, open_websocket
from streamd.transport.websocket.upgrade import is_upgraded


async def test_bytes_that_wait_in_the_kernel_hold_the_proof_back(serve):
    written = trio.Event()

    async def script(stream):
        await stream.send_all(b"x" * 10)
        written.set()
        await trio.sleep_forever()

    opened = await open_tcp_stream("localhost", await serve(script), timeout=5)
    async with opened.stream:
        await written.wait()
        arrived = monotonic()
        assert await opened.stream.receive_some(4) == b"xxxx"
        assert await opened.stream.receive_some(4) == b"xxxx"
        assert opened.watch.drained_at < arrived, "two bytes still wait"
        assert opened.watch.last_bytes_at >= arrived
        assert await opened.stream.receive_some(4) == b"xx"
        with trio.move_on_after(0.01):
            await opened.stream.receive_some(4)
        assert opened.watch.drained_at >= arrived


async def say_nothing(_stream):
    await trio.sleep_forever()


async def test_a_stream_that_is_closed_while_it_is_read_ends_the_reading_as_closed(serve):
    opened = await open_tcp_stream("localhost", await serve(say_nothing), timeout=5)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def read():
            with pytest.raises(trio.ClosedResourceError):
                await opened.stream.receive_some(1)

        await wait_all_tasks_blocked()
        await opened.stream.aclose()
    assert opened.watch.fault == "closed here"
    with pytest.raises(trio.ClosedResourceError):
        await opened.stream.receive_some(1)


async def test_what_comes_within_the_pause_is_read_in_one_piece(serve, monkeypatch):
    monkeypatch.setattr(rounds, "PAUSE_SECONDS", 0.2)
    read = trio.Event()

    async def script(stream):
        await stream.send_all(b"a")
        await read.wait()
        await stream.send_all(b"b")
        await trio.sleep(0.02)
        await stream.send_all(b"c")
        await trio.sleep_forever()

    opened = await open_tcp_stream("localhost", await serve(script), timeout=5)
    async with opened.stream:
        assert await opened.stream.receive_some() == b"a"
        read.set()
        assert await opened.stream.receive_some() == b"bc"


async def test_what_comes_after_the_pause_is_read_at_once(serve, monkeypatch):
    monkeypatch.setattr(rounds, "PAUSE_SECONDS", 0.2)

    async def script(stream):
        await stream.send_all(b"a")
        await trio.sleep(0.3)
        await stream.send_all(b"%f" % monotonic())
        await trio.sleep_forever()

    opened = await open_tcp_stream("localhost", await serve(script), timeout=5)
    async with opened.stream:
        await opened.stream.receive_some()
        sent_at = float(await opened.stream.receive_some())
        assert monotonic() - sent_at < 0.15


async def test_what_may_be_all_that_a_peer_was_allowed_to_send_is_followed_by_a_reading_at_once(
    serve, monkeypatch
):
    monkeypatch.setattr(rounds, "PAUSE_SECONDS", 0.2)
    size = 8 * 2**20

    async def script(stream):
        await stream.send_all(bytes(size))
        await trio.sleep_forever()

    opened = await open_tcp_stream("localhost", await serve(script), timeout=5)
    async with opened.stream:
        began, left = monotonic(), size
        while left > 2**20:  # its last pieces may be small
            left -= len(await opened.stream.receive_some())
        assert monotonic() - began < 1.0, "not one pause for each piece: there are 28 at least"


async def test_an_end_that_comes_with_the_last_bytes_is_seen(serve):
    async def script(stream):
        await stream.send_all(b"last")

    opened = await open_tcp_stream("localhost", await serve(script), timeout=5)
    async with opened.stream:
        await trio.sleep(0.05)  # both are in the kernel
        assert await opened.stream.receive_some() == b"last"
        with trio.fail_after(1):
            assert await opened.stream.receive_some() == b""
    assert opened.watch.fault == "end of stream"


async def test_bytes_that_nobody_wants_yet_cost_one_look_a_pause(serve, monkeypatch):
    monkeypatch.setattr(rounds, "PAUSE_SECONDS", 0.05)
    looks = []
    look = rounds.Rounds.look
    monkeypatch.setattr(rounds.Rounds, "look", lambda self: looks.append(look(self)) or looks[-1])

    async def script(stream):
        await stream.send_all(b"wait for me")
        await trio.sleep_forever()

    opened = await open_tcp_stream("localhost", await serve(script), timeout=5)
    async with opened.stream:
        await trio.sleep(0.3)
        assert 1 <= len(looks) <= 7
        assert await opened.stream.receive_some() == b"wait for me"


async def test_sockets_that_have_much_all_of_them_are_read_some_at_a_time(serve, monkeypatch):
    monkeypatch.setattr(rounds, "_ROUND_BYTES", 100_000)
    monkeypatch.setattr(rounds, "PAUSE_SECONDS", 5.0)

    async def script(stream):
        await stream.send_all(bytes(60_000))
        await trio.sleep_forever()

    port = await serve(script)
    held: list[int] = []
    async with AsyncExitStack() as stack:
        streams = [await open_tcp_stream("localhost", port, timeout=5) for _ in range(6)]
        for opened in streams:
            await stack.enter_async_context(opened.stream)
        await trio.sleep(0.1)  # all of it is in the kernel

        async def read(opened):
            left = 60_000
            while left:
                left -= len(await opened.stream.receive_some())

        with trio.fail_after(2):  # not a pause between two looks
            async with trio.open_nursery() as readers:
                for opened in streams:
                    readers.start_soon(read, opened)
                await wait_all_tasks_blocked()
                begun = rounds.rounds()._bytes
                rounds.rounds().look()
                held.append(rounds.rounds()._bytes - begun)
    assert 0 < held[0] <= 160_000


async def test_a_wait_that_was_given_up_leaves_the_stream_as_it_was(serve):
    sent = trio.Event()

    async def script(stream):
        await sent.wait()
        await stream.send_all(b"x")
        await trio.sleep_forever()

    opened = await open_tcp_stream("localhost", await serve(script), timeout=5)
    async with opened.stream:
        with trio.move_on_after(0.01):
            await opened.stream.receive_some()
        sent.set()
        with trio.fail_after(1):
            assert await opened.stream.receive_some() == b"x"


async def test_two_tasks_cannot_wait_for_one_stream(serve):
    opened = await open_tcp_stream("localhost", await serve(say_nothing), timeout=5)
    async with opened.stream, trio.open_nursery() as nursery:
        nursery.start_soon(opened.stream.receive_some)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await opened.stream.receive_some()
        nursery.cancel_scope.cancel()


async def test_what_the_layer_above_has_not_worked_off_is_not_proved(serve):
    async def script(stream):
        await trio.sleep(0.01)
        await stream.send_all(b"abc")
        await trio.sleep_forever()

    opened = await open_tcp_stream("localhost", await serve(script), timeout=5)
    async with opened.stream:
        await opened.stream.receive_some(100)
        assert opened.watch.drained_at < opened.watch.last_bytes_at, "abc may not have been handed on yet"


@asynccontextmanager
async def stood_still(serve, monkeypatch, then):
    """Yield a stream whose reader looked last before `began`, while its peer sent more than there was room
    for; `then` is what the peer does next.
    """
    monkeypatch.setattr(watched, "STILL_SECONDS", 0.02)
    began, sent = trio.Event(), trio.Event()

    async def script(peer):
        await began.wait()
        with trio.move_on_after(0.1):
            await peer.send_all(bytes(2**26))
        sent.set()
        await then(peer)

    opened = await open_tcp_stream("localhost", await serve(script), timeout=5)
    with trio.move_on_after(0.01):
        await opened.stream.receive_some()
    began.set()
    stood = monotonic()
    await sent.wait()
    async with opened.stream:
        yield opened, stood


async def test_what_had_no_room_while_the_reader_stood_still_is_not_proved_by_what_had(serve, monkeypatch):
    monkeypatch.setattr(reach, "ON_ITS_WAY_SECONDS", 0.0)

    async def reset(peer):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
        await trio.aclose_forcefully(peer)

    async with stood_still(serve, monkeypatch, reset) as (opened, stood):
        proof = Reach(opened.watch, lambda: datetime.now(UTC))
        stood_at = datetime.now(UTC) - timedelta(seconds=monotonic() - stood)
        with suppress(trio.BrokenResourceError):
            while await opened.stream.receive_some():
                pass
        assert opened.watch.fault == "Connection reset by peer"
        assert opened.watch.last_bytes_at > stood
        assert proof.at <= stood_at


async def test_a_reader_that_has_caught_up_proves_again(serve, monkeypatch):
    monkeypatch.setattr(watched, "CATCH_UP_SECONDS", 0.1)

    async def murmur(peer):
        while True:
            await trio.sleep(0.01)
            await peer.send_all(b"x")

    async with stood_still(serve, monkeypatch, murmur) as (opened, stood):
        await opened.stream.receive_some()
        assert opened.watch.caught_up_at <= stood
        with trio.fail_after(30):
            while opened.watch.caught_up_at <= stood:
                await opened.stream.receive_some()
        assert opened.watch.caught_up_at > stood + 0.1


async def test_a_peer_that_takes_no_bytes_breaks_the_stream(serve):
    async def script(stream):
        await trio.sleep_forever()

    stream = Watched(await trio.open_tcp_stream("localhost", await serve(script)), send_seconds=0.2)
    async with stream:
        with trio.fail_after(30), pytest.raises(rounds.Lost):
            await stream.send_all(bytes(64 << 20))
        assert stream.fault == "the peer took no bytes for 0.2 s"


async def test_the_socket_notices_a_vanished_peer_by_itself(serve):
    async def script(stream):
        await trio.sleep_forever()

    opened = await open_tcp_stream("localhost", await serve(script), timeout=5)
    async with opened.stream:
        inner = opened.watch._stream
        assert inner.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert inner.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert inner.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000


async def test_a_tls_handshake_that_is_never_answered_costs_the_deadline(serve):
    async def script(stream):
        await trio.sleep_forever()

    port = await serve(script)
    with trio.fail_after(30), pytest.raises(Transient, match="within"):
        await open_tcp_stream("localhost", port, tls=ssl.create_default_context(), timeout=0.2)


async def test_a_peer_that_speaks_no_tls_is_transient(serve):
    async def script(stream):
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    port = await serve(script)
    with pytest.raises(Transient, match="TLS"):
        await open_tcp_stream("localhost", port, tls=ssl.create_default_context(), timeout=5)


async def test_an_unknown_host_is_transient():
    with pytest.raises(Transient, match="cannot connect"):
        await open_tcp_stream("nowhere.invalid", 1, timeout=10)


async def _forward(one, other):
    async for data in one:
        await other.send_all(data)


@pytest.fixture
async def proxy(serve, wire):
    """A CONNECT proxy that wants user:pa ss; gives its port and the request heads that it saw."""
    heads = []

    async def script(stream):
        heads.append(await wire.read_head(stream))
        if b"Basic " + b64encode(b"user:pa ss") not in heads[-1]:
            await stream.send_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        host, _, port = heads[-1].split()[1].decode().rpartition(":")
        upstream = await trio.open_tcp_stream(host, int(port))
        await stream.send_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with upstream, trio.open_nursery() as both:
            both.start_soon(_forward, upstream, stream)
            await _forward(stream, upstream)
            both.cancel_scope.cancel()

    return await serve(script), heads


@pytest.mark.parametrize("engine", ["trio-websocket", "sans-io"])
async def test_a_secure_websocket_goes_through_the_proxy(engine, proxy, serve, wire, server_tls, client_tls):
    async def script(stream):
        await wire.upgrade(stream, then=wire.text(b"through") + wire.close(1000))

    proxy_port, heads = proxy
    url = f"wss://localhost:{await serve(script, server_tls)}/"
    way = f"http://user:pa%20ss@localhost:{proxy_port}"
    async with open_websocket(url, engine=engine, tls=client_tls, proxy=way) as link:
        assert await link.receive() == [b"through"]
        with pytest.raises(LinkClosed):
            await link.receive()
    assert heads[0].startswith(b"CONNECT localhost:")


async def test_a_proxy_that_refuses_us_is_rejected_without_showing_the_password(proxy):
    port, _ = proxy
    with pytest.raises(Rejected, match="407") as caught:
        await open_tcp_stream("localhost", 1, proxy=f"http://user:wr0ng@localhost:{port}", timeout=5)
    assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 502 Bad Gateway\r\n\r\n", b"SSH-2.0\r\n\r\n", b""])
async def test_a_proxy_in_a_bad_moment_is_transient(answer, serve, wire):
    async def script(stream):
        await wire.read_head(stream)
        await stream.send_all(answer)

    with trio.fail_after(30), pytest.raises(Transient):
        await open_tcp_stream("h", 1, proxy=f"http://localhost:{await serve(script)}", timeout=5)


@pytest.mark.parametrize("url", ["socks5://u:s3cret@h:1", "http://u:s3cret@h:port", "http://"])
async def test_a_proxy_url_that_cannot_be_used_is_rejected_without_showing_it(url):
    with pytest.raises(Rejected) as caught:
        await open_tcp_stream("h", 1, proxy=url, timeout=5)
    assert "s3cret" not in str(caught.value)


@pytest.fixture
def asking_tls(authority):
    """A server's context that wants a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_a_client_certificate_is_shown(serve, wire, authority, asking_tls, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")

    async def script(stream):
        await wire.upgrade(stream, then=wire.text(b"in") + wire.close(1000))

    url = f"wss://localhost:{await serve(script, asking_tls)}/"
    ours = client_context(str(tmp_path / "ca.pem"), str(tmp_path / "client.pem"))
    async with open_websocket(url, tls=ours) as link:
        assert await link.receive() == [b"in"]


@pytest.mark.parametrize(
    "opened",
    [
        lambda place, tls: open_websocket(f"wss://{place}/", engine="trio-websocket", tls=tls),
        lambda place, tls: open_websocket(f"wss://{place}/", engine="sans-io", tls=tls),
        lambda place, tls: open_endless("GET", f"https://{place}/", tls=tls),
    ],
    ids=["trio-websocket", "sans-io", "endless"],
)
async def test_a_client_certificate_that_is_missing_is_rejected(opened, nursery, asking_tls, client_tls):
    # With TLS 1.3 the refusal comes after the handshake, and trio's own server would not send it at all.
    def refuse(listener):
        connection, _ = listener.accept()
        with connection, pytest.raises(ssl.SSLError):
            asking_tls.wrap_socket(connection, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        nursery.start_soon(trio.to_thread.run_sync, refuse, listener)
        with pytest.raises(Rejected, match="client certificate"):
            async with opened(f"localhost:{listener.getsockname()[1]}", client_tls):
                raise AssertionError("opened")


def test_a_file_that_cannot_be_used_is_a_config_error_that_names_its_key(tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    with pytest.raises(ConfigError, match="ca_file"):
        client_context(str(tmp_path / "missing.pem"))
    with pytest.raises(ConfigError, match="certificate_file"):
        client_context(None, str(empty))


def test_connectors_without_files_of_their_own_share_the_systems_trust_store():
    assert client_context() is client_context(None, None, None)
    assert client_context().verify_mode is ssl.CERT_REQUIRED


@given(st.binary() | st.binary().map(lambda tail: b"HTTP/1.1 101 X\r\nupgrade: websocket\r\n" + tail))
def test_any_answer_to_an_upgrade_is_judged(head):
    with suppress(StreamdError):
        assert is_upgraded(head, "h:1") in {True, False}
