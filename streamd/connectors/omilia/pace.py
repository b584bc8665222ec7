"""The pace of all calls for one group: the platform has one bucket for it (vendors/omilia.md, section 6)."""

from __future__ import annotations

from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from streamd.connector import Clock
from streamd.transport.limiter import Budget, Limiter

ZIPS_A_MINUTE = 5
LONGEST_PENALTY_SECONDS = 300.0
MINUTE_SECONDS = 60.0


class Pace:
    """The limiters of a group: `calls` of all, and `zips` of them."""

    def __init__(self, clock: Clock, requests_per_minute: int) -> None:
        self.requests_per_minute = requests_per_minute
        self.calls = Limiter(
            clock,
            Budget(requests_per_minute, MINUTE_SECONDS),
            longest_penalty_seconds=LONGEST_PENALTY_SECONDS,
        )
        self.zips = Limiter(clock, Budget(ZIPS_A_MINUTE, MINUTE_SECONDS))


# The connectors of one daemon that call for the same group share its bucket, and know nothing of each other.
_shared: WeakValueDictionary[tuple[str, str], Pace] = WeakValueDictionary()


def pace_of(exports_url: str, group: str, clock: Clock, requests_per_minute: int) -> Pace:
    """Give the one pace of a group for as long as anyone holds it; its budget is that of who came first."""
    key = (urlsplit(exports_url).netloc.lower(), group)
    pace = _shared.get(key)
    if pace is None:
        pace = _shared[key] = Pace(clock, requests_per_minute)
    return pace
