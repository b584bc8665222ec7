"""Numbers, sizes and times as people read them; for the page and `streamd status`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def amount(number: float) -> str:
    """Group the thousands; one decimal below 10."""
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"


def size(number: float) -> str:
    """Give bytes in a unit that leaves few digits."""
    unit = 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number /= 1024
        unit += 1
    return f"{number:.1f} {_UNITS[unit]}" if unit and number < 10 else f"{number:.0f} {_UNITS[unit]}"


def age(span: timedelta) -> str:
    """Give a duration in its two largest units."""
    seconds = max(0.0, span.total_seconds())
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole} s" if minutes else f"{whole} s"


def instant(at: datetime) -> str:
    """Give a time to the second, in UTC."""
    return f"{bare_instant(at)} UTC"


def bare_instant(at: datetime) -> str:
    """Give a time to the second, for where UTC is said already."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
