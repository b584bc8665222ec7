"""No silent gap: while one cannot be written down, nothing behind its beginning is claimed."""

from __future__ import annotations

import trio

from streamd.errors import Transient
from tests.scripted import Record, Script, fails, gaps, lives, now, running, runtime, settled
from tests.spool.rig import Rig, choke, eventually, relieve
from tests.test_losses import through


async def test_nothing_is_claimed_complete_behind_the_beginning_of_a_gap_that_is_not_committed_yet(
    rig: Rig, mock_clock: trio.testing.MockClock
) -> None:
    spool, record, over = rig.spool(), Record(), trio.Event()
    script = Script(lives(Transient("gone"), until=over), fails(Transient("still gone")))
    work = runtime(spool, record, rig.clock, script, retry_min_seconds=900)
    async with running(spool, work):
        await eventually(lambda: work.status.state == "live")
        await through(spool, mock_clock)
        choke(spool)
        lost_at = now()
        over.set()
        await settled(spool)
        mock_clock.jump(600)
        claimed = await through(spool, mock_clock)
        assert claimed is not None
        assert claimed <= lost_at
        assert [gap["cause"] for _, gap in gaps(rig)] == []
        relieve(spool)
        await eventually(lambda: work.status.state == "lost")
        claimed = await through(spool, mock_clock)
        assert claimed is not None
        assert claimed > lost_at
