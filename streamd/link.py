"""What a session tells of its link: each moment becomes one append, of the gap that opens or closes and the
life-cycle event, and shows in the status.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import trio

from streamd.connector import Item, Session
from streamd.events import ConnectorState, LifeCycle, LifeCycleData, life_cycle_type
from streamd.gaps import LINK
from streamd.instant import STEP, Instant, instant
from streamd.model import CONNECTORS, Event
from streamd.spool.proofs import Proof
from streamd.supervision import attempt

if TYPE_CHECKING:
    from streamd.runtime import Runtime

_CLOCK_SECONDS = 1.0  # between two looks at a clock that is in doubt


class SessionLink:
    """One session's link as streamd sees it (the `Link` of connector.py)."""

    def __init__(self, runtime: Runtime, session: Session) -> None:
        self._runtime = runtime
        self._session = session
        self._connected: Instant | None = None
        self._connected_since = 0.0
        self._proof: Callable[[], datetime | None] | None = None
        self._declared = False
        self._was_lost = False
        self._lost_at: Instant | None = None
        self._reached_at: Instant | None = None
        self._clock_doubted = trio.Event()
        self._last_proof: datetime | None = None
        self._proven: Instant | None = None
        self._through: Instant | None = None
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
        self._through = instant(alive, runtime.clock) if alive else None
        runtime.spool.prove_with(runtime.origin, session.name, self._prove)
        self._open("crash", alive)
        self._close_others(now)
        if self._was_lost:  # and still is: the gap is open, the status says why
            await tell(runtime)
        else:
            await self._tell("connecting", None)
        self._declared = True

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
        up = self._runtime.clock.monotonic() - self._connected_since
        return self._connected is not None and up > seconds

    def is_in(self, *states: ConnectorState) -> bool:
        """Tell whether the session is in one of these states."""
        status = self._runtime.status.sessions.get(self._session.name)
        return status is not None and status.state in states

    def raise_bug(self) -> None:
        """Raise the bug of the session's proof of life, if it had one."""
        bug, self._bug = self._bug, None
        if bug is not None:
            raise bug

    # -- told by the session

    def prove_with(self, proof: Callable[[], datetime | None]) -> None:
        self._proof = proof

    async def connected(self, at: datetime, **data: Any) -> None:
        clock = self._runtime.clock
        self._connected = instant(at, clock)
        self._connected_since = clock.monotonic()
        self._last_proof = self._proven = None
        self._runtime.gaps.close(
            self._session.name,
            LINK,
            since=self._lost_at.told(clock) if self._lost_at else None,
            until=self._connected.wall,
            restored=False,
            count=None,
            now=clock.now(),
        )
        self._lost_at = None
        if self._runtime.gaps.ends_ahead(self._session.name):
            self._reached_at = self._connected
            self._clock_doubted.set()
        self._declared = False
        if self._was_lost:
            self._runtime.counters.count("reconnects")
        await self._tell("snapshot", "connected", **data)

    async def snapshot_begun(self) -> None:
        await self._tell("snapshot", "snapshot_begun")

    async def snapshot_completed(self, *, proven: bool, **data: Any) -> None:
        if proven:
            self._runtime.gaps.heal(self._session.name, by="snapshot", now=self._runtime.clock.now())
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

    # -- inside

    async def _down(self, state: ConnectorState, reason: str, cause: str, action: LifeCycle) -> None:
        """Open the gap and tell the moment; what is told already is not told again at each try."""
        now = self._runtime.clock.now()
        since = self._prove().alive or self._runtime.spool.alive(self._runtime.origin, self._session.name)
        if self._connected is not None:
            self._lost_at = self._through
        self._connected = None
        self._proof = None
        self._open(cause, since)
        self._close_others(now)
        self._was_lost = True
        await self._tell(state, None if self.is_in(state) else action, reason=reason)
        self._declared = True

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
            now=self._runtime.clock.now(),
        )
        if opened:
            self._runtime.counters.count("gaps")

    def _close_others(self, now: datetime) -> None:
        """End the gaps beside the link's own where that takes over, or where a crash has left them."""
        self._runtime.gaps.close_others(self._session.name, until=now, now=now)

    def _prove(self) -> Proof:
        """Say what is proven: through now while the hole is declared, else what the session proves.

        From `connected` on the link's gap reaches to that instant, and it began before all that the former
        connection had read and not committed: so the proof never needs to lie before it.
        """
        clock = self._runtime.clock
        if self._connected is None:
            if self._declared:
                self._through = instant(clock.now(), clock)
            return Proof(None, self._through.told(clock) if self._through else None)
        proven = attempt(self._proof) if self._proof else None
        if isinstance(proven, Exception):
            self._bug, self._proof, proven = proven, None, None
            self._running.cancel()
        if proven is not None and proven != self._last_proof:
            self._last_proof, self._proven = proven, instant(proven, clock)
        self._through = self._connected
        if self._proven is not None and self._proven.monotonic > self._connected.monotonic:
            self._through = self._proven
        at = self._through.told(clock)
        return Proof(at, at)

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
        runtime.status.set(session.name, state, reason, now)
        events = []
        if action:
            data = LifeCycleData(state, session.name, reason, details)
            events.append(Event(CONNECTORS, "", life_cycle_type(action), data, now, subject=session.name))
        await tell(runtime, events)


async def part_with_strangers(runtime: Runtime, sessions: Collection[str]) -> None:
    """Close the gaps of sessions that are not among the configured ones any more, and forget their proofs.

    One that comes back later begins as a new one does: nothing is claimed of the time between.
    """
    runtime.spool.keep_only(runtime.origin, sessions)
    runtime.gaps.close_strangers(sessions, now=runtime.clock.now())
    await tell(runtime)


async def tell(runtime: Runtime, items: Sequence[Item] = ()) -> None:
    """Append streamd's own `items` of one connector, and before them what has become of its gaps since.

    One at a time, so that a gap's last word is the last on its topic. An append that is cut short leaves
    its words to the next one.
    """
    async with runtime.gaps.telling:
        words = runtime.gaps.untold()
        if words or items:
            events = [event for event, _ in words.values()]
            changes = {name: value for name, (_, value) in words.items()}
            await runtime.append_own([*events, *items], changes)
            runtime.gaps.told(words)
    if words:
        runtime.status.touch()
