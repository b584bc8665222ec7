"""`streamd` commands as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS = 60.0


class Run:
    """One `streamd run`; its log is read from its stdout."""

    def __init__(self, config: Path, directory: Path) -> None:
        self.config = config
        self._out, self._err = directory / "out.jsonl", directory / "err.txt"
        with self._out.open("ab") as out, self._err.open("ab") as err:
            self._process = subprocess.Popen(
                command("run", config), stdout=out, stderr=err, env=environment()
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._out.read_text().splitlines()]

    def said(self, event: str, count: int = 1) -> dict[str, Any]:
        """Wait until the log has an event so many times; give the last."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            found[:] = [line for line in self.log if line["event"] == event]
            return len(found) >= count

        self._until(is_there, f"{event} in the log")
        return found[-1]

    def holds(self, number: signal.Signals) -> None:
        """Wait until it lets a signal wait (`SigBlk` of proc(5)), which it does before anything else."""

        def is_held() -> bool:
            status = Path(f"/proc/{self.pid}/status").read_text()
            [held] = (line.split()[1] for line in status.splitlines() if line.startswith("SigBlk:"))
            return bool(int(held, 16) >> (number - 1) & 1)

        self._until(is_held, f"holding of {number.name}")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def ended(self) -> int:
        """Wait for its end; give its exit code."""
        return self._process.wait(SECONDS)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _until(self, is_there: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not is_there():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise AssertionError(f"no {what}: {self._out.read_text()}\n{self.stderr}")
            time.sleep(0.02)


@contextmanager
def starting(config: Path, directory: Path) -> Iterator[Run]:
    """Run the daemon, and kill it at the end where it has not ended."""
    run = Run(config, directory)
    try:
        yield run
    finally:
        run.kill()


@contextmanager
def running(config: Path, directory: Path) -> Iterator[Run]:
    """Run the daemon from when it says `started`, and kill it at the end where it has not ended."""
    with starting(config, directory) as run:
        run.said("started")
        yield run


def streamd(what: str, config: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(what, config, *more),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env=environment(),
    )


def command(what: str, config: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "streamd", what, *more, "--config", str(config)]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
