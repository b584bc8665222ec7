"""Readings of HTTP headers that several vendors need: Retry-After and dates."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# A server that errs, or whose date does, must not put a link to sleep for a day.
MOST_WAIT_SECONDS = 15 * 60.0


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return how many seconds the server asks us to wait; None when it does not, or not in HTTP's words.

    RFC 9110, section 10.2.3: delta seconds, or an HTTP-date. A date is measured from the answer's own Date
    where it has one, for our clock may differ from the server's; else from `now` (aware). Header names in
    lower case (or any case-blind mapping). Never negative, and MOST_WAIT_SECONDS at most.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), MOST_WAIT_SECONDS)  # a thousand digits make inf
    until = http_date(value)
    if until is None:
        return None
    wait = (until - (http_date(headers.get("date", "")) or now)).total_seconds()
    return min(max(0.0, wait), MOST_WAIT_SECONDS)


def http_date(value: str) -> datetime | None:
    """Read an HTTP-date (RFC 9110, section 5.6.7), as aware UTC; None for anything else."""
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, IndexError, OverflowError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
