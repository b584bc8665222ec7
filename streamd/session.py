"""The session loop: what to do about trouble that is expected.

`keep` runs one session again and again: lost links with full jitter, refusals slowly. What that means for
gaps and life cycle is its link's (link.py).
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import trio

from streamd.connector import Session
from streamd.errors import Rejected, StreamdError, Transient
from streamd.link import SessionLink
from streamd.supervision import leaves

if TYPE_CHECKING:
    from streamd.runtime import Runtime

HEALTHY_SECONDS = 60.0  # a link that held this long starts over with the shortest wait
_REFUSED_SECONDS = (300.0, 900.0, 3600.0)


def refused_seconds(refusals: int) -> float:
    """Say how long to wait after a refusal that followed `refusals` others (INTERFACE.md, promise 6)."""
    return _REFUSED_SECONDS[min(refusals, len(_REFUSED_SECONDS) - 1)]


class Backoff:
    """Waits between tries: full jitter, from `least` doubling to `most` seconds."""

    def __init__(self, least: float, most: float) -> None:
        self._least = least
        self._most = most
        self._tries = 0

    def next(self) -> float:
        """Give the next wait."""
        ceiling = min(self._most, self._least * 2**self._tries)
        self._tries = min(self._tries + 1, 32)
        return random.uniform(self._least / 2, max(ceiling, self._least))  # noqa: S311 - jitter, no secret

    def reset(self) -> None:
        """Start over."""
        self._tries = 0


async def keep(session: Session, link: SessionLink, runtime: Runtime) -> None:
    """Keep one session for ever; returns only when cancelled. A bug passes through to the supervisor."""
    await link.begin()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.mind_the_clock)
        await _run_again_and_again(session, link, runtime)


async def _run_again_and_again(session: Session, link: SessionLink, runtime: Runtime) -> None:
    config = runtime.config
    backoff = Backoff(config.retry_min_seconds, config.retry_max_seconds)
    refusals = 0
    while True:
        error = await _outcome(session, link)
        if link.held(HEALTHY_SECONDS):
            backoff.reset()
            refusals = 0
        if isinstance(error, Rejected):
            wait = max(refused_seconds(refusals), error.retry_after)
            nudged = await _wait_refused(error, wait, session, link, runtime)
            refusals = 0 if nudged else refusals + 1
        elif isinstance(error, Transient):
            wait = backoff.next()
            if error.retry_after is not None:
                wait = max(error.retry_after, config.retry_min_seconds)
            await _wait_lost(error, wait, session, link, runtime)
        else:
            raise error


async def _outcome(session: Session, link: SessionLink) -> StreamdError:
    """Run a session until it ends, and give the expected error that ended it.

    A bug is raised, and so is our own cancellation: both outweigh what went wrong beside them.
    """
    try:
        with link.in_use():
            await session.run(link)
    except StreamdError as error:
        link.raise_bug()
        return error
    except BaseExceptionGroup as group:
        expected, other = group.split(StreamdError)
        if other is not None:
            raise other from None
        link.raise_bug()
        assert expected is not None
        return _weightiest(expected)
    link.raise_bug()
    return StreamdError("the session returned although it should run until lost")


def _weightiest(group: BaseExceptionGroup[StreamdError]) -> StreamdError:
    """Give the one that says most about what to do: unknown, then refused, then lost; else the last."""
    errors = [error for error in leaves(group) if isinstance(error, StreamdError)]
    unknown = [error for error in errors if not isinstance(error, (Rejected, Transient))]
    refused = [error for error in errors if isinstance(error, Rejected)]
    told = [error for error in errors if isinstance(error, Transient) and error.retry_after is not None]
    return (unknown or refused or told or errors)[-1]


async def _wait_refused(
    error: Rejected, wait: float, session: Session, link: SessionLink, runtime: Runtime
) -> bool:
    """Wait slowly, so that no account is locked; tell whether an operator's nudge ended it."""
    nudges = runtime.nudge.given
    if not link.is_in("refused"):
        runtime.log.error("link_refused", session=session.name, reason=error.reason, retry_seconds=wait)
    await link.refused(error.reason)
    return await runtime.nudge.wait(wait, nudges)


async def _wait_lost(
    error: Transient, wait: float, session: Session, link: SessionLink, runtime: Runtime
) -> None:
    """Wait before the next try, or until an operator's nudge: one line in the log at the loss."""
    nudges = runtime.nudge.given
    if not link.is_in("lost", "refused", "parked"):
        runtime.log.warning("link_lost", session=session.name, reason=error.reason)
    await link.lost(error.reason)
    await runtime.nudge.wait(wait, nudges)
