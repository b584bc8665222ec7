"""What a session tells of its link: each moment becomes one append, of the gap that opens or closes and the
life-cycle event, and shows in the status.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import trio

from streamd.connector import NO_CHANGES, Changes, Session
from streamd.events import ConnectorState, GapData, LifeCycle, LifeCycleData, life_cycle_type
from streamd.gaps import LINK
from streamd.instant import STEP, Instant
from streamd.life import Continuous, Walked
from streamd.model import CONNECTORS, Event
from streamd.redaction import redacted
from streamd.spool.proofs import Proof
from streamd.status import SessionStatus
from streamd.supervision import attempt
from streamd.telling import tell

if TYPE_CHECKING:
    from streamd.runtime import Runtime

_CLOCK_SECONDS = 1.0  # between two looks at a clock that is in doubt


class SessionLink:
    """One session's link as streamd sees it (the `Link` of connector.py)."""

    def __init__(self, runtime: Runtime, session: Session) -> None:
        self._runtime = runtime
        self._session = session
        refetched = runtime.losses == "refetched"
        self._life = Walked(runtime.clock) if refetched else Continuous(runtime.clock)
        self._connected_since: float | None = None
        self._proof: Callable[[], datetime | None] | None = None
        self._was_lost = False
        self._lost_at: Instant | None = None
        self._reached_at: Instant | None = None
        self._clock_doubted = trio.Event()
        self._bug: Exception | None = None
        self._running = trio.CancelScope()

    # -- told by `keep`

    async def begin(self) -> None:
        """Declare what was missed since the last proof of life, from before this process too."""
        runtime, session = self._runtime, self._session
        now = runtime.clock.now()
        alive = runtime.spool.alive(runtime.origin, session.name)
        if alive is not None and alive > now:
            runtime.log.warning("clock_behind", session=session.name, last_proof=alive.isoformat())
        self._life.begin(alive)
        runtime.spool.prove_with(runtime.origin, session.name, self._prove)
        self._lose("crash", alive)
        self._close_others(now)
        if self._was_lost:  # and still is: the gap is open, the status says why
            await tell(runtime)
        else:
            await self._tell("connecting", None)
        self._life.declare()

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

    async def mind_the_clock(self) -> None:
        """Where a gap ended by a clock that was behind, let it end later once that is set right, for ever."""
        runtime, name = self._runtime, self._session.name
        while True:
            await self._clock_doubted.wait()
            self._clock_doubted = trio.Event()
            while runtime.gaps.ends_ahead(name) and self._reached_at is not None:
                await trio.sleep(_CLOCK_SECONDS)
                until = self._reached_at.now(runtime.clock)
                if until > self._reached_at.wall + STEP:
                    runtime.gaps.extend(name, until=until, now=runtime.clock.now())
                    await tell(runtime)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let the session run; a bug in its proof of life ends it.

        In the end take the last proof: a session that is over cannot answer for what comes.
        """
        try:
            with trio.CancelScope() as self._running:
                yield
        finally:
            self._prove()
            self._proof = None

    def held(self, seconds: float) -> bool:
        """Tell whether the link was up for that long until now."""
        since = self._connected_since
        return since is not None and self._runtime.clock.monotonic() - since > seconds

    def is_in(self, *states: ConnectorState) -> bool:
        """Tell whether the session is in one of these states."""
        status = self._status
        return status is not None and status.state in states

    @property
    def _status(self) -> SessionStatus | None:
        return self._runtime.status.sessions.get(self._session.name)

    def raise_bug(self) -> None:
        """Raise the bug of the session's proof of life, if it had one."""
        bug, self._bug = self._bug, None
        if bug is not None:
            raise bug

    # -- told by the session

    def prove_with(self, proof: Callable[[], datetime | None]) -> None:
        self._proof = proof

    async def connected(self, at: datetime, **data: Any) -> None:
        runtime, clock = self._runtime, self._runtime.clock
        reached = self._life.connect(at)
        self._connected_since = clock.monotonic()
        runtime.gaps.close(
            self._session.name,
            LINK,
            since=self._lost_at.told(clock) if self._lost_at else None,
            until=reached.wall,
            restored=False,
            count=None,
            now=clock.now(),
        )
        self._lost_at = None
        if runtime.gaps.ends_ahead(self._session.name):
            self._reached_at = reached
            self._clock_doubted.set()
        if self._was_lost:
            runtime.counters.count("reconnects")
        await self._tell("snapshot" if runtime.losses == "lost" else "connecting", "connected", **data)

    async def snapshot_begun(self) -> None:
        await self._tell("snapshot", "snapshot_begun")

    async def snapshot_completed(self, *, proven: bool, **data: Any) -> None:
        if proven:
            self._runtime.gaps.heal(self._session.name, by="snapshot", now=self._runtime.clock.now())
        status = self._status
        if status is not None and status.state in ("live", "degraded"):  # it was over; only its proof is new
            await self._tell(status.state, "snapshot_completed", reason=status.reason, proven=proven, **data)
        else:
            await self._tell("snapshot", "snapshot_completed", proven=proven, **data)

    async def live(self) -> None:
        if self._was_lost:
            self._was_lost = False
            self._runtime.log.info("link_recovered", session=self._session.name)
            await self._tell("live", "recovered")
        elif self.is_in("live"):
            return
        await self._tell("live", "live")

    async def degraded(self, reason: str) -> None:
        await self._tell("degraded", None, reason=reason)

    async def open_gap(self, kind: str, *, cause: str, since: datetime) -> None:
        self._open(cause, since, kind)
        await tell(self._runtime)

    async def close_gap(self, kind: str, *, until: datetime, restored: bool, count: int | None) -> None:
        now = self._runtime.clock.now()
        self._runtime.gaps.close(
            self._session.name, kind, until=until, restored=restored, count=count, now=now
        )
        await tell(self._runtime)

    async def declare_gap(
        self,
        *,
        cause: str,
        since: datetime,
        until: datetime,
        events: Literal["lost", "pending"] = "lost",
        scope: Sequence[str] | None = None,
        count: int | None = None,
        changes: Changes = NO_CHANGES,
    ) -> str:
        runtime, session = self._runtime, self._session
        declared = runtime.gaps.declare(
            runtime.origin.connector,
            session.name,
            cause=cause,
            scope=session.scope if scope is None else scope,
            since=since,
            until=until,
            events=events,
            count=count,
            now=runtime.clock.now(),
        )
        runtime.counters.count("gaps")
        await tell(runtime, changes=changes)
        return declared

    def pending_gaps(self) -> Sequence[GapData]:
        return self._runtime.gaps.pending(self._session.name)

    async def settle_gap(
        self,
        gap_id: str,
        *,
        events: Literal["recovered", "lost"],
        healed_by: Literal["redelivery", "backfill"] | None = None,
        count: int | None = None,
        since: datetime | None = None,
        changes: Changes = NO_CHANGES,
    ) -> None:
        runtime = self._runtime
        now = runtime.clock.now()
        runtime.gaps.settle(gap_id, events=events, healed_by=healed_by, count=count, since=since, now=now)
        await tell(runtime, changes=changes)

    # -- inside

    async def _down(self, state: ConnectorState, reason: str, cause: str, action: LifeCycle) -> None:
        """Open the gap and tell the moment; what is told already is not told again at each try."""
        now = self._runtime.clock.now()
        since = self._prove().alive or self._runtime.spool.alive(self._runtime.origin, self._session.name)
        if self._connected_since is not None:
            self._lost_at = self._life.through
        self._connected_since = None
        self._life.disconnect()
        self._proof = None
        self._lose(cause, since)
        self._close_others(now)
        self._was_lost = True
        await self._tell(state, None if self.is_in(state) else action, reason=reason)
        self._life.declare()

    def _lose(self, cause: str, since: datetime | None) -> None:
        """Open the link's gap, unless all that is missed from now on will be fetched later."""
        if since is None or self._runtime.losses != "refetched":
            self._open(cause, since)

    def _open(self, cause: str, since: datetime | None, kind: str = LINK) -> None:
        """Open a gap, unless one of its kind is open.

        Without any proof of life its cause is `new_spool` and its beginning null, for nothing is claimed
        before it: the first gap in each epoch, and that of a session configured later.
        """
        opened = self._runtime.gaps.open(
            self._session.name,
            kind,
            gap_id=str(uuid.uuid4()),
            scope=self._session.scope,
            since=since,
            cause=cause if since is not None else "new_spool",
            stateful=self._session.stateful,
            events="pending" if since is not None and self._runtime.losses == "pending" else "lost",
            now=self._runtime.clock.now(),
        )
        if opened:
            self._runtime.counters.count("gaps")

    def _close_others(self, now: datetime) -> None:
        """End the gaps beside the link's own where that takes over, or where a crash has left them."""
        self._runtime.gaps.close_others(self._session.name, until=now, now=now)

    def _prove(self) -> Proof:
        """Say what is proven. A bug in the session's own proof ends its run, which raises it."""
        asked = self._proof if self._connected_since is not None else None
        proven = attempt(asked) if asked else None
        if isinstance(proven, Exception):
            self._bug, self._proof, proven = proven, None, None
            self._running.cancel()
        return self._life.prove(proven)

    async def _tell(
        self,
        state: ConnectorState,
        action: LifeCycle | None,
        *,
        reason: str | None = None,
        **details: Any,
    ) -> None:
        """Show the new state, and append what a moment says; that may wait for room."""
        runtime, session = self._runtime, self._session
        now = runtime.clock.now()
        reason = None if reason is None else redacted(reason)  # a vendor may send back what it was sent
        runtime.status.set(session.name, state, reason, now)
        events = []
        if action:
            data = LifeCycleData(state, session.name, reason, details)
            events.append(Event(CONNECTORS, "", life_cycle_type(action), data, now, subject=session.name))
        await tell(runtime, events)
