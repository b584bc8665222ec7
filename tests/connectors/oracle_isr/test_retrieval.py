"""Reading recordings one by one: two requests are under way whatever else is done; vain ones are counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import pytest
import trio

from streamd.connectors.oracle_isr.details import Details
from streamd.connectors.oracle_isr.discretion import Discretion
from streamd.connectors.oracle_isr.face import AT_ONCE, Face, Turn
from streamd.connectors.oracle_isr.retrieval import BATCH, FORGOTTEN_SECONDS, PATIENCE, Retrieval, in_batches
from streamd.connectors.oracle_isr.zone import Zone
from streamd.errors import Transient
from streamd.probe import ProbeContext
from streamd.pull.server_clock import ServerClock
from streamd.simulators.http import Request, Response
from streamd.transport.http import open_http
from tests.connectors.oracle_isr.test_trouble import LOGIN, NOTHING, ok


def says(code: int, **more: str) -> Response:
    return ok({"result": {"code": code, "message": "of the scripted server", **more}})


class HandClock:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


async def test_what_is_read_is_asked_for_while_what_was_read_before_is_committed(system: Any) -> None:
    async with system(start_from=datetime.now(UTC) - timedelta(seconds=60)) as (simulator, running):
        await running.until_state("live")
        usage = running.spool.usage(running.runtime.origin.connector)
        share, usage.share = usage.share, 0
        recordings = simulator.history(20 / 3600, 3 * BATCH)
        await running.until(lambda: sum(each.detailed > 0 for each in recordings) >= 2 * BATCH)
        assert usage.waiting
        assert not running.recordings("ended")
        usage.share = share
        usage.waiting.unpark_all()
        await running.until(lambda: len(running.recordings("ended")) == len(recordings))
        assert simulator.most_parallel <= AT_ONCE


async def test_all_is_noted_in_batches_and_what_gave_nothing_is_counted() -> None:
    noted: list[list[int]] = []

    async def read(name: str) -> int | None:
        await trio.lowlevel.checkpoint()
        return int(name) if int(name) % 10 else None

    async def note(batch: list[int]) -> None:
        await trio.lowlevel.checkpoint()
        noted.append(batch)

    names = [str(number) for number in range(3 * BATCH)]
    assert await in_batches(read, names, note) == len(names) // 10
    assert max(map(len, noted)) == BATCH
    assert sorted(chain.from_iterable(noted)) == [number for number in range(3 * BATCH) if number % 10]


async def test_the_first_error_ends_all_and_leaves_what_was_noted() -> None:
    noted: list[str] = []

    async def read(name: str) -> str:
        await trio.lowlevel.checkpoint()
        if name == str(BATCH + 5):
            raise Transient("gone")
        return name

    async def note(batch: list[str]) -> None:
        await trio.lowlevel.checkpoint()
        noted.extend(batch)

    with pytest.raises(Transient):
        await in_batches(read, map(str, range(3 * BATCH)), note)
    assert len(noted) == BATCH


async def test_what_is_asked_for_in_vain_is_given_up_after_some_times_and_forgotten_if_nobody_asks_more(
    scripted: Any,
) -> None:
    async def respond(request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        return LOGIN if request.path.endswith("/login") else NOTHING

    clock = HandClock()
    async with scripted(respond) as config, open_http(config.base_url) as http:
        ctx: Any = ProbeContext("isr-test", config)
        face = Face(ctx, http, ServerClock(ctx.clock))
        retrieval = Retrieval(Details(face, Zone("UTC"), Discretion(config.privacy)), clock)

        async def ask(id_: str) -> Any:
            return await retrieval.read(id_, {"recordingId": id_}, None, Turn.USUAL, is_listed=True)

        for _ in range(PATIENCE - 1):
            assert await ask("7") is None
        given_up = await ask("7")
        assert given_up.bad.reason == "a recording that is listed and not found"
        assert len(retrieval) == 0
        await ask("8")
        clock.seconds += FORGOTTEN_SECONDS + 1
        await ask("9")
        assert len(retrieval) == 1


@pytest.mark.parametrize("refusal", [Response(401), Response(403), says(2), says(-1)])
async def test_of_two_that_are_refused_with_one_token_the_second_takes_the_new_one_of_the_first(
    refusal: Response, scripted: Any
) -> None:
    logins, replaced = 0, trio.Event()

    async def respond(request: Request) -> Response:
        nonlocal logins
        await trio.lowlevel.checkpoint()
        if request.path.endswith("/login"):
            logins += 1
            return says(0, token=f"t{logins}", expiration="3600seconds")
        if request.query["token"] == "t2":
            replaced.set()
            return NOTHING
        if request.query["recordingId"] == "second":
            await replaced.wait()
        return refusal

    async with scripted(respond, relogin_seconds=60.0) as config, open_http(config.base_url) as http:
        ctx: Any = ProbeContext("isr-test", config)
        clock: Any = HandClock()
        ctx.clock = clock
        face = Face(ctx, http, ServerClock(clock))
        await face.log_in()
        clock.seconds += 61
        async with trio.open_nursery() as nursery:
            nursery.start_soon(face.search, {"recordingId": "first"}, Turn.USUAL)
            nursery.start_soon(face.search, {"recordingId": "second"}, Turn.USUAL)
    assert logins == 2
