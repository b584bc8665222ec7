"""SQLite as the spool uses it: connections, transactions, and its errors as ours."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from streamd.errors import SpoolUnusable, StreamdError

BUSY_TIMEOUT_SECONDS = 5.0


class SpoolCorrupt(StreamdError):
    """The file is damaged, or is not what was written."""


class SpoolBusy(SpoolUnusable):
    """Another process, such as a `sqlite3` shell, has the file locked."""


class SpoolDiskFull(StreamdError):
    """The filesystem, or the size the spool may have, is used up."""


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the file in autocommit mode; the caller sees to it that one thread at a time uses it."""
    uri = f"file:{path}?mode={'ro' if read_only else 'rw'}"
    return sqlite3.connect(
        uri, uri=True, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
    )


# SQLITE_ERROR: our statements are constant and tested, so the tables are not the ones we made.
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


class mapped:
    """Map SQLite's errors to ours while the block runs."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, sqlite3.DatabaseError):
            return
        if not hasattr(error, "sqlite_errorcode"):
            if isinstance(error, sqlite3.OperationalError):  # whose message would show the data
                raise SpoolCorrupt("a text is no UTF-8") from None
            return  # the sqlite3 module was misused: a bug
        code = error.sqlite_errorcode & 0xFF
        if code == sqlite3.SQLITE_FULL or error.sqlite_errorcode == sqlite3.SQLITE_IOERR_SHMSIZE:
            raise SpoolDiskFull(str(error)) from error
        if code in _DAMAGED:
            raise SpoolCorrupt(str(error)) from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise SpoolBusy(f"another process has it locked: {error}") from error
        raise SpoolUnusable(f"SQLite: {error} ({error.sqlite_errorname})") from error


class transaction:
    """Commit what the block does, or nothing of it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
