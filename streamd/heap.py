"""Give back to the system what the heap holds free.

Records of a kilobyte are made in one thread and let go in another, some MiB at a time. glibc keeps the holes
that they leave, for each thread its own: with 50,000 Avaya keys at 5,000 events/s those were 41 of 152 MiB.
"""

from __future__ import annotations

import ctypes

import trio

_SECONDS = 2.0  # between two times; one takes 2 to 4 ms of CPU, without the GIL


async def keep_small(seconds: float = _SECONDS) -> None:
    """Give it back for ever; where the C library is another one, return at once."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return
    trim.argtypes = [ctypes.c_size_t]
    while True:
        await trio.sleep(seconds)
        await trio.to_thread.run_sync(trim, 0)
