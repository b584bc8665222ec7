"""The spool's SQLite file: what is in it and each statement that touches it.

Everything here blocks. There are three connections, each used by one thread at a time: the writer's, the
publisher's (`rows_after`) and the main thread's (`state`, `states`); WAL lets two look while one writes.
`synchronous=FULL`: a commit has been fsynced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from streamd.errors import SpoolUnusable
from streamd.publish.partitioner import Partitioner
from streamd.spool import directory
from streamd.spool.migration import FORMAT, migrate, refuse_later
from streamd.spool.rows import SCHEMA, LaneSize, Row, TopicRows, by_connector, packed, unpacked
from streamd.spool.sqlite import SpoolCorrupt, SpoolDiskFull, connect, mapped, transaction

_PAGE = 4096
_MANY = 500  # rows of a statement: SQLite takes 32,766 values
_WAL_PAGES = 2000  # 8 MiB: they fit into the last room of a disk when they are folded into the file
# For keyed state, indexes, streamd's own events (some 16 MiB a connector) and what an append goes beyond a
# share: at the file's end every connector stops.
_ROOM = 256 * 1024**2
_OTHERS = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
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


class Commit(Struct):
    """One transaction."""

    rows: Sequence[Row] = ()
    numbers: Numbers = field(default_factory=dict)
    changes: Mapping[tuple[str, str], bytes | None] = field(default_factory=dict)
    alive: Mapping[tuple[str, str], datetime | None] = field(default_factory=dict)
    deleted: Sequence[int] = ()
    topics: Mapping[str, int] = field(default_factory=dict)


class Store:
    """An open spool file. `fresh`: it was made just now; `aside`: the corrupt one it replaces."""

    def __init__(self, path: Path, max_bytes: int, now: datetime, condemned: bool = False) -> None:
        """Open or make the file. A corrupt or `condemned` one is set aside first, and `aside` names it.

        `max_bytes` is what may wait in it; the file may grow somewhat beyond. Raises SpoolUnusable.
        """
        self.path = path
        self.aside: Path | None = None
        if condemned and path.exists():
            self.aside = directory.set_aside(path, now)
        try:
            self._open(max_bytes, now)
        except SpoolCorrupt:
            self.aside = directory.set_aside(path, now)
            self._open(max_bytes, now)
        except SpoolDiskFull:
            directory.Ballast(path.parent).release()
            self._open_on_full_disk(max_bytes, now)
        self.epoch = self._meta("epoch")
        directory.remember_epoch(path.parent, self.epoch)

    def _open(self, max_bytes: int, now: datetime) -> None:
        directory.prepare(self.path)
        with mapped(), ExitStack() as stack:
            self._writer = stack.enter_context(closing(connect(self.path)))
            self._writer.execute("PRAGMA journal_mode=WAL")
            self._writer.execute("PRAGMA synchronous=FULL")
            # Debian builds SQLite to overwrite what is deleted: each row would be written twice, and freeing
            # a full disk would need as much room as it frees.
            self._writer.execute("PRAGMA secure_delete=OFF")
            self._writer.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
            self._writer.execute("PRAGMA journal_size_limit=67108864")
            self._writer.execute(f"PRAGMA max_page_count={(max_bytes + max_bytes // 4 + _ROOM) // _PAGE}")
            found = self._writer.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise SpoolCorrupt(found)
            self.fresh = not self._is_ours()
            if self.fresh:
                self._begin(now)
            self._reader = stack.enter_context(closing(connect(self.path)))
            self._states = stack.enter_context(closing(connect(self.path)))
            for each in self._reader, self._states:
                each.execute("PRAGMA cache_size=-128")  # KiB: they read each page once
            stack.pop_all()

    def _open_on_full_disk(self, max_bytes: int, now: datetime) -> None:
        try:
            self._open(max_bytes, now)
        except SpoolDiskFull as error:
            raise SpoolUnusable(f"cannot use {self.path}: {error}") from error

    def _is_ours(self) -> bool:
        """Tell whether the schema is there, of today's format or brought up to it.

        Raises SpoolUnusable for one that only a later streamd knows.
        """
        if not self._writer.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return False
        found = int(self._meta("format"))
        refuse_later(self.path, found)
        if found < FORMAT:
            migrate(self._writer)
        return True

    def _begin(self, now: datetime) -> None:
        epoch = directory.next_epoch(self.path.parent, now)
        with transaction(self._writer):
            for statement in (SCHEMA + _OTHERS).split(";"):
                self._writer.execute(statement)
            entries = [("format", str(FORMAT)), ("epoch", epoch)]
            self._writer.executemany("INSERT INTO meta VALUES (?, ?)", entries)

    def _meta(self, name: str) -> str:
        row = self._writer.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
        if row is None:
            raise SpoolCorrupt(f"it does not tell its {name}")
        return str(row[0])

    # -- writing, in the writer's thread

    def require_room(self) -> None:
        """Raise SpoolDiskFull where only the last room is left, on the disk and of free pages in the file."""
        room = directory.free_bytes(self.path.parent)
        if room < directory.LEAST_FREE_BYTES:
            room += int(self._look("PRAGMA freelist_count")[0][0]) * _PAGE
        if room < directory.LEAST_FREE_BYTES:
            raise SpoolDiskFull(f"less than {directory.LEAST_FREE_BYTES} bytes are free")

    def commit(self, commit: Commit) -> None:
        """Do one transaction; all of it is on disk when this returns.

        Raises SpoolDiskFull, SpoolCorrupt and SpoolUnusable, and then nothing of it has happened.
        """
        with mapped(), transaction(self._writer):
            self._delete(commit.deleted)
            self._do("INSERT INTO rows VALUES {}", map(packed, commit.rows))
            numbers = commit.numbers.items()
            self._do("REPLACE INTO numbers VALUES {}", ((*source, number) for source, number in numbers))
            self._change(commit.changes)
            self._prove(commit.alive)
            for topic, partitions in commit.topics.items():
                self._know(topic, partitions)

    def _do(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Do a statement with the values of all rows in place of `{}`, _MANY at a time.

        Each statement gives the GIL up, as executemany does for each row: to get it back, 867 times, took
        633 ms under load.
        """
        left = list(rows)
        while left:
            some, left = left[:_MANY], left[_MANY:]
            marks = f"({','.join('?' * len(some[0]))})"
            values = list(chain.from_iterable(some))
            self._writer.execute(statement.format(",".join([marks] * len(some))), values)

    def _delete(self, rows: Iterable[int]) -> None:
        query = "DELETE FROM rows WHERE id IN (SELECT value FROM json_each(?))"
        self._writer.execute(query, (msgspec.json.encode(list(rows)).decode(),))

    def _change(self, changes: Mapping[tuple[str, str], bytes | None]) -> None:
        # Without a SELECT around VALUES, SQLite looks at each name there is: 18 ms of 100,000.
        gone = (key for key, value in changes.items() if value is None)
        self._do("DELETE FROM state WHERE (connector, name) IN (SELECT * FROM (VALUES {}))", gone)
        kept = ((*key, value) for key, value in changes.items() if value is not None)
        self._do("REPLACE INTO state VALUES {}", kept)

    def reassign(self, topic: str, partitions: int, partitioner: Partitioner, first: int) -> int:
        """Move what waits for a topic to where its keys belong now that it has `partitions`.

        The new rows get ids from `first` on; gives the next free id. Order per key is kept: all that waits
        for a key stands in one partition, and each is moved from front to back. One transaction.
        """
        ids = count(first)
        with mapped(), transaction(self._writer):
            old = "SELECT id FROM rows WHERE topic=? AND id<? ORDER BY partition, id"
            for (row_id,) in self._writer.execute(old, (topic, first)).fetchall():
                query = "SELECT shares, checksum, payload FROM rows WHERE id=?"
                held = unpacked(*self._writer.execute(query, (row_id,)).fetchone())
                self._delete([row_id])
                rows = TopicRows(topic, partitions, partitioner)
                for origin, records in by_connector(*held):
                    for record in records:
                        rows.put(origin, record)
                self._do("INSERT INTO rows VALUES {}", map(packed, rows.take(ids)))
            self._know(topic, partitions)
        return next(ids)

    def _prove(self, alive: Mapping[tuple[str, str], datetime | None]) -> None:
        gone = (session for session, at in alive.items() if at is None)
        self._do("DELETE FROM alive WHERE (connector, session) IN (SELECT * FROM (VALUES {}))", gone)
        # In ISO 8601; datetime's own isoformat takes 1.3 us more.
        proven = ((*session, msgspec.to_builtins(at)) for session, at in alive.items() if at is not None)
        self._do("REPLACE INTO alive VALUES {}", proven)

    def _know(self, topic: str, partitions: int) -> None:
        self._writer.execute("REPLACE INTO topics VALUES (?,?)", (topic, partitions))

    def close(self) -> None:
        """Close all connections; the last one to leave folds the WAL into the file."""
        self._states.close()
        self._reader.close()
        self._writer.close()

    # -- reading, in the publisher's thread

    def rows_after(self, topic: str, partition: int, after: int, newest: int, most_bytes: int) -> list[Row]:
        """Give the next rows of one partition, up to id `newest`, in order; at least one if there is any.

        Raises SpoolCorrupt where a row's bytes are not those that were written.
        """
        rows: list[Row] = []
        size = 0
        with mapped():
            cursor = self._reader.execute(
                "SELECT id, shares, checksum, payload FROM rows"
                " WHERE topic=? AND partition=? AND id>? AND id<=? ORDER BY id",
                (topic, partition, after, newest),
            )
            for row_id, *packed_row in cursor:
                row = Row(row_id, topic, partition, *unpacked(*packed_row))
                rows.append(row)
                size += row.bytes
                if size >= most_bytes:
                    break
            cursor.close()
        return rows

    # -- looking, in the writer's thread or while there is none

    def lanes(self, topic: str | None = None) -> list[LaneSize]:
        """Give what waits for each partition, of all topics or of one."""
        query = "SELECT topic, partition, count(*) FROM rows WHERE topic=?1 OR ?1 IS NULL GROUP BY 1, 2"
        return [LaneSize(*row) for row in self._look(query, topic)]

    def usage(self) -> dict[tuple[str, str], tuple[int, int, int]]:
        """Give (connector, topic) -> (bytes, rows, events) that wait."""
        query = "SELECT connector, topic, sum(bytes), count(*), sum(count) FROM shares GROUP BY 1, 2"
        return {(name, topic): (size, rows, events) for name, topic, size, rows, events in self._look(query)}

    def last_row(self) -> int:
        """Give the highest row id, 0 if there is none."""
        return int(self._look("SELECT coalesce(max(id), 0) FROM rows")[0][0])

    def numbers(self) -> Numbers:
        """Give the last number of each source."""
        rows = self._look("SELECT connector, stream, number FROM numbers")
        return {(connector, stream): number for connector, stream, number in rows}

    def alive(self) -> dict[tuple[str, str], datetime]:
        """Give (connector, session) -> its last proof of life."""
        rows = self._look("SELECT connector, session, at FROM alive")
        return {(connector, session): datetime.fromisoformat(at) for connector, session, at in rows}

    def topics(self) -> dict[str, int]:
        """Give topic -> partitions for which its rows were made."""
        return dict(self._look("SELECT topic, partitions FROM topics"))

    def _look(self, query: str, *values: str | None) -> list[Any]:
        with mapped():
            return self._writer.execute(query, values).fetchall()

    # -- looking, in the main thread

    def state(self, connector: str, name: str) -> bytes | None:
        """Give one value of the keyed state: a read of one row."""
        query = "SELECT value FROM state WHERE connector=? AND name=?"
        with mapped():
            row = self._states.execute(query, (connector, name)).fetchone()
        return None if row is None else row[0]

    def states_of(self, connector: str, names: Sequence[str]) -> dict[str, bytes]:
        """Give those of these names that are there, with their values, in one query."""
        query = "SELECT name, value FROM state WHERE connector=? AND name IN (SELECT value FROM json_each(?))"
        with mapped():
            listed = msgspec.json.encode(names).decode()
            return dict(self._states.execute(query, (connector, listed)).fetchall())

    def states(self, connector: str, prefix: str) -> dict[str, bytes]:
        """Give the names that begin with `prefix`, with their values; once a session."""
        query = "SELECT name, value FROM state WHERE connector=? AND name>=? AND name<?"
        with mapped():
            return dict(self._states.execute(query, (connector, prefix, prefix + "\U0010ffff")).fetchall())
