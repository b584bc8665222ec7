"""What the simulator would not do: a server that answers as it likes, byte by byte."""

from __future__ import annotations

import socket
import struct
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
import trio

from tests.connectors.avaya.rogue import CONFIRMED, QUEUE, answer_pings, confirm, message, open_rogue
from tests.transport.conftest import Wire


def numbers(running: Any) -> list[str]:
    events = sorted(running.events(".upserted"), key=lambda event: event["sequence"])
    return [event["data"]["measures"]["n"] for event in events]


@pytest.mark.parametrize("before", [0, 1, 2])
async def test_what_stands_beside_the_authentication_response_in_one_array_is_kept(
    bench: Any, quick: Any, before: int
) -> None:
    parts = [message(number, "INITIALIZING") for number in range(2)]
    parts.insert(before, CONFIRMED)

    async def play(stream: trio.SocketStream, _: int) -> None:
        await Wire.read_frame(stream)
        await stream.send_all(Wire.text(b"[" + b",".join(parts) + b"]") + Wire.text(message(2)))
        await answer_pings(stream)

    async with open_rogue(play) as rogue, bench(quick(rogue.base_url)) as running:
        await running.until(lambda: "2" in numbers(running))
        assert numbers(running) == ["0", "1", "2"]
        assert rogue.sockets == 1


async def stream_one_row(stream: trio.SocketStream, _: int) -> None:
    await confirm(stream, message(0, "INITIALIZING"))
    await answer_pings(stream)


@pytest.mark.parametrize("answer", ["limited", "hangs"])
async def test_a_catalogue_that_slows_us_down_or_hangs_delays_no_subscription(
    bench: Any, quick: Any, answer: str
) -> None:
    async def hang() -> None:
        await trio.sleep_forever()

    def rest(method: str, path: str) -> Any:
        if "measure-producers" not in path:
            return None
        return hang() if answer == "hangs" else (429, {"Retry-After": "120"}, {})

    async with open_rogue(stream_one_row) as rogue:
        rogue.rest = rest
        producers = [QUEUE, "Agent_itd_1.0.0"]
        async with bench(quick(rogue.base_url, measure_producers=producers)) as running:
            await running.until_state("live", 15.0)  # a request may take 30 s


async def test_a_catalogue_that_refuses_the_token_does_not_cost_it(bench: Any, quick: Any) -> None:
    async with open_rogue(stream_one_row) as rogue:
        rogue.rest = lambda method, path: (401, {}, {}) if "measure-producers" in path else None
        async with bench(quick(rogue.base_url)) as running:
            await running.until_state("live")
            assert len(rogue.asked("POST", "/token")) == 1


ENGINES = ("trio-websocket", "sans-io")
SECONDS_TO_A_PING = 10.0  # while nothing comes


def lost_before(
    gap: dict[str, Any], sent: list[tuple[datetime, int]], running: Any
) -> list[tuple[datetime, int]]:
    have = set(numbers(running))
    began = datetime.fromisoformat(gap["from"])
    return [(at, number) for at, number in sent if str(number) not in have and at < began]


@pytest.mark.parametrize("engine", ENGINES)
async def test_what_a_slow_line_had_not_brought_when_it_was_cut_is_in_the_gap(
    bench: Any, quick: Any, engine: str
) -> None:
    """The server hands a burst over in one go, and half of it trickles through before the line is cut."""
    sent: list[tuple[datetime, int]] = []
    cut = trio.Event()

    async def play(stream: trio.SocketStream, number: int) -> None:
        await confirm(stream, message(0, "INITIALIZING"))
        if number > 1:
            await answer_pings(stream)
        with trio.move_on_after(1.5):
            await answer_pings(stream)
        burst = b"".join(Wire.text(message(row)) for row in range(1, 4001))
        sent.extend((datetime.now(UTC), row) for row in range(1, 4001))
        for start in range(0, len(burst) // 2, 16_384):
            await stream.send_all(burst[start : start + 16_384])
            await trio.sleep(0.1)
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.socket.close()
        cut.set()

    async with open_rogue(play) as rogue, bench(quick(rogue.base_url, websocket_engine=engine)) as running:
        await cut.wait()
        await running.until(lambda: len(running.events("gap.opened")) == 2)
        gap = running.events("gap.opened")[-1]["data"]
        await running.until(lambda: lost_before(gap, sent, running) == [])
        await running.until(lambda: len(numbers(running)) > 1000)
        assert datetime.fromisoformat(gap["from"]) > sent[0][0] - timedelta(seconds=2)


@pytest.mark.parametrize("engine", ENGINES)
async def test_what_comes_while_we_say_goodbye_is_published_or_in_the_gap(
    bench: Any, quick: Any, engine: str
) -> None:
    """The server takes no notice of our Close."""
    sent: list[tuple[datetime, int]] = []

    async def play(stream: trio.SocketStream, number: int) -> None:
        await confirm(stream, message(0, "INITIALIZING"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_pings, stream)
            while number == 1:
                sent.append((datetime.now(UTC), len(sent) + 1))
                await stream.send_all(Wire.text(message(len(sent))))
                await trio.sleep(0.01)

    async with open_rogue(play) as rogue:
        config = quick(rogue.base_url, websocket_engine=engine)
        async with bench(config) as running:
            await running.until_state("live")
            await running.until(lambda: len(numbers(running)) > 30)
        async with bench(config) as again:
            await again.until(lambda: again.moments().count("connected") == 2)
            gap = again.events("gap.opened")[-1]["data"]
            assert gap["cause"] == "stopped"
            assert lost_before(gap, sent, again) == []


async def test_data_is_proven_within_seconds_while_it_flows_and_silence_costs_few_pings(
    bench: Any, quick: Any
) -> None:
    pings: list[float] = []
    enough = trio.Event()
    sending = trio.Lock()

    async def play(stream: trio.SocketStream, _: int) -> None:
        await confirm(stream, message(0, "INITIALIZING"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer, stream)
            for row in count(1):
                if enough.is_set():
                    break
                async with sending:
                    await stream.send_all(Wire.text(message(row)))
                await trio.sleep(0.01)

    async def answer(stream: trio.SocketStream) -> None:
        while True:
            opcode, payload = await Wire.read_frame(stream)
            if opcode == Wire.PING:
                pings.append(trio.current_time())
                async with sending:
                    await stream.send_all(Wire.frame(Wire.PONG, payload))

    began = trio.current_time()
    async with open_rogue(play) as rogue, bench(quick(rogue.base_url)) as running:
        await running.until_state("live")
        spool, origin = running.runtime.spool, running.runtime.origin
        for _ in range(2):
            now = datetime.now(UTC)
            await running.until(lambda: spool.alive(origin, QUEUE) > now, SECONDS_TO_A_PING / 2)  # noqa: B023
        assert 1 <= len(pings) <= 1 + (trio.current_time() - began)  # one a second
        enough.set()
        await trio.sleep(2.0)
        after = len(pings)
        await trio.sleep(2.0)
        assert len(pings) == after


async def test_a_subscription_without_expires_in_is_renewed_like_its_token(bench: Any, quick: Any) -> None:
    async with open_rogue(stream_one_row) as rogue:
        rogue.expires_in, rogue.token_seconds = None, 3.0
        async with bench(quick(rogue.base_url)) as running:
            await running.until_state("live")
            await running.until(lambda: len(rogue.asked("POST", ":renew")) >= 2)
            assert running.state == "live"


async def test_a_token_without_a_life_and_a_subscription_without_a_status_are_used(
    bench: Any, quick: Any
) -> None:
    async with open_rogue(stream_one_row) as rogue:
        rogue.rest = lambda method, path: (
            (200, {}, {"access_token": "a-token-and-nothing-else"})
            if path.endswith("/token")
            else (201, {}, rogue.subscription(status=None))
            if "/subscriptions" in path and method != "DELETE"
            else None
        )
        async with bench(quick(rogue.base_url)) as running:
            await running.until_state("live")


async def test_an_endpoint_that_only_the_creation_names_is_remembered_over_a_restart(
    bench: Any, quick: Any
) -> None:
    async with open_rogue(stream_one_row) as rogue:
        async with bench(quick(rogue.base_url)) as running:
            await running.until_state("live")
        rogue.rest = lambda method, path: (
            (200, {}, rogue.subscription(transport=None)) if "/subscriptions/" in path else None
        )
        async with bench(quick(rogue.base_url)) as running:
            await running.until_state("live")
            assert len(rogue.asked("POST", "/subscriptions")) == 1


async def test_a_subscription_without_any_endpoint_is_made_anew_once_and_then_refused(
    bench: Any, quick: Any
) -> None:
    async with open_rogue(stream_one_row) as rogue:
        rogue.rest = lambda method, path: (
            (200, {}, rogue.subscription(transport=None)) if path.endswith("/subscriptions") else None
        )
        async with bench(quick(rogue.base_url)) as running:
            await running.until_state("refused")
            assert "names no endpoint" in running.reason
            assert len(rogue.asked("POST", "/subscriptions")) == 2
