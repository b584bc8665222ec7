"""Stream to one subscription: what is new at once, what was dropped by reconciliation (section 3c).

The documents: what was dropped within 24 hours comes back by itself, beginning about 10 minutes after the
client is back, beside the new. Inferred: there are no retries; the client is back when a push succeeds; with
nothing new to push, the oldest dropped batch is tried every 10 minutes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence

import trio

from streamd.simulators.omilia.delivery import Outcome, Pusher
from streamd.simulators.omilia.envelope import Numbering
from streamd.simulators.omilia.oauth import Bearer
from streamd.simulators.omilia.records import Fate, Record
from streamd.simulators.omilia.service import Service
from streamd.simulators.omilia.subscriptions import Subscription
from streamd.simulators.omilia.vocabulary import AUDIT

WINDOW = 24 * 3600.0  # seconds that reconciliation looks back
_AFTER = 600.0  # seconds from "back online" to reconciliation, and between two tries of an idle stream
_DELAY = 30.0  # seconds
_PAUSE = 0.02  # real seconds after a failed push: an unreachable client must not be called in a busy loop
_LIVE, _RECONCILIATION = "live", "reconciliation"


class Streaming:
    """Both streams of one subscription; `queue` waits to be pushed, `dropped` (by number) to come back."""

    def __init__(self, service: Service, subscription: Subscription) -> None:
        self.subscription = subscription
        self.message_type = AUDIT if subscription.data_type == "audit" else subscription.data_type
        self.queue: deque[Record] = deque()
        self.dropped: dict[int, Record] = {}
        self.in_flight = 0
        self.changed = trio.lowlevel.ParkingLot()
        self._service = service
        self._bearer = Bearer(service, subscription)
        self._idle: list[Pusher] = []
        self._pushers: list[Pusher] = []
        self._live = Numbering()
        self._ended = self._reconciling = False
        self._due: float | None = None
        self._tried_at = service.clock.now()
        self._failing_since: float | None = None
        self._paused_until = -math.inf

    def __repr__(self) -> str:
        return f"<Streaming {self.message_type} {len(self.queue)} waiting, {len(self.dropped)} dropped>"

    @property
    def is_quiet(self) -> bool:
        """Tell that nothing is to be pushed now; something may still have to come back."""
        return not self.queue and not self.in_flight and not self._reconciling

    def take(self, record: Record) -> None:
        """Push `record` as soon as its turn comes."""
        if self._service.faults.has("silent-stop", self.message_type):
            record.state = Fate.WITHHELD
            return
        record.state = Fate.WAITING
        self.queue.append(record)
        self.changed.unpark_all()

    def bring_back(self, records: Sequence[Record]) -> None:
        """Let reconciliation bring `records`, too."""
        for record in records:
            self._drop(record)
        self._due = self._service.clock.now() + self._after
        self.changed.unpark_all()

    def end(self) -> None:
        """Push no more; what is on its way still arrives, the rest is lost."""
        self._ended = True
        for record in (*self.queue, *self.dropped.values()):
            record.state = Fate.LOST
        self.queue.clear()
        self.dropped.clear()
        self.changed.unpark_all()
        self._service.progress.unpark_all()

    async def run(self) -> None:
        """Push until ended."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run_reconciliation)
                while await self._wait(self._until_live):
                    batch = [self.queue.popleft() for _ in range(min(self._batch_size, len(self.queue)))]
                    pusher = self._idle.pop() if self._idle else self._pusher()
                    self.in_flight += 1
                    nursery.start_soon(self._push_live, pusher, batch)
        finally:
            for pusher in self._pushers:
                pusher.close()
            self._bearer.close()

    # The live stream

    async def _push_live(self, pusher: Pusher, batch: Sequence[Record]) -> None:
        outcome = await pusher.push(batch, self._live, _LIVE)
        self.in_flight -= 1
        self._idle.append(pusher)
        self._settle(batch, outcome)

    def _until_live(self) -> float:
        faults, clock = self._service.faults, self._service.clock
        if not self.queue or self.in_flight >= max(1, int(faults.number("concurrent", 1))):
            return math.inf
        late = faults.number("delay-seconds", _DELAY) if faults.has("delay", self.message_type) else 0.0
        due = clock.real(self.queue[0].made_at + late - clock.now()) if late else 0.0
        return max(due, self._paused_until - trio.current_time())

    # Reconciliation

    async def _run_reconciliation(self) -> None:
        pusher = self._pusher()
        while await self._wait(self._until_reconciliation):
            self._reconciling = True
            await self._reconcile(pusher)
            self._reconciling = False
            self._service.progress.unpark_all()

    def _until_reconciliation(self) -> float:
        clock = self._service.clock
        if not self.dropped:
            return math.inf
        if self._due is not None:
            return clock.real(self._due - clock.now())
        if self.queue or self.in_flight or not self._service.faults.has("online-probed"):
            return math.inf
        every = self._service.faults.number("probe-after", _AFTER)
        return clock.real(self._tried_at + every - clock.now())

    async def _reconcile(self, pusher: Pusher) -> None:
        """Bring back what was dropped and is young enough, until it is done or a push fails."""
        faults = self._service.faults
        self._due = None
        waiting = self._recoverable()
        numbering = self._live if faults.has("reconcile-same-session") else Numbering()
        pace = faults.number("reconcile-rate")
        while waiting and not self._ended:
            batch, waiting = waiting[: self._batch_size], waiting[self._batch_size :]
            outcome = await pusher.push(batch, numbering, _RECONCILIATION)
            self._settle(batch, outcome)
            if not outcome.accepted and not outcome.final:
                self._due = None
                return
            if pace:
                await trio.sleep(len(batch) / pace)
        self._due = self._service.clock.now() + self._after if self.dropped else None

    def _recoverable(self) -> list[Record]:
        """Return what is to be brought back, oldest first; what is too old is lost."""
        oldest = self._service.clock.now() - WINDOW
        for record in [each for each in self.dropped.values() if each.made_at < oldest]:
            self._lose(record)
        found = sorted(self.dropped.values(), key=lambda each: each.made_at)
        overlap = int(self._service.faults.number("reconcile-overlap"))
        if not overlap or not found:
            return found
        before = [
            each
            for each in self._service.records.made_since(oldest, self.message_type)
            if each.accepted and each.made_at <= found[0].made_at
        ]
        return before[-overlap:] + found

    # What both have in common

    def _settle(self, batch: Sequence[Record], outcome: Outcome) -> None:
        """Note how a push of `batch` went, and what that says about the client."""
        now = self._service.clock.now()
        self._tried_at = now
        for record in batch:
            if outcome.accepted:
                self.dropped.pop(record.number, None)
            elif outcome.final:
                self.dropped.pop(record.number, None)
                record.state = Fate.DISCARDED
            elif self._ended:
                record.state = Fate.LOST
            else:
                self._drop(record)
        if outcome.accepted:
            self._is_back(now)
        else:
            self._paused_until = trio.current_time() + max(_PAUSE, outcome.wait)
            self._failing_since = now if self._failing_since is None else self._failing_since
        self.changed.unpark_all()
        self._service.progress.unpark_all()

    def _is_back(self, now: float) -> None:
        since, self._failing_since = self._failing_since, None
        if since is not None and now - since > WINDOW and self._service.faults.has("window-by-outage"):
            for record in list(self.dropped.values()):
                self._lose(record)
        if self.dropped and self._due is None:
            self._due = now + self._after

    def _drop(self, record: Record) -> None:
        record.state = Fate.DROPPED
        self.dropped[record.number] = record

    def _lose(self, record: Record) -> None:
        del self.dropped[record.number]
        record.state = Fate.LOST

    @property
    def _after(self) -> float:
        return self._service.faults.number("reconcile-after", _AFTER)

    @property
    def _batch_size(self) -> int:
        faults = self._service.faults
        return 1 if faults.has("bare-objects") else max(1, int(faults.number("batch-size", 500)))

    def _pusher(self) -> Pusher:
        pusher = Pusher(self._service, self.subscription, self._bearer)
        self._pushers.append(pusher)
        return pusher

    async def _wait(self, until: Callable[[], float]) -> bool:
        """Wait until `until`, the real seconds that are left, says 0; False: it ended."""
        while not self._ended:
            left = until()
            if left <= 0:
                return True
            with trio.move_on_after(left):
                await self.changed.park()
        return False


def start_streaming(service: Service, subscription: Subscription) -> None:
    """Begin to push to a subscription that was just created."""
    streaming = subscription.streaming = Streaming(service, subscription)
    service.streamings.append(streaming)
    if service.faults.has("reconcile-before-creation"):
        since = service.records.made_since(service.clock.now() - WINDOW, streaming.message_type)
        streaming.bring_back([each for each in since if not each.accepted])
    assert service.nursery is not None, "the simulator is open"
    service.nursery.start_soon(streaming.run)


def stop_streaming(service: Service, subscription: Subscription) -> None:
    """Remove a subscription; where the switch says so, it is pushed a while longer."""
    service.subscriptions.remove(subscription, service.clock.now())
    streaming = subscription.streaming
    if streaming is None:
        return
    assert service.nursery is not None, "the simulator is open"
    seconds = service.faults.number("deleted-pushes")
    if seconds:
        service.nursery.start_soon(_fade, service, streaming, seconds)
    else:
        _end(service, streaming)


async def _fade(service: Service, streaming: Streaming, seconds: float) -> None:
    ends_at = service.clock.now() + seconds
    while (left := ends_at - service.clock.now()) > 0:
        with trio.move_on_after(service.clock.real(left)):
            await service.changed.park()
    _end(service, streaming)


def _end(service: Service, streaming: Streaming) -> None:
    service.streamings.remove(streaming)
    streaming.end()
