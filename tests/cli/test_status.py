"""`streamd status` and `streamd restart` against a real core, asked as an operator asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from streamd import telemetry
from streamd.__main__ import main
from streamd.connector import Context, Link
from streamd.errors import Rejected
from streamd.status import SubscriptionStatus
from tests.core import Core, open_core

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def quiet_daemon() -> Iterator[None]:
    """Keep the log of the daemon, which runs in this process here, out of what the commands print."""
    with telemetry.configure(descriptor=2, level="critical"):
        yield


async def refuse(context: Context[object], link: Link) -> None:
    raise Rejected("wrong password")


async def streamd(core: Core, *arguments: str) -> int:
    """Run a command in a thread, for the daemon turns in this one."""
    config = str(core.home.with_name("streamd.toml"))
    return await trio.to_thread.run_sync(partial(main, [*arguments, "--config", config]))


async def test_all_live_is_0_with_a_row_for_each_connector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    async with open_core(tmp_path, monkeypatch, connectors=["paris", "rome"]) as core:
        capsys.readouterr()  # the daemon's own log
        assert await streamd(core, "status") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["CONNECTOR", "VENDOR", "STATE"]
    assert [line.split()[:3] for line in lines[1:3]] == [["paris", "lamp", "live"], ["rome", "lamp", "live"]]
    assert any(line.startswith("kafka: away: ") for line in lines)
    assert any(line.startswith("spool: ") for line in lines)


async def test_the_subscriptions_that_a_connector_keeps_are_told_with_their_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    kept = [
        SubscriptionStatus("dialog_end", "active"),
        SubscriptionStatus("audit", "blocked_foreign", "theirs"),
    ]
    async with open_core(tmp_path, monkeypatch, connectors=["paris"]) as core:
        core.daemon.fleet.runtimes["paris"].show_subscriptions(kept)
        assert await streamd(core, "status") == 0
        shown = capsys.readouterr().out
        assert await streamd(core, "status", "paris", "--json") == 0
    assert "subscription: paris dialog_end: active\n" in shown
    assert "subscription: paris audit: blocked_foreign, theirs\n" in shown
    told = json.loads(capsys.readouterr().out)["subscriptions"]
    assert [each["state"] for each in told] == ["active", "blocked_foreign"]


async def test_one_that_is_not_live_is_1_with_its_reason_and_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    async with open_core(tmp_path, monkeypatch, connectors=["paris", "rome"]) as core:
        await core.lamps["rome"].obey(refuse)
        await core.reach("rome", "refused")
        assert await streamd(core, "status") == 1
        shown = capsys.readouterr().out
        assert await streamd(core, "status", "paris") == 0
        assert "rome" not in capsys.readouterr().out
        assert await streamd(core, "status", "rome") == 1
    assert "wrong password" in shown
    assert any(line.startswith("gap: rome lamp: ") and "now (open)" in line for line in shown.splitlines())


async def test_json_is_the_whole_report_or_the_one_connector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    async with open_core(tmp_path, monkeypatch, connectors=["paris"]) as core:
        assert await streamd(core, "status", "--json") == 0
        whole = json.loads(capsys.readouterr().out)
        assert await streamd(core, "status", "paris", "--json") == 0
        one = json.loads(capsys.readouterr().out)
    assert whole["connectors"]["paris"].keys() == one.keys()
    assert (whole["spool"]["epoch"], one["state"]) == (core.daemon.spool.epoch, "live")


async def test_a_name_that_is_not_running_is_1_with_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    async with open_core(tmp_path, monkeypatch, connectors=["paris", "rome"]) as core:
        assert await streamd(core, "status", "roma") == 1
        assert await streamd(core, "restart", "roma") == 1
    messages = capsys.readouterr().err.splitlines()
    assert messages == ["error: no connector 'roma' is running; there is: paris, rome"] * 2


async def test_restart_starts_a_refused_connector_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    async with open_core(tmp_path, monkeypatch, connectors=["paris"]) as core:
        await core.lamps["paris"].obey(refuse)
        await core.reach("paris", "refused")
        assert await streamd(core, "restart", "paris") == 0
        await core.reach("paris", "live")
    assert capsys.readouterr().out.endswith("paris restarted\n")


@pytest.mark.parametrize("command", [["status"], ["restart", "paris"]])
def test_without_a_daemon_it_is_1_and_says_which_directory(
    command: list[str], tmp_path: Path, capsys: Capture
) -> None:
    config = tmp_path / "streamd.toml"
    config.write_text(f"[kafka]\nbootstrap_servers = ['localhost:9092']\n[spool]\ndirectory = '{tmp_path}'\n")
    assert main([*command, "--config", str(config)]) == 1
    said = capsys.readouterr().err
    assert said == (
        f"error: no streamd is running on the state directory {tmp_path} (there is no control socket)\n"
    )


@pytest.mark.parametrize("command", [["status"], ["restart", "paris"], ["spool", "ls"]])
def test_bad_configuration_is_78(command: list[str], tmp_path: Path) -> None:
    assert main([*command, "--config", str(tmp_path / "nowhere.toml")]) == 78


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["status"], 1),
        (["restart", "emea"], 1),
        (["backfill", "emea", "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T00:00:00Z"], 1),
        (["spool", "ls"], 1),
        (["topics", "--acls"], 0),
        (["check"], 78),
        (["run"], 78),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_secrets_of_the_unit_are_missed_only_by_the_commands_that_use_them(
    command: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setenv("SPOOL", str(tmp_path))
    config = tmp_path / "streamd.toml"
    config.write_text("""
        [kafka]
        bootstrap_servers = ["localhost:9092"]
        [spool]
        directory = { env = "SPOOL" }
        [admin]
        token = { credential = "admin-token" }
        [connectors.emea]
        type = "avaya"
        base_url = "https://eu.api.avayacloud.com"
        account_id = "ABCDEF"
        client_id = "streamd"
        client_secret = { credential = "avaya-secret" }
        appkey = { env = "NOT_SET" }
        measure_producers = ["Agent_itd_1.0.0"]
    """)
    assert main([*command, "--config", str(config)]) == code
    said = capsys.readouterr().err
    assert ("connectors.emea.client_secret" in said) == (code == 78)


def test_a_secret_that_a_command_uses_is_missed(tmp_path: Path, capsys: Capture) -> None:
    config = tmp_path / "streamd.toml"
    config.write_text("""
        [kafka]
        bootstrap_servers = ["localhost:9092"]
        [spool]
        directory = { env = "NOT_SET" }
    """)
    assert main(["status", "--config", str(config)]) == 78
    assert "spool.directory" in capsys.readouterr().err
