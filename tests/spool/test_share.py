"""A connector's share of the spool: who waits for room, and who does not."""

from __future__ import annotations

from datetime import timedelta

import pytest
import trio

from streamd.model import DEAD_LETTER, GAPS, Event
from streamd.spool.accounts import RESERVE_BYTES, Accounts
from streamd.spool.proofs import Proof
from streamd.spool.rows import Row, Share
from streamd.spool.spool import Spool
from tests.spool.rig import ORIGIN, OTHER, START, TOPIC, Rig, event, eventually, numbers

LETTERS, GAPS_TOPIC = "p.streamd.dead-letter", "p.streamd.gaps"


def big(number: int) -> Event:
    return event(number, subject="x" * 100_000)


def letter(data: object) -> Event:
    return Event(DEAD_LETTER, "", "streamd.dead_letter.written", data, START)


def own(number: int) -> Event:
    return Event(GAPS, "g", "streamd.gap.opened", {"n": number, "x": "x" * 1000}, START)


async def filled(rig: Rig, nursery: trio.Nursery, share: int) -> Spool:
    spool = rig.spool(partitions=1)
    spool.usage("emea").share = share
    nursery.start_soon(spool.write)
    number = 0
    while spool.usage("emea").bytes < share:
        await spool.append(ORIGIN, [big(number)], {})
        number += 1
    return spool


async def test_a_full_share_makes_append_wait_until_rows_have_left_and_no_longer(
    rig: Rig, nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    spool = await filled(rig, nursery, 250_000)
    accepted = trio.Event()

    async def one_more() -> None:
        await spool.append(ORIGIN, [big(99)], {})
        accepted.set()

    nursery.start_soon(one_more)
    await spool.flush()
    await trio.testing.wait_all_tasks_blocked()
    assert not accepted.is_set()
    taken = await spool.lane(TOPIC, 0).take()
    spool.acknowledge(taken[:1])
    await eventually(accepted.is_set)  # without a tick: the clock stands still


async def test_a_full_share_of_one_connector_touches_no_other(rig: Rig, nursery: trio.Nursery) -> None:
    spool = await filled(rig, nursery, 250_000)
    nursery.start_soon(spool.append, ORIGIN, [big(99)], {})
    with trio.fail_after(30):
        await spool.append(OTHER, [big(1)], {})
    assert spool.usage("paris").events == 1
    assert spool.usage("emea").waiting
    nursery.cancel_scope.cancel()


async def test_a_change_of_state_alone_waits_for_no_room(rig: Rig, nursery: trio.Nursery) -> None:
    spool = await filled(rig, nursery, 250_000)
    await spool.append(ORIGIN, [], {"cursor": b"1"})
    assert spool.state("emea", "cursor") == b"1"


async def test_a_larger_share_lets_those_go_on_who_wait(rig: Rig, nursery: trio.Nursery) -> None:
    spool = await filled(rig, nursery, 250_000)
    with trio.fail_after(30):
        async with trio.open_nursery() as waiting:
            waiting.start_soon(spool.append, ORIGIN, [big(99)], {})
            await trio.testing.wait_all_tasks_blocked()
            spool.usage("emea").share = 1_000_000


async def test_streamd_s_own_events_have_a_room_of_their_own_however_far_an_append_went_beyond_the_share(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = await filled(rig, nursery, 250_000)
    spool.usage("emea").share = -RESERVE_BYTES  # as full as with more beyond it than that room
    with trio.fail_after(30):
        await spool.append(ORIGIN, [own(1)], {}, own=True)
    usage = spool.usage("emea")
    assert usage.own_bytes > 0
    usage.share = usage.bytes - usage.own_bytes + 1
    assert usage.bytes > usage.share
    await spool.append(ORIGIN, [event(2)], {})  # nor do they take any of the share


async def test_streamd_s_own_events_wait_for_their_own_room(rig: Rig, nursery: trio.Nursery) -> None:
    spool = await filled(rig, nursery, 250_000)
    await spool.append(ORIGIN, [own(1)], {}, own=True)
    with trio.fail_after(30):
        async with trio.open_nursery() as waiting:
            spool.usage("emea").own_bytes += RESERVE_BYTES - 1
            waiting.start_soon(lambda: spool.append(ORIGIN, [own(2)], {}, own=True))
            await trio.testing.wait_all_tasks_blocked()
            assert spool.usage("emea").waiting
            spool.acknowledge(await spool.lane(GAPS_TOPIC, 0).take())
    assert spool.usage("emea").bytes > spool.usage("emea").share


async def test_the_room_of_own_events_is_counted_anew_after_a_restart_and_a_move(
    rig: Rig,
) -> None:
    async with trio.open_nursery() as nursery:
        spool = await filled(rig, nursery, 250_000)
        await spool.append(ORIGIN, [own(1), own(2)], {}, own=True)
        before = spool.usage("emea").own_bytes
        assert 0 < before < 10_000
        await spool.assign(TOPIC, 7)
        assert spool.usage("emea").own_bytes == before
        nursery.cancel_scope.cancel()
    assert rig.spool().usage("emea").own_bytes == before


async def test_what_is_found_after_a_restart_counts_for_the_share(rig: Rig) -> None:
    async with trio.open_nursery() as nursery:
        spool = await filled(rig, nursery, 250_000)
        before = (spool.usage("emea").bytes, spool.usage("emea").rows, spool.usage("emea").events)
        nursery.cancel_scope.cancel()
    usage = rig.spool().usage("emea")
    assert (usage.bytes, usage.rows, usage.events) == before


async def test_refused_rows_leave_with_their_dead_letters_in_one_commit_even_when_there_is_no_room(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = await filled(rig, nursery, 250_000)
    spool.usage("emea").share = -RESERVE_BYTES
    rows = await spool.lane(TOPIC, 0).take()
    letters = [
        (ORIGIN, Event(DEAD_LETTER, "", "streamd.dead_letter.written", {"n": n}, START)) for n in (1, 2)
    ]
    commits = spool.commits
    with trio.fail_after(30):
        await spool.replace(rows, letters)
    assert spool.commits == commits + 1
    assert rig.dumped(TOPIC) == []
    assert [each["data"]["n"] for each in rig.events(LETTERS)] == [1, 2]
    assert spool.usage("emea").events == 2


async def test_complete_through_waits_for_the_dead_letter_of_what_kafka_refused(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool(partitions=1)
    spool.prove_with(ORIGIN, "s", lambda: Proof(START, START))
    nursery.start_soon(spool.write)
    await spool.append(ORIGIN, [event(1)], {})
    rows = await spool.lane(TOPIC, 0).take()
    assert numbers(rows) == [1]
    await spool.replace(rows, [(ORIGIN, letter({"n": 1}))])
    await eventually(lambda: spool.commits > 4)
    assert spool.complete_through("emea") is None
    spool.acknowledge(await spool.lane(LETTERS, 0).take())
    await spool.flush()
    assert spool.complete_through("emea") == START


async def test_partitions_that_bury_in_one_commit_hold_back_complete_through_as_long_as_their_letters(
    rig: Rig, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamd.spool.proofs._LEAST_SECONDS", 0.0)
    spool = rig.spool(partitions=4)
    proven = START
    spool.prove_with(ORIGIN, "s", lambda: Proof(proven, proven))
    nursery.start_soon(spool.write)
    await spool.flush()
    for number in range(20):
        await spool.append(ORIGIN, [event(number, key=f"k{number}")], {})
    lanes = [spool.lane(TOPIC, partition) for partition in range(4)]
    rows = [await lane.take() for lane in lanes if lane.has_rows]
    assert len(rows) > 1
    async with trio.open_nursery() as burying:
        for each in rows:
            burying.start_soon(spool.replace, each, [(ORIGIN, letter({"n": 1}))])
    proven = START + timedelta(seconds=1)
    await eventually(lambda: spool.alive(ORIGIN, "s") == proven)
    assert spool.complete_through("emea") == START
    for partition in range(4):
        if spool.lane(LETTERS, partition).has_rows:
            spool.acknowledge(await spool.lane(LETTERS, partition).take())
    await spool.flush()
    await eventually(lambda: spool.complete_through("emea") == proven)


def test_the_letter_of_a_letter_holds_back_what_that_did_among_other_rows_too() -> None:
    accounts = Accounts({}, 0)

    def row(number: int) -> Row:
        return Row(number, LETTERS, 0, [Share("emea", "avaya", 1, 1)])

    for number in range(4):
        accounts.come([row(number)] if number else [], {"emea": START + timedelta(seconds=number)})
    accounts.hold_back([row(1)], [row(3)])
    accounts.leave([row(1)])
    accounts.come([row(4)], {})
    accounts.hold_back([row(2), row(3)], [row(4)])
    accounts.leave([row(2), row(3)])
    assert accounts.usage("emea").marks.through == START
    accounts.leave([row(4)])
    assert accounts.usage("emea").marks.through == START + timedelta(seconds=3)


async def test_an_unencodable_dead_letter_leaves_its_rows_where_they_are(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = await filled(rig, nursery, 250_000)
    rows = await spool.lane(TOPIC, 0).take()
    with pytest.raises(TypeError):
        await spool.replace(rows, [(ORIGIN, letter(object()))])
    assert len(rig.dumped(TOPIC)) == sum(row.count for row in rows)
