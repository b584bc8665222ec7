"""The session loop: what to do about trouble that is expected, and what it means for gaps and life cycle.

`keep` runs one session again and again: lost links with full jitter, refusals slowly. `SessionLink` is what
the session tells of its link meanwhile; each moment becomes one append: the gap that opens or closes, the
life-cycle event, and the status.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import trio

from streamd.connector import NO_CHANGES, Changes, Session
from streamd.errors import Rejected, StreamdError, Transient
from streamd.events import ConnectorState, LifeCycle, LifeCycleData, life_cycle_type
from streamd.gaps import LINK, Step
from streamd.model import CONNECTORS, Event
from streamd.spool.proofs import Proof
from streamd.supervision import leaf

if TYPE_CHECKING:
    from streamd.runtime import Runtime

HEALTHY_SECONDS = 60.0  # a link that held this long starts over with the shortest wait
_REFUSED_SECONDS = (300.0, 900.0, 3600.0)


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


class SessionLink:
    """One session's link as streamd sees it (the `Link` of connector.py)."""

    def __init__(self, runtime: Runtime, session: Session) -> None:
        self._runtime = runtime
        self._session = session
        self._connected_at: datetime | None = None
        self._proof: Callable[[], datetime | None] | None = None
        self._declared = False
        self._was_lost = False
        self._through = runtime.clock.now()

    # -- told by `keep`

    async def begin(self) -> None:
        """Declare what was missed since the last proof of life, from before this process too."""
        runtime, session = self._runtime, self._session
        since = runtime.spool.alive(runtime.origin, session.name)
        cause = "new_spool" if since is None else "crash"
        self._through = since or self._through
        await self._tell("connecting", None, self._open(cause, since))
        self._declared = True
        runtime.spool.prove_with(runtime.origin, session.name, self._prove)

    async def lost(self, reason: str, cause: str = "link_lost") -> None:
        """Note that the link is down: the gap opens at the last proof of life."""
        await self._down("lost", reason, cause, "lost")

    async def refused(self, reason: str) -> None:
        """Note that the vendor refuses us as we stand."""
        await self._down("refused", reason, "refused", "refused")

    async def parked(self, reason: str) -> None:
        """Note that the session crashed too often."""
        await self._down("parked", reason, "parked", "parked")

    async def stopped(self, cause: str) -> None:
        """Note that streamd lets go of the link on purpose."""
        await self._down("stopped", cause, cause, "stopped")
        self._runtime.spool.forget(self._runtime.origin, self._session.name)

    def held(self, seconds: float) -> bool:
        """Tell whether the link was up for that long until now."""
        since = self._connected_at
        return since is not None and (self._runtime.clock.now() - since).total_seconds() > seconds

    # -- told by the session

    def prove_with(self, proof: Callable[[], datetime | None]) -> None:
        self._proof = proof

    async def connected(self, at: datetime, **data: Any) -> None:
        now = self._runtime.clock.now()
        until = min(at, now)
        step = self._runtime.gaps.close(
            self._session.name, LINK, until=until, restored=False, count=None, now=now
        )
        self._connected_at = until
        self._declared = False
        await self._tell("snapshot", "connected", step, **data)

    async def snapshot_begun(self) -> None:
        await self._tell("snapshot", "snapshot_begun")

    async def snapshot_completed(self, *, proven: bool, **data: Any) -> None:
        step: Step = ([], {})
        if proven:
            step = self._runtime.gaps.heal(self._session.name, by="snapshot", now=self._runtime.clock.now())
        await self._tell("snapshot", "snapshot_completed", step, proven=proven, **data)

    async def live(self) -> None:
        if self._was_lost:
            self._was_lost = False
            self._runtime.log.info("link_recovered", session=self._session.name)
            await self._tell("live", "recovered")
        await self._tell("live", "live")

    async def degraded(self, reason: str) -> None:
        await self._tell("degraded", None, reason=reason)

    async def open_gap(self, kind: str, *, cause: str, since: datetime) -> None:
        step = self._runtime.gaps.open(
            self._session.name,
            kind,
            gap_id=_gap_id(),
            scope=self._session.scope,
            since=since,
            cause=cause,
            stateful=True,
            now=self._runtime.clock.now(),
        )
        await self._append(*step)

    async def close_gap(self, kind: str, *, until: datetime, restored: bool, count: int | None) -> None:
        now = self._runtime.clock.now()
        step = self._runtime.gaps.close(
            self._session.name, kind, until=until, restored=restored, count=count, now=now
        )
        await self._append(*step)

    # -- inside

    async def _down(self, state: ConnectorState, reason: str, cause: str, action: LifeCycle) -> None:
        since = self._prove().alive
        self._connected_at = None
        self._proof = None
        since = since or self._runtime.spool.alive(self._runtime.origin, self._session.name)
        step = self._open(cause, since)
        self._was_lost = True
        before = self._runtime.status.sessions.get(self._session.name)
        if before and before.state == state and before.reason == reason and not step[0]:
            return  # told already: one event at the loss, not one at each try
        await self._tell(state, action, step, reason=reason)
        self._declared = True

    def _open(self, cause: str, since: datetime | None) -> Step:
        return self._runtime.gaps.open(
            self._session.name,
            LINK,
            gap_id=_gap_id(),
            scope=self._session.scope,
            since=since,
            cause=cause if since is not None else "new_spool",
            stateful=True,
            now=self._runtime.clock.now(),
        )

    def _prove(self) -> Proof:
        """Say what is proven: through now while the hole is declared, else what the session proves."""
        if self._connected_at is None:
            if self._declared:
                self._through = self._runtime.clock.now()
            return Proof(None, self._through)
        proven = self._proof() if self._proof else None
        self._through = max(self._connected_at, proven or self._connected_at)
        return Proof(self._through, self._through)

    async def _tell(
        self,
        state: ConnectorState,
        action: LifeCycle | None,
        step: Step = ([], {}),
        *,
        reason: str | None = None,
        **details: Any,
    ) -> None:
        """Append a moment's events in one commit, then show the new state."""
        events, changes = step
        runtime, session = self._runtime, self._session
        if action:
            data = LifeCycleData(state, session.name, reason, details)
            now = runtime.clock.now()
            events = [
                *events,
                Event(CONNECTORS, "", life_cycle_type(action), data, now, subject=session.name),
            ]
        await self._append(events, changes)
        runtime.status.set(session.name, state, reason, runtime.clock.now())

    async def _append(self, events: list[Event], changes: Changes = NO_CHANGES) -> None:
        if events or changes:
            await self._runtime.append_own(events, changes)


async def keep(session: Session, link: SessionLink, runtime: Runtime) -> None:
    """Keep one session for ever; returns only when cancelled. A bug passes through to the supervisor."""
    config = runtime.config
    backoff = Backoff(config.retry_min_seconds, config.retry_max_seconds)
    refusals = 0
    await link.begin()
    while True:
        try:
            await session.run(link)
            error: BaseException = StreamdError("the session returned although it should run until lost")
        except BaseExceptionGroup as group:
            error = leaf(group)
            if not isinstance(error, StreamdError):
                raise
        except StreamdError as expected:
            error = expected
        if link.held(HEALTHY_SECONDS):
            backoff.reset()
            refusals = 0
        if isinstance(error, Rejected):
            wait = _REFUSED_SECONDS[min(refusals, len(_REFUSED_SECONDS) - 1)]
            refusals += 1
            runtime.log.error("link_refused", session=session.name, reason=error.reason, retry_seconds=wait)
            await link.refused(error.reason)
            if await runtime.nudge.wait(wait):
                refusals = 0
        elif isinstance(error, Transient):
            delay = error.retry_after if error.retry_after is not None else backoff.next()
            if not link_was_down(runtime, session):
                runtime.log.warning("link_lost", session=session.name, reason=error.reason)
            await link.lost(error.reason)
            await trio.sleep(delay)
        else:
            raise error


def link_was_down(runtime: Runtime, session: Session) -> bool:
    """Tell whether the loss has been logged already: one line at the loss, one at the recovery."""
    status = runtime.status.sessions.get(session.name)
    return status is not None and status.state in ("lost", "refused")


def _gap_id() -> str:
    return str(uuid.uuid4())
