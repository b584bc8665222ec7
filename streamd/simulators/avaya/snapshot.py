"""Send the snapshot of a producer to one socket (seed; section 5, rows 11 and 12)."""

from __future__ import annotations

import trio

from streamd.simulators.avaya import feed
from streamd.simulators.avaya.outgoing import Outgoing
from streamd.simulators.avaya.service import Service
from streamd.simulators.avaya.subscriptions import Subscription

_CHUNK = 50  # keys between two turns of the scheduler
_CHUNK_MIXED = 10
_ROOM = 4 * 1024 * 1024  # bytes that may wait before the snapshot rests


async def send_snapshot(
    service: Service, subscription: Subscription, outgoing: Outgoing, limit: float
) -> None:
    """Queue one INITIALIZING message per key, as the key is now; what changes meanwhile is not in it.

    `limit` is what may wait for this socket in bytes. With `live-in-snapshot` each key is sent as it is when
    its turn comes, else an older value would follow a newer one.
    """
    faults, tail = service.faults, service.tail
    producer = service.table.producers[subscription.producer]
    rows = [(row, row.measures) for row in producer.rows.values()][: _keys(service, subscription)]
    subscription.snapshots += 1
    mixed, slow = faults.has("live-in-snapshot"), faults.number("snapshot-slow")
    chunk = 1 if slow else _CHUNK_MIXED if mixed else _CHUNK
    for start in range(0, len(rows), chunk):
        part = rows[start : start + chunk]
        if mixed:
            part = [(row, row.measures) for row, _ in part if not row.gone]
        outgoing.put([row.envelope.initializing(measures, tail) for row, measures in part])
        if mixed and start + chunk < len(rows):
            feed.live(service, producer, 1)
        pause = faults.number("snapshot-pause") if start <= len(rows) // 2 < start + chunk else 0.0
        await trio.sleep(pause + (1 / slow if slow else 0.0))
        await outgoing.below(min(_ROOM, limit / 2))


def _keys(service: Service, subscription: Subscription) -> int | None:
    """Return how many keys the snapshot shows; None: all."""
    has = service.faults.has
    if has("snapshot-empty") or (has("snapshot-first-only") and subscription.snapshots > 0):
        return 0
    return 1 if has("snapshot-one") else None
