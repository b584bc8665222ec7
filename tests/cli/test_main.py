"""The command line itself: help, version, exit codes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from streamd import __version__
from streamd.__main__ import main

Capture = pytest.CaptureFixture[str]


def test_without_a_command_it_prints_help_and_says_wrong_usage(capsys: Capture) -> None:
    assert main([]) == 2
    assert "COMMAND" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--version"], 0), (["nonsense"], 2), (["check", "--x"], 2)]
)
def test_argparse_decides_about_version_and_wrong_usage(
    arguments: list[str], code: int, capsys: Capture
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == code
    assert arguments != ["--version"] or capsys.readouterr().out == f"streamd {__version__}\n"


@pytest.mark.parametrize("command", ["check", "topics", "run"])
def test_bad_configuration_is_78_with_each_mistake_on_its_own_line(
    command: str, config_file: Callable[..., str], capsys: Capture
) -> None:
    path = config_file('bootstrap_servers = []\npartitions = "six"', "wait = 5")
    assert main([command, "--config", path]) == 78
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line.split(": ")[1] for line in printed.err.splitlines()] == [
        "kafka.partitions",
        "kafka.bootstrap_servers",
        "connectors.paris.wait",
    ]


def test_a_reader_that_has_seen_enough_is_no_error_with_a_traceback() -> None:
    script = f"{sys.executable} -m streamd schema | head -c 1"
    ended = subprocess.run(["bash", "-c", script], capture_output=True, timeout=60, check=False)
    assert (ended.stdout, ended.stderr) == (b"{", b"")
