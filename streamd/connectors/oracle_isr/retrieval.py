"""Read recordings in full, some at once: what cannot be read is tried again, and given up in the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from itertools import takewhile
from typing import TypeVar

import msgspec
import trio
from msgspec import Struct

from streamd.connector import Clock
from streamd.connectors.oracle_isr.details import Details
from streamd.connectors.oracle_isr.face import AT_ONCE, NotNow, Turn, Unreadable
from streamd.connectors.oracle_isr.wire import Tree
from streamd.errors import BadRecord
from streamd.nurseries import lone_error
from streamd.pull.windows import Window

BATCH = 50
PATIENCE = 5
"""How often a recording is asked for in vain before it is dead-lettered as it is known."""
FORGOTTEN_SECONDS = 3600.0
"""After so long nobody asks any more for what was asked for in vain: it was deleted, say."""
R = TypeVar("R")


class Reading(Struct, frozen=True):
    """What became of one: it was `found`, or is `bad`; neither: there is none any more."""

    id: str
    found: Tree | None
    bad: BadRecord | None = None


class Retrieval:
    """Reads single recordings; knows how often each was asked for in vain, and when it was last."""

    def __init__(self, details: Details, clock: Clock) -> None:
        self._details = details
        self._clock = clock
        self._misses: dict[str, tuple[int, float]] = {}

    async def read(
        self, id_: str, tree: Tree, start: Window | None, turn: Turn, *, is_listed: bool
    ) -> Reading | None:
        """Read the recording that `tree` is about; None: it is to be tried again.

        `start` as in `Details.of`. One that `is_listed` must be there. Raises as `Face.search` does.
        """
        try:
            found = await self._details.of(tree, start, turn)
        except Unreadable as error:
            return self._missed(id_, error.reason, error.body)
        except NotNow as error:
            return self._missed(id_, error.reason, msgspec.json.encode(tree))
        if found is None and is_listed:
            return self._missed(id_, "a recording that is listed and not found", msgspec.json.encode(tree))
        self._misses.pop(id_, None)
        return Reading(id_, found)

    def __len__(self) -> int:
        """Count the recordings that were asked for in vain and may be asked for again."""
        return len(self._misses)

    def _missed(self, id_: str, reason: str, payload: bytes) -> Reading | None:
        now = self._clock.monotonic()
        count = self._misses.pop(id_, (0, now))[0] + 1
        if count >= PATIENCE:
            return Reading(id_, None, BadRecord(reason, payload, "oracle_isr details"))
        self._misses[id_] = (count, now)  # at the end: they stand in the order of their last misses
        self._forget(now - FORGOTTEN_SECONDS)
        return None

    def _forget(self, before: float) -> None:
        old = takewhile(lambda id_: self._misses[id_][1] < before, self._misses)
        for id_ in list(old):
            del self._misses[id_]


async def in_batches(
    read: Callable[[str], Awaitable[R | None]],
    names: Iterable[str],
    note: Callable[[list[R]], Awaitable[None]],
) -> int:
    """Do `read` for each of `names`, and `note` what comes of that, BATCH at a time; return how many gave
    nothing. The first error ends all; what was read by then and not noted is to be read again.

    One more runs than there may be requests: it notes while the others ask.
    """
    todo, done, nothing = iter(names), list[R](), 0

    async def next_ones() -> None:
        nonlocal done, nothing
        for name in todo:
            found = await read(name)
            if found is None:
                nothing += 1
                continue
            done.append(found)
            if len(done) >= BATCH:
                batch, done = done, []
                await note(batch)

    with lone_error():
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE + 1):
                nursery.start_soon(next_ones)
    if done:
        await note(done)
    return nothing
