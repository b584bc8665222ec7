"""The supervisor's loop: what to do about trouble that nobody expected.

A bug in one session or connector is restarted with growing waits; after RESTARTS within a minute it is
parked: one error, a probe every quarter of an hour, and everything else runs on. This is the one place with
an `except Exception`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

import trio

from streamd.connector import Clock
from streamd.errors import StreamdError

RESTARTS, WITHIN_SECONDS = 3, 60.0
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0
PROBE_SECONDS = 15 * 60.0


class Nudge:
    """A wait that an operator can end: SIGHUP and `streamd restart` nudge what is refused or parked."""

    def __init__(self) -> None:
        self._lot = trio.lowlevel.ParkingLot()

    def give(self) -> None:
        """End every wait now."""
        self._lot.unpark_all()

    async def wait(self, seconds: float) -> bool:
        """Wait that long at most; tell whether a nudge ended it."""
        with trio.move_on_after(seconds):
            await self._lot.park()
            return True
        return False


async def supervise(
    run: Callable[[], Awaitable[None]],
    *,
    crashed: Callable[[BaseException], Awaitable[None]],
    parked: Callable[[BaseException], Awaitable[None]],
    nudge: Nudge,
    clock: Clock,
) -> None:
    """Run `run` for ever, again after each crash; returns only when cancelled.

    `crashed` is told of each crash before the wait, `parked` when it was one too many. SpoolCorrupt and
    other errors of the core do not come this way: they end the core itself.
    """
    crashes: deque[float] = deque(maxlen=RESTARTS + 1)
    wait = _FIRST_WAIT
    while True:
        try:
            await run()
            error: BaseException = StreamdError("it returned although it should run for ever")
        except Exception as bug:  # noqa: BLE001 - this is the supervisor
            error = bug
        now = clock.monotonic()
        if not crashes or now - crashes[-1] > WITHIN_SECONDS:
            wait = _FIRST_WAIT
        crashes.append(now)
        if len(crashes) > RESTARTS and now - crashes[0] < WITHIN_SECONDS:
            await parked(error)
            await nudge.wait(PROBE_SECONDS)
        else:
            await crashed(error)
            await nudge.wait(wait)
            wait = min(wait * 2, _LONGEST_WAIT)


def leaf(error: BaseException) -> BaseException:
    """Give the one error that a group of nurseries wraps, or the group itself where there are several kinds.

    Of several expected errors (streamd's own) the last to be raised wins; a bug among them always does.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [leaf(inner) for inner in error.exceptions]
    bugs = [inner for inner in leaves if not isinstance(inner, StreamdError)]
    return (bugs or leaves)[-1]
