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

from msgspec import Raw, Struct

from streamd.errors import SpoolUnusable
from streamd.model import Record
from streamd.spool.directory import DATABASE
from streamd.spool.migration import FORMAT, refuse_later
from streamd.spool.rows import by_connector, unpacked
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
            "SELECT connector, topic, partition, count(*), sum(count), sum(bytes), min(id) FROM shares"
            " GROUP BY connector, topic, partition ORDER BY connector, topic, partition"
        )
        found = self._connection.execute(query).fetchall()
        return [
            LaneContent(connector, topic, partition, rows, events, size, self._oldest(first, connector))
            for connector, topic, partition, rows, events, size, first in found
        ]

    def problems(self) -> Iterator[str]:
        """Give all that is wrong: what SQLite finds, then row by row what is not as it was written."""
        try:
            for (finding,) in self._connection.execute("PRAGMA integrity_check"):
                if finding != "ok":
                    yield f"the file: {finding}"
            for row_id, _, _, shares, checksum, payload in self._rows(None, None):
                try:
                    unpacked(shares, checksum, payload)
                except SpoolCorrupt as error:
                    yield f"row {row_id}: {error}"
        except sqlite3.DatabaseError as error:
            yield f"the file: {error}"

    def records(self, topic: str | None = None, connector: str | None = None) -> Iterator[Dumped]:
        """Give the records that wait, in the order of their acceptance. Raises SpoolCorrupt."""
        for row_id, place, partition, shares, checksum, payload in self._rows(topic, connector):
            for origin, records in by_connector(*unpacked(shares, checksum, payload)):
                if connector in (None, origin.connector):
                    for record in records:
                        yield _dumped(row_id, origin.connector, place, partition, record)

    def _oldest(self, row_id: int, connector: str) -> datetime | None:
        """Give when a connector's first record of a row was received; None where it has left or cannot be
        read."""
        query = "SELECT shares, checksum, payload FROM rows WHERE id=?"
        row = self._connection.execute(query, (row_id,)).fetchone()
        if row is None:
            return None
        try:
            held = unpacked(*row)
        except SpoolCorrupt:
            return None
        found = (records[0] for origin, records in by_connector(*held) if origin.connector == connector)
        return next((_instant(record.timestamp) for record in found), None)

    def _rows(
        self, topic: str | None, connector: str | None
    ) -> Iterator[tuple[int, str, int, str, int, bytes]]:
        query = (
            "SELECT id, topic, partition, shares, checksum, payload FROM rows"
            " WHERE id > ?1 AND (topic = ?2 OR ?2 IS NULL)"
            " AND (?3 IS NULL OR EXISTS (SELECT 1 FROM shares WHERE id = rows.id AND connector = ?3))"
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
