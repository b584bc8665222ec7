"""What the daemon says of itself: the JSON of `/status`, and what the page and the metrics are made from."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from streamd import __version__
from streamd.admin.rates import Rates, Sampler, Totals
from streamd.events import ConnectorState, GapData, Position
from streamd.publish.health import KafkaStatus
from streamd.runtime import Runtime
from streamd.status import SubscriptionStatus

if TYPE_CHECKING:
    from streamd.app import Daemon


class SessionReport(Struct, frozen=True):
    """How one session is, and since when."""

    state: ConnectorState
    reason: str | None
    since: datetime


class GapReport(Struct, frozen=True):
    """A gap that is open, or closed and not healed yet."""

    session: str
    kind: str
    data: GapData


class SpoolShare(Struct, frozen=True):
    """What waits of one connector; `share`: the bytes that it may use."""

    rows: int
    bytes: int
    events: int
    share: int


class ConnectorReport(Struct, frozen=True):
    """One connector, in the words of its progress events and somewhat more."""

    state: ConnectorState
    reason: str | None
    vendor: str
    complete_through: datetime | None
    lag_seconds: float | None
    last: dict[str, Position]
    open_gaps: int
    gaps: list[GapReport]
    sessions: dict[str, SessionReport]
    subscriptions: list[SubscriptionStatus]
    rates: Rates
    spool: SpoolShare


class SpoolReport(Struct, frozen=True):
    """The spool as a whole; `bytes` of `max_bytes` wait in `rows` rows.

    `left`: records that wait of connectors which run no more, by connector.
    """

    epoch: str
    disk_full: bool
    rows: int
    bytes: int
    events: int
    max_bytes: int
    left: dict[str, int]


class Report(Struct, frozen=True):
    """All of it."""

    version: str
    started: datetime
    now: datetime
    draining: bool
    connectors: dict[str, ConnectorReport]
    kafka: KafkaStatus
    spool: SpoolReport


class Totaller:
    """Counts what the connectors have done since the daemon began; made before they do anything.

    What a connector's spool held then and holds no more has been published meanwhile, or what replaced it.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._numbers = dict(daemon.spool.numbers)
        self._waited: dict[str, int] = {}
        for name in daemon.config.connectors:
            self._totals(name, 0)

    def totals(self) -> dict[str, Totals]:
        """Give connector -> its totals."""
        events = self._events()
        return {name: self._totals(name, events.get(name, 0)) for name in self._daemon.fleet.runtimes}

    def _totals(self, connector: str, events: int) -> Totals:
        usage = self._daemon.spool.usage(connector)
        waited = self._waited.setdefault(connector, max(0, usage.events - usage.accepted))
        return Totals(events, usage.accepted, waited + usage.accepted - usage.events)

    def _events(self) -> dict[str, int]:
        """Give connector -> its events, in one pass: there may be hundreds of connectors."""
        events: dict[str, int] = {}
        # A copy: the spool's thread adds to it.
        for (owner, stream), number in list(self._daemon.spool.numbers.items()):
            if not stream.endswith(".state"):
                events[owner] = events.get(owner, 0) + number - self._numbers.get((owner, stream), 0)
        return events


def report(daemon: Daemon, sampler: Sampler) -> Report:
    """Look at everything once."""
    connectors = {
        name: _connector(runtime, sampler.rates(name), daemon.clock.now())
        for name, runtime in sorted(daemon.fleet.runtimes.items())
    }
    spool = daemon.spool
    # Whoever has a number, for what a connector that is taken out of the configuration accepted waits, too.
    names = connectors.keys() | {owner for owner, _ in list(spool.numbers)}
    usages = {name: spool.usage(name) for name in sorted(names)}
    return Report(
        version=__version__,
        started=daemon.started,
        now=daemon.clock.now(),
        draining=daemon.stopping.is_set(),
        connectors=connectors,
        kafka=daemon.kafka.status(),
        spool=SpoolReport(
            epoch=spool.epoch,
            disk_full=spool.disk_full,
            rows=sum(usage.rows for usage in usages.values()),
            bytes=sum(usage.bytes for usage in usages.values()),
            events=sum(usage.events for usage in usages.values()),
            max_bytes=daemon.config.spool.max_bytes,
            left={
                name: usage.events
                for name, usage in usages.items()
                if name not in connectors and usage.events
            },
        ),
    )


def obstacles(daemon: Daemon) -> list[str]:
    """Say what keeps the daemon from being ready; a vendor or Kafka that is down does not."""
    reasons = {
        "the spool accepts nothing: the disk is full": daemon.spool.disk_full,
        "the spool accepts nothing: another process has its file locked": daemon.spool.locked,
        "the spool accepts nothing: it is closed": daemon.spool.closed,
        "streamd is stopping": daemon.stopping.is_set(),
    }
    found = [reason for reason, applies in reasons.items() if applies]
    if daemon.ingress.trouble is not None:
        found.append(f"the ingress is not bound: {daemon.ingress.trouble}")
    return found


def _connector(runtime: Runtime, rates: Rates, now: datetime) -> ConnectorReport:
    progress = runtime.progress()
    usage = runtime.spool.usage(runtime.origin.connector)
    through = progress.complete_through
    return ConnectorReport(
        state=progress.state,
        reason=progress.reason,
        vendor=runtime.origin.vendor,
        complete_through=through,
        lag_seconds=None if through is None else round(max(0.0, (now - through).total_seconds()), 3),
        last=progress.last,
        open_gaps=progress.open_gaps,
        gaps=[GapReport(gap.session, gap.kind, gap.data) for gap in runtime.gaps.unhealed()],
        sessions={
            name: SessionReport(session.state, session.reason, session.since)
            for name, session in runtime.status.sessions.items()
        },
        subscriptions=list(runtime.status.subscriptions),
        rates=rates,
        spool=SpoolShare(usage.rows, usage.bytes, usage.events, usage.share),
    )
