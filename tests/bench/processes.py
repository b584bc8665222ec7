"""Processes of the bench, and what a process has used, from /proc."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_ROOT = Path(__file__).parents[2]


class Child:
    """A module of this bench in a process of its own, which speaks lines of JSON; `hello` is its first."""

    def __init__(self, module: str, *arguments: object) -> None:
        self._name = f"{module} {arguments}"
        command = [sys.executable, "-m", f"tests.bench.{module}", *map(str, arguments)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT
        )
        self.pid = self._process.pid
        try:
            self.hello = self._read()
        except BaseException:
            self.close()
            raise

    def ask(self, **question: object) -> dict[str, Any]:
        """Send one line and give the answer; RuntimeError when it has ended instead."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} has ended: {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Used(NamedTuple):
    """CPU seconds of a process, user and system, all its threads."""

    user: float
    system: float

    @property
    def total(self) -> float:
        return self.user + self.system

    def since(self, before: Used) -> Used:
        return Used(self.user - before.user, self.system - before.system)


def used(pid: int) -> Used:
    """Look at a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Used(int(fields[11]) / _TICKS, int(fields[12]) / _TICKS)


def is_running(pid: int) -> bool:
    """Tell whether a process of ours has not ended."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def resident_mib(pid: int) -> float:
    """Give the MiB of memory that a process has in RAM (VmRSS)."""
    return _mib(pid, "VmRSS:")


def peak_mib(pid: int) -> float:
    """Give the most MiB of memory that a process ever had in RAM (VmHWM)."""
    return _mib(pid, "VmHWM:")


def _mib(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def threads(pid: int) -> dict[int, tuple[str, float]]:
    """Give the name and CPU seconds of each thread, by its id."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        nanoseconds = int((task / "schedstat").read_text().split()[0])
        found[int(task.name)] = ((task / "comm").read_text().strip(), nanoseconds / 1e9)
    return found
