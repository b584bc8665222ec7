"""Rows that several connectors share: each has its own order, its own account and its own completeness."""

from __future__ import annotations

from datetime import datetime

import trio

from streamd.model import DEAD_LETTER, Event, Origin
from streamd.spool.proofs import Proof
from streamd.spool.rows import Row, by_connector
from streamd.spool.spool import Spool
from tests.spool.rig import ORIGIN, OTHER, PREFIX, START, TOPIC, Rig, event, noise, number_of

LETTERS = f"{PREFIX}.{DEAD_LETTER.topic}"


async def append_together(spool: Spool, nursery: trio.Nursery, *brought: tuple[Origin, list[Event]]) -> None:
    """Have several connectors append in one commit, the spool's first."""
    for origin, events in brought:
        nursery.start_soon(spool.append, origin, events, {})
        await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(spool.write)
    await spool.flush()


def held(row: Row) -> list[tuple[Origin, list[int]]]:
    return [
        (origin, [number_of(record) for record in records])
        for origin, records in by_connector(row.shares, row.records or ())
    ]


def usage(spool: Spool, origin: Origin) -> tuple[int, int, int]:
    found = spool.usage(origin.connector)
    return found.bytes, found.rows, found.events


async def test_what_connectors_bring_for_a_partition_in_one_commit_stands_in_one_row_in_their_order(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool(partitions=1)
    one = [event(1), event(2, "a")], [event(5), event(6, "a")]
    await append_together(spool, nursery, (ORIGIN, one[0]), (OTHER, [event(3), event(4)]), (ORIGIN, one[1]))
    [row] = await spool.lane(TOPIC, 0).take()
    assert held(row) == [(ORIGIN, [1, 2, 5, 6]), (OTHER, [3, 4])]
    assert {source: number for (source, _), number in spool.numbers.items()} == {"emea": 4, "paris": 2}
    assert [each["sequence"][-1] for each in rig.events(TOPIC)] == ["1", "2", "3", "4", "1", "2"]


async def test_each_connector_is_charged_its_own_of_a_row_until_that_has_left_over_a_restart_too(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool(partitions=1)
    await append_together(
        spool, nursery, (ORIGIN, [event(1, subject="x" * 1000)]), (OTHER, [event(2), event(3)])
    )
    charged = [usage(spool, origin) for origin in (ORIGIN, OTHER)]
    assert [rows_and_events[1:] for rows_and_events in charged] == [(1, 1), (1, 2)]
    assert charged[0][0] > 1000
    spool = rig.spool(partitions=1)
    assert [usage(spool, origin) for origin in (ORIGIN, OTHER)] == charged
    nursery.start_soon(spool.write)
    rows = await spool.lane(TOPIC, 0).take()
    assert len(rows) == 1
    spool.acknowledge(rows)
    await spool.flush()
    assert [usage(spool, origin) for origin in (ORIGIN, OTHER)] == [(0, 0, 0)] * 2


async def test_what_is_too_much_for_one_row_is_cut_in_order_also_between_connectors(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool(partitions=1)
    text = noise(50_000)
    await append_together(
        spool,
        nursery,
        (ORIGIN, [event(number, subject=text) for number in range(4)]),
        (OTHER, [event(number, subject=text) for number in range(4)]),
    )
    rows = await spool.lane(TOPIC, 0).take()
    found = [held(row) for row in rows]
    assert found == [[(ORIGIN, [0, 1, 2, 3]), (OTHER, [0])], [(OTHER, [1, 2, 3])]]
    assert usage(spool, ORIGIN)[1:] == (1, 4)
    assert usage(spool, OTHER)[1:] == (2, 4)
    assert sum(row.bytes for row in rows) == usage(spool, ORIGIN)[0] + usage(spool, OTHER)[0]


async def test_a_row_that_is_moved_keeps_whose_its_records_are(rig: Rig, nursery: trio.Nursery) -> None:
    spool = rig.spool(partitions=2)
    brought = [event(number, f"k{number % 5}") for number in range(20)]
    await append_together(spool, nursery, (ORIGIN, brought), (OTHER, brought))
    before = [usage(spool, origin)[::2] for origin in (ORIGIN, OTHER)]
    await spool.assign(TOPIC, 3)
    seen: dict[Origin, list[int]] = {ORIGIN: [], OTHER: []}
    for partition in range(3):
        if spool.lane(TOPIC, partition).has_rows:
            for row in await spool.lane(TOPIC, partition).take():
                for origin, records in by_connector(row.shares, row.records or ()):
                    assert all(each.key.startswith(f"{origin.connector}|".encode()) for each in records)
                    seen[origin] += map(number_of, records)
    for numbers in seen.values():
        for key in range(5):
            assert [number for number in numbers if number % 5 == key] == [*range(key, 20, 5)]
    assert [usage(spool, origin)[::2] for origin in (ORIGIN, OTHER)] == before


async def test_a_row_that_kafka_refused_for_one_connector_s_record_lets_the_other_be_complete(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool(partitions=1)
    for origin in (ORIGIN, OTHER):
        spool.prove_with(origin, "s", lambda: Proof(START, START))
    await append_together(spool, nursery, (ORIGIN, [event(1)]), (OTHER, [event(2)]))
    assert through(spool) == [None, None]
    letter = Event(DEAD_LETTER, "", "streamd.dead_letter.written", {"n": 1}, START)
    await spool.replace(await spool.lane(TOPIC, 0).take(), [(ORIGIN, letter)])
    assert through(spool) == [None, START]
    assert [usage(spool, origin)[1:] for origin in (ORIGIN, OTHER)] == [(1, 1), (0, 0)]
    spool.acknowledge(await spool.lane(LETTERS, 0).take())
    await spool.flush()
    assert through(spool) == [START, START]


def through(spool: Spool) -> list[datetime | None]:
    return [spool.complete_through(origin.connector) for origin in (ORIGIN, OTHER)]
