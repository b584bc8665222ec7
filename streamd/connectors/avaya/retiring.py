"""Retire what is left of measure producers that are no longer configured.

Nothing will ever say of their rows that they are gone, so they end here: an event that says why, and a null
in the state topic. Their subscriptions expire at Avaya by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import msgspec

from streamd.connector import Context
from streamd.connectors.avaya.config import AvayaConfig
from streamd.connectors.avaya.measures import KEYS, Changes, Items
from streamd.connectors.avaya.normalise import Identity, removed, tombstone
from streamd.connectors.avaya.subscription import SUBSCRIPTIONS

_AT_ONCE = 1000

_decode_identity = msgspec.json.Decoder(Identity).decode


async def retire_removed_producers(ctx: Context[AvayaConfig]) -> None:
    """Delete the rows of producers that are not configured, and forget their subscriptions; may wait for room
    in the spool. What a crash cuts short is done at the next start."""
    rows = _left_over(ctx, KEYS)
    while some := list(islice(rows, _AT_ONCE)):
        items: Items = []
        changes: Changes = {}
        received = ctx.clock.now()
        for name, producer, value in some:
            identity = _decode_identity(value)
            key = name.removeprefix(f"{KEYS}{producer}/")
            items += (removed(identity, key, received), tombstone(key, received, identity.account_id))
            changes[name] = None
        await ctx.append(items, changes)
        ctx.log.info("removed_producers_retired", rows=len(some))
    subscriptions = {name: None for name, _, _ in _left_over(ctx, SUBSCRIPTIONS)}
    if subscriptions:
        await ctx.append([], subscriptions)


def _left_over(ctx: Context[AvayaConfig], kind: str) -> Iterator[tuple[str, str, bytes]]:
    """Give the names of a kind in the keyed state whose producer is not configured: name, producer, value."""
    for name, value in ctx.states(kind).items():
        # A key's text is percent-encoded: the last slash is the one behind the producer.
        rest = name.removeprefix(kind)
        producer = rest.rpartition("/")[0] if kind == KEYS else rest
        if producer not in ctx.config.measure_producers:
            yield name, producer, value
