"""The server's own clock, read from the Date header of its answers.

Windows end at the server's now: one by our clock could end in the server's future, and be passed unread.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from streamd.connector import Clock
from streamd.transport.headers import http_date

_RESOLUTION = timedelta(seconds=1)  # of the header, which is cut and not rounded


class _Heard(Struct, frozen=True):
    """What a Date header said, and when by our clocks its answer came."""

    date: datetime
    at: float
    skew: timedelta


class ServerClock:
    """Goes with our monotonic clock from the last Date on; each answer sets it anew."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard: _Heard | None = None

    def heard(self, headers: Mapping[str, str], asked_at: float) -> None:
        """Take the Date of an answer, if it has one that can be read.

        `asked_at`: our monotonic clock before the request was sent.
        """
        date = http_date(headers.get("date", ""))
        if date is None:
            return
        at = self._clock.monotonic()
        answered_about = self._clock.now() - timedelta(seconds=(at - asked_at) / 2)
        self._heard = _Heard(date, at, date + _RESOLUTION / 2 - answered_about)

    def now(self) -> datetime | None:
        """Give an instant that the server's clock has reached, late by its way; None: not heard yet."""
        heard = self._heard
        if heard is None:
            return None
        return heard.date + timedelta(seconds=self._clock.monotonic() - heard.at)

    def skew(self) -> timedelta | None:
        """Say how far the server's clock was before ours when heard, within a second or so; for warnings."""
        return self._heard.skew if self._heard else None
