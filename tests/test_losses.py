"""How losses are healed: what is walked later is no gap, what is pending is known until it is settled."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import trio

from streamd.connector import Link
from streamd.errors import Rejected, Transient
from streamd.events import GapData
from streamd.life import Walked
from streamd.spool.spool import Spool
from tests.scripted import (
    Act,
    Record,
    Script,
    at,
    fails,
    gaps,
    lives,
    moments,
    running,
    runtime,
    settled,
    told,
)
from tests.spool.rig import ORIGIN, Rig, eventually


@pytest.fixture
def record() -> Record:
    return Record()


class Walk:
    """A session that walks windows; the test moves its watermark."""

    def __init__(self, begin: datetime) -> None:
        self.watermark: datetime | None = None
        self.begin = begin
        self.over = trio.Event()

    def act(self, then: Exception | None = None) -> Act:
        async def act(link: Link) -> None:
            link.prove_with(lambda: self.watermark)
            await link.connected(self.watermark or self.begin)
            await link.live()
            await self.over.wait()
            if then is None:
                await trio.sleep_forever()
            else:
                raise then

        return act


async def through(spool: Spool, clock: trio.testing.MockClock) -> datetime | None:
    """Give through when all is complete once Kafka has taken all."""
    await settled(spool)
    for topic in spool.topics():
        for partition in range(4):
            lane = spool.lane(topic, partition)
            while lane.has_rows:
                spool.acknowledge(await lane.take())
    clock.jump(0.2)
    await settled(spool)
    return spool.complete_through(ORIGIN.connector)


# -- refetched


async def test_the_first_gap_of_walked_windows_ends_where_the_walk_begins(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    spool = rig.spool()
    walk = Walk(at(-3600))
    work = runtime(spool, record, rig.clock, Script(walk.act(), stateful=False), losses="refetched")
    async with running(spool, work):
        await eventually(lambda: work.status.state == "live")
        await settled(spool)
        told_of = gaps(rig)
        assert await through(spool, mock_clock) == at(-3600)
    (opened, before), (closed, after) = told_of
    assert (opened, before["from"], before["to"], before["cause"]) == ("opened", None, None, "new_spool")
    assert (closed, after["from"], after["to"], after["events"]) == ("closed", None, told(at(-3600)), "lost")


@pytest.mark.parametrize("end", [Transient("lost"), Rejected("refused"), ZeroDivisionError("crashed")])
async def test_a_lost_link_to_walked_windows_is_no_gap_and_holds_completeness_at_the_watermark(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock, end: Exception
) -> None:
    spool = rig.spool()
    walk = Walk(at(-3600))
    script = Script(walk.act(end), fails(Transient("still down")), stateful=False)
    work = runtime(spool, record, rig.clock, script, losses="refetched", retry_min_seconds=900)
    async with running(spool, work):
        await eventually(lambda: work.status.state == "live")
        walk.watermark = at(-60)
        assert await through(spool, mock_clock) == at(-60)
        walk.over.set()
        await eventually(lambda: work.status.state in ("lost", "refused"))
        mock_clock.jump(600)
        assert await through(spool, mock_clock) == at(-60)
    assert record.counts["gaps"] == 1  # the first one
    assert moments(rig)[-1] == "stopped"


async def test_walked_windows_go_on_after_a_restart_without_a_gap(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    walk = Walk(at(-3600))
    walk.watermark = at(-60)
    for _ in range(2):
        spool = rig.spool()
        work = runtime(spool, record, rig.clock, Script(walk.act(), stateful=False), losses="refetched")
        async with running(spool, work):
            await eventually(lambda work=work: work.status.state == "live")
            await through(spool, mock_clock)
        mock_clock.jump(900)
    assert record.counts["gaps"] == 1


async def test_completeness_of_walked_windows_stands_at_the_watermark_of_before_until_the_walk_goes_on(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    walk = Walk(at(-3600))
    walk.watermark = at(-60)
    spool = rig.spool()
    work = runtime(spool, record, rig.clock, Script(walk.act(), stateful=False), losses="refetched")
    async with running(spool, work):
        await eventually(lambda: work.status.state == "live")
        assert await through(spool, mock_clock) == at(-60)
    spool = rig.spool()
    down = Script(*[fails(Transient("down"))] * 50, stateful=False)
    async with running(spool, runtime(spool, record, rig.clock, down, losses="refetched")):
        mock_clock.jump(300)
        await settled(spool)
        assert await through(spool, mock_clock) == at(-60)


async def test_a_walk_that_was_killed_before_it_began_ends_the_first_gap_where_it_begins_then(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    spool = rig.spool()
    down = Script(*[fails(Transient("down"))] * 50, stateful=False)
    async with running(spool, runtime(spool, record, rig.clock, down, losses="refetched")):
        await settled(spool)
        mock_clock.jump(1)
    spool = rig.spool()
    walk = Walk(at(-3600))
    work = runtime(spool, record, rig.clock, Script(walk.act(), stateful=False), losses="refetched")
    async with running(spool, work):
        await eventually(lambda: work.status.state == "live")
    assert [(what, gap["from"], gap["to"]) for what, gap in gaps(rig)] == [
        ("opened", None, None),
        ("closed", None, told(at(-3600))),
    ]
    assert len({gap["gap_id"] for _, gap in gaps(rig)}) == 1


async def test_a_window_that_the_vendor_lost_is_declared_in_the_commit_that_passes_it(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    ids: list[str] = []

    async def act(link: Link) -> None:
        await link.connected(at(0))
        for number in (1, 1, 2):
            changes = {"watermark": b"%d" % number}
            since, until = at(10 * number), at(10 * number + 5)
            ids.append(
                await link.declare_gap(cause="window_cut", since=since, until=until, count=7, changes=changes)
            )
            assert spool.state(ORIGIN.connector, "watermark") == b"%d" % number
        await trio.sleep_forever()

    spool = rig.spool()
    work = runtime(spool, record, rig.clock, Script(act, stateful=False), losses="refetched")
    async with running(spool, work):
        await eventually(lambda: len(ids) == 3)
        assert work.gaps.unhealed() == []
    assert ids[0] == ids[1] != ids[2]
    declared = [gap for _, gap in gaps(rig) if gap["cause"] == "window_cut"]
    assert [(gap["from"], gap["to"]) for gap in declared] == [
        (told(at(10)), told(at(15))),
        (told(at(10)), told(at(15))),
        (told(at(20)), told(at(25))),
    ]
    assert {(gap["events"], gap["count"], gap["healed_by"]) for gap in declared} == {("lost", 7, None)}


async def test_a_walk_proves_no_more_than_the_watermark_of_before_until_it_has_a_new_one(rig: Rig) -> None:
    walked = Walked(rig.clock)
    walked.begin(at(-60))
    assert walked.prove(at(-50)) == (None, at(-60))
    walked.connect(at(-40))
    assert walked.prove(None) == (at(-60), at(-60))
    assert walked.prove(at(-30)) == (at(-30), at(-30))
    walked.disconnect()
    assert walked.prove(at(-20)) == (None, at(-30))


async def test_a_vendor_that_is_ahead_of_us_proves_nothing_of_our_future(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    walk = Walk(at(3600))
    walk.watermark = at(7200)
    for again in (False, True):
        spool = rig.spool()
        work = runtime(spool, record, rig.clock, Script(walk.act(), stateful=False), losses="refetched")
        async with running(spool, work):
            await eventually(lambda work=work: work.status.state == "live")
            complete = await through(spool, mock_clock)
            assert complete is not None
            assert complete <= rig.clock.now()
            if again:
                mock_clock.jump(9000)
                assert await through(spool, mock_clock) == at(7200)
    assert record.times("clock_behind") == 0


# -- pending


async def pending(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock, *acts: Act
) -> tuple[Spool, list[GapData]]:
    """Lose a pending link once, and give what is pending after a restart."""
    seen: list[GapData] = []

    async def look(link: Link) -> None:
        await link.connected(rig.clock.now())
        seen.extend(link.pending_gaps())
        for act in acts:
            await act(link)
        looked.set()
        await trio.sleep_forever()

    over, looked = trio.Event(), trio.Event()
    spool = rig.spool()
    lost = Script(lives(Transient("lost"), over), lives(), stateful=False)
    work = runtime(spool, record, rig.clock, lost, losses="pending")
    async with running(spool, work):
        await eventually(lambda: work.status.state == "live")
        mock_clock.jump(10)
        await settled(spool)
        over.set()
        await eventually(lambda: work.status.state == "lost")
        await settled(spool)
        mock_clock.jump(1)
        await eventually(lambda: work.status.state == "live")
        await settled(spool)
    spool = rig.spool()
    script = Script(look, stateful=False)
    async with running(spool, runtime(spool, record, rig.clock, script, losses="pending")):
        await looked.wait()
        await settled(spool)
    return spool, seen


async def test_pending_gaps_are_known_over_a_restart_until_they_are_settled_and_the_first_one_is_lost(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    _, seen = await pending(rig, record, mock_clock)
    causes = [(gap.cause, gap.events, gap.to is not None) for gap in seen]
    assert causes == [("link_lost", "pending", True), ("stopped", "pending", True)]
    first = [gap for _, gap in gaps(rig) if gap["cause"] == "new_spool"]
    assert [(gap["from"], gap["events"]) for gap in first] == [(None, "lost")] * 2


@pytest.mark.parametrize(
    ("events", "by", "what"), [("recovered", "redelivery", "healed"), ("lost", None, "closed")]
)
async def test_a_settled_gap_is_told_with_its_figures_and_known_no_more(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock, events: str, by: str | None, what: str
) -> None:
    async def settle(link: Link) -> None:
        gap = link.pending_gaps()[0]
        how = {"events": events, "healed_by": by, "count": 12, "changes": {"job": b"done"}}
        for _ in range(2):  # the second one says nothing more
            await link.settle_gap(gap.gap_id, **how)  # type: ignore[arg-type]
        assert gap not in link.pending_gaps()

    spool, seen = await pending(rig, record, mock_clock, settle)
    told_of = [(said, gap) for said, gap in gaps(rig) if gap["gap_id"] == seen[0].gap_id]
    assert [said for said, _ in told_of] == ["opened", "closed", what]
    last = told_of[-1][1]
    assert (last["events"], last["healed_by"], last["count"]) == (events, by, 12)
    assert (last["healed_at"] is None) == (by is None)
    assert last["from"] == told_of[0][1]["from"]
    assert spool.state(ORIGIN.connector, "job") == b"done"
    assert seen[0].gap_id not in "".join(spool.states(ORIGIN.connector, "gap/"))


async def test_several_pending_gaps_of_one_cause_may_be_declared_and_the_first_part_of_one_be_lost(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    async def declare(link: Link) -> None:
        for begin in (at(7200), at(3600)):
            until = begin + timedelta(seconds=60)
            how: dict[str, Any] = {"cause": "answers_failed", "events": "pending", "scope": ["dialog_end"]}
            gap_id = await link.declare_gap(since=begin, until=until, **how)
            ids.append(gap_id)
        mine = [gap for gap in link.pending_gaps() if gap.cause == "answers_failed"]
        assert [gap.gap_id for gap in mine] == ids[::-1]
        await link.settle_gap(ids[0], events="recovered", healed_by="backfill", since=at(7230))

    ids: list[str] = []
    await pending(rig, record, mock_clock, declare)
    mine = [(what, gap) for what, gap in gaps(rig) if gap["cause"] == "answers_failed"]
    assert [(what, gap["from"], gap["events"]) for what, gap in mine] == [
        ("closed", told(at(7200)), "pending"),
        ("closed", told(at(3600)), "pending"),
        ("healed", told(at(7230)), "recovered"),
    ]
    assert all(gap["scope"] == ["dialog_end"] for _, gap in mine)


async def test_what_is_pending_of_a_session_that_is_configured_no_more_is_lost(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    _, seen = await pending(rig, record, mock_clock)
    spool = rig.spool()
    other = Script(lives(), name="other", stateful=False)
    work = runtime(spool, record, rig.clock, other, losses="pending")
    async with running(spool, work):
        await eventually(lambda: work.status.state == "live")
        await settled(spool)
        assert work.gaps.unhealed() == []
    last = {gap["gap_id"]: gap["events"] for _, gap in gaps(rig)}
    assert {last[gap.gap_id] for gap in seen} == {"lost"}
