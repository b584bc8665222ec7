"""The supervisor's loop: what to do about trouble that nobody expected.

A bug in one session or connector is restarted with growing waits; after RESTARTS within a minute it is
parked: one error, a probe every quarter of an hour, and everything else runs on. This is the one place with
an `except Exception`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from streamd.connector import Clock
from streamd.errors import SpoolUnusable, StreamdError
from streamd.spool.spool import SpoolClosed
from streamd.spool.sqlite import SpoolCorrupt

_CORE = (SpoolClosed, SpoolCorrupt, SpoolUnusable)
RESTARTS, WITHIN_SECONDS = 3, 60.0
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0
PROBE_SECONDS = 15 * 60.0
T = TypeVar("T")


class Nudge:
    """A wait that an operator can end: SIGHUP and `streamd restart` nudge what is refused or parked."""

    def __init__(self) -> None:
        self.given = 0
        """How many there were so far: one that comes before its wait has begun is not lost (`since`)."""
        self._lot = trio.lowlevel.ParkingLot()

    def give(self) -> None:
        """End every wait now."""
        self.given += 1
        self._lot.unpark_all()

    async def wait(self, seconds: float, since: int) -> bool:
        """Wait that long at most; tell whether a nudge ended it, or had been given after `since`."""
        if self.given != since:
            return True
        with trio.move_on_after(seconds):
            await self._lot.park()
            return True
        return False


def attempt(call: Callable[[], T]) -> T | Exception:
    """Call what belongs to a connector from the core, and give its bug back: that is not the core's."""
    try:
        return call()
    except Exception as bug:  # noqa: BLE001 - this is the supervisor
        return bug


async def supervise(
    run: Callable[[], Awaitable[None]],
    *,
    crashed: Callable[[BaseException], Awaitable[None]],
    parked: Callable[[BaseException], Awaitable[None]],
    nudge: Nudge,
    clock: Clock,
) -> None:
    """Run `run` for ever, again after each crash; returns only when cancelled.

    `crashed` is told of each crash before the wait, `parked` when it was one too many and after each probe
    that failed. An error of the spool is no matter of one connector: it passes, to end the core.
    """
    crashes: deque[float] = deque(maxlen=RESTARTS + 1)
    wait, probing = _FIRST_WAIT, False
    while True:
        began = clock.monotonic()
        error = await _crash_of(run)
        now, nudges = clock.monotonic(), nudge.given
        if now - began > WITHIN_SECONDS:
            wait, probing = _FIRST_WAIT, False
        crashes.append(now)
        if probing or (len(crashes) > RESTARTS and now - crashes[0] < WITHIN_SECONDS):
            probing = True
            await parked(error)
            await nudge.wait(PROBE_SECONDS, nudges)
        else:
            await crashed(error)
            await nudge.wait(wait, nudges)
            wait = min(wait * 2, _LONGEST_WAIT)


async def _crash_of(run: Callable[[], Awaitable[None]]) -> BaseException:
    """Run until it crashes, and give the error."""
    try:
        await run()
    except BaseExceptionGroup as group:
        bugs, rest = group.split(Exception)
        if bugs is None or (rest is not None and rest.split(trio.Cancelled)[1] is not None):
            raise
        error: BaseException = bugs
    except Exception as bug:  # noqa: BLE001 - this is the supervisor
        error = bug
    else:
        error = StreamdError("it returned although it should run for ever")
    if any(isinstance(each, _CORE) for each in leaves(error)):
        raise error
    return error


def leaves(error: BaseException) -> list[BaseException]:
    """Give the errors that a group of nurseries wraps, in the order of their tasks."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [inner for each in error.exceptions for inner in leaves(each)]


def leaf(error: BaseException) -> BaseException:
    """Give the one error to tell of: a bug rather than what was expected, else the last."""
    found = leaves(error)
    bugs = [each for each in found if not isinstance(each, StreamdError)]
    return (bugs or found)[-1]
