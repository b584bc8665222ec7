"""Bring a spool of an earlier format up to today's; what waits in it stays."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from streamd.errors import SpoolUnusable
from streamd.spool.rows import packed_anew
from streamd.spool.sqlite import transaction

FORMAT = 2


def refuse_later(path: Path, found: int) -> None:
    """Raise SpoolUnusable for a spool of a format that only a later streamd knows."""
    if found > FORMAT:
        raise SpoolUnusable(f"{path} was written by a later streamd (format {found})")


def migrate(connection: sqlite3.Connection) -> None:
    """Pack the rows of format 1, of which some are plain msgpack, in one transaction. Raises SpoolCorrupt."""
    with transaction(connection):
        for (row_id,) in connection.execute("SELECT id FROM rows").fetchall():
            query = "SELECT checksum, payload FROM rows WHERE id=?"
            checksum, payload = connection.execute(query, (row_id,)).fetchone()
            values = (*packed_anew(payload, checksum), row_id)
            connection.execute("UPDATE rows SET checksum=?, payload=? WHERE id=?", values)
        connection.execute("UPDATE meta SET value=? WHERE name='format'", (str(FORMAT),))
