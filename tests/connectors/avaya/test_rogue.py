"""What the simulator would not do: a server that answers as it likes, byte by byte."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.connectors.avaya.rogue import CONFIRMED, answer_pings, message, open_rogue
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
