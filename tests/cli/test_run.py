"""`streamd run` as systemd knows it: signals in, exit codes and log lines out.

No Kafka and no vendor is there.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.process import Run, running, starting, streamd

AVAYA = """
[connectors.{name}]
type = "avaya"
base_url = "http://127.0.0.1:1"
account_id = "ABCDEF"
client_id = "streamd"
client_secret = "not so secret"
appkey = "key"
measure_producers = ["Agent_itd_1.0.0"]
"""
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a configuration with these connectors and gives its path."""

    def write_one(*names: str, listen: str = "127.0.0.1:0", more: str = "") -> Path:
        path = tmp_path / "streamd.toml"
        path.write_text(
            '[kafka]\nbootstrap_servers = ["127.0.0.1:1"]\n'
            f"[spool]\ndirectory = '{tmp_path / 'state'}'\n[admin]\nlisten = '{listen}'\n"
            + "".join(AVAYA.format(name=name) for name in names)
            + more
        )
        return path

    return write_one


def test_sigterm_drains_and_exits_0(write: Write, tmp_path: Path) -> None:
    with running(write(), tmp_path) as run:
        run.signal(signal.SIGTERM)
        assert run.ended() == 0
        assert [line["event"] for line in run.log][-2:] == ["draining", "stopped"]
        assert run.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_before_the_daemon_can_obey_waits_until_it_can(
    number: signal.Signals, write: Write, tmp_path: Path
) -> None:
    with starting(write("emea"), tmp_path) as run:
        run.holds(number)
        run.signal(signal.SIGHUP)
        run.signal(number)
        assert run.ended() == 0
        assert [line["event"] for line in run.log][-1] == "stopped"
        assert run.stderr == ""


def test_a_second_signal_cuts_the_drain_short(write: Write, tmp_path: Path) -> None:
    with running(write("emea"), tmp_path) as run:
        run.signal(signal.SIGTERM)
        run.said("draining")
        run.signal(signal.SIGINT)
        assert run.ended() == 0
        assert run.log[-2]["event"] == "drain_cut_short"


def test_bad_configuration_exits_78_with_every_mistake_and_touches_nothing(
    write: Write, tmp_path: Path
) -> None:
    ended = streamd("run", write(listen="nowhere", more="[nonsense]\n"))
    assert ended.returncode == 78
    assert [line.split(": ")[1] for line in ended.stderr.splitlines()] == ["nonsense", "admin.listen"]
    assert not (tmp_path / "state").exists()


def test_a_missing_configuration_exits_78_with_its_name(tmp_path: Path) -> None:
    ended = streamd("run", tmp_path / "nowhere.toml")
    assert ended.returncode == 78
    assert "nowhere.toml" in ended.stderr


def test_a_second_daemon_on_the_same_directory_is_refused_with_the_pid_of_the_first(
    write: Write, tmp_path: Path
) -> None:
    config = write()
    with running(config, tmp_path) as first:
        second = streamd("run", config)
        assert second.returncode == 1
        assert f"in use by another streamd (pid {first.pid})" in second.stderr
        assert streamd("status", config).returncode == 0


def test_an_address_in_use_exits_1_and_says_which(write: Write) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = streamd("run", write(listen=address))
    assert ended.returncode == 1
    assert ended.stderr == f"error: cannot listen on {address}: Address already in use\n"


def test_a_state_directory_that_cannot_be_used_exits_1(write: Write, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    ended = streamd("run", write())
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: cannot use ")
    assert f"{tmp_path / 'state'}: " in ended.stderr


def test_a_killed_daemon_leaves_nothing_that_keeps_the_next_from_starting(
    write: Write, tmp_path: Path
) -> None:
    config = write("emea")
    with running(config, tmp_path) as first:
        first.kill()
        assert (tmp_path / "state" / "control.sock").exists()
    second = Run(config, tmp_path)
    try:
        second.said("started", count=2)
        assert streamd("status", config).stdout.startswith("CONNECTOR")
    finally:
        second.kill()


def test_sighup_with_a_bad_configuration_changes_nothing_and_says_so(write: Write, tmp_path: Path) -> None:
    config = write("emea")
    with running(config, tmp_path) as run:
        write("emea", "apac", more="partitions = 'six'\n")
        run.signal(signal.SIGHUP)
        problems = run.said("reload_refused")["problems"]
        assert [problem.split(":")[0] for problem in problems] == ["connectors.apac.partitions"]
        write("emea")
        assert "apac" not in streamd("status", config).stdout


def test_sighup_starts_and_stops_what_the_new_configuration_says(write: Write, tmp_path: Path) -> None:
    config = write("emea", "latam")
    with running(config, tmp_path) as run:
        write("emea", "apac")
        run.signal(signal.SIGHUP)
        assert run.said("reloaded")["changed"] == ["apac", "latam"]
        listed = streamd("status", config).stdout
        assert "emea" in listed
        assert "apac" in listed
        assert not any(line.startswith("latam") for line in listed.splitlines())


def test_no_secret_is_in_the_log(write: Write, tmp_path: Path) -> None:
    with running(write("emea"), tmp_path) as run:
        run.said("link_lost")
        run.signal(signal.SIGTERM)
        run.said("draining")
        run.signal(signal.SIGTERM)
        run.ended()
        assert "not so secret" not in str(run.log) + run.stderr
