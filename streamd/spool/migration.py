"""Bring a spool of an earlier format up to today's; what waits in it stays."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from streamd.errors import SpoolUnusable
from streamd.spool.rows import SCHEMA, packed_anew
from streamd.spool.sqlite import transaction

FORMAT = 3


def refuse_later(path: Path, found: int) -> None:
    """Raise SpoolUnusable for a spool of a format that only a later streamd knows."""
    if found > FORMAT:
        raise SpoolUnusable(f"{path} was written by a later streamd (format {found})")


def migrate(connection: sqlite3.Connection) -> None:
    """Let each row say whose its records are by shares, and pack those of format 1 that are plain msgpack.

    Until format 2 a row was of one connector. One transaction; some rows at a time, so that the file hardly
    grows. Raises SpoolCorrupt.
    """
    with transaction(connection):
        connection.execute("DROP INDEX rows_by_lane")
        connection.execute("ALTER TABLE rows RENAME TO former")
        for statement in SCHEMA.split(";"):
            connection.execute(statement)
        former = (
            "SELECT payload, checksum, id, topic, partition,"
            " json_array(json_array(connector, vendor, count, bytes)) FROM former ORDER BY id LIMIT 64"
        )
        while some := connection.execute(former).fetchall():
            values = [(*columns, *packed_anew(payload, checksum)) for payload, checksum, *columns in some]
            connection.executemany("INSERT INTO rows VALUES (?,?,?,?,?,?)", values)
            connection.executemany("DELETE FROM former WHERE id=?", [row[:1] for row in values])
        connection.execute("DROP TABLE former")
        connection.execute("UPDATE meta SET value=? WHERE name='format'", (str(FORMAT),))
