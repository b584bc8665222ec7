"""The state directory: one daemon at a time, private files, corrupt ones set aside."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from streamd.errors import SpoolUnusable

DATABASE = "spool.db"
_COMPANIONS = ("", "-wal", "-shm")


@contextmanager
def hold(directory: Path) -> Iterator[None]:
    """Make the directory and keep every other daemon out of it while the block runs.

    Raises SpoolUnusable when it is taken, naming the holder's pid, or cannot be written.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SpoolUnusable(f"cannot use the state directory {directory}: {error.strerror}") from error
    try:
        _lock(lock, directory)
        yield
    finally:
        os.close(lock)


def _lock(lock: int, directory: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock, 20, 0).decode(errors="replace").strip() or "unknown"
        raise SpoolUnusable(
            f"the state directory {directory} is in use by another streamd (pid {holder})"
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def prepare(path: Path) -> None:
    """Create the database file readable by its owner only; SQLite gives its companions the same mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def set_aside(path: Path, now: datetime) -> Path:
    """Rename a database that cannot be used, with its companions; give its new name."""
    stamp = now.strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    for suffix in _COMPANIONS:
        companion = path.with_name(path.name + suffix)
        if companion.exists():
            companion.rename(aside.with_name(aside.name + suffix))
    return aside


class Ballast:
    """Room kept on the disk so that a full one can be left again: SQLite needs some even to delete."""

    _BYTES = 16 * 1024**2

    def __init__(self, directory: Path) -> None:
        self._path = directory / "ballast"

    def reserve(self) -> None:
        """Take the room, unless that would fill the disk itself."""
        free = os.statvfs(self._path.parent)
        if self._path.exists() or free.f_bavail * free.f_frsize < 4 * self._BYTES:
            return
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(file, 0, self._BYTES)
        finally:
            os.close(file)

    def release(self) -> None:
        """Give the room back to the disk."""
        self._path.unlink(missing_ok=True)
