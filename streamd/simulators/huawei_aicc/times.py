"""Spell the platform's time as walls show it."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

_WALL = "%Y-%m-%d %H:%M:%S"
_WALL_CHARACTERS = len("2024-05-01 00:00:00")


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
