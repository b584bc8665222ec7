"""One confirmed connection: its tasks, from the first frame to the end of the link.

A client that stops reading stops answering pings and loses its subscription (contract, section 1.7). So
the transport always reads, and what takes its messages waits for nothing but, briefly, for a spool that is
behind: events go to the intake, word of the link to the herald.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from time import monotonic

import trio

from streamd.connector import Context, Link
from streamd.connectors.avaya.config import AvayaConfig
from streamd.connectors.avaya.flow import Flow
from streamd.connectors.avaya.losses import ConnectionLost
from streamd.connectors.avaya.measures import Changes, Items, MergedMeasures
from streamd.connectors.avaya.proof import Proof
from streamd.connectors.avaya.protocol import CONFIRMED, Loss, Standing, ping_interval, spelled
from streamd.connectors.avaya.renewing import EXPIRES_WITHIN_SECONDS, Renewer
from streamd.connectors.avaya.rest import Subscription
from streamd.connectors.avaya.snapshot import Ended, Fact, Missing, Proven, Rule, Rules, Snapshot
from streamd.connectors.avaya.subscription import OwnSubscription
from streamd.instant import here
from streamd.live.herald import Herald
from streamd.live.intake import Intake
from streamd.live.pace import Pace
from streamd.nurseries import lone_error
from streamd.transport.websocket import LinkClosed, WebSocket

# Only a pong proves what the server had handed over, so while data flows we ping so often.
BUSY_PING_SECONDS = 1.0
# For so long a reader may wait for the spool: the transport reads on meanwhile and answers pings, and holds
# 64 MiB, the bytes of 2 s at 60,000 messages a second. After that the intake drops and declares.
PATIENCE_SECONDS = 2.0
# So many frames are decoded in one go (some 10 ms); then the other tasks have their turn.
FRAMES_AT_ONCE = 1000


class Stream:
    """The tasks of one connection, from its confirmation on.

    `may_force`: live data without any snapshot may cost the subscription, to force a snapshot from a new one.
    """

    def __init__(
        self,
        ctx: Context[AvayaConfig],
        link: Link,
        websocket: WebSocket,
        flow: Flow,
        own: OwnSubscription,
        standing: Standing,
        *,
        may_force: bool,
    ) -> None:
        config = ctx.config
        self._ctx = ctx
        self._websocket = websocket
        self._flow = flow
        self._producer = own.producer
        self._standing = standing
        self._may_force = may_force
        self._intake = Intake(ctx, link)
        self._pace = Pace(self._intake, PATIENCE_SECONDS)
        self._herald = Herald(link)
        self._own = own
        self._renewer = Renewer(ctx, own, websocket, self._herald, self._is_silent_since)
        rules = Rules(
            config.snapshot_quiet_seconds,
            config.snapshot_limit_seconds,
            config.snapshot_settle_seconds,
            config.snapshot_proof_seconds,
        )
        self._snapshot = Snapshot(rules, monotonic())
        self._late = 0
        self._is_behind = True
        self._heard = trio.Event()
        self._data_at = 0.0
        self._silent_since: float | None = None
        self._proof = Proof(ctx.clock.now())

    @property
    def had_snapshot(self) -> bool:
        """Tell whether any INITIALIZING came."""
        return self._snapshot.initialising > 0

    @property
    def is_settled(self) -> bool:
        """Tell whether all that was read is committed; if not, what became of the rest is unknown."""
        return not self._intake.dropped and self._intake.waiting_since is None

    async def run(self, subscription: Subscription, at: datetime, frames: list[bytes]) -> None:
        """Stream until the link is lost; `frames` came along with the confirmation, `at`.

        Raises LinkClosed, ConnectionLost or Transient. What was read is handed over before that, as far as
        the spool takes it within the intake's deadline.
        """
        if self._flow.measures is not None:
            self._flow.measures.begin()
        link = self._herald.link
        link.prove_with(self._proven)
        self._herald.tell_nowait(partial(link.connected, at, subscription_id=subscription.subscription_id))
        self._herald.tell_nowait(link.snapshot_begun)
        try:
            with lone_error():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._herald.run)
                    nursery.start_soon(self._intake.run)
                    nursery.start_soon(self._ping, subscription.ping_interval)
                    nursery.start_soon(self._renewer.run)
                    nursery.start_soon(self._watch_snapshot)
                    await self._read(frames)
        finally:
            await self._intake.flush()

    async def _read(self, frames: list[bytes]) -> None:
        while True:
            for start in range(0, len(frames), FRAMES_AT_ONCE):
                self._take(frames[start : start + FRAMES_AT_ONCE])
                await self._pace.wait()
            self._is_behind = False
            self._proof.on_drained(self._websocket.drained_at)
            try:
                frames.clear()  # a large batch is let go now, not when the next one is here
                frames = await self._websocket.receive()
            except LinkClosed as closed:
                self._proof.on_end(self._told(self._websocket.last_bytes_at) if closed.clean else None)
                raise
            self._is_behind = True
            self._data_at = monotonic()
            self._heard.set()

    def _take(self, frames: list[bytes]) -> None:
        at = here(self._ctx.clock)
        received = at.wall
        batch = self._flow.read(frames, received, self._snapshot, monotonic())
        self._intake.put_nowait(batch.items, batch.changes, at, lambda: self._proof.put_through)
        self._proof.on_put(received)
        self._ctx.counters.count("messages", batch.messages)
        if self._snapshot.late > self._late:
            self._ctx.counters.count("initialising_after_live", self._snapshot.late - self._late)
            self._late = self._snapshot.late
        for status in batch.answers:
            self._on_late_answer(status)

    def _on_late_answer(self, status: str) -> None:
        """Take the answer to an authentication that was sent again; only a confirmation keeps the link."""
        if spelled(status) != CONFIRMED:
            loss = self._standing.on_authentication(status, monotonic())
            assert loss is not None
            raise ConnectionLost(loss)

    async def _ping(self, server_interval: float | None) -> None:
        """Ping within the interval that the server tolerates; a dead peer ends the connection."""
        idle = ping_interval(server_interval, self._ctx.config.ping_interval_seconds)
        busy = min(BUSY_PING_SECONDS, idle)
        sent_at = trio.current_time()
        while True:
            await trio.sleep_until(sent_at + busy)
            with trio.move_on_at(sent_at + idle):
                await self._heard.wait()
            self._heard = trio.Event()
            sent_at = trio.current_time()
            await self._ping_once(self._ctx.config.pong_timeout_seconds)

    async def _ping_once(self, most_seconds: float) -> None:
        sent = monotonic()
        await self._websocket.ping(most_seconds)
        if monotonic() - sent < most_seconds:  # else other bytes than a pong were the sign of life
            self._proof.on_pong(self._told(sent), self._websocket.last_bytes_at)

    async def _watch_snapshot(self) -> None:
        while not self._snapshot.proven:
            await trio.sleep(self._snapshot.due(monotonic()))
            # While messages are in hand that were not looked at yet, the silence is ours and not Avaya's.
            if not self._is_behind:
                self._on_snapshot(self._snapshot.tick(monotonic()))

    def _on_snapshot(self, facts: list[Fact]) -> None:
        proof = next((fact for fact in facts if isinstance(fact, Proven)), None)
        end = next((fact for fact in facts if isinstance(fact, Ended)), None)
        if proof is not None:
            self._complete(proof.rule, proven=True)
        elif end is not None:
            self._complete(end.rule, proven=False)
        if any(isinstance(fact, Missing) for fact in facts):
            self._ctx.counters.count("missing_snapshots")
            self._ctx.log.warning("snapshot_missing", producer=self._producer, forced=self._may_force)
            if not self._may_force:
                return
            raise ConnectionLost(Loss("live data but no snapshot", retry_after=0.0, recreate=True))

    def _complete(self, rule: Rule, *, proven: bool) -> None:
        """Publish what waited for the snapshot's end, retire what it lacks, then say that it is whole."""
        at = here(self._ctx.clock)
        received = at.wall
        keys = self._snapshot.initialising
        measures = self._flow.measures
        if measures is not None:
            items: Items = []
            changes: Changes = {}
            measures.end_filling(proven, received, self._flow.typing, items)
            if proven:
                # While rows are doubted, the topic may show some that are gone: nothing is restored yet.
                proven = not self._retire(measures, received, items, changes)
            self._intake.put_nowait(items, changes, at)
            keys = len(measures)
        self._herald.tell_nowait(partial(self._completed, received, rule, proven, keys))
        self._herald.assess_nowait()

    def _retire(self, measures: MergedMeasures, received: datetime, items: Items, changes: Changes) -> int:
        """Retire what the proven snapshot lacks; return how many rows are doubted and stay."""
        retirement = measures.retire(received, items, changes)
        self._ctx.counters.count("retired_keys", retirement.retired)
        if retirement.doubted:
            reason = (
                f"{retirement.doubted} keys are missing from the snapshot of {self._producer}: "
                "too many to be believed before the next snapshot lacks them too"
            )
            self._ctx.log.warning("retirement_held", producer=self._producer, keys=retirement.doubted)
            self._herald.worry("retirement", reason)
        return retirement.doubted

    async def _completed(self, at: datetime, rule: Rule, proven: bool, keys: int) -> None:
        """Report the end of the snapshot, once all that was read before it is committed."""
        while (since := self._intake.waiting_since) is not None and since <= at:  # noqa: ASYNC110 - no event
            await trio.sleep(0.02)
        await self._herald.link.snapshot_completed(proven=proven, rule=rule, keys=keys)

    def _proven(self) -> datetime | None:
        """Give the instant before which all that the server handed over is committed (connector.Link)."""
        if not self._is_behind:
            self._proof.on_drained(self._websocket.drained_at)
        return self._intake.proof(self._proof.through(self._intake.waiting_since))

    def _is_silent_since(self, expiry: float) -> bool:
        """Tell whether no data came since the subscription expired; then nothing is proven beyond that."""
        silent = self._data_at <= expiry + EXPIRES_WITHIN_SECONDS
        self._silent_since = expiry if silent else None
        return silent

    def _told(self, instant: float) -> datetime:
        """Give the wall clock of `instant`, monotonic seconds of a ping or a Close.

        After the subscription's expiry only data counts, for the server may have stopped sending and still
        answer pings.
        """
        expiry = self._own.expires_at if self._silent_since is None else self._silent_since
        if expiry is not None and instant > expiry:
            instant = max(expiry, min(instant, self._data_at))
        return self._ctx.clock.now() - timedelta(seconds=monotonic() - instant)
