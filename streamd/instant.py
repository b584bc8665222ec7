"""Instants that outlive a step of the wall clock."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

from streamd.connector import Clock

STEP = timedelta(seconds=0.25)
"""What is less is slewing, or two clocks that were read one after the other."""


class Instant(Struct, frozen=True):
    """An instant by the wall clock as it went then, and by the one that is never stepped."""

    wall: datetime
    monotonic: float

    def before(self, wall: datetime) -> Instant:
        """Hold on to an earlier instant, by the wall clock as it went then."""
        return Instant(wall, self.monotonic - (self.wall - wall).total_seconds())

    def now(self, clock: Clock) -> datetime:
        """Say when it was by the wall clock as it goes now."""
        return clock.now() - timedelta(seconds=clock.monotonic() - self.monotonic)

    def told(self, clock: Clock) -> datetime:
        """Say when it was by the wall clock of then or, where it has gone back since, of now.

        Of the two it is the earlier one, for what was proven must never be told too late.
        """
        now = self.now(clock)
        return now if now < self.wall - STEP else self.wall


def here(clock: Clock) -> Instant:
    """Hold on to now."""
    return Instant(clock.now(), clock.monotonic())


def instant(at: datetime, clock: Clock) -> Instant:
    """Hold on to an instant that the wall clock, as it goes now, gives; none is later than now."""
    now = here(clock)
    return now.before(min(at, now.wall))


class Setbacks:
    """Notices that the wall clock has been set back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = self._measured()

    @property
    def pending(self) -> timedelta:
        """Say how far it stands behind where it would be; zero where that may be slewing."""
        back = self._start - self._measured()
        return back if back > STEP else timedelta(0)

    def take(self) -> timedelta:
        """Give what is pending, once."""
        back = self.pending
        self._start = self._measured() if back else max(self._start, self._measured())
        return back

    def _measured(self) -> datetime:
        return self._clock.now() - timedelta(seconds=self._clock.monotonic())
