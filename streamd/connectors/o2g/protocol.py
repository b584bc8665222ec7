"""What O2G's statuses and silences mean for us (vendors/o2g.md, sections 1 and 3); no I/O."""

from __future__ import annotations

from enum import Enum, auto

from streamd.errors import Rejected, Transient

DEFAULT_LIFE = 1800.0  # the 30 minutes of the seed, chapter 5, in seconds
LEAST_KEEPALIVE_SECONDS = 0.2
NO_HEARTBEAT_SECONDS = 300.0  # the vendor's Node SDK gives an idle channel up then
LEAST_SILENCE_SECONDS = 15.0
HEARTBEATS = 3
TIMEOUT_MARGIN_SECONDS = 30.0


class Verdict(Enum):
    """What an HTTP answer asks of us."""

    OK = auto()
    DENIED = auto()
    """The token or the session is not good (any more): which of 401 and 403 it is tells nothing (1.2)."""
    GONE = auto()
    SLOW_DOWN = auto()
    AGAIN = auto()
    REFUSED = auto()


def judge(status: int) -> Verdict:
    """Judge the answer to any call."""
    if 200 <= status < 300:
        return Verdict.OK
    if status in (401, 403):
        return Verdict.DENIED
    if status in (404, 410):
        return Verdict.GONE
    if status == 429:
        return Verdict.SLOW_DOWN
    # 408 and 425 are about this one attempt; a redirect is not O2G speaking.
    if status >= 500 or status in (408, 425) or status < 400:
        return Verdict.AGAIN
    return Verdict.REFUSED


class WrongPassword(Rejected):
    """The server does not let us in with this login and password, on whichever host."""


class Denied(Transient):
    """The server denies a call also with a new token."""


class SessionGone(Transient):
    """The session is of no more use: log in anew."""


class Moved(Transient):
    """The session goes on elsewhere: on another server, which is ready."""


def keepalive_seconds(time_to_live: float | None) -> float:
    """Give the period of keepalives: a third of the session's life (1.4), which is never above 30 minutes."""
    life = min(time_to_live or DEFAULT_LIFE, DEFAULT_LIFE)
    return max(LEAST_KEEPALIVE_SECONDS, life / 3)


class Silence:
    """How long a channel may be silent: as configured; else till after the server's own timeout; else a few
    heartbeats, whose period no document tells and is learnt. `now` is in monotonic seconds."""

    def __init__(self, configured: float | None, timeout_minutes: int) -> None:
        self._fixed = configured
        if configured is None and timeout_minutes:
            self._fixed = timeout_minutes * 60 + TIMEOUT_MARGIN_SECONDS
        self._last: float | None = None
        self._period: float | None = None

    def on_heartbeat(self, now: float) -> None:
        """Note a heartbeat; of two that came together the second says nothing."""
        if self._last is not None and now - self._last >= 1.0:
            self._period = max(now - self._last, self._period or 0.0)
        self._last = now

    @property
    def seconds(self) -> float:
        """Give the seconds after which a silent channel is dead."""
        if self._fixed is not None:
            return self._fixed
        if self._period is None:
            return NO_HEARTBEAT_SECONDS
        return min(NO_HEARTBEAT_SECONDS, max(LEAST_SILENCE_SECONDS, HEARTBEATS * self._period))
