"""Start `streamd run` by forking a process that has imported all of it.

An interpreter that starts from nothing takes a second of CPU before the daemon asks for anything: for a test
that kills it thirty times that is most of the test. What a daemon does is the same.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pkgutil
import sys
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import streamd.cli
from streamd import registry
from streamd.__main__ import main
from tests.daemon import DaemonProcess

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["__main__", __name__])

for _command in pkgutil.iter_modules(streamd.cli.__path__, f"{streamd.cli.__name__}."):
    importlib.import_module(_command.name)
list(registry.all_types().values())


class WarmDaemon(DaemonProcess):
    """A daemon that is there at once. `environment` cannot be given: it is that of the tests."""

    def start(self, **environment: str) -> None:
        assert not environment
        self._process = _Forked(_FORKS.Process(target=_run, args=(self._config, self.log)))  # type: ignore[assignment]


class _Forked:
    """Such a process as `subprocess` would show it."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        process.start()
        self.kill, self.terminate, self.wait = process.kill, process.terminate, process.join

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode


def _run(config: Path, log: Path) -> None:
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.exit(main(["run", "--config", str(config)]))
