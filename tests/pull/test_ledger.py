"""The ledger says what is committed, and its changes are committed beside the events they belong to."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec
import pytest
import trio
from msgspec import Struct

from streamd.pull.ledger import Ledger
from streamd.runtime import Runtime
from tests.scripted import Record, runtime
from tests.spool.rig import START, TOPIC, Rig, event


class Job(Struct, frozen=True):
    phase: Literal["planned", "requested", "done"]
    begin: datetime
    response_id: str | None = None


def context(rig: Rig, nursery: trio.Nursery) -> Runtime:
    spool = rig.spool()
    nursery.start_soon(spool.write)
    return runtime(spool, Record(), rig.clock)


async def test_a_job_and_its_events_are_committed_in_one_append_and_found_after_a_restart(
    rig: Rig, nursery: trio.Nursery
) -> None:
    ctx = context(rig, nursery)
    jobs, marks = Ledger(ctx, "job/", Job), Ledger(ctx, "watermark/", datetime)
    changes = jobs.put("b", Job("requested", START, "r1")) | marks.put("calls", START)
    assert jobs.all() == {}
    await ctx.append([event(1)], changes)
    await ctx.append([], jobs.put("a", Job("planned", START)))
    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as again:
            ctx = context(rig, again)
            jobs, marks = Ledger(ctx, "job/", Job), Ledger(ctx, "watermark/", datetime)
            assert list(jobs.all().items()) == [
                ("a", Job("planned", START)),
                ("b", Job("requested", START, "r1")),
            ]
            assert marks.get("calls") == START
            await ctx.append([], jobs.remove("b"))
            assert jobs.get("b") is None
            assert list(jobs.all()) == ["a"]
            again.cancel_scope.cancel()
    assert len(rig.events(TOPIC)) == 1


async def test_a_value_of_another_type_is_no_job(rig: Rig, nursery: trio.Nursery) -> None:
    ctx = context(rig, nursery)
    jobs = Ledger(ctx, "job/", Job)
    await ctx.append([], {"job/a": b'{"phase":"unknown"}'})
    with pytest.raises(msgspec.ValidationError):
        jobs.get("a")
    with pytest.raises(msgspec.ValidationError):
        jobs.all()
