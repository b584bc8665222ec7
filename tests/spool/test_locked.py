"""Another process that has the spool's file locked is outlasted, as a full disk is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
import trio
from structlog.testing import capture_logs

from streamd.spool import sqlite, thread
from tests.spool.rig import ORIGIN, TOPIC, Rig, event, eventually, numbers


@pytest.fixture(autouse=True)
def quick_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_SECONDS", 0.02)
    monkeypatch.setattr(thread, "BUSY_SECONDS", 0.02)


@pytest.fixture
def shell(rig: Rig) -> Iterator[sqlite3.Connection]:
    """Yield what an operator's `sqlite3` has open."""
    rig.store()
    with closing(sqlite3.connect(rig.path, isolation_level=None)) as connection:
        yield connection


async def test_what_is_accepted_while_the_file_is_locked_waits_and_nothing_else_happens(
    rig: Rig, nursery: trio.Nursery, shell: sqlite3.Connection
) -> None:
    spool = rig.spool(partitions=1)
    nursery.start_soon(spool.write)
    await spool.append(ORIGIN, [event(0)], {})
    with capture_logs() as logs:
        shell.execute("BEGIN IMMEDIATE")
        async with trio.open_nursery() as appending:
            appending.start_soon(spool.append, ORIGIN, [event(1)], {})
            await eventually(lambda: spool.locked)
            await trio.sleep(0.2)  # several tries
            assert spool.locked
            assert numbers(await spool.lane(TOPIC, 0).take()) == [0]
            shell.execute("ROLLBACK")
    assert not spool.locked
    assert [each["data"]["n"] for each in rig.events(TOPIC)] == [0, 1]
    assert [entry["event"] for entry in logs] == ["spool_locked", "spool_unlocked"]


async def test_new_partition_counts_wait_for_the_lock_too(
    rig: Rig, nursery: trio.Nursery, shell: sqlite3.Connection
) -> None:
    spool = rig.spool(partitions=1)
    nursery.start_soon(spool.write)
    await spool.append(ORIGIN, [event(0)], {})
    shell.execute("BEGIN IMMEDIATE")
    async with trio.open_nursery() as assigning:
        assigning.start_soon(spool.assign, TOPIC, 3)
        await eventually(lambda: spool.locked)
        shell.execute("ROLLBACK")
    assert [each["data"]["n"] for each in rig.events(TOPIC)] == [0]
