"""One event channel: its tasks, from "Chunk started" to its end (vendors/o2g.md, section 1.7).

Reading waits for nothing but the socket, unless the configuration says otherwise: events go to the intake,
word of the link to the herald.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from time import monotonic

import trio
from msgspec import Struct

from streamd.connector import Context
from streamd.connectors.o2g.administration import Maintenance
from streamd.connectors.o2g.config import O2gConfig
from streamd.connectors.o2g.flow import Batch, Flow
from streamd.connectors.o2g.protocol import LEAST_SILENCE_SECONDS, Denied, SessionGone, Silence
from streamd.connectors.o2g.seat import Seat
from streamd.connectors.o2g.snapshots import Snapshots
from streamd.errors import Transient
from streamd.instant import Instant, here
from streamd.live.herald import Herald
from streamd.live.intake import Intake
from streamd.live.pace import Pace
from streamd.live.reach import Reach
from streamd.nurseries import lone_error
from streamd.transport.endless import EndlessResponse, open_endless
from streamd.transport.headers import retry_after_seconds
from streamd.transport.lines import Lines, TooLong

REOPENING = "channel"
"""The gap of a channel that is opened again at once, beside the link's own."""
PATIENCE_SECONDS = 2.0  # for a burst; a server that waits longer for its reader may drop it
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0
_GRACE_SECONDS = 0.05
_LINK_EVENT = re.compile(r"On(Cti|Pbx)Link(Down|Up)")
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)


class Ended(Struct, frozen=True):
    """A channel that has ended in peace: closed by the server or, `on_purpose`, by us. All that was sent
    before `since` is committed; it was open for `seconds`."""

    since: datetime
    seconds: float
    on_purpose: bool


class Stream:
    """The tasks of one channel. `users_changed` is called when somebody came or went."""

    def __init__(
        self,
        ctx: Context[O2gConfig],
        herald: Herald,
        seat: Seat,
        flow: Flow,
        tls: ssl.SSLContext,
        users_changed: Callable[[], None],
    ) -> None:
        config = ctx.config
        self._ctx = ctx
        self._herald = herald
        self._seat = seat
        self._flow = flow
        self._tls = tls
        self._users_changed = users_changed
        self._intake = Intake(ctx, herald.link)
        patience = (PATIENCE_SECONDS,) if config.when_full == "drop" else ()
        self._pace = Pace(self._intake, *patience)
        self._snapshots = Snapshots(ctx, herald, seat, flow, self._intake, self._put)
        self._silence = Silence(config.idle_timeout_seconds, config.timeout_minutes)
        self._lines = Lines(config.max_line_bytes)
        self._reach: Reach | None = None
        self._reading = trio.CancelScope()
        self._opened_at = monotonic()
        self._asked_at: float | None = None  # since when the reading waits for the server
        self.is_open = False

    @property
    def is_settled(self) -> bool:
        """Tell whether all that was read is committed; if not, what became of the rest is unknown."""
        return not self._intake.dropped and self._intake.proof(_END_OF_TIME) == _END_OF_TIME

    @property
    def is_complete(self) -> bool:
        """Tell whether the snapshots have come."""
        return self._snapshots.is_complete

    def stop(self) -> None:
        """End the channel on purpose."""
        self._reading.cancel()

    def put_nowait(self, batch: Batch) -> None:
        """Publish what did not come on the channel."""
        self._put(batch)

    async def run(self, *, reopened: bool) -> Ended:
        """Open the channel and read it until it ends in peace.

        `reopened`: the gap REOPENING is open, and ends here. Raises SessionGone when the server refuses the
        channel or the session, Transient when the channel cannot be opened or is lost. What was read is
        handed over before that, as far as the spool takes it within the intake's deadline.
        """
        config = self._ctx.config
        async with open_endless(
            "POST",
            self._seat.subscription.polling_url,
            tls=self._tls,
            proxy=config.proxy,
            timeout=config.request_timeout_seconds,
        ) as response:
            if not 200 <= response.status < 300:
                wait = retry_after_seconds(response.headers, self._ctx.clock.now())
                raise SessionGone(f"event channel: {response.status}", retry_after=wait)
            first = await self._first_lines(response)
            self._begin(response, reopened)
            try:
                with lone_error():
                    await self._stream(response, first)
            finally:
                await self._intake.flush()
        since = self._proof() or self._ctx.clock.now()
        return Ended(since, monotonic() - self._opened_at, self._reading.cancel_called)

    async def _first_lines(self, response: EndlessResponse) -> Sequence[bytes | TooLong]:
        """Wait for the first line, which says that the channel is ready: until then nothing is heard."""
        seconds = self._ctx.config.request_timeout_seconds
        lines: list[bytes | TooLong] = []

        def take(piece: bytes) -> bool:
            lines.extend(self._lines.feed(piece))
            return not lines

        with trio.move_on_after(seconds):
            await response.pour(take)
            if not lines:
                raise Transient("event channel: closed before it had started")
            return lines
        raise Transient(f"event channel: not started within {seconds:g} s")

    def _begin(self, response: EndlessResponse, reopened: bool) -> None:
        at = self._ctx.clock.now()
        link, tell = self._herald.link, self._herald.tell_nowait
        self._opened_at = monotonic()
        self.is_open = True
        self._reach = Reach(response.watch, self._ctx.clock.now)
        link.prove_with(self._proof)
        if reopened:
            tell(partial(link.close_gap, REOPENING, until=at, restored=False, count=None))
        tell(partial(link.connected, at, server=self._seat.account.where))
        self._herald.worry("subscription", self._seat.subscription.partial)
        self._snapshots.begin()

    async def _stream(self, response: EndlessResponse, lines: Sequence[bytes | TooLong]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._intake.run)
            nursery.start_soon(self._snapshots.run)
            nursery.start_soon(self._start_monitoring)
            nursery.start_soon(self._watch, response)
            # In a task of its own: each wake-up goes through all that the task awaits.
            nursery.start_soon(self._read_to_the_end, response, lines, nursery.cancel_scope)

    async def _read_to_the_end(
        self, response: EndlessResponse, lines: Sequence[bytes | TooLong], channel: trio.CancelScope
    ) -> None:
        with self._reading:
            await self._read(response, lines)
        channel.cancel()

    async def _start_monitoring(self) -> None:
        """Leave the former subscription behind, and set up what needs more than one: RTI, pilots."""
        await self._seat.drop_former()
        wait = _FIRST_WAIT
        while True:
            failed, passes = await self._monitored()
            if self._herald.worry("monitoring", failed) and (failed or self.is_complete):
                self._herald.assess_nowait()
            if not passes:
                return
            await trio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    async def _monitored(self) -> tuple[str | None, bool]:
        """Say what of the monitoring failed, and whether that passes."""
        try:
            failed = await self._seat.start_monitoring()
        except SessionGone:
            raise
        except Denied as error:
            await self._seat.account.confirm()
            return error.reason, False
        except Transient as error:
            return error.reason, True
        return "; ".join(failed) or None, False

    async def _read(self, response: EndlessResponse, lines: Sequence[bytes | TooLong]) -> None:
        """Read until the server ends the channel; raises Transient when it is lost."""
        assert self._reach is not None
        self._take(lines)
        while not response.ended:
            await self._pace.wait()
            self._asked_at = monotonic()
            await response.pour(self._take_piece)
            self._asked_at = None
        rest = self._lines.rest()
        if rest:
            self._ctx.counters.count("unterminated_lines")
            self._take([rest])
        self._reach.end()

    def _take_piece(self, piece: bytes) -> bool:
        lines = self._lines.feed(piece)
        if lines:
            self._take(lines)
        return self._pace.has_room()

    async def _watch(self, response: EndlessResponse) -> None:
        """Raise Transient once nothing has come for too long; beside the reading, for a deadline around each
        one would cost as much as to decode what it brings."""
        while True:
            silent_since, seconds = self._silent_since(response), self._silence.seconds
            left = seconds - (monotonic() - silent_since if silent_since is not None else 0.0)
            # What is learnt of heartbeats may shorten it; what came while this process stood still is read.
            await trio.sleep(min(max(left, _GRACE_SECONDS), LEAST_SILENCE_SECONDS))
            if left > 0 or silent_since != self._silent_since(response):
                continue
            # After a standstill the others may be read first, for longer than that.
            if not response.watch.has_unread:
                raise Transient(f"event channel: silent for {seconds:g} s")

    def _silent_since(self, response: EndlessResponse) -> float | None:
        """Give since when the server says nothing; None: we do not listen."""
        return None if self._asked_at is None else max(self._asked_at, response.watch.last_bytes_at)

    def _take(self, lines: Sequence[bytes | TooLong]) -> None:
        at = here(self._ctx.clock)
        received = at.wall
        batch = self._flow.read(lines, received)
        self._put(batch, at)
        self._ctx.counters.count("lines", len(lines))
        for name, count in batch.counts.items():
            self._ctx.counters.count(name, count)
        if batch.heartbeat:
            self._silence.on_heartbeat(monotonic())
        for event in batch.maintenance:
            self._on_maintenance(event, received)
        if batch.users:
            self._users_changed()
        self._snapshots.note_lines()

    def _put(self, batch: Batch, at: Instant | None = None) -> None:
        at = at or here(self._ctx.clock)
        self._intake.put_nowait(batch.items, batch.changes, at, self._reached)

    def _on_maintenance(self, event: Maintenance, received: datetime) -> None:
        """Say that the server hears nothing of the OXE, a hole of its own, or hears it again (1.10)."""
        name = event.event_name or ""
        found = _LINK_EVENT.fullmatch(name)
        if found is None:
            if name == "OnPbxLoaded":
                self._snapshots.again()
            return
        what, link = f"{found[1]} link to {event.node_id}", self._herald.link
        if found[2] == "Down":
            if self._herald.worry(what, f"{what} is down"):
                since = min(received, self._proof() or received)
                cause = f"{found[1].lower()}_link_down"
                self._herald.tell_nowait(partial(link.open_gap, what, cause=cause, since=since))
                self._herald.assess_nowait()
            return
        if self._herald.worry(what, None):
            self._herald.tell_nowait(
                partial(link.close_gap, what, until=received, restored=False, count=None)
            )
        self._snapshots.again()

    def _proof(self) -> datetime | None:
        """Give the instant before which all that the server had sent is committed (connector.Link)."""
        return self._intake.proof(self._reached())

    def _reached(self) -> datetime | None:
        return self._reach.at if self._reach is not None else None
