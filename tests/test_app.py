"""The daemon as a whole: it ends when it is told to, and runs on when it can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import trustme

from streamd import app
from streamd.config.file import load
from streamd.model import Event
from streamd.notify import Notifier
from streamd.registry import all_types
from streamd.spool.sqlite import SpoolCorrupt, SpoolDiskFull
from streamd.spool.store import Store
from tests.core import SWITCHES, Announcer, Lamp, lamp_type, open_core


async def test_a_spool_found_corrupt_at_work_is_replaced_and_the_daemon_runs_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lamps: dict[str, Lamp] = {}
    monkeypatch.setitem(all_types(), "lamp", lamp_type(lamps))
    monkeypatch.setattr(app, "_FLUSH_SECONDS", 0.1)
    path = tmp_path / "streamd.toml"
    path.write_text(
        '[kafka]\nbootstrap_servers = ["127.0.0.1:1"]\n'
        f"[spool]\ndirectory = '{tmp_path / 'state'}'\n[admin]\nlisten = '127.0.0.1:0'\n"
        '[connectors.a]\ntype = "lamp"\n[connectors.b]\ntype = "lamp"\n'
    )
    stores: list[Store] = []
    damaged: list[Store] = []
    commit = Store.commit

    def commit_or_fail(self: Store, what: Any) -> None:
        if self not in stores:
            stores.append(self)
        if self in damaged:
            raise SpoolCorrupt("page 7")
        commit(self, what)

    monkeypatch.setattr(Store, "commit", commit_or_fail)

    async def busy(context: Any, link: Any) -> None:
        while True:
            now = context.clock.now()
            await context.append([Event(SWITCHES, "1", "streamd.lamp.switched", {"on": True}, now)])

    async with trio.open_nursery() as nursery:
        announcer = Announcer({})
        nursery.start_soon(app.run, path, load(path).config, announcer)
        with trio.fail_after(30):
            await announcer.is_ready.wait()
            while "a" not in lamps:
                await trio.sleep(0.01)
            nursery.start_soon(lamps["a"].obey, busy)
            await trio.sleep(0.2)
            damaged += stores
            while len(stores) < 2:
                await trio.sleep(0.01)
        await trio.sleep(0.5)
        nursery.cancel_scope.cancel()
    assert len(stores) == 2
    assert stores[1].epoch > stores[0].epoch
    assert stores[1].aside is not None


async def test_sigterm_ends_the_daemon_although_restarts_take_longer_than_the_goodbye(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_GOODBYE_SECONDS", 0.5)

    async def slow(context: Any, link: Any) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.4)

    names = ["a", "b", "c"]
    async with open_core(tmp_path, monkeypatch, connectors=names) as core, trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(core.lamps[name].obey, slow)
        await trio.sleep(0.1)
        for name in names:
            nursery.start_soon(core.daemon.fleet.restart, name)
        await trio.sleep(0.1)
        core.daemon.stopping.set()
        with trio.fail_after(30):
            while not core.daemon.spool.closed:
                await trio.sleep(0.02)
        nursery.cancel_scope.cancel()


async def test_sigterm_ends_the_daemon_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_GOODBYE_SECONDS", 0.5)
    monkeypatch.setattr(app, "_COMMIT_SECONDS", 0.5)
    commit = Store.commit
    full: list[bool] = []

    def commit_or_fail(self: Store, what: Any) -> None:
        if full:
            raise SpoolDiskFull("full")
        commit(self, what)

    monkeypatch.setattr(Store, "commit", commit_or_fail)
    async with open_core(tmp_path, monkeypatch, connectors=["a"]) as core:
        full.append(True)
        core.daemon.stopping.set()
        with trio.fail_after(30):
            while not core.daemon.spool.closed:
                await trio.sleep(0.02)


async def test_a_reload_asked_for_before_all_is_up_waits_until_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(all_types(), "lamp", lamp_type({}))
    path = tmp_path / "streamd.toml"
    path.write_text(
        '[kafka]\nbootstrap_servers = ["127.0.0.1:1"]\n'
        f"[spool]\ndirectory = '{tmp_path}'\n[admin]\nlisten = '127.0.0.1:0'\n[connectors.a]\ntype = 'lamp'\n"
    )
    monkeypatch.setattr(app, "_FLUSH_SECONDS", 0.1)
    store = Store(tmp_path / "spool.db", 2**30, app.SystemClock().now())
    daemon = app.Daemon(path, load(path).config, store, Notifier({}))
    used: list[bool] = []

    async def reload() -> None:
        used.append(await daemon.reload())
        daemon.stopping.set()

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reload)
            await trio.testing.wait_all_tasks_blocked()
            assert not used
            nursery.start_soon(daemon.run)
    store.close()
    assert used == [True]


async def test_a_reload_restarts_a_connector_whose_certificate_was_renewed_at_the_same_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(trustme.CA().cert_pem.bytes())
    async with open_core(tmp_path, monkeypatch, connectors=["paris", "rome"]) as core:
        with (tmp_path / "streamd.toml").open("a") as table:  # rome's, which is the last
            table.write(f"ca_file = '{trusted}'\n")
        await core.daemon.reload()
        await core.reach("rome", "live")
        paris, rome = core.lamps["paris"], core.lamps["rome"]
        await core.daemon.reload()
        assert core.lamps["rome"] is rome
        trusted.write_bytes(trustme.CA().cert_pem.bytes())
        await core.daemon.reload()
        await core.reach("rome", "live")
        assert core.lamps["rome"] is not rome
        assert core.lamps["paris"] is paris
