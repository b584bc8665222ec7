"""What both engines promise, each proved against a scripted server on a real socket."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from time import monotonic

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from streamd.errors import ProtocolViolation, Rejected, Transient
from streamd.transport.websocket import CLOSE_SECONDS, HandshakeRejected, LinkClosed, open_websocket

PROMPT = 1.4  # seconds that stand for "at once" on a busy machine; every deadline here is longer


@pytest.fixture(params=["trio-websocket", "sans-io"])
def engine(request):
    return request.param


@pytest.fixture
def connect(engine):
    def connect(port, path="/", *, scheme="ws", timeout=5.0, **options):
        return open_websocket(f"{scheme}://localhost:{port}{path}", engine=engine, timeout=timeout, **options)

    return connect


async def collect(link, count):
    messages = []
    with trio.fail_after(5):
        while len(messages) < count:
            messages += await link.receive()
    return messages


async def the_end(link):
    """Receive until the link ends; return what came before, and the end."""
    messages = []
    with trio.fail_after(20):
        while True:
            try:
                messages += await link.receive()
            except LinkClosed as error:
                return messages, error


async def test_every_frame_of_one_segment_is_handed_out_in_order(connect, serve, wire):
    sent = [b'{"n":%d}' % n for n in range(500)]

    async def script(stream):
        await wire.upgrade(stream, then=b"".join(map(wire.text, sent[:200])))
        await stream.send_all(b"".join(map(wire.text, sent[200:])))
        await wire.say_goodbye(stream)

    async with connect(await serve(script)) as link:
        assert await collect(link, 500) == sent


async def test_frames_may_be_split_at_any_byte(connect, serve, wire):
    sent = [b"one", "zwei – дві".encode(), b"x" * 300]

    async def script(stream):
        await wire.upgrade(stream)
        for byte in b"".join(map(wire.text, sent)):
            await stream.send_all(bytes([byte]))
        await wire.say_goodbye(stream)

    async with connect(await serve(script)) as link:
        assert await collect(link, 3) == sent


async def test_fragments_become_one_message_although_a_ping_stands_between(connect, serve, wire):
    whole = "Ёлка".encode()

    async def script(stream):
        await wire.upgrade(stream)
        # The second fragment begins in the middle of a character.
        await stream.send_all(wire.frame(wire.TEXT, whole[:1], fin=False))
        await stream.send_all(wire.frame(wire.PING, b"between"))
        await stream.send_all(wire.frame(wire.CONT, whole[1:3], fin=False) + wire.frame(wire.CONT, whole[3:]))
        await wire.say_goodbye(stream)

    async with connect(await serve(script)) as link:
        assert await collect(link, 1) == [whole]


async def test_text_and_binary_both_come_as_bytes(connect, serve, wire):
    async def script(stream):
        await wire.upgrade(stream, then=wire.text("é".encode()) + wire.frame(wire.BINARY, b"\xff\x00"))
        await wire.say_goodbye(stream)

    async with connect(await serve(script)) as link:
        messages = await collect(link, 2)
    assert messages == ["é".encode(), b"\xff\x00"]
    assert {type(message) for message in messages} == {bytes}


async def test_path_query_and_headers_reach_the_server(connect, serve, wire):
    heads = []

    async def script(stream):
        heads.append(await wire.upgrade(stream))
        await wire.say_goodbye(stream)

    async with connect(await serve(script), "/a b?token=t%2F1", headers=[("Authorization", "Bearer x")]):
        pass
    assert heads[0].startswith(b"GET /a%20b?token=t%2F1 HTTP/1.1\r\n")
    assert b"authorization: bearer x\r\n" in heads[0].lower()


async def test_messages_are_sent_whole_as_text_or_binary(connect, serve, wire):
    frames = []
    done = trio.Event()

    async def script(stream):
        await wire.upgrade(stream)
        frames.extend([await wire.read_frame(stream), await wire.read_frame(stream)])
        done.set()
        await wire.say_goodbye(stream)

    async with connect(await serve(script)) as link:
        await link.send("tëxt")
        await link.send(b"\x00bytes")
        with trio.fail_after(5):
            await done.wait()
    assert frames == [(wire.TEXT, "tëxt".encode()), (wire.BINARY, b"\x00bytes")]


async def test_pings_of_the_server_are_answered_while_nobody_receives(connect, serve, wire):
    answers = trio.Event()

    async def script(stream):
        await wire.upgrade(stream, then=b"".join(wire.text(b"waiting") for _ in range(1000)))
        await stream.send_all(wire.frame(wire.PING, b"still there?"))
        if await wire.read_frame(stream) == (wire.PONG, b"still there?"):
            answers.set()
        await wire.say_goodbye(stream)

    async with connect(await serve(script)):
        with trio.fail_after(5):
            await answers.wait()


async def test_a_ping_returns_the_round_trip(connect, serve, wire):
    async def script(stream):
        await wire.upgrade(stream)
        while True:
            opcode, payload = await wire.read_frame(stream)
            await trio.sleep(0.05)
            await stream.send_all(wire.answer(opcode, payload))

    async with connect(await serve(script)) as link:
        assert 0.05 <= await link.ping(5) < 5
        assert 0.05 <= await link.ping(5) < 5


async def test_a_silent_peer_is_noticed_within_the_ping_deadline(connect, serve, wire):
    async def script(stream):
        await wire.upgrade(stream)
        await trio.sleep_forever()

    async with connect(await serve(script)) as link:
        began = monotonic()
        with pytest.raises(Transient, match="no pong"):
            await link.ping(0.2)
        assert 0.2 <= monotonic() - began < 0.2 + PROMPT


async def test_bytes_prove_life_where_the_pong_is_late(connect, serve, wire):
    async def script(stream):
        await wire.upgrade(stream)
        await wire.read_frame(stream)
        await stream.send_all(wire.text(b"backlog"))
        await wire.say_goodbye(stream)

    async with connect(await serve(script)) as link:
        assert await link.ping(0.5) >= 0.5
        assert await link.receive() == [b"backlog"]
        with pytest.raises(Transient, match="no pong"):
            await link.ping(0.1)


async def test_a_peer_that_answers_no_ping_is_pinged_again_and_again_while_it_sends(connect, serve, wire):
    pings = []
    enough = trio.Event()

    async def script(stream):
        await wire.upgrade(stream)
        while len(pings) < 3:
            pings.append(await wire.read_frame(stream))
            await stream.send_all(wire.text(b"data"))
        enough.set()
        await trio.sleep_forever()

    async with connect(await serve(script)) as link, trio.open_nursery() as reader:
        reader.start_soon(receive_for_ever, link)
        with trio.fail_after(30):
            for _ in range(3):
                await link.ping(0.5)
            await enough.wait()
        reader.cancel_scope.cancel()
    assert len({payload for _, payload in pings}) == 3


async def receive_for_ever(link):
    while True:
        await link.receive()


async def test_the_end_of_the_link_ends_a_waiting_ping(connect, serve, wire):
    async def script(stream):
        await wire.upgrade(stream)
        await wire.read_frame(stream)

    async with connect(await serve(script)) as link:
        with trio.fail_after(PROMPT), pytest.raises(LinkClosed):
            await link.ping(60)


async def test_a_close_comes_after_every_message_before_it(connect, serve, wire):
    echoed = []

    async def script(stream):
        await wire.upgrade(stream)
        await stream.send_all(wire.text(b"1") + wire.text(b"2") + wire.close(4001, b"moved"))
        echoed.append(await wire.read_frame(stream))
        await trio.sleep_forever()  # keeps TCP open

    async with connect(await serve(script)) as link:
        messages, end = await the_end(link)
        began = monotonic()
    assert messages == [b"1", b"2"]
    assert (end.closed.code, end.closed.reason, end.closed.by_peer, end.closed.clean) == (
        4001,
        "moved",
        True,
        True,
    )
    assert echoed == [(wire.CLOSE, struct.pack("!H", 4001) + b"moved")]
    assert monotonic() - began < PROMPT, "a peer that keeps TCP open after its Close delays nobody"


async def test_a_ping_between_a_close_and_our_answer_to_it_costs_no_message_before_it(connect, serve, wire):
    ours_waits, close_is_here, pinged = trio.Event(), trio.Event(), trio.Event()

    async def script(stream):
        await wire.upgrade(stream)
        await ours_waits.wait()
        await stream.send_all(wire.text(b"last") + wire.close(1001))
        await pinged.wait()
        while await stream.receive_some():
            pass

    async def ping(link):
        await close_is_here.wait()
        with pytest.raises(Transient):
            await link.ping(0.3)
        pinged.set()

    async with connect(await serve(script)) as link, trio.open_nursery() as nursery:
        nursery.start_soon(send, link, bytes(64 << 20))  # our answer has to wait behind it
        await wait_all_tasks_blocked()
        nursery.start_soon(ping, link)
        before = link.last_bytes_at
        ours_waits.set()
        while link.last_bytes_at == before:
            await trio.sleep(0.01)
        close_is_here.set()
        messages, end = await the_end(link)
    assert messages == [b"last"]
    assert (end.code, end.clean) == (1001, True)


async def send(link, message):
    with suppress(LinkClosed):
        await link.send(message)


async def test_the_end_is_told_again_to_whoever_asks_again(connect, serve, wire):
    async def script(stream):
        await wire.upgrade(stream, then=wire.close(1001))

    async with connect(await serve(script)) as link:
        for _ in range(2):
            with pytest.raises(LinkClosed):
                await link.receive()
        with pytest.raises(LinkClosed):
            await link.send("too late")
        with pytest.raises(LinkClosed):
            await link.ping(1)


async def test_an_end_of_stream_without_close_is_not_clean(connect, serve, wire):
    async def script(stream):
        await wire.upgrade(stream, then=wire.text(b"last"))

    async with connect(await serve(script)) as link:
        messages, end = await the_end(link)
    assert messages == [b"last"]
    assert (end.code, end.by_peer, end.clean) == (1006, True, False)


async def test_a_reset_is_not_clean_and_keeps_what_came_before(connect, serve, wire):
    received = trio.Event()

    async def script(stream):
        await wire.upgrade(stream, then=wire.text(b"last"))
        await received.wait()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with connect(await serve(script)) as link:
        assert await link.receive() == [b"last"]
        received.set()
        messages, end = await the_end(link)
    assert messages == []
    assert (end.code, end.by_peer, end.clean) == (1006, True, False)
    assert "reset" in str(end)


async def test_invalid_utf8_ends_the_link_and_keeps_what_came_before(connect, serve, wire):
    async def script(stream):
        await wire.upgrade(stream, then=wire.text(b"good") + wire.text(b"\xff\xfe") + wire.text(b"ignored"))
        await trio.sleep_forever()

    async with connect(await serve(script)) as link:
        messages, end = await the_end(link)
        began = monotonic()
    assert messages == [b"good"]
    assert (end.code, end.by_peer, end.clean) == (1007, False, False)
    assert monotonic() - began < PROMPT


async def test_a_message_over_the_limit_is_refused_with_1009(connect, serve, wire):
    answers = []
    answered = trio.Event()

    async def script(stream):
        await wire.upgrade(stream)
        # In fragments: each is within the limit, together they are not.
        await stream.send_all(
            wire.text(b"good")
            + wire.frame(wire.TEXT, b"x" * 600, fin=False)
            + wire.frame(wire.CONT, b"x" * 600)
        )
        answers.append(await wire.read_frame(stream))
        answered.set()
        await trio.sleep_forever()

    async with connect(await serve(script), max_message_bytes=1000) as link:
        messages, end = await the_end(link)
        with trio.fail_after(5):
            await answered.wait()
    assert messages == [b"good"]
    assert (end.code, end.by_peer, end.clean) == (1009, False, False)
    assert answers[0][0] == wire.CLOSE
    assert answers[0][1][:2] == struct.pack("!H", 1009)


async def test_a_frame_that_breaks_the_protocol_ends_the_link(connect, serve, wire):
    async def script(stream):
        await wire.upgrade(stream, then=wire.text(b"good") + wire.frame(wire.CONT, b"of nothing"))
        await trio.sleep_forever()

    async with connect(await serve(script)) as link:
        messages, end = await the_end(link)
    assert messages == [b"good"]
    assert (end.code, end.by_peer, end.clean) == (1002, False, False)


async def test_a_consumer_that_is_too_slow_ends_the_link_and_still_gets_what_was_kept(connect, serve, wire):
    async def script(stream):
        await wire.upgrade(stream)
        while True:
            await stream.send_all(b"".join(wire.text(b"x" * 1000) for _ in range(10)))

    async with connect(await serve(script), max_waiting_bytes=50_000) as link:
        with trio.fail_after(5):
            while True:  # the end shows in pings, without receiving
                try:
                    await link.ping(5)
                except LinkClosed:
                    break
        messages, end = await the_end(link)
    assert len(messages) >= 50
    assert "too slow" in str(end)
    assert not end.by_peer


@pytest.mark.parametrize(
    "status", ["401 Unauthorized", "403 Forbidden", "404 Not Found", "503 Busy", "302 Found"]
)
async def test_a_refused_handshake_tells_its_status_at_once(connect, serve, wire, status):
    async def script(stream):
        await wire.read_head(stream)
        await stream.send_all(
            b"HTTP/1.1 " + status.encode() + b"\r\nRetry-After: 7\r\nContent-Length: 100\r\n\r\nnever whole"
        )
        await trio.sleep_forever()

    with trio.fail_after(PROMPT), pytest.raises(HandshakeRejected) as caught:
        async with connect(await serve(script), "/p?token=s3cret"):
            raise AssertionError("opened")
    assert caught.value.status_code == int(status[:3])
    assert caught.value.retry_after == 7
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 40])
async def test_an_answer_that_is_not_http_is_a_violation_at_once(connect, serve, wire, answer):
    async def script(stream):
        await wire.read_head(stream)
        await stream.send_all(answer)
        await trio.sleep_forever()

    with trio.fail_after(PROMPT), pytest.raises(ProtocolViolation):
        async with connect(await serve(script)):
            raise AssertionError("opened")


async def test_a_101_with_the_wrong_key_is_not_accepted(connect, serve, wire):
    async def script(stream):
        await wire.read_head(stream)
        await stream.send_all(
            b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: bm90IHRoZSBrZXk=\r\n\r\n"
        )
        await trio.sleep_forever()

    with trio.fail_after(PROMPT), pytest.raises(Transient):
        async with connect(await serve(script), timeout=0.3):
            raise AssertionError("opened")


async def test_a_server_that_closes_before_its_101_is_noticed_at_once(connect, serve, wire):
    async def script(stream):
        await wire.read_head(stream)

    with trio.fail_after(PROMPT), pytest.raises(Transient, match="closed before"):
        async with connect(await serve(script)):
            raise AssertionError("opened")


async def test_a_server_that_never_answers_costs_the_deadline_and_no_more(connect, serve, wire):
    async def script(stream):
        await trio.sleep_forever()

    began = monotonic()
    with pytest.raises(Transient, match=r"within 0\.3 s"):
        async with connect(await serve(script), "/p?token=s3cret", timeout=0.3):
            raise AssertionError("opened")
    assert 0.3 <= monotonic() - began < 0.3 + PROMPT


async def test_a_port_where_nobody_listens_is_transient(connect):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(Transient, match="Connection refused"):
            async with connect(unused.getsockname()[1]):
                raise AssertionError("opened")


async def test_a_verified_certificate_opens_wss(connect, serve, wire, server_tls, client_tls):
    async def script(stream):
        await wire.upgrade(stream, then=b"".join(wire.text(b"x" * 30_000) for _ in range(20)))
        await stream.send_all(wire.close(1000))
        await trio.sleep_forever()

    async with connect(await serve(script, server_tls), scheme="wss", tls=client_tls) as link:
        messages, end = await the_end(link)
    assert list(map(len, messages)) == [30_000] * 20
    assert end.clean


async def test_a_certificate_nobody_we_trust_signed_is_rejected_at_once(connect, serve, server_tls):
    async def script(stream):
        await stream.receive_some()

    with trio.fail_after(PROMPT), pytest.raises(Rejected, match=r"certificate .*issuer"):
        async with connect(await serve(script, server_tls), scheme="wss", tls=ssl.create_default_context()):
            raise AssertionError("opened")


async def test_a_certificate_for_another_name_is_rejected(engine, serve, server_tls, client_tls):
    async def script(stream):
        await stream.receive_some()

    port = await serve(script, server_tls)
    with pytest.raises(Rejected, match="certificate"):
        async with open_websocket(f"wss://127.0.0.1:{port}/", engine=engine, tls=client_tls, timeout=5):
            raise AssertionError("opened")


async def test_leaving_says_goodbye_and_waits_no_longer_than_promised_for_the_answer(connect, serve, wire):
    goodbyes = []

    async def script(stream):
        await wire.upgrade(stream)
        goodbyes.append(await wire.read_frame(stream))
        await trio.sleep_forever()

    async with connect(await serve(script)) as link:
        began = monotonic()
        await link.aclose(1001)
        with pytest.raises(LinkClosed):
            await link.receive()
    assert monotonic() - began < CLOSE_SECONDS + PROMPT
    assert [(opcode, payload[:2]) for opcode, payload in goodbyes] == [(wire.CLOSE, struct.pack("!H", 1001))]


async def test_a_cancelled_session_still_says_goodbye(connect, serve, wire):
    goodbye = trio.Event()

    async def script(stream):
        await wire.upgrade(stream)
        opcode, payload = await wire.read_frame(stream)
        await stream.send_all(wire.frame(opcode, payload))
        goodbye.set()

    port = await serve(script)
    with trio.CancelScope() as scope:
        async with connect(port) as link:
            scope.cancel()
            await link.receive()
    assert scope.cancelled_caught
    with trio.fail_after(5):
        await goodbye.wait()


async def test_the_proof_waits_for_messages_that_nobody_received(connect, serve, wire):
    async def script(stream):
        await wire.upgrade(stream, then=wire.text(b"first"))
        while True:
            await stream.send_all(wire.answer(*await wire.read_frame(stream)))

    async with connect(await serve(script)) as link:
        await link.ping(5)  # the message stands before the pong, so it is here now
        arrived = link.last_bytes_at
        assert link.drained_at < arrived, "a message that waits must hold the proof back"
        assert await link.receive() == [b"first"]
        asked = monotonic()
        await link.ping(5)
        assert link.drained_at >= asked, "the pong proves that all before it was read"
        assert link.drained_at <= monotonic()


async def test_an_error_of_the_body_comes_out_unwrapped(connect, serve, wire):
    async def script(stream):
        await wire.upgrade(stream)
        await wire.say_goodbye(stream)

    with pytest.raises(ZeroDivisionError):
        async with connect(await serve(script)):
            raise ZeroDivisionError


@pytest.mark.parametrize(
    "url", ["http://h/?token=s3cret", "ws://?token=s3cret", "ws://h:port/?token=s3cret", ""]
)
async def test_a_url_that_is_none_is_a_violation_that_does_not_show_it(engine, url):
    with pytest.raises(ProtocolViolation) as caught:
        async with open_websocket(url, engine=engine):
            raise AssertionError("opened")
    assert "s3cret" not in str(caught.value)
