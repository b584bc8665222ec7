"""Name the phases of a websocket."""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    """Where a websocket stands, in the order of its life."""

    UNAUTHENTICATED = "unauthenticated"
    SNAPSHOT = "snapshot"
    LIVE = "live"
    SILENT = "silent"  # expired with `expiry-silent`: pongs only
    DEAD = "dead"  # `half-open`: not even a FIN
    CLOSING = "closing"
    ENDED = "ended"


# Phases in which what the client says is listened to.
TALKING = (Phase.UNAUTHENTICATED, Phase.SNAPSHOT, Phase.LIVE)
