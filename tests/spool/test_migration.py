"""Spools that an earlier streamd has written: what waits in them is published all the same."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from streamd.errors import SpoolUnusable
from streamd.model import Origin
from streamd.spool.inspect import look
from streamd.spool.rows import by_connector
from streamd.spool.spool import Spool
from tests.spool.rig import TOPIC, Rig, event, number_of

EPOCH = "20260102T030405678901Z"
APAC, EMEA = Origin("apac", "avaya"), Origin("emea", "avaya")


@pytest.fixture(params=[1, 2])
def former(request: pytest.FixtureRequest, rig: Rig) -> int:
    """Give the format of the spool that is there.

    format_*.sql are dumps of what the streamd of then had written (of format 1 the first half by one that
    did not pack its rows yet): measures 0 to 3 of two connectors, and their states, for two partitions.
    """
    number: int = request.param
    with closing(sqlite3.connect(rig.path)) as file, file:
        file.executescript((Path(__file__).parent / f"format_{number}.sql").read_text())
    return number


def change(rig: Rig, statement: str) -> None:
    with closing(sqlite3.connect(rig.path)) as file, file:
        file.execute(statement)


async def taken(spool: Spool) -> dict[tuple[Origin, bytes], list[int]]:
    """Take all that waits for TOPIC, and give what it holds of each key."""
    found: dict[tuple[Origin, bytes], list[int]] = {}
    for partition in range(2):
        for row in await spool.lane(TOPIC, partition).take():
            for origin, records in by_connector(row.shares, row.records or ()):
                for record in records:
                    found.setdefault((origin, record.key), []).append(number_of(record))
            spool.acknowledge([row])
    return found


async def test_rows_of_an_earlier_format_are_published_in_their_order_under_their_epoch(
    rig: Rig, former: int
) -> None:
    for _ in range(2):
        spool = rig.spool(partitions=2)
        assert (spool.epoch, spool.state("emea", "last")) == (EPOCH, b"3")
        assert await taken(spool) == {
            (origin, f"{origin.connector}|{key}".encode()): numbers
            for origin in (APAC, EMEA)
            for key, numbers in {"k0": [0, 3], "k1": [1], "k2": [2]}.items()
        }


async def test_what_waits_in_an_earlier_format_is_counted_as_each_connector_s_and_the_numbers_go_on(
    rig: Rig, former: int, nursery: trio.Nursery
) -> None:
    query = "SELECT connector, sum(bytes), count(*), sum(count) FROM rows GROUP BY 1 ORDER BY 1"
    with closing(sqlite3.connect(rig.path)) as file:
        counted = file.execute(query).fetchall()
    spool = rig.spool(partitions=2)
    nursery.start_soon(spool.write)
    usages = [(name, spool.usage(name)) for name in ("apac", "emea")]
    assert [(name, each.bytes, each.rows, each.events) for name, each in usages] == counted
    await spool.append(EMEA, [event(4)], {})
    assert spool.numbers["emea", "measures"] == 5
    await taken(spool)
    await spool.flush()
    assert rig.events(TOPIC) == []


async def test_a_spool_of_an_earlier_format_is_not_read_from_outside_before_the_daemon_has_run(
    rig: Rig, former: int
) -> None:
    with pytest.raises(SpoolUnusable, match=f"format {former}"), look(rig.home):
        pass
    rig.store()
    assert len(rig.dumped(TOPIC)) == 8
    with look(rig.home) as seen:
        assert list(seen.problems()) == []


def schema(rig: Rig) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(rig.path)) as file:
        return file.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 2").fetchall()


async def test_a_spool_that_was_brought_up_is_made_as_a_new_one(
    rig: Rig, former: int, tmp_path: Path
) -> None:
    rig.store()
    (tmp_path / "new").mkdir()
    new = Rig(tmp_path / "new")
    new.store()
    assert schema(rig) == schema(new)
    new.close()


async def test_a_spool_of_a_later_format_is_not_said_to_be_brought_up(rig: Rig, former: int) -> None:
    change(rig, "UPDATE meta SET value='99' WHERE name='format'")
    with pytest.raises(SpoolUnusable, match="later streamd"), look(rig.home):
        pass


async def test_a_damaged_row_of_an_earlier_format_is_found_and_nothing_is_half_done(
    rig: Rig, former: int
) -> None:
    change(rig, "UPDATE rows SET checksum=checksum+1 WHERE id=(SELECT max(id) FROM rows)")
    with closing(sqlite3.connect(rig.path)) as file:
        before = [*file.iterdump()]
    store = rig.store()
    assert store.aside is not None
    assert store.epoch > EPOCH
    with closing(sqlite3.connect(store.aside)) as file:
        assert [*file.iterdump()] == before
