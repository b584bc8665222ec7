"""What pushes say about the link: when the last came, which failed, and what is on its way in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import trio

from streamd.connector import Clock

UNDERWAY = timedelta(seconds=2)
"""A record was made up to so long before it is pushed, and a gap speaks of when records were made."""
OLD = timedelta(minutes=5)
"""A record that is older when it comes was dropped before: redelivery is running."""


class Pushes:
    """The pushes of one data type. `changed` is set, and made anew, when anything here changes.

    `evidence`: the latest instant at which the subscription was known to deliver. `failed_at`: when a push
    failed, with `failure`; both None again once pushes are accepted for a while.
    """

    def __init__(self, clock: Clock) -> None:
        self.changed = trio.Event()
        self.last_push: datetime | None = None
        self.last_old: datetime | None = None
        self.evidence: datetime | None = None
        self.failed_since: datetime | None = None
        self.failed_at: datetime | None = None
        self.failure = ""
        self._clock = clock
        self._under_way: list[datetime] = []

    @contextmanager
    def push(self) -> Iterator[datetime]:
        """Hold the proof of life back while a push is on its way into the spool; yields when it came."""
        came = self._clock.now()
        self._under_way.append(came - UNDERWAY)
        try:
            yield came
        finally:
            self._under_way.remove(came - UNDERWAY)

    def accepted(self, came: datetime, oldest: datetime | None) -> None:
        """Note that a push is committed; `oldest`: the earliest time of a record that was new."""
        self.last_push = self._clock.now()
        self.seen(came - UNDERWAY)
        if oldest is not None and came - oldest > OLD:
            self.last_old = came
        self._tell()

    def seen(self, at: datetime) -> None:
        """Note that the subscription was there at that instant."""
        self.evidence = at if self.evidence is None else max(self.evidence, at)

    def failed(self, reason: str) -> None:
        """Note that a push was answered with no success: what it held is dropped, to be delivered again."""
        now = self._clock.now()
        if self.failed_since is None:
            self.failed_since = min(self.proof() or now, now)
        self.failed_at, self.failure = now, reason
        self._tell()

    def healthy(self) -> None:
        """Note that the failures are over."""
        self.failed_since = self.failed_at = None
        self.failure = ""

    def forget(self, until: datetime) -> None:
        """Forget the failures, if there was none after `until`."""
        if self.failed_at is not None and self.failed_at <= until:
            self.healthy()

    def proof(self) -> datetime | None:
        """Give the instant before which all that was handed over is committed, as far as can be known."""
        if self.evidence is None or not self._under_way:
            return self.evidence
        return min(self.evidence, min(self._under_way))

    def _tell(self) -> None:
        self.changed.set()
        self.changed = trio.Event()


class Arrivals:
    """The pushes of one connector, by data type."""

    def __init__(self, data_types: Sequence[str], clock: Clock) -> None:
        self.streams = {each: Pushes(clock) for each in data_types}
        self.online_since = clock.now()
        """When the callbacks began to answer, or when the last failed answer was given."""
        self._clock = clock

    def last_push(self, data_type: str) -> datetime | None:
        """Say when a push was last accepted."""
        return self.streams[data_type].last_push

    def last_old(self, data_type: str) -> datetime | None:
        """Say when redelivery last brought something new."""
        return self.streams[data_type].last_old

    def failed(self, data_type: str, reason: str) -> None:
        """Note a failed push of one data type."""
        self.online_since = self._clock.now()
        self.streams[data_type].failed(reason)

    def failed_for_all(self, reason: str) -> None:
        """Note what keeps every data type from being pushed."""
        for each in self.streams:
            self.failed(each, reason)
