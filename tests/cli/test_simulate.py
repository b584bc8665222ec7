"""`streamd simulate`."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from streamd.__main__ import main
from streamd.simulators import avaya

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_ends_with_0(ended_by: signal.Signals) -> None:
    command = [sys.executable, "-m", "streamd", "simulate", "avaya", "--fault", "live-full"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("base_url http://127.0.0.1:")
        process.send_signal(ended_by)
        _, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (0, "")


def test_help_lists_every_fault(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["simulate", "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert all(name in out for name in avaya.FAULTS)


def test_an_unknown_fault_is_78_and_an_unknown_vendor_wrong_usage(capsys: Capture) -> None:
    assert main(["simulate", "avaya", "--fault", "no-such-fault"]) == 78
    assert "no-such-fault" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        main(["simulate", "nobody"])
    assert caught.value.code == 2


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_a_port_is_a_port(port: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["simulate", "avaya", f"--port={port}"])
    assert caught.value.code == 2


@pytest.mark.parametrize(
    "command",
    [
        ["simulate", "avaya", "--rate", "-1"],
        ["demo", "--seconds", "0"],
        ["demo", "--rate", "inf"],
        ["audit", "--patience", "nan"],
    ],
    ids=" ".join,
)
def test_a_number_that_makes_no_sense_is_wrong_usage(command: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(command)
    assert caught.value.code == 2
    assert "no number from 0 on" in (said := capsys.readouterr().err) or "not above 0" in said
