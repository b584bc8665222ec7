#!/usr/bin/env python3
"""Run all that must hold: format and lint, to the first failure, then types and tests side by side.

`python3 tests/run.py` needs nothing but Python 3.11 and a package index: outside of a virtual environment
with the test extra it makes one in `$XDG_CACHE_HOME/streamd-tests/`, with the versions of constraints.txt.
Arguments go to pytest.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from importlib import metadata
from pathlib import Path

# Spools, brokers and their logs of three workers at a time: some 300 MB, and what failed stays.
LEAST_FREE_BYTES = 1_000_000_000
ROOT = Path(__file__).resolve().parent.parent
CHECKS = (["ruff", "format", "--check", "."], ["ruff", "check", "."])
# Three files at a time on two processors, for most tests wait: for a broker, a timeout, a daemon. In the
# order of their names: the longest files have few tests, and would all come last.
TESTS = ["pytest", "-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"]


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - for whoever starts it with an older one
        print(f"streamd needs Python 3.11 or newer, this is {sys.version.split()[0]}", file=sys.stderr)
        return 1
    scratch = tempfile.gettempdir()
    free = shutil.disk_usage(scratch).free
    if free < LEAST_FREE_BYTES:
        print(f"the tests need 1 GB of disk, {scratch} has {free / 1e9:.1f} GB free", file=sys.stderr)
        return 1
    python = sys.executable if _has_test_extra() else str(_own_environment())
    for check in CHECKS:
        code = subprocess.run([python, "-m", *check], cwd=ROOT, check=False).returncode
        if code:
            return code
    # What it says goes to stderr: the last of stdout is pytest's closing line.
    with subprocess.Popen([python, "-m", "mypy"], cwd=ROOT, stdout=sys.stderr) as types:
        tests = subprocess.run([python, "-m", *TESTS, *sys.argv[1:]], cwd=ROOT, check=False).returncode
    if types.returncode:
        print(f"the types are wrong (above, mypy ended with {types.returncode})", file=sys.stderr)
    return tests or types.returncode


def _has_test_extra() -> bool:
    """Say whether this is a virtual environment with every package that pyproject.toml asks for."""
    import tomllib  # not before main has looked at the version

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["test"] + ["confluent-kafka"]
    names = {re.split(r"[^\w.-]", requirement)[0] for requirement in wanted} - {"streamd"}
    return sys.prefix != sys.base_prefix and all(map(_is_installed, names))


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _own_environment() -> Path:
    """Return the Python of the environment for this checkout and these versions, made the first time."""
    asked = b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    key = hashlib.sha256(asked + str(ROOT).encode() + sys.version.encode()).hexdigest()[:16]
    directory = Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "streamd-tests", f"venv-{key}"
    )
    python, complete = directory / "bin" / "python", directory / "complete"
    if not complete.exists():
        print(f"making {directory}", file=sys.stderr)
        venv.create(directory, clear=True, with_pip=True)
        install = [
            python,
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "-c",
            "constraints.txt",
        ]
        subprocess.run([*install, "-e", ".[test]"], cwd=ROOT, check=True, stdout=sys.stderr)
        complete.touch()
    return python


if __name__ == "__main__":
    sys.exit(main())
