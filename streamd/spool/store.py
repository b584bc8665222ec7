"""The spool's SQLite file: what is in it and each statement that touches it.

Everything here blocks and runs in a worker thread. One writer at a time; readers have a connection of their
own, which WAL lets look while the writer writes. `synchronous=FULL`: a commit has been fsynced.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from streamd.errors import StreamdError
from streamd.model import Origin, Record
from streamd.spool import directory

FORMAT = 1
_PAGE = 4096
_ROOM = 128 * 1024**2  # for keyed state, indexes and streamd's own events
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE rows (
    id INTEGER PRIMARY KEY, connector TEXT NOT NULL, vendor TEXT NOT NULL, topic TEXT NOT NULL,
    partition INTEGER NOT NULL, count INTEGER NOT NULL, bytes INTEGER NOT NULL, checksum INTEGER NOT NULL,
    payload BLOB NOT NULL);
CREATE INDEX rows_by_lane ON rows (topic, partition, id);
CREATE TABLE numbers (connector TEXT, stream TEXT, number INTEGER NOT NULL, PRIMARY KEY (connector, stream))
    WITHOUT ROWID;
CREATE TABLE state (connector TEXT, name TEXT, value BLOB NOT NULL, PRIMARY KEY (connector, name))
    WITHOUT ROWID;
CREATE TABLE alive (connector TEXT, session TEXT, at TEXT NOT NULL, PRIMARY KEY (connector, session))
    WITHOUT ROWID;
CREATE TABLE topics (topic TEXT PRIMARY KEY, partitions INTEGER NOT NULL) WITHOUT ROWID;
"""

Numbers = dict[tuple[str, str], int]
"""(connector, stream) -> the last number given."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Record]).decode


class SpoolCorrupt(StreamdError):
    """SQLite finds the file damaged."""


class SpoolDiskFull(StreamdError):
    """The filesystem, or the size the spool may have, is used up."""


class Row(Struct):
    """Some records of one connector for one partition, in order. `records` None: still in the file."""

    id: int
    origin: Origin
    topic: str
    partition: int
    count: int
    bytes: int
    records: list[Record] | None = None


class LaneSize(Struct, frozen=True):
    """What waits in the file for one partition."""

    topic: str
    partition: int
    rows: int


class Commit(Struct):
    """One transaction."""

    rows: list[Row]
    numbers: Numbers
    changes: dict[tuple[str, str], bytes | None]
    alive: dict[tuple[str, str], datetime]
    deleted: list[int]


class Store:
    """An open spool file. `fresh`: it was made just now; `aside`: the corrupt one it replaces."""

    def __init__(self, path: Path, max_bytes: int, now: datetime, condemned: bool = False) -> None:
        """Open or make the file. A corrupt or `condemned` one is set aside first, and `aside` names it.

        `max_bytes` is what may wait in it; the file may grow somewhat beyond.
        """
        self.path = path
        self.aside: Path | None = None
        if condemned and path.exists():
            self.aside = directory.set_aside(path, now)
        directory.prepare(path)
        try:
            self._open(max_bytes)
        except SpoolCorrupt:
            self.aside = directory.set_aside(path, now)
            directory.prepare(path)
            self._open(max_bytes)
        self.fresh = self._begin(now)
        self.epoch = self._meta("epoch")

    def _open(self, max_bytes: int) -> None:
        self._writer = connect(self.path)
        with _mapped():
            self._writer.execute("PRAGMA journal_mode=WAL")
            self._writer.execute("PRAGMA synchronous=FULL")
            self._writer.execute("PRAGMA wal_autocheckpoint=4000")
            self._writer.execute("PRAGMA journal_size_limit=67108864")
            self._writer.execute(f"PRAGMA max_page_count={(max_bytes + max_bytes // 4 + _ROOM) // _PAGE}")
            found = self._writer.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            self._writer.close()
            raise SpoolCorrupt(found)
        self._reader = connect(self.path)
        self._states = connect(self.path)

    def _begin(self, now: datetime) -> bool:
        known = self._writer.execute("SELECT count(*) FROM sqlite_master WHERE name='meta'").fetchone()[0]
        if known:
            return False
        self._writer.executescript("BEGIN IMMEDIATE;" + _SCHEMA)
        epoch = now.astimezone(UTC).strftime("%Y%m%dT%H%M%S%fZ")
        self._writer.executemany(
            "INSERT INTO meta VALUES (?, ?)", [("format", str(FORMAT)), ("epoch", epoch)]
        )
        self._writer.execute("COMMIT")
        return True

    def _meta(self, name: str) -> str:
        return str(self._writer.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()[0])

    # -- writing, in the writer's thread

    def commit(self, commit: Commit) -> None:
        """Do one transaction; all of it is on disk when this returns.

        Raises SpoolDiskFull and SpoolCorrupt, and then nothing of it has happened.
        """
        with _mapped(), _transaction(self._writer):
            self._delete(commit.deleted)
            self._writer.executemany("INSERT INTO rows VALUES (?,?,?,?,?,?,?,?,?)", map(_packed, commit.rows))
            self._writer.executemany(
                "INSERT INTO numbers VALUES (?,?,?) ON CONFLICT DO UPDATE SET number=excluded.number",
                ((*source, number) for source, number in commit.numbers.items()),
            )
            self._change(commit.changes)
            self._writer.executemany(
                "INSERT INTO alive VALUES (?,?,?) ON CONFLICT DO UPDATE SET at=excluded.at",
                ((*session, at.isoformat()) for session, at in commit.alive.items()),
            )

    def _delete(self, rows: Iterable[int]) -> None:
        self._writer.executemany("DELETE FROM rows WHERE id=?", ((row,) for row in rows))

    def _change(self, changes: Mapping[tuple[str, str], bytes | None]) -> None:
        for (connector, name), value in changes.items():
            if value is None:
                self._writer.execute("DELETE FROM state WHERE connector=? AND name=?", (connector, name))
            else:
                self._writer.execute(
                    "INSERT INTO state VALUES (?,?,?) ON CONFLICT DO UPDATE SET value=excluded.value",
                    (connector, name, value),
                )

    def reassign(self, topic: str, partitions: int, place: Callable[[bytes], int], first: int) -> int:
        """Move what waits for a topic to where its keys belong now that it has `partitions`.

        The new rows get ids from `first` on; gives the next free id. Order per key is kept: all that waits
        for a key stands in one partition, and each is moved from front to back. One transaction.
        """
        with _mapped(), _transaction(self._writer):
            old = "SELECT id FROM rows WHERE topic=? AND id<? ORDER BY partition, id"
            for (row_id,) in self._writer.execute(old, (topic, first)).fetchall():
                query = "SELECT connector, vendor, checksum, payload FROM rows WHERE id=?"
                connector, vendor, checksum, payload = self._writer.execute(query, (row_id,)).fetchone()
                self._delete([row_id])
                for partition, records in _by_partition(unpack(payload, checksum), place).items():
                    size = sum(map(record_bytes, records))
                    origin = Origin(connector, vendor)
                    row = Row(first, origin, topic, partition, len(records), size, records)
                    self._writer.execute("INSERT INTO rows VALUES (?,?,?,?,?,?,?,?,?)", _packed(row))
                    first += 1
            self.know(topic, partitions)
        return first

    def know(self, topic: str, partitions: int) -> None:
        """Remember how many partitions a topic has."""
        self._writer.execute(
            "INSERT INTO topics VALUES (?,?) ON CONFLICT DO UPDATE SET partitions=excluded.partitions",
            (topic, partitions),
        )

    def close(self) -> None:
        """Close both connections; the last one to leave folds the WAL into the file."""
        self._states.close()
        self._reader.close()
        self._writer.close()

    # -- reading, in a reader's thread

    def rows_after(self, topic: str, partition: int, after: int, newest: int, most_bytes: int) -> list[Row]:
        """Give the next rows of one partition, up to id `newest`, in order; at least one if there is any.

        Raises SpoolCorrupt where a row's bytes are not those that were written.
        """
        rows: list[Row] = []
        size = 0
        with _mapped():
            cursor = self._reader.execute(
                "SELECT id, connector, vendor, count, bytes, checksum, payload FROM rows"
                " WHERE topic=? AND partition=? AND id>? AND id<=? ORDER BY id",
                (topic, partition, after, newest),
            )
            for row_id, connector, vendor, count, length, checksum, payload in cursor:
                records = unpack(payload, checksum)
                rows.append(Row(row_id, Origin(connector, vendor), topic, partition, count, length, records))
                size += length
                if size >= most_bytes:
                    break
            cursor.close()
        return rows

    def lanes(self, topic: str | None = None) -> list[LaneSize]:
        """Give what waits for each partition, of all topics or of one."""
        query = "SELECT topic, partition, count(*) FROM rows WHERE topic=?1 OR ?1 IS NULL GROUP BY 1, 2"
        return [LaneSize(*row) for row in self._reader.execute(query, (topic,))]

    def usage(self) -> dict[str, tuple[int, int, int]]:
        """Give connector -> (bytes, rows, events) that wait."""
        query = "SELECT connector, sum(bytes), count(*), sum(count) FROM rows GROUP BY connector"
        return {name: (size, rows, events) for name, size, rows, events in self._reader.execute(query)}

    def last_row(self) -> int:
        """Give the highest row id, 0 if there is none."""
        return int(self._reader.execute("SELECT coalesce(max(id), 0) FROM rows").fetchone()[0])

    def numbers(self) -> Numbers:
        """Give the last number of each source."""
        query = "SELECT connector, stream, number FROM numbers"
        return {(connector, stream): number for connector, stream, number in self._reader.execute(query)}

    def state(self, connector: str, name: str) -> bytes | None:
        """Give one value of the keyed state. For the main thread: it reads one row."""
        query = "SELECT value FROM state WHERE connector=? AND name=?"
        row = self._states.execute(query, (connector, name)).fetchone()
        return None if row is None else row[0]

    def states(self, connector: str, prefix: str) -> dict[str, bytes]:
        """Give the names that begin with `prefix`, with their values. For the main thread, once a session."""
        query = "SELECT name, value FROM state WHERE connector=? AND name>=? AND name<?"
        return dict(self._states.execute(query, (connector, prefix, prefix + "\U0010ffff")))

    def alive(self) -> dict[tuple[str, str], datetime]:
        """Give (connector, session) -> its last proof of life."""
        query = "SELECT connector, session, at FROM alive"
        return {(row[0], row[1]): datetime.fromisoformat(row[2]) for row in self._reader.execute(query)}

    def topics(self) -> dict[str, int]:
        """Give topic -> partitions, as Kafka told last."""
        return dict(self._reader.execute("SELECT topic, partitions FROM topics"))


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the file in autocommit mode; the caller sees to it that one thread at a time uses it."""
    uri = f"file:{path}?mode={'ro' if read_only else 'rw'}"
    return sqlite3.connect(uri, uri=True, timeout=5.0, isolation_level=None, check_same_thread=False)


def unpack(payload: bytes, checksum: int) -> list[Record]:
    """Give a row's records. Raises SpoolCorrupt where the bytes are not those that were written."""
    if zlib.crc32(payload) != checksum:
        raise SpoolCorrupt("the checksum of a row is wrong")
    return _decode(payload)


def _by_partition(records: list[Record], place: Callable[[bytes], int]) -> dict[int, list[Record]]:
    split: dict[int, list[Record]] = {}
    for record in records:
        split.setdefault(place(record.key), []).append(record)
    return split


def record_bytes(record: Record) -> int:
    """Say how much a record counts for: key and value, and about 48 bytes for the rest."""
    return len(record.key) + len(record.value or b"") + 48


def _packed(row: Row) -> tuple[int, str, str, str, int, int, int, int, bytes]:
    payload = _encode(row.records)
    origin = row.origin
    return (
        row.id, origin.connector, origin.vendor, row.topic, row.partition, row.count, row.bytes,
        zlib.crc32(payload), payload,
    )  # fmt: skip


class _mapped:
    """Map SQLite's errors to ours."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, sqlite3.DatabaseError):
            return
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise SpoolDiskFull(str(error)) from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise SpoolCorrupt(str(error)) from error


class _transaction:
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
