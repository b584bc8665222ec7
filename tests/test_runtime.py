"""What a connector gets from streamd beside the spool."""

from __future__ import annotations

from pathlib import Path

import trio
import trio.testing

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


async def test_what_is_refused_beside_the_sessions_is_tried_again_at_once_when_an_operator_asks(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path)
    running = runtime(rig.spool(), Record(), rig.clock)
    assert not await running.wait_refused(0.01)
    async with trio.open_nursery() as nursery:

        async def ask() -> None:
            await trio.testing.wait_all_tasks_blocked()
            running.nudge.give()

        nursery.start_soon(ask)
        with trio.fail_after(10):
            assert await running.wait_refused(300)
    rig.close()
