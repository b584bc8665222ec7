"""The contract between streamd and a vendor.

A vendor is one folder under `streamd/connectors/` whose `__init__.py` has a `CONNECTOR`, a `ConnectorType`.
`open` yields the connector's sessions; each session is kept alone by `session.keep` (expected trouble:
reconnect, wait, be refused) under its own supervisor (unexpected trouble: a bug). A session reports what
happens to its link through the `Link` that it is run with; gaps and life-cycle events follow from that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from streamd.config import ConnectorConfig
from streamd.errors import BadRecord, Problem
from streamd.events import GapData
from streamd.model import Event, Origin, State, Stream
from streamd.status import SubscriptionStatus
from streamd.transport.exchange import Handler, Request, Response

Item = Event | State
Changes = Mapping[str, bytes | None]
NO_CHANGES: Changes = {}
CONNECTOR_NAME = "{connector}"
Losses = Literal["lost", "refetched", "pending"]
"""How what was missed is healed.

`lost`: never, each time without a link is a gap. `refetched`: the vendor keeps it, and it is walked later;
being down is no gap and only holds `complete_through` back. `pending`: a gap that is known until the session
settles it, by redelivery or backfill.
"""


class Clock(Protocol):
    """The time, passed in so that protocols stay pure and tests can turn it."""

    def now(self) -> datetime:
        """Give the wall clock, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Give seconds that never jump."""
        ...


class Log(Protocol):
    """A structlog logger bound to the connector: named events with keys, never sentences."""

    def debug(self, event: str, **keys: Any) -> None: ...
    def info(self, event: str, **keys: Any) -> None: ...
    def warning(self, event: str, **keys: Any) -> None: ...
    def error(self, event: str, **keys: Any) -> None: ...


class Counters(Protocol):
    """Counts for `/metrics`, by a short snake_case name, as `streamd_<vendor>_<name>_total{connector=…}`."""

    def count(self, name: str, by: int = 1) -> None: ...


class Ingress(Protocol):
    """Where the vendor pushes to us."""

    def url(self, path: str) -> str:
        """Give the URL by which the vendor reaches `path`, percent-encoded."""
        ...

    async def bound(self) -> None:
        """Return once the listener has its address: until then nothing that is pushed arrives."""
        ...

    def claim(
        self,
        path: str,
        handler: Handler,
        *,
        admit: Callable[[Request], Awaitable[Response | None]] | None = None,
        failed: Callable[[int], None] | None = None,
    ) -> AbstractAsyncContextManager[None]:
        """Answer the requests for `path`, one of the type's `ingress_paths`, while the block runs.

        `admit` sees a request without its body and may answer at once: a wrong token, a wrong `peer`.
        `handler` gets it whole, inflated, within [ingress]'s limits. It answers once all is committed; it is
        cancelled at the request's deadline (503), and what commits all the same is a duplicate by its id.
        From both, Transient is a 503 and every other error a 500. `failed` is told the status of each answer
        of 400 and more, whoever gave it; 499 when the client left before it had one.

        The block's end waits for requests in flight some seconds, then cuts them short (503). While nobody
        claims the path, it answers 503. Raises ValueError for a path that is not declared, or claimed now.
        """
        ...


Progress = Callable[[float, str], None]
"""Told how much of a backfill is done, 0 to 1, and what is being done, in a few words."""


@dataclass(frozen=True)
class Backfilled:
    """What became of a backfill: figures by name, such as what was published and known.

    `left`: what is not on Kafka, in an operator's words that follow a number; it is complete when all are 0.
    """

    figures: Mapping[str, int]
    left: Mapping[str, int] = field(default_factory=dict)


BackfillHandler = Callable[[datetime, datetime, Progress], Awaitable[Backfilled]]
"""Fetches what lies between two instants again."""


Give = Callable[[], tuple[Sequence[Item], Changes, Callable[[], None]] | None]
"""Gives what is to be committed together, as for `Context.append`, and what to call when it is durable; None:
there is nothing. Both are called by the spool, which waits for them: they only move what is in memory."""


class Feed(Protocol):
    """How a source that gathers items brings them into the spool."""

    def offer(self) -> None:
        """Have the source asked when the next commit begins; nothing while `run` does not."""
        ...

    async def run(self) -> None:
        """Bring what it has, until cancelled; what is under way then has a moment to be committed.

        What was given and not called back has an unknown outcome then, and also when this raises.
        """
        ...


C = TypeVar("C", bound=ConnectorConfig)
C_co = TypeVar("C_co", bound=ConnectorConfig, covariant=True)


class Context(Protocol[C_co]):
    """What a connector gets from streamd."""

    @property
    def origin(self) -> Origin: ...
    @property
    def config(self) -> C_co: ...
    @property
    def log(self) -> Log: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def counters(self) -> Counters: ...
    @property
    def ingress(self) -> Ingress: ...

    async def append(self, items: Sequence[Item], changes: Changes = NO_CHANGES) -> None:
        """Commit `items` and `changes` of the keyed state together, durably; return when both are.

        Waits while the connector's share of the spool is used up. Cancelled after hand-over it returns as
        ever once that is committed, where that takes no longer than a moment; else the outcome is unknown.
        A change to None removes the name.
        """
        ...

    def feed(self, give: Give) -> Feed:
        """Have `give` asked when a commit begins, while the feed runs and once for each `offer`.

        For who gathers items from a socket: commits are some hundredths of a second apart, and what comes
        before one goes with it. Not asked while what was given last is under way or the share is used up.
        """
        ...

    async def published(self) -> None:
        """Return when all that this connector had appended before has left the spool: Kafka has acknowledged
        it, in its topic or as its dead letter. That takes as long as Kafka is away."""
        ...

    def state(self, name: str) -> bytes | None:
        """Give the committed value of one name in the keyed state."""
        ...

    def states(self, prefix: str) -> Mapping[str, bytes]:
        """Give the committed names that begin with `prefix`, with their values."""
        ...

    def states_of(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Give those of these names that are committed, with their values: one look-up for all."""
        ...

    def show_subscriptions(self, subscriptions: Sequence[SubscriptionStatus]) -> None:
        """Show in the status how those stand that are kept at the vendor, and no others."""
        ...

    def serve_backfill(self, handler: BackfillHandler) -> AbstractAsyncContextManager[None]:
        """Let `streamd backfill` reach `handler` while the block runs, once at a time.

        It runs beside the sessions, in the task of the client that asked, and must leave the live cursor
        alone. streamd waits for `published` behind it. It is cancelled when the client leaves or the block
        ends: what it published stays, and it may be asked for again. Any StreamdError is told to the client.
        """
        ...

    async def wait_refused(self, seconds: float) -> bool:
        """Wait that long before the vendor is asked again for what it has refused, or until an operator wants
        it tried at once (SIGHUP); tell whether that ended the wait.

        For what goes on beside the sessions: what refuses a session is raised by it, as Rejected.
        """
        ...

    def directory(self) -> Path:
        """Make and give this connector's own directory for files; what a crash left there is still there."""
        ...

    def dead_letter(self, bad: BadRecord) -> Event:
        """Make the dead letter of a record that could not be understood; append it like any event."""
        ...


class Link(Protocol):
    """What one session tells streamd about its link to the vendor. All times are aware and UTC."""

    async def connected(self, at: datetime, **data: Any) -> None:
        """Say that the vendor delivers from `at` on: the gap that was open closes there.

        With `refetched` losses: where the walk goes on, its watermark or at first its beginning.
        """
        ...

    async def snapshot_begun(self) -> None:
        """Say that the vendor sends its snapshot."""
        ...

    async def snapshot_completed(self, *, proven: bool, **data: Any) -> None:
        """Say that the snapshot is whole; a proven one heals the last gap (its state is restored)."""
        ...

    async def live(self) -> None:
        """Say that all is well from here on."""
        ...

    async def degraded(self, reason: str) -> None:
        """Say that the link works but not all of it does; `live` takes it back."""
        ...

    def prove_with(self, proof: Callable[[], datetime | None]) -> None:
        """Set where the proof of life comes from while connected.

        `proof()` gives the latest instant of which it is certain that all that the vendor handed over
        before it has been committed by `append`. It is called often and must be cheap.
        With `refetched` losses that is the watermark, by the vendor's clock.
        """
        ...

    async def open_gap(self, kind: str, *, cause: str, since: datetime) -> None:
        """Declare a hole beside the link's own (`kind` names it within the session, e.g. `overflow`)."""
        ...

    async def close_gap(self, kind: str, *, until: datetime, restored: bool, count: int | None) -> None:
        """Close that hole. `restored`: the state topics are right again."""
        ...

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
        """Declare a hole in the past, whole, beside the link's own; there may be many of one cause.

        Gives its id, which follows from cause, scope, `since` and `until`: told again, it is the same gap.
        `scope`: the session's, where it is left out. `changes` of the keyed state are committed with it,
        such as a watermark that passes the hole. A `pending` one is known until it is settled.
        """
        ...

    def pending_gaps(self) -> Sequence[GapData]:
        """Give this session's closed gaps that are `pending`, from before a restart too, earliest first."""
        ...

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
        """Say what became of a pending gap; `count` events came back, or are known to be missing.

        `since`: it begins there, and what lies before was declared lost on its own. `changes` are committed
        with it, and only they where the gap is settled already.
        """
        ...


class Session(Protocol):
    """One link to the vendor that is kept alone: Avaya has one for each measure producer."""

    @property
    def name(self) -> str:
        """Name it within the connector, the same over restarts."""
        ...

    @property
    def scope(self) -> Sequence[str]:
        """Say what may be missed while it is down: producers, packages, or `["*"]`."""
        ...

    @property
    def stateful(self) -> bool:
        """Say whether it has state topics, which a gap leaves stale until a snapshot restores them."""
        ...

    async def run(self, link: Link) -> None:
        """Connect and stream until the link is lost; never return in peace.

        Raises Transient (reconnect), Rejected (refused: slowly again). When cancelled, hand over what was
        read and let go of the vendor within a second or two, shielded.
        """
        ...


@dataclass(frozen=True)
class ConnectorType(Generic[C]):
    """A vendor, declared."""

    name: str
    """Its name as `type` in the configuration, in topics and in sources."""
    config: type[C]
    check: Callable[[C, str], Sequence[Problem]]
    """Find what the types cannot express; the second argument is the table's TOML path."""
    streams: Callable[[C], Sequence[Stream]]
    schemas: Mapping[str, type]
    """Event type -> the Struct of its `data`; state types too."""
    open: Callable[[Context[C]], AbstractAsyncContextManager[Sequence[Session]]]
    probe: Callable[[Context[C]], Awaitable[None]]
    """Log in once, for `check --online`; raises Transient or Rejected."""
    stream_of: Mapping[str, Stream] = field(default_factory=dict)
    """Event type -> the stream it goes to, for the AsyncAPI document."""
    ingress_paths: Callable[[C], Sequence[str]] = lambda config: ()
    """The paths that its sessions claim, percent-decoded; CONNECTOR_NAME stands for the connector's name."""
    losses: Losses = "lost"
    warn: Callable[[C, str], Sequence[Problem]] = lambda config, table: ()
    """Say what works and yet is unwise, in a table that `check` has found right."""

    def paths(self, name: str, config: C) -> Sequence[str]:
        """Give the paths that the connector of that name claims."""
        return [path.replace(CONNECTOR_NAME, name) for path in self.ingress_paths(config)]
