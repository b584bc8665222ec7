"""Accepting: durable when `append` returns, numbered without a hole, together with state, in batches."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from streamd.model import Origin, Stream
from streamd.spool.proofs import Proof
from streamd.spool.spool import Spool, SpoolClosed
from streamd.spool.store import Commit
from tests.spool.rig import (
    ORIGIN,
    OTHER,
    START,
    STATE_TOPIC,
    TOPIC,
    Rig,
    event,
    eventually,
    number_of,
    numbers,
    state,
)


async def test_when_append_returns_another_process_can_read_what_it_brought(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool()
    nursery.start_soon(spool.write)
    await spool.append(ORIGIN, [event(1), event(2)], {"cursor": b"2"})
    assert [each["data"]["n"] for each in rig.events(TOPIC)] == [1, 2]
    assert spool.state("emea", "cursor") == b"2"


async def test_the_duration_of_each_commit_is_observed(rig: Rig, nursery: trio.Nursery) -> None:
    observed: list[float] = []
    spool = rig.spool(observe=observed.append)
    nursery.start_soon(spool.write)
    for number in range(3):
        await spool.append(ORIGIN, [event(number)], {})
    assert len(observed) == spool.commits
    assert all(0 < seconds < 5 for seconds in observed)


async def test_a_connector_that_is_of_another_vendor_since_a_reload_says_so_and_counts_on(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool()
    nursery.start_soon(spool.write)
    for number, vendor in enumerate(("avaya", "o2g", "avaya"), 1):
        origin, own = Origin(ORIGIN.connector, vendor), Stream(vendor, "calls")
        await spool.append(origin, [event(number), event(number, stream=own)], {})
    shared = rig.events(TOPIC)
    assert [(each["vendor"], int(each["sequence"])) for each in shared] == [
        ("avaya", 1), ("o2g", 2), ("avaya", 3),
    ]  # fmt: skip
    assert [int(each["sequence"]) for each in rig.events("p.avaya.calls")] == [1, 3]
    assert [int(each["sequence"]) for each in rig.events("p.o2g.calls")] == [2]


async def test_what_is_of_two_vendors_in_one_commit_tells_each_its_own(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool()
    for number, vendor in enumerate(("avaya", "o2g"), 1):
        nursery.start_soon(spool.append, Origin(ORIGIN.connector, vendor), [event(number)], {})
        await wait_all_tasks_blocked()
    nursery.start_soon(spool.write)
    await eventually(lambda: spool.usage(ORIGIN.connector).events == 2)
    assert spool.commits == 1
    assert [(each["vendor"], int(each["sequence"])) for each in rig.events(TOPIC)] == [
        ("avaya", 1), ("o2g", 2),
    ]  # fmt: skip


async def test_append_does_not_return_while_nothing_commits(rig: Rig) -> None:
    spool = rig.spool()
    with trio.move_on_after(0.05) as scope:
        await spool.append(ORIGIN, [event(1)], {})
    assert scope.cancelled_caught
    assert rig.dumped() == []


async def test_events_numbers_state_and_proof_of_life_are_one_transaction(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool()
    spool.prove_with(ORIGIN, "s", lambda: Proof(START, START))
    before = _commit_frames(rig)
    nursery.start_soon(spool.write)
    await spool.append(ORIGIN, [event(1), state(1)], {"a": b"1", "b": None})
    assert (spool.commits, _commit_frames(rig) - before) == (1, 1)
    reopened = Rig(rig.home).store()
    assert reopened.alive() == {("emea", "s"): START}
    assert reopened.numbers() == {("emea", "measures"): 1, ("emea", "measures.state"): 1}
    assert reopened.state("emea", "a") == b"1"
    assert [events for _, _, events in reopened.usage().values()] == [1, 1]
    reopened.close()


def _commit_frames(rig: Rig) -> int:
    """Count the transactions in the WAL: frames that carry a database size (SQLite file format, 4.1)."""
    wal = rig.path.with_name("spool.db-wal").read_bytes()
    size = 24 + 4096
    return sum(wal[at + 4 : at + 8] != b"\0\0\0\0" for at in range(32, len(wal), size))


def test_the_writing_connection_is_fully_synchronous_in_wal_mode(rig: Rig) -> None:
    writer = rig.store()._writer
    assert writer.execute("PRAGMA synchronous").fetchone() == (2,)
    assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_commit_looks_through_no_table(rig: Rig) -> None:
    store = rig.store()
    statements: list[str] = []
    store._writer.set_trace_callback(statements.append)
    changes = {("emea", "a"): b"1", ("emea", "b"): None, ("emea", "c"): None}
    alive = {("emea", "s"): START, ("emea", "t"): None, ("emea", "u"): None}
    store.commit(Commit([], {("emea", "measures"): 1}, changes, alive, [1, 2], {TOPIC: 4}))
    store._writer.set_trace_callback(None)
    plans = [store._writer.execute(f"EXPLAIN QUERY PLAN {each}").fetchall() for each in statements[1:-1]]
    steps = [step for plan in plans for *_, step in plan]
    assert sum(step.startswith("SEARCH") for step in steps) == 3
    assert not [step for step in steps for table in ("rows", "state", "alive") if step == f"SCAN {table}"]


_SYNCED = """
import sys, trio
from pathlib import Path
from tests.spool.rig import ORIGIN, Rig, event

async def main():
    rig = Rig(Path(sys.argv[1]))
    spool = rig.spool()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spool.write)
        for number in range(int(sys.argv[2])):
            await spool.append(ORIGIN, [event(number)], {})
        nursery.cancel_scope.cancel()

trio.run(main)
"""


def test_every_commit_is_synced_to_the_disk(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("needs strace to count the syncs of a process")
    few, many = (_syncs(tmp_path / str(commits), commits) for commits in (10, 60))
    assert many - few >= 50


def _syncs(home: Path, commits: int) -> int:
    home.mkdir()
    trace = ["strace", "-f", "-c", "-e", "trace=fsync,fdatasync", "-o", str(home / "counts")]
    child = [sys.executable, "-c", _SYNCED, str(home), str(commits)]
    done = subprocess.run([*trace, *child], capture_output=True, text=True, timeout=60, env=_environment())
    if "ptrace" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    table = [line.split() for line in (home / "counts").read_text().splitlines()]
    return sum(int(columns[3]) for columns in table if columns[-1:] in (["fsync"], ["fdatasync"]))


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}


async def test_a_lone_event_is_committed_at_once(
    rig: Rig, nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    spool = rig.spool()
    nursery.start_soon(spool.write)
    await trio.testing.wait_all_tasks_blocked()
    await spool.append(ORIGIN, [event(1)], {})  # without a tick: the clock stands still
    assert len(rig.events(TOPIC)) == 1


async def test_what_waits_while_a_commit_runs_is_the_next_commit(rig: Rig, nursery: trio.Nursery) -> None:
    spool = rig.spool()
    nursery.start_soon(spool.write)
    async with trio.open_nursery() as callers:
        for number in range(200):
            callers.start_soon(spool.append, ORIGIN, [event(number)], {})
        await trio.testing.wait_all_tasks_blocked()
    assert spool.commits <= 2
    assert spool.numbers[("emea", "measures")] == 200


async def test_numbers_go_from_one_without_a_hole_per_source_and_on_after_a_restart(rig: Rig) -> None:
    for life in range(3):
        spool = rig.spool()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(spool.write)
            for number in range(4):
                await spool.append(ORIGIN, [event(life * 4 + number)], {})
                await spool.append(OTHER, [event(0)], {})
            nursery.cancel_scope.cancel()
    for source in ("/avaya/emea/measures", "/o2g/paris/measures"):
        sequences = [int(each["sequence"]) for each in rig.events(TOPIC) if each["source"] == source]
        assert sequences == list(range(1, 13))


async def test_an_event_that_cannot_be_encoded_fails_its_own_call_and_takes_no_number(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool()
    outcomes: dict[int, BaseException | None] = {}

    async def call(number: int, data: object) -> None:
        bad = event(number)
        bad.data = data
        try:
            await spool.append(ORIGIN, [event(number), bad, state(number)], {f"name/{number}": b"x"})
        except (TypeError, ValueError) as error:
            outcomes[number] = error
        else:
            outcomes[number] = None

    async with trio.open_nursery() as callers:
        for number, data in enumerate([{"n": 0}, object(), {"n": 2}, "\ud800", {"n": 4}]):
            callers.start_soon(call, number, data)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(spool.write)
    assert spool.commits == 1
    assert {number: type(error) for number, error in outcomes.items()} == {
        0: type(None), 1: TypeError, 2: type(None), 3: UnicodeEncodeError, 4: type(None)
    }  # fmt: skip
    assert [int(each["sequence"]) for each in rig.events(TOPIC)] == [1, 2, 3, 4, 5, 6]
    assert sorted(spool.states("emea", "name/")) == ["name/0", "name/2", "name/4"]


async def test_of_several_states_of_a_key_in_one_commit_the_last_is_written_as_of_the_last_event_merged(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool()
    items = [event(1), state(1), event(2), state(2), event(3, "x"), state(7, "x"), event(4), state(4)]
    async with trio.open_nursery() as callers:
        callers.start_soon(spool.append, ORIGIN, items, {})
        await trio.testing.wait_all_tasks_blocked()
        callers.start_soon(spool.append, ORIGIN, [event(5, "x"), state(None, "x")], {})
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(spool.write)
    written = {record.key: record for record in rig.dumped(STATE_TOPIC)}
    assert written.keys() == {"emea|k", "emea|x"}
    assert rig.events(STATE_TOPIC)[0]["data"] == {"n": 4}
    assert written["emea|k"].headers["epoch"] == spool.epoch
    assert int(written["emea|k"].headers["sequence"]) == 4
    assert written["emea|x"].value is None
    assert written["emea|x"].headers == {"epoch": spool.epoch, "sequence": f"{5:020d}"}


async def test_the_state_is_read_by_prefix_of_its_own_connector_and_none_removes_a_name(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool()
    nursery.start_soon(spool.write)
    await spool.append(ORIGIN, [], {"gap/1": b"a", "gap/2": b"b", "gap0": b"c", "ga": b"d", "gap/é": b"e"})
    await spool.append(OTHER, [], {"gap/3": b"f"})
    assert spool.states("emea", "gap/") == {"gap/1": b"a", "gap/2": b"b", "gap/é": b"e"}
    assert spool.states("paris", "") == {"gap/3": b"f"}
    assert spool.states_of("emea", ["gap/2", "gap/3", "gap/é", "other"]) == {"gap/2": b"b", "gap/é": b"e"}
    await spool.append(ORIGIN, [], {"gap/1": None, "never": None})
    assert spool.state("emea", "gap/1") is None
    assert sorted(spool.states("emea", "gap/")) == ["gap/2", "gap/é"]


async def test_a_cancelled_append_leaves_the_writer_and_the_others_alone(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool()
    with trio.move_on_after(0.01):
        await spool.append(ORIGIN, [event(1)], {})
    nursery.start_soon(spool.write)
    await spool.append(ORIGIN, [event(2)], {})
    assert [int(each["sequence"]) for each in rig.events(TOPIC)] == [1, 2]


async def _write_after_cancelling(spool: Spool, scope: trio.CancelScope) -> None:
    await trio.testing.wait_all_tasks_blocked()
    scope.cancel()
    await trio.testing.wait_all_tasks_blocked()
    await spool.write()


async def test_who_is_cancelled_behind_the_hand_over_learns_that_it_is_durable(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool()
    outcomes: list[str] = []
    with trio.CancelScope() as scope:
        nursery.start_soon(_write_after_cancelling, spool, scope)
        await spool.append(ORIGIN, [event(1)], {})
        outcomes.append("committed")
    assert outcomes == ["committed"]
    assert [int(each["sequence"]) for each in rig.events(TOPIC)] == [1]


async def test_when_the_writer_ends_nobody_waits_for_it(rig: Rig) -> None:
    spool = rig.spool()
    spool.usage("emea").share = 0
    ended = []

    calls = {
        "waits for room": lambda: spool.append(ORIGIN, [event(1)], {}),
        "waits for its commit": lambda: spool.append(OTHER, [event(1)], {}),
        "flush": spool.flush,
        "own": lambda: spool.append(ORIGIN, [event(1)], {}, own=True),
    }

    async def caller(how: str) -> None:
        with pytest.raises(SpoolClosed):
            await calls[how]()
        ended.append(how)

    with trio.fail_after(30):
        async with trio.open_nursery() as callers:
            for how in calls:
                callers.start_soon(caller, how)
            await trio.testing.wait_all_tasks_blocked()
            with trio.CancelScope() as writing:
                writing.cancel()
                await spool.write()
        for how in ("waits for its commit", "flush", "waits for room"):
            await caller(how)
    assert len(ended) == 7


async def test_a_writer_that_is_cancelled_midway_says_so_to_whom_it_leaves(rig: Rig) -> None:
    spool = rig.spool()
    outcomes: list[str] = []

    async def caller(number: int) -> None:
        try:
            await spool.append(ORIGIN, [event(number)], {})
        except SpoolClosed:
            outcomes.append("closed")
        else:
            outcomes.append("committed")

    with trio.fail_after(30):
        async with trio.open_nursery() as callers, trio.open_nursery() as writing:
            writing.start_soon(spool.write)
            for number in range(20):
                callers.start_soon(caller, number)
                await trio.lowlevel.checkpoint()
            writing.cancel_scope.cancel()
    assert len(outcomes) == 20
    assert len(rig.events(TOPIC)) == outcomes.count("committed")


async def test_drain_returns_when_all_that_was_accepted_has_left(rig: Rig, nursery: trio.Nursery) -> None:
    spool = rig.spool(partitions=1)
    nursery.start_soon(spool.write)
    await spool.append(ORIGIN, [event(1), event(2)], {})
    nursery.start_soon(_publish, spool)
    with trio.fail_after(30):
        await spool.drain()
    assert rig.dumped() == []


async def _publish(spool: Spool) -> None:
    rows = await spool.lane(TOPIC, 0).take()
    assert numbers(rows) == [1, 2]
    spool.acknowledge(rows)


async def test_a_commit_of_hundreds_of_thousands_of_bytes_becomes_rows_that_fit_a_kafka_batch(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool(partitions=1)
    nursery.start_soon(spool.write)
    big = [event(number, subject="x" * 50_000) for number in range(20)]
    await spool.append(ORIGIN, big, {})
    rows = await eventually(lambda: spool.usage("emea").rows)
    assert rows >= 4
    taken = await spool.lane(TOPIC, 0).take()
    assert all(row.bytes <= 300_000 for row in taken)
    assert [number_of(record) for row in taken for record in row.records or ()] == numbers(taken)
