"""Look into a spool from outside, while its daemon runs or not: what waits, and whether it is sound.

Reads through a connection of its own that cannot write. Each question is a short transaction, so that a long
look never keeps the daemon from folding its WAL.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from streamd.errors import SpoolUnusable
from streamd.model import Record
from streamd.spool.directory import DATABASE
from streamd.spool.migration import FORMAT, refuse_later
from streamd.spool.rows import unpack
from streamd.spool.sqlite import SpoolCorrupt, connect

_ROWS_AT_ONCE = 64


class LaneContent(Struct, frozen=True):
    """What waits of one connector for one partition; `bytes` are its records'."""

    connector: str
    topic: str
    partition: int
    rows: int
    events: int
    bytes: int
    oldest: datetime | None


class Dumped(Struct, frozen=True):
    """One record that waits. `value`: the JSON that it holds, or None."""

    row: int
    connector: str
    topic: str
    partition: int
    timestamp: datetime
    key: str
    headers: dict[str, str]
    value: Raw | None


class Look:
    """An open view of a spool."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @property
    def epoch(self) -> str:
        """Give which spool it is."""
        return str(self._connection.execute("SELECT value FROM meta WHERE name='epoch'").fetchone()[0])

    def lanes(self) -> list[LaneContent]:
        """Give what waits, by connector, topic and partition."""
        query = (
            "SELECT connector, topic, partition, count(*), sum(count), sum(bytes), min(id) FROM rows"
            " GROUP BY connector, topic, partition ORDER BY connector, topic, partition"
        )
        found = self._connection.execute(query).fetchall()
        return [
            LaneContent(connector, topic, partition, rows, events, size, self._oldest(first))
            for connector, topic, partition, rows, events, size, first in found
        ]

    def problems(self) -> Iterator[str]:
        """Give all that is wrong: what SQLite finds, then row by row what is not as it was written."""
        try:
            for (finding,) in self._connection.execute("PRAGMA integrity_check"):
                if finding != "ok":
                    yield f"the file: {finding}"
            for row_id, _, _, _, count, checksum, payload in self._rows(None, None):
                yield from _problems_of(row_id, count, checksum, payload)
        except sqlite3.DatabaseError as error:
            yield f"the file: {error}"

    def records(self, topic: str | None = None, connector: str | None = None) -> Iterator[Dumped]:
        """Give the records that wait, in the order of their acceptance. Raises SpoolCorrupt."""
        for row_id, owner, place, partition, _, checksum, payload in self._rows(topic, connector):
            for record in unpack(payload, checksum):
                yield _dumped(row_id, owner, place, partition, record)

    def _oldest(self, row_id: int) -> datetime | None:
        """Give when the first record of a row was received; None where it has left or cannot be read."""
        row = self._connection.execute("SELECT checksum, payload FROM rows WHERE id=?", (row_id,)).fetchone()
        if row is None:
            return None
        try:
            records = unpack(row[1], row[0])
        except SpoolCorrupt:
            return None
        return _instant(records[0].timestamp)

    def _rows(
        self, topic: str | None, connector: str | None
    ) -> Iterator[tuple[int, str, str, int, int, int, bytes]]:
        query = (
            "SELECT id, connector, topic, partition, count, checksum, payload FROM rows"
            " WHERE id > ?1 AND (topic = ?2 OR ?2 IS NULL) AND (connector = ?3 OR ?3 IS NULL)"
            " ORDER BY id LIMIT ?4"
        )
        after = 0
        while True:
            rows = self._connection.execute(query, (after, topic, connector, _ROWS_AT_ONCE)).fetchall()
            yield from rows
            if len(rows) < _ROWS_AT_ONCE:
                return
            after = rows[-1][0]


@contextmanager
def look(home: Path) -> Iterator[Look]:
    """Look into the spool in a state directory. Raises SpoolUnusable where there is none to be read."""
    path = home / DATABASE
    if not path.exists():
        raise SpoolUnusable(f"there is no spool in {home}")
    try:
        connection = connect(path, read_only=True)
    except sqlite3.OperationalError as error:
        raise SpoolUnusable(f"cannot open {path}: {error}") from error
    with closing(connection):
        try:
            row = connection.execute("SELECT value FROM meta WHERE name='format'").fetchone()
        except sqlite3.DatabaseError as error:
            raise SpoolUnusable(f"cannot read {path}: {error}") from error
        found = FORMAT if row is None else int(row[0])
        refuse_later(path, found)
        if found < FORMAT:
            raise SpoolUnusable(f"{path} has format {found}, not {FORMAT}: `streamd run` brings it up")
        yield Look(connection)


def _problems_of(row_id: int, count: int, checksum: int, payload: bytes) -> Iterator[str]:
    try:
        records = unpack(payload, checksum)
    except SpoolCorrupt as error:
        yield f"row {row_id}: {error}"
        return
    except msgspec.DecodeError as error:
        yield f"row {row_id}: its records cannot be read: {error}"
        return
    if len(records) != count:
        yield f"row {row_id}: holds {len(records)} records, not {count}"


def _dumped(row_id: int, connector: str, topic: str, partition: int, record: Record) -> Dumped:
    headers = {name: value.decode(errors="replace") for name, value in record.headers}
    return Dumped(
        row=row_id,
        connector=connector,
        topic=topic,
        partition=partition,
        timestamp=_instant(record.timestamp),
        key=record.key.decode(errors="replace"),
        headers=headers,
        value=None if record.value is None else Raw(record.value),
    )


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
