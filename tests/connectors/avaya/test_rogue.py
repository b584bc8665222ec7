"""What the simulator would not do: a server that answers as it likes, byte by byte."""

from __future__ import annotations

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
        began = trio.current_time()
        async with bench(quick(rogue.base_url, measure_producers=producers)) as running:
            await running.until_state("live")
            assert trio.current_time() - began < 5.0


async def test_a_catalogue_that_refuses_the_token_does_not_cost_it(bench: Any, quick: Any) -> None:
    async with open_rogue(stream_one_row) as rogue:
        rogue.rest = lambda method, path: (401, {}, {}) if "measure-producers" in path else None
        async with bench(quick(rogue.base_url)) as running:
            await running.until_state("live")
            assert len(rogue.asked("POST", "/token")) == 1
