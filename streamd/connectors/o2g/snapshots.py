"""Ask for the state of everybody, and see that it comes (vendors/o2g.md, section 1.8)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import TypeVar

import msgspec
import trio
from msgspec import Struct

from streamd.connector import Context
from streamd.connectors.o2g.config import O2gConfig
from streamd.connectors.o2g.flow import Batch, Flow
from streamd.connectors.o2g.protocol import Denied, SessionGone
from streamd.connectors.o2g.seat import Seat
from streamd.errors import Rejected, Transient
from streamd.lenient import UNREADABLE
from streamd.live.herald import Herald
from streamd.live.intake import Intake

T = TypeVar("T")
# Package -> eventName and field of its state, when that comes over REST.
_SHAPES: Mapping[str, tuple[str, str]] = {
    "telephony": ("OnTelephonyState", "state"),
    "agent": ("OnAgentStateChanged", "state"),
    "routingManagement": ("OnRoutingStateChanged", "routingState"),
}
# OnCtiLinkUp and OnPbxLoaded come together; one round serves both.
SETTLE_SECONDS = 0.5
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0
_MOST_NAMES = 5
_TICK = timedelta(microseconds=1)
_decode = msgspec.json.Decoder().decode


class Refusal(Struct, frozen=True):
    """The server does not give what it was asked for."""

    reason: str


class Snapshots:
    """The snapshots of one channel; a second round begins with `again`.

    `put` takes what was fetched over REST, like what comes on the channel.
    """

    def __init__(
        self,
        ctx: Context[O2gConfig],
        herald: Herald,
        seat: Seat,
        flow: Flow,
        intake: Intake,
        put: Callable[[Batch], None],
    ) -> None:
        self.is_complete = False
        self._ctx = ctx
        self._herald = herald
        self._seat = seat
        self._flow = flow
        self._intake = intake
        self._put = put
        self._came = trio.Event()
        self._again = trio.Event()

    def begin(self) -> None:
        """Begin a round, before anything is read that it may compare with."""
        self.is_complete = False
        self._flow.begin(self._seat.expected)
        self._herald.worry("state", None)
        self._herald.tell_nowait(self._herald.link.snapshot_begun)

    def note_lines(self) -> None:
        """Note that lines came: snapshots may have been among them."""
        if not self.is_complete:
            self._came.set()
            self._came = trio.Event()

    def again(self) -> None:
        """Have everything asked for once more."""
        self._again.set()

    async def run(self) -> None:
        """Complete the round that has begun, and each further one. Raises SessionGone."""
        while True:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._round)
                await self._again.wait()
                nursery.cancel_scope.cancel()
            await trio.sleep(SETTLE_SECONDS)
            self._again = trio.Event()
            self.begin()

    async def _round(self) -> None:
        async with trio.open_nursery() as nursery:
            for package in self._flow.resync.packages:
                nursery.start_soon(self._complete, package)
        self._end()

    async def _complete(self, package: str) -> None:
        """Ask for the snapshots of a package until all have come, or are excused."""
        answer = await self._patiently(package, partial(self._seat.account.ask_snapshot, package))
        missing = self._flow.resync.missing(package)
        while missing and not isinstance(answer, Refusal) and await self._progress(package, len(missing)):
            missing = self._flow.resync.missing(package)
        if missing:
            self._ctx.counters.count("snapshots_missing", len(missing))
            self._ctx.log.info("snapshots_missing", package=package, users=len(missing), answer=str(answer))
            await self._fetch(package, missing)

    async def _progress(self, package: str, missing: int) -> bool:
        """Wait until fewer are missing; tell whether that happened within the limit."""
        with trio.move_on_after(self._ctx.config.snapshot_limit_seconds):
            while len(self._flow.resync.missing(package)) >= missing:
                await self._came.wait()
            return True
        return False

    async def _fetch(self, package: str, missing: Iterable[str]) -> None:
        """Get the states that do not come by themselves, user by user."""
        logins = {self._flow.published(login): login for login in self._seat.expected.get(package, ())}
        refused = []
        for name in missing:
            get = partial(self._seat.account.state, package, logins[name])
            answer = await self._patiently(package, get)
            if name not in self._flow.resync.missing(package):
                continue  # it came meanwhile
            if isinstance(answer, Refusal) or not self._read(package, logins[name], answer):
                refused.append(name)
        if refused:
            self._excuse(package, refused, [logins[name] for name in refused])

    def _read(self, package: str, login: str, body: bytes) -> bool:
        name, place = _SHAPES[package]
        try:
            state = _decode(body)
        except UNREADABLE:
            return False
        message = {"eventName": name, "loginName": login, place: state}
        self._put(self._flow.read_state(message, self._ctx.clock.now()))
        return True

    def _excuse(self, package: str, names: list[str], logins: list[str]) -> None:
        """Await no more of users whose state the server does not give: their calls are not told either."""
        self._flow.resync.excuse(package, names)
        if package == "telephony":
            self._put(self._flow.forget(logins, (), self._ctx.clock.now()))
            shown = ", ".join(names[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "")
            self._ctx.log.warning("state_refused", package=package, users=len(names))
            self._herald.worry("state", f"no telephony state of {len(names)} users: {shown}")

    async def _patiently(self, package: str, call: Callable[[], Awaitable[T]]) -> T | Refusal:
        """Call until the server answers; raises SessionGone, and waits out whatever passes."""
        wait = _FIRST_WAIT
        topic = f"snapshot of {package}"
        while True:
            try:
                answer: T | Refusal = await call()
            except SessionGone:
                raise
            except (Denied, Rejected) as error:
                await self._seat.account.confirm()
                answer = Refusal(error.reason)
            except Transient as error:
                self._worry(topic, f"no snapshot of {package}: {error.reason}")
                await trio.sleep(error.retry_after or wait)
                wait = min(2 * wait, _LONGEST_WAIT)
                continue
            self._worry(topic, None)
            return answer

    def _worry(self, topic: str, reason: str | None) -> None:
        if self._herald.worry(topic, reason) and reason is not None:
            self._herald.assess_nowait()

    def _end(self) -> None:
        """Publish what waited, then say that the snapshot is whole."""
        self._put(self._flow.end_waiting(self._ctx.clock.now()))
        self.is_complete = True
        self._herald.tell_nowait(self._completed)
        self._herald.assess_nowait()

    async def _completed(self) -> None:
        """Report the end of the snapshot, once all that was read before it is committed."""
        just_after = self._ctx.clock.now() + _TICK
        while (self._intake.proof(just_after) or just_after) < just_after:  # noqa: ASYNC110 - no event for it
            await trio.sleep(0.02)
        calls, agents = len(self._flow.calls), len(self._flow.agents)
        await self._herald.link.snapshot_completed(proven=True, calls=calls, agents=agents)
