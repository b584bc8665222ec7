"""What a connector gets from streamd beside the spool."""

from __future__ import annotations

from pathlib import Path

from tests.scripted import Record, runtime
from tests.spool.rig import ORIGIN, Rig


async def test_a_connector_has_a_private_directory_for_files_that_outlives_a_restart(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for _ in range(2):
        directory = runtime(rig.spool(), Record(), rig.clock).directory()
        (directory / "part").touch()
        assert directory.stat().st_mode & 0o777 == 0o700
        assert directory.is_relative_to(tmp_path)
        assert directory.name == ORIGIN.connector
    rig.close()
