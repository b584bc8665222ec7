"""Tell the platform's time, which may run faster than ours, and spell it on a wall somewhere."""

from __future__ import annotations

import time
from datetime import UTC, datetime, tzinfo
from email.utils import formatdate

import trio

_WALL = "%Y-%m-%d %H:%M:%S"
_WALL_CHARACTERS = len("2024-05-01 00:00:00")


class ScaledClock:
    """Epoch seconds that pass `scale` times as fast as real ones; made inside of trio."""

    def __init__(self, scale: float, starts_at: float) -> None:
        self.scale = scale
        self._base = (starts_at or time.time()) - trio.current_time() * scale

    def now(self) -> float:
        return self._base + trio.current_time() * self.scale

    def real(self, seconds: float) -> float:
        """Return how many real seconds `seconds` of this clock last."""
        return seconds / self.scale

    def advance(self, seconds: float) -> None:
        """Put the clock forward; who waits for it has to be woken."""
        self._base += seconds

    def http_date(self) -> str:
        """Return the time as a Date header has it."""
        return formatdate(self.now(), usegmt=True)


def wall(seconds: float, zone: tzinfo) -> str:
    """Return `yyyy-MM-dd HH:mm:ss` on a wall of `zone`."""
    return datetime.fromtimestamp(int(seconds), zone).isoformat(" ")[:_WALL_CHARACTERS]


def read_wall(text: str) -> datetime | None:
    """Return a wall time without its zone; None: it is not exactly in the documented format."""
    try:
        moment = datetime.strptime(text, _WALL)  # noqa: DTZ007 - the tenant's zone is applied by `instant`
    except ValueError:
        return None
    return moment if moment.strftime(_WALL) == text else None


def instant(moment: datetime, zone: tzinfo, *, second: bool = False) -> float:
    """Return the epoch second of a wall time; of the repeated hour the first pass, or the `second`."""
    return moment.replace(tzinfo=zone, fold=int(second)).timestamp()


def to_utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
