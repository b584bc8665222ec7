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

    Until format 2 a row was of one connector. One transaction; row by row, so that the file gets no larger.
    Raises SpoolCorrupt.
    """
    with transaction(connection):
        connection.execute("DROP INDEX rows_by_lane")
        connection.execute("ALTER TABLE rows RENAME TO former")
        for statement in SCHEMA.split(";"):
            connection.execute(statement)
        for (row_id,) in connection.execute("SELECT id FROM former ORDER BY id").fetchall():
            former = "SELECT checksum, payload FROM former WHERE id=?"
            checksum, payload = connection.execute(former, (row_id,)).fetchone()
            connection.execute(
                "INSERT INTO rows SELECT id, topic, partition,"
                " json_array(json_array(connector, vendor, count, bytes)), ?, ? FROM former WHERE id=?",
                (*packed_anew(payload, checksum), row_id),
            )
            connection.execute("DELETE FROM former WHERE id=?", (row_id,))
        connection.execute("DROP TABLE former")
        connection.execute("UPDATE meta SET value=? WHERE name='format'", (str(FORMAT),))
