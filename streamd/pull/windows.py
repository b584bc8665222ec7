"""Stretches of time that are asked for: how they are cut, and which one comes next. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil

from msgspec import Struct

_HOUR = timedelta(hours=1)
LEFT_TO_WALK = "seconds_left_to_the_walk"
"""A figure of a backfill: what is too recent to be read again, for the live walk is about to read it."""
_JITTER = timedelta(minutes=1)  # between the clocks of several servers behind one name


class Window(Struct, frozen=True, order=True):
    """From `begin` on and before `end`; both aware, UTC."""

    begin: datetime
    end: datetime

    @property
    def span(self) -> timedelta:
        return self.end - self.begin


class Step(Struct, frozen=True):
    """The window to ask for, and the watermark once all of it is committed.

    `newest`: it ends where the present begins; else what it brings was fetched late (phase `backfill`).
    """

    window: Window
    watermark: datetime
    newest: bool


class Pace(Struct, frozen=True):
    """How a walk goes: `step` at a time near the present, `catch_up` when further behind.

    `overlap` is read again, for what the vendor recorded late; `settle` is how old the newest must be.
    """

    step: timedelta
    overlap: timedelta
    settle: timedelta
    catch_up: timedelta

    def next(self, watermark: datetime, server_now: datetime) -> Step | None:
        """Say what to ask for next; None while there is nothing new, also where the server's clock went back.

        `server_now` is the server's own clock: by ours, a jump would pass over time that nobody has read.
        """
        present = server_now - self.settle
        if present <= watermark:
            return None
        newest = present - watermark <= self.step
        end = present if newest else min(present, watermark + max(self.step, self.catch_up))
        return Step(Window(watermark - self.overlap, end), end, newest)

    def resume(self, watermark: datetime, server_now: datetime) -> datetime:
        """Say where the walk goes on: at its watermark, or at the present where the server's clock went back.

        What happens until that clock has come to the watermark once more lies before it, and would never be
        asked for. A setback within `overlap` is read again anyway.
        """
        present = server_now - self.settle
        return present if watermark - present > max(self.overlap, _JITTER) else watermark


def slices(window: Window, longest: timedelta) -> list[Window]:
    """Cut a window into adjoining ones of at most that span, the oldest first; an empty one gives none."""
    cut = []
    begin = window.begin
    while begin < window.end:
        end = min(begin + longest, window.end)
        cut.append(Window(begin, end))
        begin = end
    return cut


def settled(window: Window, present: datetime) -> tuple[Window, int]:
    """Give the part of a window before `present`, and of how many seconds the rest is."""
    part = Window(window.begin, min(window.end, max(window.begin, present)))
    return part, ceil((window.end - part.end).total_seconds())


def bisect(window: Window, least: timedelta = timedelta(seconds=1)) -> tuple[Window, Window] | None:
    """Cut a window in the middle, at a multiple of `least` from its beginning; None: it is too short."""
    steps = window.span // least
    if window.span <= least:
        return None
    middle = window.begin + max(1, steps // 2) * least
    return Window(window.begin, middle), Window(middle, window.end)


def clip(window: Window, earliest: datetime | None, latest: datetime | None) -> Window | None:
    """Give the part of a window between two instants; None where nothing is left."""
    begin = window.begin if earliest is None else max(window.begin, earliest)
    end = window.end if latest is None else min(window.end, latest)
    return Window(begin, end) if begin < end else None


def floor_hour(at: datetime) -> datetime:
    """Give the beginning of the hour that `at` lies in."""
    return at.replace(minute=0, second=0, microsecond=0)


def ceil_hour(at: datetime) -> datetime:
    """Give the first full hour that is not before `at`."""
    floor = floor_hour(at)
    return floor if floor == at else floor + _HOUR
