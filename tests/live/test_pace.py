"""A burst waits for the spool, but not for ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import structlog
import trio

from streamd.clock import SystemClock
from streamd.connector import Feed, Give
from streamd.instant import Instant
from streamd.live.intake import Intake
from streamd.live.pace import MOST_UNCOMMITTED, Pace
from streamd.model import State, Stream
from streamd.probe import AppendingFeed

STREAM = Stream("avaya", "measures.state", "compact")


class Gate:
    """A context whose spool takes nothing until it is opened."""

    def __init__(self) -> None:
        self.opened = trio.Event()
        self.clock = SystemClock()
        self.log = structlog.get_logger()

    def feed(self, give: Give) -> Feed:
        return AppendingFeed(give, self.append)

    async def append(self, items: Sequence[Any], changes: Mapping[str, bytes | None]) -> None:
        await self.opened.wait()


def states(count: int, at: datetime) -> list[State]:
    return [State(STREAM, STREAM, str(number), "x", None, at) for number in range(count)]


async def put(intake: Intake, count: int) -> None:
    at = datetime.now(UTC)
    intake.put_nowait(states(count, at), {}, Instant(at, monotonic()))


async def test_a_burst_goes_on_once_the_spool_has_caught_up(nursery: trio.Nursery) -> None:
    gate = Gate()
    intake = Intake(gate, None)  # type: ignore[arg-type]
    nursery.start_soon(intake.run)
    pace = Pace(intake)
    await put(intake, MOST_UNCOMMITTED + 1)
    waited = trio.Event()

    async def wait() -> None:
        await pace.wait()
        waited.set()

    nursery.start_soon(wait)
    await trio.sleep(0.1)
    assert not waited.is_set()
    gate.opened.set()
    with trio.fail_after(30):
        await waited.wait()


async def test_what_is_within_bounds_does_not_wait(nursery: trio.Nursery) -> None:
    gate = Gate()
    intake = Intake(gate, None)  # type: ignore[arg-type]
    nursery.start_soon(intake.run)
    pace = Pace(intake)
    await put(intake, MOST_UNCOMMITTED)
    with trio.fail_after(5):
        await pace.wait()
    gate.opened.set()


async def test_a_spool_that_is_stuck_is_waited_for_only_once(nursery: trio.Nursery) -> None:
    gate = Gate()
    intake = Intake(gate, None)  # type: ignore[arg-type]
    nursery.start_soon(intake.run)
    pace = Pace(intake, 1.0)
    await put(intake, MOST_UNCOMMITTED + 1)
    with trio.fail_after(30):
        await pace.wait()
    await put(intake, 1)
    with trio.fail_after(0.9):
        await pace.wait()
    gate.opened.set()


async def test_a_spool_that_has_caught_up_is_waited_for_again(nursery: trio.Nursery) -> None:
    gate = Gate()
    intake = Intake(gate, None)  # type: ignore[arg-type]
    nursery.start_soon(intake.run)
    pace = Pace(intake, 0.1)
    await put(intake, MOST_UNCOMMITTED + 1)
    with trio.fail_after(30):
        await pace.wait()
        gate.opened.set()
        while intake.uncommitted:
            await trio.sleep(0.01)
    assert pace.has_room()
    gate.opened = trio.Event()
    await put(intake, MOST_UNCOMMITTED + 1)
    began = trio.current_time()
    with trio.fail_after(30):
        await pace.wait()
    assert trio.current_time() - began > 0.09
    gate.opened.set()
