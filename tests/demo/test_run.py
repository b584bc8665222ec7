"""`streamd demo` as the README has it: the first that a new user sees."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS = 300.0


@contextmanager
def demo(scratch: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a short one, whose daemon and log are somewhere below `scratch`."""
    command = [sys.executable, "-m", "streamd", "demo", "--seconds", "2", "--rate", "50"]
    environment = os.environ | {"TMPDIR": str(scratch), "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as run:
        try:
            yield run
        finally:
            run.kill()


def test_every_event_is_on_kafka_or_in_a_declared_gap_and_nothing_stays_behind(tmp_path: Path) -> None:
    with demo(tmp_path) as run:
        said, _ = run.communicate(timeout=SECONDS)
        assert run.returncode == 0, said
    assert "Every event that the simulators sent is on Kafka or in a declared gap." in said
    assert list(tmp_path.iterdir()) == []


def test_a_signal_ends_it_with_all_that_it_started(tmp_path: Path) -> None:
    """Deep in the file system, too, where a socket's whole path is longer than an address may be."""
    scratch = tmp_path / ("x" * 100)
    scratch.mkdir()
    with demo(scratch) as run:
        assert run.stdout is not None
        said = next(line for line in run.stdout if "live events" in line)
        assert "avaya-demo live" in said
        [socket] = scratch.glob("*/state/control.sock")
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=SECONDS)
        assert run.returncode == 130
    assert not socket.exists()
    assert list(scratch.iterdir()) == []
