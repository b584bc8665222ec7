"""Spools that an earlier streamd has written: what waits in them is published all the same."""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing

import pytest
import trio
from cramjam import lz4

from streamd.errors import SpoolUnusable
from streamd.spool.inspect import look
from tests.spool.rig import ORIGIN, TOPIC, Rig, event, numbers


async def fill_as_format_1(rig: Rig, rows: int = 6) -> str:
    """Write rows as they were in format 1: at first plain, later packed. Give the epoch."""
    spool = rig.spool(partitions=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spool.write)
        for number in range(rows):
            await spool.append(ORIGIN, [event(2 * number), event(2 * number + 1)], {})
        nursery.cancel_scope.cancel()
    rig.close()
    with closing(sqlite3.connect(rig.path)) as file, file:
        file.execute("UPDATE meta SET value='1' WHERE name='format'")
        query = "SELECT id, payload FROM rows ORDER BY id LIMIT ?"
        for row_id, payload in file.execute(query, (rows // 2,)).fetchall():
            plain = bytes(lz4.decompress_block(payload))
            file.execute(
                "UPDATE rows SET payload=?, checksum=? WHERE id=?", (plain, zlib.crc32(plain), row_id)
            )
    return spool.epoch


async def test_rows_of_format_1_are_published_in_their_order_under_their_epoch(rig: Rig) -> None:
    epoch = await fill_as_format_1(rig)
    for _ in range(2):
        spool = rig.spool(partitions=1)
        assert spool.epoch == epoch
        assert numbers(await spool.lane(TOPIC, 0).take()) == list(range(12))
        rig.close()


async def test_a_spool_of_format_1_is_not_read_from_outside_before_the_daemon_has_run(rig: Rig) -> None:
    await fill_as_format_1(rig)
    with pytest.raises(SpoolUnusable, match="format 1"), look(rig.home):
        pass
    rig.store()
    assert len(rig.dumped(TOPIC)) == 12


async def test_a_spool_of_a_later_format_is_not_said_to_be_brought_up(rig: Rig) -> None:
    await fill_as_format_1(rig)
    with closing(sqlite3.connect(rig.path)) as file, file:
        file.execute("UPDATE meta SET value='99' WHERE name='format'")
    with pytest.raises(SpoolUnusable, match="later streamd"), look(rig.home):
        pass


async def test_a_damaged_row_of_format_1_is_found_and_nothing_is_half_done(rig: Rig) -> None:
    epoch = await fill_as_format_1(rig)
    with closing(sqlite3.connect(rig.path)) as file, file:
        file.execute("UPDATE rows SET checksum=checksum+1 WHERE id=(SELECT max(id) FROM rows)")
        before = file.execute("SELECT id, payload FROM rows").fetchall()
    store = rig.store()
    assert store.aside is not None
    assert store.epoch != epoch
    with closing(sqlite3.connect(store.aside)) as file:
        assert file.execute("SELECT id, payload FROM rows").fetchall() == before
