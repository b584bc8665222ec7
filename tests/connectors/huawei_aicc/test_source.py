"""The connector against the simulator: each row once, whatever the vendor does (section 7's faults)."""

from __future__ import annotations

from typing import Any

import trio


async def all_published(simulator: Any, bench: Any, within: float = 15.0) -> None:
    """Wait until each row that is written is published."""
    await simulator.settle()
    await bench.until(lambda: set(bench.published()) >= set(simulator.truth()), within)


async def test_every_row_is_published_once_after_its_callback(system: Any) -> None:
    async with system() as (simulator, bench):
        await bench.until_state("live")
        for _ in range(5):
            simulator.call()
            await trio.sleep(0.5)
        await all_published(simulator, bench)
        assert max(bench.published().values()) == 1
        assert set(bench.published()) == set(simulator.truth())
        assert bench.tally["callbacks_missed"] == 0
