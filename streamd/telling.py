"""Append what streamd says of a connector itself: its gaps, its life cycle, its progress."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from streamd.connector import NO_CHANGES, Changes, Item

if TYPE_CHECKING:
    from streamd.runtime import Runtime


async def part_with_strangers(runtime: Runtime, sessions: Collection[str]) -> None:
    """Close the gaps of sessions that are not among the configured ones any more, and forget their proofs.

    One that comes back later begins as a new one does: nothing is claimed of the time between.
    """
    runtime.spool.keep_only(runtime.origin, sessions)
    runtime.gaps.close_strangers(sessions, now=runtime.clock.now())
    await tell(runtime)


async def tell(runtime: Runtime, items: Sequence[Item] = (), changes: Changes = NO_CHANGES) -> None:
    """Append streamd's own `items` of one connector, and before them what has become of its gaps since.

    `changes` of the keyed state are committed with them. One at a time, so that a gap's last word is the
    last on its topic. An append that is cut short leaves its words to the next one.
    """
    async with runtime.gaps.telling:
        words = runtime.gaps.untold()
        if words or items or changes:
            events = [event for event, _ in words.values()]
            stored = {name: value for name, (_, value) in words.items()}
            await runtime.append_own([*events, *items], {**changes, **stored})
            runtime.gaps.told(words)
    if words:
        runtime.status.touch()
