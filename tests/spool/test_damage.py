"""Spools that cannot be used: damaged ones are set aside, others are told with the reason."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio

from streamd.errors import SpoolUnusable
from streamd.spool import directory
from streamd.spool.spool import Spool, SpoolClosed
from streamd.spool.sqlite import SpoolCorrupt
from streamd.spool.store import Store
from tests.spool.rig import ORIGIN, START, TOPIC, Rig, event


async def fill(rig: Rig) -> str:
    """Put something into the spool, close it as a clean stop does, and give its epoch."""
    spool = rig.spool(partitions=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spool.write)
        for number in range(50):
            await spool.append(ORIGIN, [event(number, subject="x" * 2000)], {f"n{number}": b"v" * 500})
        nursery.cancel_scope.cancel()
    rig.close()
    return spool.epoch


def garbage_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"this is no database")


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flipped_pages(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for page in range(1, len(content) // 4096, 2):
        content[page * 4096 : page * 4096 + 64] = random.Random(page).randbytes(64)
    path.write_bytes(content)


def another_database(path: Path) -> None:
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE meta (name, value)")
    other.commit()
    other.close()


def lost_tables(path: Path, table: str = "meta") -> None:
    other = sqlite3.connect(path)
    other.execute(f"DROP TABLE {table}")
    other.commit()
    other.close()


def one_page_of_an_index(path: Path) -> None:
    database = sqlite3.connect(path)
    (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name='rows_by_lane'").fetchone()
    database.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096 + 8)
        file.write(b"\xff" * 64)


DAMAGES = [garbage_header, truncated, flipped_pages, one_page_of_an_index, another_database, lost_tables]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_a_damaged_file_is_set_aside_under_a_name_that_tells_when_and_a_new_epoch_begins(
    rig: Rig, damage: Callable[[Path], None]
) -> None:
    old = await fill(rig)
    damage(rig.path)
    damaged = rig.path.read_bytes()
    now = datetime.now(UTC)
    store = rig.store(now=now)
    assert store.aside is not None
    assert store.aside.name == f"spool.db.corrupt-{now:%Y%m%dT%H%M%S.%f}Z"
    assert store.aside.read_bytes()[100:] == damaged[100:]  # the header may tell that we looked
    assert store.fresh
    assert store.epoch > old
    assert (store.numbers(), store.usage(), store.alive()) == ({}, {}, {})


async def test_a_sound_file_is_opened_again_as_it_was(rig: Rig) -> None:
    old = await fill(rig)
    store = rig.store()
    assert (store.fresh, store.aside, store.epoch) == (False, None, old)
    assert store.usage()["emea", TOPIC][2] == 50


async def test_a_condemned_file_is_set_aside_though_it_opens(rig: Rig) -> None:
    old = await fill(rig)
    store = rig.store(condemned=True)
    assert store.fresh
    assert store.aside is not None
    assert store.epoch > old
    aside = sqlite3.connect(store.aside)
    assert aside.execute("SELECT sum(count) FROM shares").fetchone() == (50,)
    aside.close()


def test_a_new_epoch_is_on_the_disk_before_its_file_takes_the_name(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []
    fsync = os.fsync

    def noted(file: int) -> None:
        fsync(file)
        synced.append((Path(f"/proc/self/fd/{file}").readlink().name, (rig.home / "epoch").exists()))

    monkeypatch.setattr(os, "fsync", noted)
    rig.store()
    assert synced == [("epoch.new", False), (rig.home.name, True)]


async def test_an_epoch_is_later_than_the_one_before_also_where_the_clock_went_back(rig: Rig) -> None:
    first = rig.store(now=START).epoch
    second = rig.store(now=START - timedelta(days=400), condemned=True).epoch
    rig.close()
    rig.path.unlink()
    third = rig.store(now=START - timedelta(days=500)).epoch
    fourth = rig.store(now=START + timedelta(days=1), condemned=True).epoch
    assert first < second < third < fourth
    (rig.home / "epoch").write_text("garbage")
    assert rig.store(now=START, condemned=True).fresh


async def test_a_file_of_a_later_streamd_is_left_alone(rig: Rig) -> None:
    await fill(rig)
    later = sqlite3.connect(rig.path)
    later.execute("UPDATE meta SET value='99' WHERE name='format'")
    later.commit()
    later.close()
    with pytest.raises(SpoolUnusable, match="later streamd"):
        rig.store()
    assert sorted(path.name for path in rig.home.glob("*corrupt*")) == []


async def test_pages_that_are_damaged_under_a_running_spool_are_found_when_they_are_read(rig: Rig) -> None:
    await fill(rig)
    spool = rig.spool(partitions=1)
    flipped_pages(rig.path)
    with pytest.raises(SpoolCorrupt):
        await _take_all(spool)


async def _take_all(spool: Spool) -> None:
    while True:
        await spool.lane(TOPIC, 0).take()


async def test_a_damaged_file_ends_the_writer_and_whoever_waits_for_it(rig: Rig) -> None:
    await fill(rig)
    spool = rig.spool(partitions=1)
    lost_tables(rig.path, "state")
    outcomes: list[type[BaseException]] = []

    async def call() -> None:
        try:
            await spool.append(ORIGIN, [event(1)], {"n": b"x"})
        except SpoolClosed as error:
            outcomes.append(type(error))

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(SpoolCorrupt):
                await spool.write()
    assert outcomes == [SpoolClosed]


# -- the directory


async def test_directory_and_files_are_their_owner_s_alone(tmp_path: Path) -> None:
    old = os.umask(0o000)
    try:
        home = tmp_path / "a" / "state"
        with directory.hold(home):
            rig = Rig(home)
            spool = rig.spool()
            assert spool.epoch
            assert home.stat().st_mode & 0o777 == 0o700
            modes = {path.name: path.stat().st_mode & 0o777 for path in home.iterdir()}
            rig.close()
    finally:
        os.umask(old)
    assert modes.keys() >= {"spool.db", "spool.db-wal", "spool.db-shm", "lock", "ballast", "epoch"}
    assert set(modes.values()) == {0o600}


def test_a_file_that_others_could_read_is_made_private(rig: Rig) -> None:
    rig.store()
    rig.close()
    rig.path.chmod(0o644)
    rig.store()
    assert rig.path.stat().st_mode & 0o777 == 0o600


def test_a_second_daemon_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from streamd.spool.directory import hold\n"
        "with hold(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code, str(tmp_path)]
    first = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    with first:
        assert first.stdout is not None
        first.stdout.readline()
        in_use = rf"in use by another streamd \(pid {first.pid}\)"
        with pytest.raises(SpoolUnusable, match=in_use), directory.hold(tmp_path):
            pass
        first.kill()
    with directory.hold(tmp_path):
        pass  # a killed holder holds nothing


def test_a_directory_that_cannot_be_made_or_used_is_told_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolUnusable, match="Not a directory"), directory.hold(tmp_path / "file" / "state"):
        pass
    with pytest.raises(SpoolUnusable, match="File exists"), directory.hold(tmp_path / "file"):
        pass


def test_a_database_that_is_a_directory_or_read_only_is_told_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "spool.db").mkdir()
    with pytest.raises(SpoolUnusable, match="Is a directory"):
        Store(tmp_path / "spool.db", 1000, START)
    with pytest.raises(SpoolUnusable, match="No such file or directory"):
        Store(tmp_path / "nowhere" / "spool.db", 1000, START)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything; see the child of the next test")
def test_a_directory_without_permission_is_told_with_the_reason(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SpoolUnusable, match="Permission denied"), directory.hold(tmp_path):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_directory_of_another_user_is_told_with_the_reason(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from streamd.spool.directory import hold\n"
        "from streamd.errors import SpoolUnusable\n"
        "home = Path(sys.argv[1]); os.setuid(65534)\n"
        "try:\n    with hold(home): pass\n"
        "except SpoolUnusable as error: print(error)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code, str(tmp_path / "state")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=30)
    assert "Permission denied" in done.stdout, done.stderr
