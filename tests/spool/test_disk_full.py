"""A full disk, or a file that has reached its size: a state that passes, in which nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from streamd.model import GAPS
from streamd.spool import committer
from streamd.spool.directory import Ballast
from streamd.spool.spool import Spool, SpoolClosed
from tests.spool.rig import ORIGIN, TOPIC, Rig, event, eventually, noise, numbers

ROOM = 100 * 1024**2


@pytest.fixture(autouse=True)
def quick_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "DISK_FULL_SECONDS", 0.02)


def limited(rig: Rig, spool: Spool, pages: int) -> None:
    """Let the file grow by so many pages and no more."""
    writer = spool._store._writer
    (size,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count={size + pages}")


class Appender:
    """Appends big events one after the other and notes which were confirmed."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.confirmed: list[int] = []

    async def run(self, count: int) -> None:
        for number in range(count):
            await self.spool.append(ORIGIN, [event(number, subject=noise(50_000))], {"last": b"%d" % number})
            self.confirmed.append(number)


async def test_with_no_room_append_waits_and_goes_on_when_kafka_has_taken_rows(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool(partitions=1)
    limited(rig, spool, 60)
    nursery.start_soon(spool.write)
    appender = Appender(spool)
    nursery.start_soon(appender.run, 20)
    await eventually(lambda: spool.disk_full)
    stuck_at = len(appender.confirmed)
    assert 0 < stuck_at < 10
    assert [each["data"]["n"] for each in rig.events(TOPIC)] == list(range(stuck_at))
    read: list[int] = []
    while len(read) < 20:
        rows = await spool.lane(TOPIC, 0).take()
        read += numbers(rows)
        spool.acknowledge(rows)
    assert read == list(range(20))
    await spool.flush()
    assert appender.confirmed == list(range(20))
    assert spool.numbers["emea", "measures"] == 20
    assert not spool.disk_full
    assert spool.usage("emea").rows == 0


async def test_rows_acknowledged_while_the_disk_is_full_are_freed_though_the_waiting_commit_does_not_fit(
    rig: Rig, nursery: trio.Nursery
) -> None:
    spool = rig.spool(partitions=1)
    nursery.start_soon(spool.write)
    for number in range(6):
        await spool.append(ORIGIN, [event(number, subject=noise(20_000))], {})
    limited(rig, spool, 0)
    huge = [event(100 + number, subject=noise(50_000)) for number in range(8)]
    nursery.start_soon(spool.append, ORIGIN, huge, {})
    await eventually(lambda: spool.disk_full)
    rows = await spool.lane(TOPIC, 0).take()
    spool.acknowledge(rows[:3])
    await eventually(lambda: spool.usage("emea").rows == len(rows) - 3)
    assert [each["data"]["n"] for each in rig.events(TOPIC)] == [3, 4, 5]
    assert spool.disk_full
    spool._store._writer.execute("PRAGMA max_page_count=100000")
    await eventually(lambda: not spool.disk_full)
    assert [int(each["sequence"]) for each in rig.events(TOPIC)] == list(range(4, 15))


async def test_what_waits_for_a_full_disk_when_the_daemon_ends_is_told_so(rig: Rig) -> None:
    spool = rig.spool(partitions=1)
    limited(rig, spool, 20)
    appender = Appender(spool)
    outcomes: list[str] = []

    async def call() -> None:
        try:
            await appender.run(20)
        except SpoolClosed:
            outcomes.append("closed")

    with trio.fail_after(30):
        async with trio.open_nursery() as callers, trio.open_nursery() as writing:
            writing.start_soon(spool.write)
            callers.start_soon(call)
            await eventually(lambda: spool.disk_full)
            writing.cancel_scope.cancel()
    assert outcomes == ["closed"]
    assert [each["data"]["n"] for each in rig.events(TOPIC)] == appender.confirmed


async def test_new_partition_counts_wait_for_room_and_lose_nothing(rig: Rig, nursery: trio.Nursery) -> None:
    spool = rig.spool(partitions=1)
    nursery.start_soon(spool.write)
    other = [event(number, f"key{number}", subject=noise(3000)) for number in range(200)]
    await spool.append(ORIGIN, other, {})
    limited(rig, spool, 0)
    done = trio.Event()

    async def assign() -> None:
        await spool.assign(TOPIC, 60)
        done.set()

    nursery.start_soon(assign)
    await eventually(lambda: spool.disk_full or done.is_set())
    spool._store._writer.execute("PRAGMA max_page_count=100000")
    with trio.fail_after(30):
        await done.wait()
    assert sorted(each["data"]["n"] for each in rig.events(TOPIC)) == list(range(200))


# -- a filesystem of its own


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a directory on a filesystem of 100 MiB."""
    home = tmp_path / "small"
    home.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "none", str(home)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small filesystem")
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small filesystem: {mounted.stderr.strip()}")
    try:
        yield home
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)


def fill_up(home: Path) -> Path:
    filler = home / "filler"
    with filler.open("wb", buffering=0) as file:
        block = b"x" * 65536
        try:
            while True:
                file.write(block)
        except OSError:
            block = b"x" * 512
        try:
            while file.write(block):
                pass
        except OSError:
            pass
    return filler


async def test_on_a_full_filesystem_rows_leave_and_gaps_are_written_in_the_last_room_until_there_is_more(
    small_disk: Path,
) -> None:
    rig = Rig(small_disk)
    spool = rig.spool(partitions=1)
    ballast = small_disk / "ballast"
    assert ballast.stat().st_size == 16 * 1024**2
    async with trio.open_nursery() as writing:
        writing.start_soon(spool.write)
        appender = Appender(spool)
        await appender.run(30)
        filler = fill_up(small_disk)
        async with trio.open_nursery() as appending:
            appending.start_soon(appender.run, 100)
            await eventually(lambda: spool.disk_full)
            for number in range(40):
                await spool.append(ORIGIN, [event(number, stream=GAPS)], {}, own=True)
            while spool.lane(TOPIC, 0).has_rows:
                for row in await spool.lane(TOPIC, 0).take():
                    spool.acknowledge([row])
                    await spool.flush()
            assert rig.dumped(TOPIC) == []
            assert len(rig.events(f"p.{GAPS.topic}")) == 40
            assert (spool.disk_full, len(appender.confirmed), ballast.exists()) == (True, 30, False)
            filler.unlink()
            await eventually(lambda: len(appender.confirmed) == 130)
        await eventually(ballast.exists)
        assert [each["data"]["n"] for each in rig.events(TOPIC)] == list(range(100))
        writing.cancel_scope.cancel()
    sequences = [int(each["sequence"]) for each in rig.events(TOPIC)]
    assert sequences == list(range(sequences[0], sequences[-1] + 1))
    rig.close()


async def test_a_spool_that_fills_the_disk_by_itself_leaves_the_last_room_and_gets_out_again(
    small_disk: Path,
) -> None:
    rig = Rig(small_disk)
    spool = rig.spool(partitions=1, max_bytes=10 * ROOM)
    async with trio.open_nursery() as writing:
        writing.start_soon(spool.write)
        appender = Appender(spool)
        async with trio.open_nursery() as appending:
            appending.start_soon(appender.run, 3000)
            read: list[int] = []
            while len(read) < 3000:
                if len(appender.confirmed) < 3000:
                    await eventually(lambda: spool.disk_full or len(appender.confirmed) == 3000)
                while spool.lane(TOPIC, 0).has_rows:
                    rows = await spool.lane(TOPIC, 0).take()
                    read += numbers(rows)
                    spool.acknowledge(rows)
                await spool.flush()
        assert read == list(range(3000))
        writing.cancel_scope.cancel()
    rig.close()


def test_a_spool_opens_on_a_full_filesystem(small_disk: Path) -> None:
    rig = Rig(small_disk)
    rig.store()
    Ballast(small_disk).reserve()
    rig.close()
    fill_up(small_disk)
    assert not rig.store().fresh
    rig.close()


def test_no_ballast_is_taken_where_it_would_fill_the_disk_itself(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(60 * 1024**2))
    assert not Ballast(small_disk).reserve()
    assert not (small_disk / "ballast").exists()
    (small_disk / "filler").unlink()
    assert Ballast(small_disk).reserve()
