"""Give back to the system what the heap holds free, and look for cycles a little at a time.

Records of a kilobyte are made in one thread and let go in another, some MiB at a time. glibc keeps the holes
that they leave, for each thread its own: with 50,000 Avaya keys at 5,000 events/s those were 41 of 152 MiB.

Python looks for cycles once so many objects were made, and everything waits for it: 20 to 90 ms where that
happens to be in the middle of a commit of 200 connectors, whose records make no cycles.
"""

from __future__ import annotations

import ctypes
import gc
from itertools import count

import trio

_SECONDS = 2.0  # between two times; one takes 2 to 4 ms of CPU, without the GIL
_WHOLE = 30  # times to a look at what is old too: sessions that have ended, with all they had
_YOUNG_OBJECTS = 200_000  # to a look for cycles between two times: more than a commit holds


def settle() -> None:
    """Let what was imported be, and leave it to `keep_small` to look for cycles, unless there are many."""
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)


async def keep_small(seconds: float = _SECONDS) -> None:
    """Look for cycles and, with a C library that can do it, give back what is free, for ever."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim.argtypes = [ctypes.c_size_t]
    for times in count(1):
        await trio.sleep(seconds)
        gc.collect(1 if times % _WHOLE else 2)
        if trim is not None:
            await trio.to_thread.run_sync(trim, 0)
