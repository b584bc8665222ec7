"""When Avaya's snapshot is over, and whether it was whole; no I/O, the time is passed in.

Avaya does not signal the end (contract, section 4). The snapshot ends with the first of: a LIVE that no
INITIALIZING follows, quiet after at least one INITIALIZING, the hard limit. It is proven, so that what it did
not show may be declared gone, by such a LIVE or by a longer quiet; an empty one proves nothing.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Rule = Literal["live", "quiet", "limit", "empty"]
POLL_SECONDS = 0.5


class Ended(Struct, frozen=True):
    """The snapshot ended, by `rule`, with nothing proven yet."""

    rule: Rule


class Proven(Struct, frozen=True):
    """The snapshot was whole; it may have ended before."""

    rule: Rule


class Missing(Struct, frozen=True):
    """Live data came, but no snapshot within the limit: it has to be forced."""


Fact = Ended | Proven | Missing


class Rules(Struct, frozen=True):
    """The deadlines in seconds: quiet and limit of the end, settling and long quiet of the proof."""

    quiet: float = 10.0
    limit: float = 120.0
    settle: float = 2.0
    proof: float = 30.0


class Snapshot:
    """The snapshot of one connection. `now` is in monotonic seconds throughout."""

    def __init__(self, rules: Rules, now: float) -> None:
        self._rules = rules
        self._began_at = now
        self._last_initialising_at = now
        self._live_since: float | None = None
        self._missed = False
        self.initialising = 0
        self.late = 0
        self.ended: Rule | None = None
        self.proven = False

    def on_initialising(self, now: float) -> None:
        """Note an INITIALIZING message; one that comes after the proof is `late`."""
        self.initialising += 1
        self.late += self.proven
        self._last_initialising_at = now
        # LIVE may be mixed into the snapshot: only a LIVE behind its last message says that it is over.
        self._live_since = None

    def on_live(self, now: float) -> None:
        """Note a LIVE message."""
        if self._live_since is None:
            self._live_since = now

    def tick(self, now: float) -> list[Fact]:
        """Return what has become known by `now`; call it at `due` at the latest."""
        facts: list[Fact] = []
        settled = self._live_since is not None and now - self._live_since >= self._rules.settle
        if self.ended is None:
            self.ended = self._end(settled, now)
            if self.ended is not None:
                facts.append(Ended(self.ended))
        if self.ended is not None and not self.proven and self.initialising:
            quiet = now - self._last_initialising_at >= max(self._rules.proof, self._rules.quiet)
            if settled or quiet:
                self.proven = True
                facts.append(Proven("live" if settled else "quiet"))
        if self._is_missing(now):
            self._missed = True
            facts.append(Missing())
        return facts

    def due(self, now: float) -> float:
        """Give the seconds after which to call `tick` again; never much, for messages move the deadlines."""
        deadlines = [self._began_at + self._rules.limit]
        if self._live_since is not None:
            deadlines.append(self._live_since + self._rules.settle)
        if self.initialising:
            deadlines.append(self._last_initialising_at + self._rules.quiet)
        return min([POLL_SECONDS, *(at - now for at in deadlines if at > now)])

    def _end(self, settled: bool, now: float) -> Rule | None:
        if settled:
            return "live" if self.initialising else "empty"
        if self.initialising and now - self._last_initialising_at >= self._rules.quiet:
            return "quiet"
        if now - self._began_at >= self._rules.limit:
            return "limit" if self.initialising else "empty"
        return None

    def _is_missing(self, now: float) -> bool:
        over = now - self._began_at >= self._rules.limit
        return over and not self._missed and not self.initialising and self._live_since is not None

    def __repr__(self) -> str:
        return f"Snapshot(initialising={self.initialising}, ended={self.ended}, proven={self.proven})"
