"""The session loop: waits, gaps and life cycle of a link that is lost, refused, crashed and stopped."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from streamd.connector import Link
from streamd.errors import BadRecord, RateLimited, Rejected, Transient
from streamd.redaction import redact
from streamd.session import Backoff
from streamd.telling import part_with_strangers
from tests.scripted import (
    CONNECTORS_TOPIC,
    Record,
    Script,
    at,
    fails,
    gap_ids,
    gaps,
    lives,
    moments,
    now,
    running,
    runtime,
    settled,
    told,
)
from tests.spool.rig import ORIGIN, START, Rig, choke, eventually, relieve


@pytest.fixture
def record() -> Record:
    return Record()


# -- waits


@given(st.floats(0.01, 10), st.floats(1, 100), st.integers(1, 40))
def test_waits_are_jittered_between_half_the_least_and_a_doubling_ceiling_up_to_the_most(
    least: float, factor: float, tries: int
) -> None:
    most = least * factor
    backoff = Backoff(least, most)
    for number in range(tries):
        assert least / 2 <= backoff.next() <= min(most, least * 2**number)
    backoff.reset()
    assert least / 2 <= backoff.next() <= least


async def test_a_lost_link_is_tried_again_within_the_jitter_s_bounds(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    script = Script(*[fails(Transient("down"))] * 3)
    spool = rig.spool()
    async with running(
        spool, runtime(spool, record, rig.clock, script, retry_min_seconds=4, retry_max_seconds=10)
    ):
        for ceiling in (4, 8, 10):
            tries = script.runs
            await eventually(lambda: moments(rig) and spool.numbers)
            await settled(spool)
            tries = script.runs
            mock_clock.jump(1.9)
            await settled(spool)
            assert script.runs == tries
            mock_clock.jump(ceiling - 1.9 + 0.01)
            await eventually(lambda tries=tries: script.runs == tries + 1)
            await settled(spool)


async def test_what_the_server_says_about_the_wait_wins(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    script = Script(
        fails(RateLimited("slow down", retry_after=100)), fails(Transient("at once", retry_after=0))
    )
    spool = rig.spool()
    async with running(spool, runtime(spool, record, rig.clock, script, retry_min_seconds=0.5)):
        await eventually(lambda: moments(rig)[-1:] == ["lost"])
        await settled(spool)
        mock_clock.jump(99)
        await settled(spool)
        assert script.runs == 1
        mock_clock.jump(1.5)
        await eventually(lambda: script.runs == 2)
        await settled(spool)
        assert script.runs == 2  # no busy loop, whatever it says
        mock_clock.jump(0.51)
        await eventually(lambda: script.runs == 3)


@pytest.mark.parametrize("error", [Transient("busy", retry_after=900), Rejected("wrong password")])
async def test_an_operator_s_nudge_ends_every_wait(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock, error: Exception
) -> None:
    script = Script(fails(error))
    spool = rig.spool()
    work = runtime(spool, record, rig.clock, script)
    async with running(spool, work):
        await eventually(lambda: script.runs == 1)
        await settled(spool)
        work.nudge.give()
        await eventually(lambda: script.runs == 2)


@pytest.mark.parametrize(("held", "again"), [(59, False), (61, True)])
async def test_waits_begin_with_the_shortest_only_after_sixty_healthy_seconds(
    rig: Rig,
    record: Record,
    mock_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
    held: float,
    again: bool,
) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    over = trio.Event()
    script = Script(*[fails(Transient("down"))] * 5, lives(Transient("lost"), over))
    spool = rig.spool()
    work = runtime(spool, record, rig.clock, script, retry_min_seconds=1, retry_max_seconds=64)
    async with running(spool, work):
        for tries in range(1, 6):
            await eventually(lambda tries=tries: script.runs == tries)
            await settled(spool)
            mock_clock.jump(64)
        await eventually(lambda: work.status.state == "live")
        mock_clock.jump(held)
        over.set()
        await eventually(lambda: work.status.state == "lost")
        await settled(spool)
        mock_clock.jump(1.01)
        await settled(spool)
        assert script.runs == (7 if again else 6)  # the sixth wait is 32 s


async def test_a_refusal_is_tried_again_after_five_minutes_then_slower_and_at_once_after_a_nudge(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    script = Script(*[fails(Rejected("wrong password"))] * 5)
    spool = rig.spool()
    work = runtime(spool, record, rig.clock, script)
    async with running(spool, work):
        for tries, wait in enumerate((300, 900, 3600), start=1):
            await settled(spool)
            mock_clock.jump(wait - 1)
            await settled(spool)
            assert script.runs == tries
            mock_clock.jump(1.01)
            await eventually(lambda tries=tries: script.runs == tries + 1)
        await settled(spool)
        work.nudge.give()
        await eventually(lambda: script.runs == 5)
        await settled(spool)
        mock_clock.jump(301)
        await eventually(lambda: script.runs == 6)
    assert moments(rig).count("refused") == 1
    assert record.times("link_refused") == 1


async def test_a_refusal_is_not_tried_again_before_the_vendor_wants_it(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    script = Script(fails(Rejected("address locked", retry_after=1800.0)))
    spool = rig.spool()
    work = runtime(spool, record, rig.clock, script)
    async with running(spool, work):
        await eventually(lambda: work.status.state == "refused")
        await settled(spool)
        mock_clock.jump(1799)
        await settled(spool)
        assert script.runs == 1
        mock_clock.jump(1.01)
        await eventually(lambda: script.runs == 2)


# -- what is told


async def test_the_first_gap_of_a_spool_is_from_null_and_closes_where_the_vendor_delivers(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    spool = rig.spool()
    work = runtime(spool, record, rig.clock, Script(lives()))
    async with running(spool, work):
        await eventually(lambda: work.status.state == "live")
        assert work.gaps.open_count == 0
    (opened, before), (closed, after) = gaps(rig)[:2]
    assert (opened, before["from"], before["to"], before["cause"]) == ("opened", None, None, "new_spool")
    assert (closed, after["to"], after["state"]) == ("closed", told(START), "stale")


async def test_the_gaps_of_a_session_without_state_say_nothing_of_it_and_need_no_healing(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    spool = rig.spool()
    work = runtime(spool, record, rig.clock, Script(lives(), stateful=False))
    async with running(spool, work):
        await eventually(lambda: work.status.state == "live")
        assert work.gaps.unhealed() == []
    assert [(what, gap["state"]) for what, gap in gaps(rig)[:2]] == [("opened", None), ("closed", None)]


async def test_an_outage_is_one_gap_and_one_loss_and_one_recovery_however_many_tries_it_takes(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    over = trio.Event()
    tries = [fails(Transient(f"reason {number}")) for number in range(4)]
    script = Script(lives(Transient("reset"), over), *tries, lives())
    spool = rig.spool()
    work = runtime(spool, record, rig.clock, script, retry_max_seconds=1)
    async with running(spool, work):
        await eventually(lambda: work.status.state == "live")
        mock_clock.jump(10)
        over.set()
        for number in range(2, 7):
            await eventually(lambda: work.status.state == "lost")
            await settled(spool)
            mock_clock.jump(1.01)
            await eventually(lambda number=number: script.runs == number)
        await eventually(lambda: work.status.state == "live")
        await settled(spool)
    assert moments(rig) == ["connected", "live", "lost", "connected", "recovered", "live", "stopped"]
    outage = gap_ids(rig)[1]
    history = [(what, gap["from"]) for what, gap in gaps(rig) if gap["gap_id"] == outage]
    assert history == [("opened", told(at(10))), ("closed", told(at(10)))]
    assert (record.times("link_lost"), record.times("link_recovered")) == (1, 1)
    assert record.counts["reconnects"] == 1


async def test_the_gap_of_a_loss_begins_at_the_last_proof_of_life_not_at_its_detection(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    over = trio.Event()

    async def falls_silent(link: Link) -> None:
        link.prove_with(lambda: at(3))
        await link.connected(at(0))
        await link.live()
        await over.wait()
        raise Transient("silent for a minute")

    spool = rig.spool()
    work = runtime(spool, record, rig.clock, Script(falls_silent))
    async with running(spool, work):
        await eventually(lambda: work.status.state == "live")
        mock_clock.jump(60)
        over.set()
        await eventually(lambda: work.status.state == "lost")
        await settled(spool)
    assert gaps(rig)[2][1]["from"] == told(at(3))


@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_wall_clock_that_is_set_leaves_the_gap_of_a_loss_at_the_last_proof_and_its_end_behind_it(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock, hours: int
) -> None:
    over, again, clock = trio.Event(), trio.Event(), rig.clock
    proofs: list[datetime] = []

    async def falls_silent(link: Link) -> None:
        await link.connected(clock.now())
        link.prove_with(lambda: proofs[-1])
        proofs.append(clock.now())
        await link.live()
        await over.wait()
        raise Transient("silent for a minute")

    async def comes_back(link: Link) -> None:
        await again.wait()
        await link.connected(clock.now())
        await link.live()
        await trio.sleep_forever()

    spool = rig.spool()
    work = runtime(spool, record, clock, Script(falls_silent, comes_back), retry_max_seconds=1)
    async with running(spool, work):
        await eventually(lambda: work.status.state == "live")
        mock_clock.jump(10)
        await settled(spool)
        clock.step = timedelta(hours=hours)
        mock_clock.jump(60)
        await settled(spool)
        alive = spool.alive(ORIGIN, "s")
        over.set()
        await eventually(lambda: work.status.state == "lost")
        await settled(spool)
        mock_clock.jump(1.01)
        again.set()
        await eventually(lambda: work.status.state == "live")
        await settled(spool)
        connected = clock.now()
    last_proof = START + min(clock.step, timedelta(0))
    assert alive == last_proof
    begins = [datetime.fromisoformat(gap["from"]) for _, gap in gaps(rig)[2:4]]
    assert begins == [last_proof, last_proof]
    assert datetime.fromisoformat(gaps(rig)[3][1]["to"]) == connected


async def test_a_clock_that_is_set_back_while_the_link_is_down_makes_the_gap_no_smaller(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    over, clock = trio.Event(), rig.clock
    spool = rig.spool()
    script = Script(lives(Transient("lost"), over), lives())
    work = runtime(spool, record, clock, script, retry_max_seconds=1)
    async with running(spool, work):
        await eventually(lambda: work.status.state == "live")
        mock_clock.jump(10)
        over.set()
        await eventually(lambda: work.status.state == "lost")
        await settled(spool)
        mock_clock.jump(0.1)
        clock.step = timedelta(hours=-2)
        mock_clock.jump(1)
        await eventually(lambda: work.status.state == "live")
        await settled(spool)
        connected = clock.now()
    (_, opened), (_, closed) = gaps(rig)[2:4]
    lost = datetime.fromisoformat(opened["from"])
    assert lost == at(10)
    assert datetime.fromisoformat(closed["from"]) == lost + clock.step
    assert connected <= datetime.fromisoformat(closed["to"])


@pytest.mark.parametrize("proof", [None, at(-100)], ids=["none", "from before"])
async def test_without_a_proof_since_the_connection_its_gap_begins_where_that_did(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock, proof: datetime | None
) -> None:
    over = trio.Event()

    async def proves_nothing(link: Link) -> None:
        mock_clock.jump(5)
        link.prove_with(lambda: proof)
        await link.connected(at(4))
        await over.wait()
        raise Transient("lost")

    spool = rig.spool()
    work = runtime(spool, record, rig.clock, Script(proves_nothing))
    async with running(spool, work):
        await eventually(lambda: work.status.state == "snapshot")
        mock_clock.jump(60)
        over.set()
        await eventually(lambda: work.status.state == "lost")
        await settled(spool)
    assert [gap["to"] for _, gap in gaps(rig)][1] == told(at(4))
    assert gaps(rig)[2][1]["from"] == told(at(4))


async def test_a_proof_that_comes_after_the_snapshot_s_end_leaves_the_link_live(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    async def snapshots(link: Link) -> None:
        await link.connected(at(0))
        await link.snapshot_begun()
        for proven in (False, True):
            await link.snapshot_completed(proven=proven)
            await link.live()
        await trio.sleep_forever()

    spool = rig.spool()
    async with running(spool, runtime(spool, record, rig.clock, Script(snapshots))):
        await eventually(lambda: moments(rig).count("snapshot_completed") == 2)
        await settled(spool)
    states = [(each["type"].split(".")[-1], each["data"]["state"]) for each in rig.events(CONNECTORS_TOPIC)]
    assert [each for each in states if each[0] in ("snapshot_completed", "live")] == [
        ("snapshot_completed", "snapshot"),
        ("live", "live"),
        ("snapshot_completed", "live"),
    ]


async def test_a_proven_snapshot_heals_what_is_closed_and_an_unproven_one_nothing(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    step = [trio.Event(), trio.Event()]

    async def snapshots(link: Link) -> None:
        await link.connected(at(0))
        await link.snapshot_begun()
        await link.snapshot_completed(proven=False, rule="limit")
        step[0].set()
        await step[1].wait()
        await link.open_gap("overflow", cause="overflow", since=at(0))
        await link.snapshot_completed(proven=True, rule="live")
        await link.live()
        await trio.sleep_forever()

    spool = rig.spool()
    work = runtime(spool, record, rig.clock, Script(snapshots))
    async with running(spool, work):
        await step[0].wait()
        assert [gap.data.state for gap in work.gaps.unhealed()] == ["stale"]
        step[1].set()
        await eventually(lambda: work.status.state == "live")
        assert [(gap.kind, gap.data.to) for gap in work.gaps.unhealed()] == [("overflow", None)]
    healed = [gap for what, gap in gaps(rig) if what == "healed"]
    assert [(gap["cause"], gap["healed_by"], gap["state"]) for gap in healed] == [
        ("new_spool", "snapshot", "restored")
    ]


async def test_a_gap_beside_the_link_s_own_shows_in_the_progress_at_once(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    step = trio.Event()

    async def overflows(link: Link) -> None:
        await link.connected(at(0))
        await link.live()
        await step.wait()
        await link.open_gap("overflow", cause="overflow", since=at(0))
        await trio.sleep_forever()

    spool = rig.spool()
    work = runtime(spool, record, rig.clock, Script(overflows))
    async with running(spool, work):
        await eventually(lambda: work.status.state == "live")
        await settled(spool)
        mock_clock.jump(1)
        await settled(spool)
        assert work.status.open_gaps == 0
        step.set()
        await eventually(lambda: work.gaps.open_count == 1)
        await settled(spool)
        mock_clock.jump(0.3)
        await eventually(lambda: work.status.open_gaps == 1)


async def test_a_gap_beside_the_link_s_own_ends_when_its_session_does(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    async def overflows(link: Link) -> None:
        await link.connected(at(0))
        await link.open_gap("overflow", cause="overflow", since=at(0))
        raise Transient("lost")

    spool = rig.spool()
    work = runtime(spool, record, rig.clock, Script(overflows))
    async with running(spool, work):
        await eventually(lambda: work.status.state == "lost")
        await settled(spool)
        assert [gap.kind for gap in work.gaps.unhealed() if gap.data.to is None] == ["link"]


async def test_the_gap_of_a_session_that_is_no_longer_configured_ends_and_its_return_claims_nothing(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    async def live_ten_seconds_with(*names: str) -> None:
        spool = rig.spool()
        scripts = [Script(lives(), name=name, scope=[name]) for name in names]
        work = runtime(spool, record, rig.clock, *scripts)
        async with running(spool, work):
            await part_with_strangers(work, names)
            await eventually(lambda: work.status.state == "live")
            assert work.gaps.open_count == 0
            mock_clock.jump(10)
            await eventually(lambda: spool.alive(ORIGIN, "kept") == now())
            await settled(spool)
        mock_clock.jump(10)
        assert set(spool._store.alive()) == {("emea", name) for name in names}

    await live_ten_seconds_with("kept", "gone")
    await live_ten_seconds_with("kept")
    await live_ten_seconds_with("kept", "gone")
    last = {gap["gap_id"]: gap for _, gap in gaps(rig) if gap["scope"] == ["gone"]}
    assert [(gap["cause"], gap["from"], gap["to"]) for gap in last.values()] == [
        ("new_spool", None, told(at(0))),
        ("stopped", told(at(10)), told(at(20))),
        ("new_spool", None, told(at(40))),
        ("stopped", told(at(50)), None),
    ]


async def test_the_close_of_a_gap_that_was_cut_short_is_told_by_the_next_moment(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    lose, cut = trio.Event(), trio.Event()

    async def is_cut_short(link: Link) -> None:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.connected, now())
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        cut.set()
        raise Transient("lost again")

    spool = rig.spool()
    script = Script(lives(Transient("lost"), lose), is_cut_short, lives())
    work = runtime(spool, record, rig.clock, script, retry_max_seconds=1)
    async with running(spool, work):
        await eventually(lambda: work.status.state == "live")
        lose.set()
        await eventually(lambda: work.status.state == "lost")
        await settled(spool)
        choke(spool)
        mock_clock.jump(1.01)
        await cut.wait()
        relieve(spool)
        await settled(spool)
        mock_clock.jump(1.01)
        await eventually(lambda: work.status.state == "live")
        await settled(spool)
        latest = {gap["gap_id"]: gap for _, gap in gaps(rig)}
        assert [gap["to"] is None for gap in latest.values()] == [False, False, False]
        assert all(gap.data.to for gap in work.gaps.unhealed())
        assert all(b'"to":null' not in value for value in spool.states("emea", "gap/").values())


async def test_a_stop_is_declared_and_a_restart_goes_on_with_the_same_gap(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    spool = rig.spool()
    work = runtime(spool, record, rig.clock, Script(lives()))
    async with running(spool, work):
        await eventually(lambda: work.status.state == "live")
        mock_clock.jump(7)
    assert moments(rig)[-1] == "stopped"
    mock_clock.jump(100)
    spool = rig.spool()
    work = runtime(spool, record, rig.clock, Script(lives()))
    async with running(spool, work):
        await eventually(lambda: work.status.state == "live")
    second = gap_ids(rig)[1]
    history = [
        (what, gap["cause"], gap["from"], gap["to"]) for what, gap in gaps(rig) if gap["gap_id"] == second
    ]
    assert history == [
        ("opened", "stopped", told(at(7)), None),
        ("closed", "stopped", told(at(7)), told(at(107))),
    ]


async def test_the_gap_of_a_crash_begins_at_the_last_proof_of_life_on_the_disk(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    spool = rig.spool()
    work = runtime(spool, record, rig.clock, Script(lives()))
    as_killed = Rig(tmp_path / "as-killed")
    async with running(spool, work):
        await eventually(lambda: work.status.state == "live")
        mock_clock.jump(5)
        await eventually(lambda: spool.alive(ORIGIN, "s") == at(5))
        await settled(spool)
        shutil.copytree(rig.home, as_killed.home, ignore=shutil.ignore_patterns("as-killed", "ballast"))
    mock_clock.jump(100)
    spool = as_killed.spool()
    work = runtime(spool, record, rig.clock, Script(lives()))
    async with running(spool, work):
        await eventually(lambda: work.status.state == "live")
    as_killed.close()
    crash = [gap for what, gap in gaps(as_killed) if gap["cause"] == "crash" and what == "closed"]
    assert [(gap["from"], gap["to"]) for gap in crash] == [(told(at(5)), told(at(105)))]


async def test_a_clock_that_was_behind_at_the_start_and_is_set_right_later_hides_no_downtime(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    clock = rig.clock

    async def live_by_the_clock(link: Link) -> None:
        link.prove_with(clock.now)
        await link.connected(clock.now())
        await link.snapshot_completed(proven=True)
        await link.live()
        await trio.sleep_forever()

    spool = rig.spool()
    work = runtime(spool, record, clock, Script(live_by_the_clock))
    async with running(spool, work) as scope:
        await eventually(lambda: work.status.state == "live")
        mock_clock.jump(5)
        await eventually(lambda: spool.alive(ORIGIN, "s") == at(5))
        work._links.clear()  # a kill: it declares nothing
        scope.cancel()
    clock.step = timedelta(days=-1)
    mock_clock.jump(60)
    spool = rig.spool()
    work = runtime(spool, record, clock, Script(live_by_the_clock))
    async with running(spool, work):
        await eventually(lambda: work.status.state == "live")
        assert work.gaps.open_count == 0
        mock_clock.jump(10)
        clock.step = timedelta(0)
        await eventually(lambda: len([gap for _, gap in gaps(rig) if gap["cause"] == "crash"]) == 4)
        await settled(spool)
    history = [(what, gap["from"], gap["to"]) for what, gap in gaps(rig) if gap["cause"] == "crash"]
    yesterday = told(at(65) - timedelta(days=1))
    assert history == [
        ("opened", told(at(5)), None),
        ("closed", yesterday, told(at(5))),
        ("healed", yesterday, told(at(5))),
        ("healed", yesterday, told(at(65))),
    ]
    assert spool.states("emea", "gap/").keys() == {f"gap/{gap_ids(rig)[-1]}"}  # of the stop
    assert record.times("clock_behind") == 1


# -- what is claimed


async def test_a_session_that_is_over_claims_nothing_for_what_comes(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    bye = trio.Event()

    async def says_goodbye(link: Link) -> None:
        with trio.CancelScope(shield=True):
            await bye.wait()

    spool = rig.spool()
    slow = Script(says_goodbye, name="slow")
    work = runtime(spool, record, rig.clock, Script(lives()), slow)
    async with running(spool, work) as scope:
        await eventually(lambda: "live" in moments(rig) and slow.runs)
        mock_clock.jump(5)
        with trio.CancelScope(shield=True):
            scope.cancel()
            await settled(spool)
            mock_clock.jump(5)
            await settled(spool)
            bye.set()
    (stopped,) = [gap for _, gap in gaps(rig) if gap["cause"] == "stopped"]
    assert stopped["from"] == told(at(5))


async def test_nothing_is_claimed_complete_before_every_session_has_declared_what_it_missed(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    spool = rig.spool()
    scripts = Script(name="one"), Script(name="two")
    work = runtime(spool, record, rig.clock, *scripts)
    choke(spool)
    async with running(spool, work) as scope:
        mock_clock.jump(10)
        await settled(spool)
        assert spool.complete_through("emea") is None
        assert [script.runs for script in scripts] == [0, 0]
        relieve(spool)
        await eventually(lambda: all(script.runs for script in scripts))
        scope.cancel()


# -- errors of every kind


@pytest.mark.parametrize("order", [1, -1])
async def test_what_a_session_s_nursery_wraps_is_understood(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock, order: int
) -> None:
    async def both(link: Link) -> None:
        errors = [Transient("reset"), RateLimited("slow", retry_after=9), Rejected("wrong password")]
        inner = ExceptionGroup("", [errors[0], errors[1]])
        raise ExceptionGroup("", [inner, errors[2]][::order])

    spool = rig.spool()
    work = runtime(spool, record, rig.clock, Script(both))
    async with running(spool, work):
        await eventually(lambda: work.status.state == "refused")
    assert record.counts["crashes"] == 0


@pytest.mark.parametrize("error", [ZeroDivisionError("bug"), BadRecord("escaped", b"", "x")])
async def test_a_bug_goes_to_the_supervisor_and_is_a_gap_of_its_own_cause(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock, error: Exception
) -> None:
    async def crashes(link: Link) -> None:
        await link.connected(at(0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails(error), link)
            nursery.start_soon(fails(Transient("by the way")), link)

    spool = rig.spool()
    script = Script(crashes, lives())
    work = runtime(spool, record, rig.clock, script)
    async with running(spool, work):
        await eventually(lambda: work.status.state == "lost")
        await settled(spool)
        mock_clock.jump(1.01)
        await eventually(lambda: work.status.state == "live")
    assert record.counts["crashes"] == 1
    assert "session_crashed" in {gap["cause"] for _, gap in gaps(rig)}
    assert moments(rig).count("lost") == 1


async def test_a_session_that_keeps_crashing_is_parked_once_and_probed_alone(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock
) -> None:
    bad = Script(*[fails(ZeroDivisionError())] * 5, name="bad")
    good = Script(lives(), name="good")
    spool = rig.spool()
    work = runtime(spool, record, rig.clock, bad, good)
    async with running(spool, work):
        for runs, wait in enumerate((1, 2, 4), start=1):
            await eventually(lambda runs=runs: bad.runs == runs)
            await settled(spool)
            mock_clock.jump(wait + 0.01)
        await eventually(lambda: work.status.sessions["bad"].state == "parked")
        await settled(spool)
        mock_clock.jump(15 * 60 + 1)
        await eventually(lambda: bad.runs == 5)
        await settled(spool)
        assert work.status.sessions["bad"].state == "parked"
        assert work.status.sessions["good"].state == "live"
        assert good.runs == 1
        work.nudge.give()
        await eventually(lambda: bad.runs == 6)
    assert moments(rig).count("parked") == 1


@pytest.mark.parametrize("bugs", [0, 1])
async def test_a_link_that_is_lost_in_the_moment_of_a_stop_stops_in_peace(
    rig: Rig, record: Record, mock_clock: trio.testing.MockClock, bugs: int
) -> None:
    async def ends_badly(link: Link) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ended_by, Transient("broken while closing"))
            for _ in range(bugs):
                nursery.start_soon(ended_by, ZeroDivisionError("bug while closing"))

    async def ended_by(error: Exception) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise error

    spool = rig.spool()
    script = Script(ends_badly)
    work = runtime(spool, record, rig.clock, script)
    async with running(spool, work):
        await eventually(lambda: script.runs)
        await trio.testing.wait_all_tasks_blocked()
    assert moments(rig)[-1] == "stopped"
    assert record.counts["crashes"] == bugs


async def test_a_secret_that_a_vendor_sends_back_stands_in_no_reason(rig: Rig, record: Record) -> None:
    redact("a-token-that-came-back", passing=True)
    script = Script(fails(Transient("refused a-token-that-came-back")))
    spool = rig.spool()
    async with running(spool, runtime(spool, record, rig.clock, script)):
        await eventually(lambda: "lost" in moments(rig))
    reasons = [each["data"]["reason"] for each in rig.events(CONNECTORS_TOPIC) if "reason" in each["data"]]
    assert "refused ***" in reasons
    assert not any("came-back" in (reason or "") for reason in reasons)
