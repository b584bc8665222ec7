"""The state directory: one daemon at a time, private files, corrupt ones set aside."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from streamd.errors import SpoolUnusable

DATABASE = "spool.db"
_COMPANIONS = ("", "-wal", "-shm")
BALLAST_BYTES = 16 * 1024**2
LEAST_FREE_BYTES = 20 * 1024**2
"""The last room of a disk, for rows to leave and gaps to be declared; the ballast alone is less than that."""
_EPOCH = "%Y%m%dT%H%M%S%fZ"


@contextmanager
def hold(directory: Path) -> Iterator[None]:
    """Make the directory and keep every other daemon out of it while the block runs.

    Raises SpoolUnusable when it is taken, naming the holder's pid, or cannot be written.
    """
    with _usable(directory):
        _make(directory)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with _usable(directory):
            _lock(lock, directory)
        yield
    finally:
        os.close(lock)


def _make(directory: Path) -> None:
    if directory.is_dir():
        return
    directory.mkdir(mode=0o700, parents=True)
    # Or a power cut could take the directory with all that was confirmed in it.
    _fsync(directory.parent, os.O_RDONLY | os.O_DIRECTORY)


def _fsync(path: Path, flags: int) -> None:
    file = os.open(path, flags)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _lock(lock: int, directory: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock, 20, 0).decode(errors="replace").strip() or "unknown"
        raise SpoolUnusable(
            f"the state directory {directory} is in use by another streamd (pid {holder})"
        ) from error
    os.pwrite(lock, f"{os.getpid():<19}\n".encode(), 0)  # of one length: a full disk has room to write over


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    """Map what the system says against using `path`."""
    try:
        yield
    except OSError as error:
        raise SpoolUnusable(f"cannot use {path}: {error.strerror}") from error


def prepare(path: Path) -> None:
    """Create the database file readable by its owner only; SQLite gives its companions the same mode."""
    with _usable(path):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(file, 0o600)
        finally:
            os.close(file)


def set_aside(path: Path, now: datetime) -> Path:
    """Rename a database that cannot be used, with its companions; give its new name."""
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    with _usable(path):
        for suffix in _COMPANIONS:
            companion = path.with_name(path.name + suffix)
            if companion.exists():
                companion.rename(aside.with_name(aside.name + suffix))
    return aside


def next_epoch(directory: Path, now: datetime) -> str:
    """Name a new epoch: the time, but behind every epoch before it, also where the clock went back."""
    with _usable(directory):
        file = directory / "epoch"
        last = file.read_text() if file.exists() else ""
    epoch = now.astimezone(UTC).strftime(_EPOCH)
    return epoch if epoch > last else _after(last) or epoch


def _after(epoch: str) -> str | None:
    """Give the next one; None where the text is no epoch, for what is damaged here must not stop us."""
    try:
        at = datetime.strptime(epoch, _EPOCH)  # noqa: DTZ007 - always UTC
    except ValueError:
        return None
    return (at + timedelta(microseconds=1)).strftime(_EPOCH)


def remember_epoch(directory: Path, epoch: str) -> None:
    """Keep the epoch beside the database too, which may one day be unreadable."""
    file, draft = directory / "epoch", directory / "epoch.new"
    with _usable(directory):
        if file.exists() and file.read_text() == epoch:
            return
        draft.touch(mode=0o600)
        draft.write_text(epoch)
        _fsync(draft, os.O_RDONLY)  # or a power cut could leave an empty file under the name
        draft.replace(file)
        _fsync(directory, os.O_RDONLY | os.O_DIRECTORY)


def free_bytes(directory: Path) -> int:
    """Say how much room the filesystem has for us."""
    with _usable(directory):
        free = os.statvfs(directory)
    return free.f_bavail * free.f_frsize


class Ballast:
    """Room kept on the disk so that a full one can be left again: SQLite needs some even to delete."""

    def __init__(self, directory: Path, size: int = BALLAST_BYTES) -> None:
        self._path = directory / "ballast"
        self._size = size

    def reserve(self) -> bool:
        """Take the room, unless that would fill the disk itself; tell whether it is there."""
        if self._path.exists():
            return True
        if free_bytes(self._path.parent) < 4 * self._size:
            return False
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(file, 0, self._size)
        except OSError:  # somebody else was faster, or the filesystem cannot: then there is none
            self.release()
            return False
        finally:
            os.close(file)
        return True

    def release(self) -> None:
        """Give the room back to the disk."""
        self._path.unlink(missing_ok=True)
