"""Times of the server, which are texts without a zone (vendors/oracle_isr.md, section 2)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from streamd.pull.windows import Window

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?")
_LONGEST = 30  # characters of a time
SECOND = timedelta(seconds=1)
_FIRST_YEAR, _LAST_YEAR = 1990, 2100  # of a recording: elsewhere a clock was not set, and sums overflow
_AHEAD = timedelta(minutes=1)  # by which the server may be ahead of its last Date, which is cut and old


class Zone:
    """The zone in which the server writes and reads times: UTC, or with `userTimeZoneFeatureEnabled` that of
    the API user (section 2, P8). The setting `time_zone` names it."""

    def __init__(self, name: str) -> None:
        self._zone = UTC if name == "UTC" else ZoneInfo(name)

    def read(self, text: str, latest: datetime) -> datetime | None:
        """Read `yyyy-MM-dd HH:mm:ss` with any fraction, as UTC; None for anything else.

        In the hour that autumn has twice it is the later instant, unless that is well after `latest`. That is
        a guess where both hours are past; what a recording's other times say against it, `order` sets right.
        """
        at = _read(text) if len(text) <= _LONGEST else None
        if at is None or self._zone is UTC:
            return at
        local = at.replace(tzinfo=self._zone)
        try:
            first, second = local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)
        except (ValueError, OverflowError):
            return None
        return second if first < second and second - latest <= _AHEAD else first

    def earlier(self, at: datetime) -> datetime:
        """Give the earlier of the instants at which the wall's time is as at `at`; nearly always `at`."""
        return at.astimezone(self._zone).replace(fold=0).astimezone(UTC)

    def later(self, at: datetime) -> datetime:
        """Give the later of them."""
        return at.astimezone(self._zone).replace(fold=1).astimezone(UTC)

    def lower(self, at: datetime) -> str:
        """Write the lower bound of a search: `at` in whole seconds, or earlier.

        A time in the hour that autumn has twice means one of two instants to the server; which one is not
        said. Where the later one would leave something out, the bound is that hour earlier.
        """
        local = at.astimezone(self._zone)
        if local.fold == 0:
            local = (at - _repeated(local)).astimezone(self._zone)
        return _written(local)

    def upper(self, at: datetime) -> str:
        """Write the upper bound of a search: `at` in whole seconds, or later, by the same rule."""
        whole = at if at.microsecond == 0 else at.replace(microsecond=0) + SECOND
        local = whole.astimezone(self._zone)
        if local.fold == 1:
            local = (whole + _repeated(local)).astimezone(self._zone)
        return _written(local)

    def is_blurred(self, window: Window) -> bool:
        """Tell whether all of a window lies in the hour that autumn has twice, in either pass.

        Searches for parts of it all find the same, for their bounds reach over both (`lower`, `upper`).
        """
        return all(_repeated(at.astimezone(self._zone)) for at in (window.begin, window.end))


@lru_cache(maxsize=1024)  # a recording tells the same time in several places
def _read(text: str) -> datetime | None:
    """Read a time as if it were UTC."""
    found = _TIME.fullmatch(text)
    if found is None or not _FIRST_YEAR <= int(text[:4]) <= _LAST_YEAR:
        return None
    micros = (found[3] or "").ljust(6, "0")[:6]
    try:
        return datetime.fromisoformat(f"{found[1]}T{found[2]}.{micros}+00:00")
    except ValueError:
        return None


def _repeated(local: datetime) -> timedelta:
    """Say how much of the wall's time is there twice around `local`; zero nearly always."""
    first, second = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
    return max(timedelta(0), first - second) if first is not None and second is not None else timedelta(0)


def _written(local: datetime) -> str:
    return local.strftime("%Y-%m-%d %H:%M:%S")
