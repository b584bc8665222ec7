"""One configured connector at work: its context, its sessions under their supervisors, its progress."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio

from streamd.backfill import Backfills
from streamd.cloudevents import digits
from streamd.config import ConnectorConfig
from streamd.connector import (
    NO_CHANGES,
    Changes,
    Clock,
    ConnectorType,
    Counters,
    Feed,
    Give,
    Item,
    Log,
    Session,
)
from streamd.dead_letters import undecodable
from streamd.errors import BadRecord
from streamd.events import (
    PROGRESS,
    ConnectorState,
    LifeCycle,
    LifeCycleData,
    Position,
    ProgressData,
    life_cycle_type,
)
from streamd.gaps import PREFIX, Gaps
from streamd.ingress.claims import Claims
from streamd.link import SessionLink
from streamd.model import CONNECTORS, CONNECTORS_STATE, Event, Origin, State
from streamd.session import keep
from streamd.spool.spool import Spool, SpoolClosed
from streamd.status import ConnectorStatus, SubscriptionStatus
from streamd.supervision import Nudge, leaf, supervise
from streamd.telling import part_with_strangers, tell

PROGRESS_SECONDS = 30.0
_BETWEEN_CHANGES_SECONDS = 0.25  # changes that come closer together share one progress event
_STOP_SECONDS = 5.0
_FILES = "files"  # in the state directory
Told = Callable[[BaseException], Awaitable[None]]


class Runtime:
    """What a connector gets from streamd (`Context`), and what runs it."""

    def __init__(
        self,
        name: str,
        kind: ConnectorType[Any],
        config: ConnectorConfig,
        *,
        spool: Spool,
        share: int,
        clock: Clock,
        log: Log,
        counters: Counters,
        ingress: Claims | None = None,
    ) -> None:
        self.origin = Origin(name, kind.name)
        self.config: Any = config
        self.spool = spool
        self.clock = clock
        self.log = log
        self.counters = counters
        self.ingress = (ingress or Claims()).desk(name, counters, log)
        self.nudge = Nudge()
        self.backfills = Backfills()
        self.serve_backfill = self.backfills.serve
        self.status = ConnectorStatus(clock.now())
        self.gaps = Gaps(spool.states(name, PREFIX))
        self.stopping = "stopped"
        """Why it stops, once it does: the cause of the gap that begins then."""
        self.losses = kind.losses
        self._kind = kind
        self._links: dict[str, SessionLink] = {}
        spool.usage(name).share = share

    # -- the context

    async def append(self, items: Sequence[Item], changes: Changes = NO_CHANGES) -> None:
        await self.spool.append(self.origin, items, changes)

    def feed(self, give: Give) -> Feed:
        return self.spool.feed(self.origin, give)

    async def published(self) -> None:
        await self.spool.published(self.origin.connector)

    async def append_own(self, items: Sequence[Item], changes: Changes = NO_CHANGES) -> None:
        """Append streamd's own events, which have room beyond the connector's share."""
        await self.spool.append(self.origin, items, changes, own=True)

    def state(self, name: str) -> bytes | None:
        return self.spool.state(self.origin.connector, name)

    def states(self, prefix: str) -> Mapping[str, bytes]:
        return self.spool.states(self.origin.connector, prefix)

    def states_of(self, names: Sequence[str]) -> Mapping[str, bytes]:
        return self.spool.states_of(self.origin.connector, names)

    def show_subscriptions(self, subscriptions: Sequence[SubscriptionStatus]) -> None:
        self.status.subscriptions = tuple(subscriptions)

    async def wait_refused(self, seconds: float) -> bool:
        return await self.nudge.wait(seconds, self.nudge.given)

    def directory(self) -> Path:
        path = self.spool.directory / _FILES / self.origin.connector
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def dead_letter(self, bad: BadRecord) -> Event:
        self.counters.count("dead_letters")
        return undecodable(bad, self.clock.now(), withheld=self.config.privacy.withholds)

    # -- the work

    async def run(self) -> None:
        """Run the connector until cancelled; then say goodbye and declare what is missed from here on."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._supervise, self._report, self._report_crashed, self._report_crashed)
                nursery.start_soon(self._supervise, self._run_sessions, self._crashed, self._parked)
        finally:
            deadline = trio.current_time() + _STOP_SECONDS
            # SpoolClosed: the core has ended, and nothing can be accepted any more.
            with trio.CancelScope(shield=True, deadline=deadline), suppress(SpoolClosed):
                await self._stop()

    async def _supervise(self, run: Callable[[], Awaitable[None]], crashed: Told, parked: Told) -> None:
        await supervise(run, crashed=crashed, parked=parked, nudge=self.nudge, clock=self.clock)

    async def _run_sessions(self) -> None:
        async with self._kind.open(self) as sessions, trio.open_nursery() as nursery:
            self._links = {session.name: SessionLink(self, session) for session in sessions}
            nursery.start_soon(part_with_strangers, self, self._links.keys())
            for session in sessions:
                nursery.start_soon(self._supervise_session, session, self._links[session.name])

    async def _stop(self) -> None:
        for link in self._links.values():
            await link.stopped(self.stopping)
        if not self._links:
            self.status.set(None, "stopped", self.stopping, self.clock.now())
        await self.publish_progress()

    async def _supervise_session(self, session: Session, link: SessionLink) -> None:
        async def crashed(error: BaseException) -> None:
            bug = leaf(error)
            self.counters.count("crashes")
            self.log.error("session_crashed", session=session.name, exc_info=bug)
            await link.lost(f"crashed: {type(bug).__name__}", "session_crashed")

        async def parked(error: BaseException) -> None:
            self.log.error("session_parked", session=session.name, error=type(leaf(error)).__name__)
            await link.parked(f"crashed too often: {type(leaf(error)).__name__}")

        await self._supervise(lambda: keep(session, link, self), crashed, parked)

    async def _crashed(self, error: BaseException) -> None:
        bug = leaf(error)
        self.counters.count("crashes")
        self.log.error("connector_crashed", exc_info=bug)
        for link in self._links.values():
            await link.lost(f"crashed: {type(bug).__name__}", "connector_crashed")
        await self._tell("lost", f"crashed: {type(bug).__name__}")

    async def _parked(self, error: BaseException) -> None:
        self.log.error("connector_parked", error=type(leaf(error)).__name__)
        for link in self._links.values():
            await link.parked(f"crashed too often: {type(leaf(error)).__name__}")
        await self._tell("parked", f"crashed too often: {type(leaf(error)).__name__}")

    async def _tell(self, state: ConnectorState, reason: str) -> None:
        self.status.set(None, state, reason, self.clock.now())
        data = LifeCycleData(state, None, reason)
        action: LifeCycle = "parked" if state == "parked" else "lost"
        await tell(self, [Event(CONNECTORS, "", life_cycle_type(action), data, self.clock.now())])

    # -- progress

    async def _report(self) -> None:
        """Publish progress every PROGRESS_SECONDS and at each change."""
        while True:
            changed = self.status.changed
            await self.publish_progress()
            with trio.move_on_after(PROGRESS_SECONDS):
                await changed.wait()
                await trio.sleep(_BETWEEN_CHANGES_SECONDS)

    async def _report_crashed(self, error: BaseException) -> None:
        self.counters.count("crashes")
        self.log.error("progress_crashed", exc_info=leaf(error))

    async def publish_progress(self) -> None:
        """Append what the connector has done so far, as an event and as its latest state."""
        self.status.open_gaps = self.gaps.open_count
        self.status.complete_through = self.spool.complete_through(self.origin.connector)
        data = self.progress()
        now = self.clock.now()
        await tell(
            self,
            [
                Event(CONNECTORS, "", PROGRESS, data, now, subject=self.origin.connector),
                State(CONNECTORS_STATE, CONNECTORS, "", PROGRESS, data, now, subject=self.origin.connector),
            ],
        )

    def progress(self) -> ProgressData:
        """Say how the connector is and how far it has come."""
        status = self.status
        return ProgressData(
            state=status.state,
            reason=status.reason,
            complete_through=self.spool.complete_through(self.origin.connector),
            last=self._last(),
            open_gaps=self.gaps.open_count,
            sessions=status.progress(),
        )

    def _last(self) -> dict[str, Position]:
        return {
            stream: Position(self.spool.epoch, digits(number))
            for (connector, stream), number in list(self.spool.numbers.items())
            if connector == self.origin.connector and not stream.endswith(".state")
        }
