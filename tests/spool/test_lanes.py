"""Publishing reads each row once, in order, from memory or file; again only what was not acknowledged."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.model import Event, Origin, Record
from streamd.publish.partitioner import murmur2
from streamd.spool.lanes import TAKE_BYTES
from streamd.spool.proofs import Proof
from streamd.spool.rows import Row
from streamd.spool.spool import Spool
from streamd.spool.sqlite import SpoolCorrupt
from tests.spool.rig import ORIGIN, OTHER, START, TOPIC, Rig, event, eventually, number_of, numbers

KEYS = [f"key{number}" for number in range(6)]


def partition_of(key: bytes, partitions: int) -> int:
    return (murmur2(key) & 0x7FFFFFFF) % partitions


class Reader:
    """What a publisher has read of each key, and of each partition the rows that it has not acknowledged.

    A publisher has one batch of a partition under way, so it acknowledges a partition's rows in order.
    """

    def __init__(self) -> None:
        self.read: dict[str, list[int]] = {}
        self.unacknowledged: dict[int, list[Row]] = {}

    async def take(self, spool: Spool, partition: int, acknowledge: bool) -> None:
        lane = spool.lane(TOPIC, partition)
        if not lane.has_rows:
            return
        rows = await lane.take()
        for record in records(rows):
            self.read.setdefault(record.key.decode(), []).append(number_of(record))
        self.unacknowledged.setdefault(partition, []).extend(rows)
        if acknowledge:
            spool.acknowledge(self.unacknowledged.pop(partition))

    def restart(self) -> None:
        """Forget what was read and not acknowledged: it is to come again, all of it, in order."""
        for rows in self.unacknowledged.values():
            for record in reversed(records(rows)):
                assert self.read[record.key.decode()].pop() == number_of(record)
        self.unacknowledged = {}


def records(rows: list[Row]) -> list[Record]:
    return [record for row in rows for record in row.records or ()]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 12), st.integers(0, 2**16)),
        st.tuples(st.just("take"), st.integers(0, 5), st.booleans()),
        st.tuples(st.just("restart")),
        st.tuples(st.just("assign"), st.sampled_from([1, 2, 3, 5])),
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(STEPS, st.sampled_from([0, 200, 1500, 8 * 1024**2]))
def test_each_key_gives_every_row_once_in_order_over_puts_takes_restarts_and_new_partition_counts(
    steps: list[tuple[str, int, int]], cache_bytes: int
) -> None:
    with TemporaryDirectory() as home:
        trio.run(_live, Rig(Path(home)), steps, cache_bytes)


class Life:
    """A spool over restarts, with what was put into it and what was read."""

    def __init__(self, rig: Rig, cache_bytes: int) -> None:
        self.put: dict[str, list[int]] = {}
        self.reader = Reader()
        self.partitions = 3
        self._number = 0
        self._rig = rig
        self._cache_bytes = cache_bytes

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Spool]:
        spool = self._rig.spool(cache_bytes=self._cache_bytes, partitions=3)
        self.reader.restart()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(spool.write)
            yield spool
            await spool.flush()
            nursery.cancel_scope.cancel()

    async def do(self, spool: Spool, step: str, *values: int) -> None:
        match step:
            case "put":
                async with trio.open_nursery() as together:  # in one commit: rows that both share
                    for origin in (ORIGIN, OTHER):
                        together.start_soon(spool.append, origin, self._events(origin, *values), {})
            case "take":
                await self.reader.take(spool, values[0] % self.partitions, bool(values[1]))
            case "assign":
                self.partitions = values[0]
                await spool.assign(TOPIC, self.partitions)
                self.reader.restart()

    def _events(self, origin: Origin, count: int, seed: int) -> list[Event]:
        dice, events = random.Random(seed), []
        for _ in range(count):
            self._number += 1
            key = dice.choice(KEYS)
            self.put.setdefault(f"{origin.connector}|{key}", []).append(self._number)
            events.append(event(self._number, key))
        return events


async def _live(rig: Rig, steps: list[tuple[str, int, int]], cache_bytes: int) -> None:
    life = Life(rig, cache_bytes)
    remaining = deque(steps)
    while remaining:
        async with life.open() as spool:
            while remaining and (step := remaining.popleft())[0] != "restart":
                await life.do(spool, *step)
    async with life.open() as spool:
        await spool.assign(TOPIC, life.partitions)
        usages = {name: spool.usage(name) for name in ("emea", "paris")}
        for name, usage in usages.items():
            assert usage.events == _count(name, life.put) - _count(name, life.reader.read)
        for partition in range(life.partitions):
            while spool.lane(TOPIC, partition).has_rows:
                await life.reader.take(spool, partition, True)
        await spool.flush()
        assert life.reader.read == life.put
        assert spool._lanes.cache.used == 0
        for usage in usages.values():
            assert (usage.rows, usage.bytes, usage.events) == (0, 0, 0)
    rig.close()


def _count(connector: str, by_key: dict[str, list[int]]) -> int:
    return sum(len(found) for key, found in by_key.items() if key.startswith(f"{connector}|"))


async def test_after_new_partition_counts_every_row_stands_where_kafka_s_partitioner_puts_its_key(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool(partitions=4)
    nursery.start_soon(spool.write)
    await spool.append(ORIGIN, [event(number, f"key{number}") for number in range(50)], {})
    await spool.append(OTHER, [event(number, f"key{number}") for number in range(50)], {})
    before = [spool.usage(connector).bytes for connector in ("emea", "paris")]
    await spool.assign(TOPIC, 7)
    seen = 0
    for partition in range(7):
        while spool.lane(TOPIC, partition).has_rows:
            for record in records(await spool.lane(TOPIC, partition).take()):
                assert partition_of(record.key, 7) == partition
                seen += 1
    assert seen == 100
    assert [spool.usage(connector).bytes for connector in ("emea", "paris")] == before


async def test_an_assumed_partition_count_outlives_a_new_configuration_until_kafka_tells(rig: Rig) -> None:
    for configured in (4, 6):
        spool = rig.spool(partitions=configured)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(spool.write)
            await spool.append(ORIGIN, [event(configured, f"key{number}") for number in range(20)], {})
            nursery.cancel_scope.cancel()
    for record in rig.dumped(TOPIC):
        assert partition_of(record.key.encode(), 4) == record.partition


async def test_completeness_waits_for_moved_rows_and_goes_on_when_they_have_left(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool(partitions=2)
    spool.prove_with(ORIGIN, "s", lambda: Proof(START, START))
    nursery.start_soon(spool.write)
    await spool.append(ORIGIN, [event(number, f"key{number}") for number in range(20)], {})
    await spool.assign(TOPIC, 3)
    for partition in range(3):
        assert spool.complete_through("emea") is None
        spool.acknowledge(await spool.lane(TOPIC, partition).take())
        await spool.flush()
    await eventually(lambda: spool.complete_through("emea") == START)


async def test_a_partition_that_is_stuck_leaves_room_in_memory_for_the_others(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool(partitions=2, cache_bytes=2 * TAKE_BYTES)
    nursery.start_soon(spool.write)
    keys = {partition_of(f"emea|key{n}".encode(), 2): f"key{n}" for n in range(9)}
    for number in range(40):
        await spool.append(ORIGIN, [event(number, keys[0], subject="x" * 100_000)], {})
    for number in range(5):
        await spool.append(ORIGIN, [event(number, keys[1], subject="x" * 100_000)], {})
    assert len(spool.lane(TOPIC, 1)._cached) == 5
    taken: list[int] = []
    while len(taken) < 40:
        taken += numbers(await spool.lane(TOPIC, 0).take())
    assert taken == list(range(40))


async def test_what_is_in_the_file_comes_before_what_follows_although_memory_has_room_again(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool(partitions=1, cache_bytes=1500)
    nursery.start_soon(spool.write)
    taken: list[int] = []
    for number, size in enumerate([500, 5000, 10, 10]):
        await spool.append(ORIGIN, [event(number, subject="x" * size)], {})
        if number == 1:
            taken += numbers(await spool.lane(TOPIC, 0).take())  # the first: memory has room again
    while spool.lane(TOPIC, 0).has_rows:
        taken += numbers(await spool.lane(TOPIC, 0).take())
    assert taken == [0, 1, 2, 3]


async def test_take_waits_for_the_first_row(rig: Rig, nursery: trio.Nursery) -> None:
    spool = rig.spool(partitions=1)
    nursery.start_soon(spool.write)
    taken: list[int] = []

    async def take() -> None:
        taken.extend(numbers(await spool.lane(TOPIC, 0).take()))

    async with trio.open_nursery() as taking:
        taking.start_soon(take)
        await trio.testing.wait_all_tasks_blocked()
        await spool.append(ORIGIN, [event(7)], {})
    assert taken == [7]


@pytest.mark.parametrize(
    "damage", ["payload = CAST(replace(payload, '1', '2') AS BLOB)", "shares = CAST(x'ff' AS TEXT)"]
)
async def test_a_row_that_is_not_what_was_written_is_never_given(
    rig: Rig, nursery: trio.Nursery, damage: str
) -> None:
    spool = rig.spool(partitions=1, cache_bytes=0)
    nursery.start_soon(spool.write)
    await spool.append(ORIGIN, [event(1)], {})
    spool._store._writer.execute(f"UPDATE rows SET {damage}")
    with pytest.raises(SpoolCorrupt):
        await spool.lane(TOPIC, 0).take()


async def test_a_row_that_is_missing_is_no_silence(rig: Rig, nursery: trio.Nursery) -> None:
    spool = rig.spool(partitions=1, cache_bytes=0)
    nursery.start_soon(spool.write)
    await spool.append(ORIGIN, [event(1)], {})
    spool._store._writer.execute("DELETE FROM rows")
    with pytest.raises(SpoolCorrupt):
        await spool.lane(TOPIC, 0).take()
