"""Memory that is free does not stay with the daemon, nor what only holds itself."""

from __future__ import annotations

import ctypes
import gc
import os
import weakref

import pytest
import trio

from streamd import heap
from tests.bench.processes import resident_mib

RECORDS, BYTES = 60_000, 1000


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library has no malloc_trim")
async def test_what_a_burst_leaves_free_between_what_stays_goes_back_to_the_system(
    nursery: trio.Nursery,
) -> None:
    before = resident_mib(os.getpid())
    burst = [bytes(BYTES) for _ in range(RECORDS)]
    staying = burst[::64]
    del burst
    left = resident_mib(os.getpid()) - before
    nursery.start_soon(heap.keep_small, 0.01)
    with trio.fail_after(10):
        while resident_mib(os.getpid()) - before > left / 2:
            await trio.sleep(0.01)
    assert staying


async def test_what_holds_itself_goes_although_it_lived_long(nursery: trio.Nursery) -> None:
    class Session:
        itself: Session

    session = Session()
    session.itself = session
    gone = weakref.ref(session)
    gc.collect(1)  # now it is old
    nursery.start_soon(heap.keep_small, 0.001)
    del session
    with trio.fail_after(10):
        while gone() is not None:
            await trio.sleep(0.01)
