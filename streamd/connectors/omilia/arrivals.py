"""What pushes say about the link: when the last came, which failed, and what is on its way in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import trio

from streamd.connector import Clock
from streamd.instant import Instant, instant

UNDERWAY = timedelta(seconds=2)
"""A record was made up to so long before it is pushed, and a gap speaks of when records were made."""
OLD = timedelta(minutes=5)
"""A record that is older when it comes was dropped before: redelivery is running."""


class Push:
    """One push on its way into the spool, from when its head has come."""

    def __init__(self, came: datetime, since: Instant) -> None:
        self.came = came
        self.since = since
        """What it holds was made after that."""


class Pushes:
    """The pushes of one data type. `changed` is set, and made anew, when anything here changes.

    `evidence`: the latest instant at which the subscription was known to deliver. `failed_at`: when a push
    failed, with `failure`, and what failed was made after `failed_since`; None again once pushes are accepted
    for a while. All of these outlive a step of the wall clock.
    """

    def __init__(self, clock: Clock) -> None:
        self.changed = trio.Event()
        self.last_push: Instant | None = None
        self.last_old: datetime | None = None
        self.evidence: Instant | None = None
        self.failed_since: Instant | None = None
        self.failed_at: Instant | None = None
        self.failure = ""
        self._clock = clock
        self._under_way: set[Push] = set()
        self._declared = False

    def come(self) -> Push:
        """Note that a push has begun to come: it holds the proof of life back until it is accepted, turned
        away, or told as failed."""
        now = self._clock.now()
        push = Push(now, instant(now - UNDERWAY, self._clock))
        self._under_way.add(push)
        return push

    def turn_away(self, push: Push) -> None:
        """Note that it was none: its sender is a stranger."""
        self._under_way.discard(push)

    def accepted(self, push: Push, oldest: datetime | None) -> None:
        """Note that a push is committed; `oldest`: the earliest time of a record that was new."""
        self._under_way.discard(push)
        self.last_push = self._now()
        self._seen(push.since)
        if oldest is not None and push.came - oldest > OLD:
            self.last_old = push.came
        self._tell()

    def seen(self, at: datetime) -> None:
        """Note that the subscription was there at that instant."""
        self._seen(instant(at, self._clock))

    def failed(self, reason: str, push: Push | None = None) -> None:
        """Note that a push was answered with no success: what it held is dropped, to be delivered again."""
        now = self._now()
        if self.failed_since is None:
            self.failed_since = _earliest([now, *self._bounds()])
        self.failed_at, self.failure = now, reason
        if push is not None:
            self._under_way.discard(push)
        self._tell()

    @contextmanager
    def declared(self) -> Iterator[None]:
        """Let the proof of life go on in the block although pushes fail: a gap that is open holds them."""
        self._declared = True
        try:
            yield
        finally:
            self._declared = False

    @contextmanager
    def held(self, since: Instant) -> Iterator[None]:
        """Let the proof of life not pass `since` in the block."""
        missed = Push(since.wall, since)
        self._under_way.add(missed)
        try:
            yield
        finally:
            self._under_way.discard(missed)

    def healthy(self) -> None:
        """Note that the failures are over."""
        self.failed_since = self.failed_at = None
        self.failure = ""

    def forget(self, until: datetime) -> None:
        """Forget the failures, if there was none after `until`: a gap that ends there holds them."""
        if self.failed_at is None or self.failed_since is None:
            return
        end = instant(until, self._clock)
        if self.failed_at.monotonic <= end.monotonic:
            self.healthy()
        else:
            self.failed_since = _earliest([self.failed_since, end])

    def proof(self) -> datetime | None:
        """Give the instant before which all that was handed over is committed, as far as can be known."""
        return None if self.evidence is None else _earliest(self._bounds()).told(self._clock)

    def _now(self) -> Instant:
        return instant(self._clock.now(), self._clock)

    def _seen(self, at: Instant) -> None:
        if self.evidence is None or at.monotonic > self.evidence.monotonic:
            self.evidence = at

    def _bounds(self) -> list[Instant]:
        """Give the instants that none can pass. What has failed was made after `failed_since`, and so was all
        that was under way then."""
        bounds = [push.since for push in self._under_way]
        if self.failed_since is not None and not self._declared:
            bounds.append(self.failed_since)
        if self.evidence is not None:
            bounds.append(self.evidence)
        return bounds

    def _tell(self) -> None:
        self.changed.set()
        self.changed = trio.Event()


def _earliest(instants: Iterable[Instant]) -> Instant:
    return min(instants, key=lambda each: each.monotonic)


class Arrivals:
    """The pushes of one connector, by data type."""

    def __init__(self, data_types: Sequence[str], clock: Clock) -> None:
        self.streams = {each: Pushes(clock) for each in data_types}
        self.online_since = clock.now()
        """When the callbacks began to answer, or when the last failed answer was given."""
        self._clock = clock

    def last_old(self, data_type: str) -> datetime | None:
        """Say when redelivery last brought something new."""
        return self.streams[data_type].last_old

    def failed(self, data_type: str, reason: str, push: Push | None = None) -> None:
        """Note a failed push of one data type."""
        self.online_since = self._clock.now()
        self.streams[data_type].failed(reason, push)

    def failed_for_all(self, reason: str) -> None:
        """Note what keeps every data type from being pushed."""
        for each in self.streams:
            self.failed(each, reason)
