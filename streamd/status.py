"""How the connectors are, in the words of the progress events. Read by `/status`, the page and `/metrics`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import trio
from msgspec import Struct

from streamd.events import ConnectorState, SessionProgress

_WORST_FIRST: tuple[ConnectorState, ...] = (
    "parked",
    "refused",
    "lost",
    "connecting",
    "snapshot",
    "degraded",
    "live",
    "stopped",
)
_BROKEN = frozenset[ConnectorState](("parked", "refused", "lost", "stopped"))


class SessionStatus(Struct):
    """How one session is, and since when."""

    state: ConnectorState
    reason: str | None
    since: datetime


class SubscriptionStatus(Struct, frozen=True):
    """How one subscription stands that a connector keeps at its vendor, in that vendor's words."""

    name: str
    state: str
    reason: str | None = None


class ConnectorStatus:
    """How one connector is: the sum of its sessions, or its own state while it has none."""

    def __init__(self, now: datetime) -> None:
        self.sessions: dict[str, SessionStatus] = {}
        self.own = SessionStatus("connecting", None, now)
        self.subscriptions: Sequence[SubscriptionStatus] = ()
        self.open_gaps = 0
        self.complete_through: datetime | None = None
        self.changed = trio.Event()

    def set(self, session: str | None, state: ConnectorState, reason: str | None, now: datetime) -> None:
        """Note the state of a session, or (None) of the connector as a whole."""
        before = self.own if session is None else self.sessions.get(session)
        since = before.since if before is not None and before.state == state else now
        status = SessionStatus(state, reason, since)
        if status == before and (session or not self.sessions):
            return
        if session is None:
            self.sessions.clear()
            self.own = status
        else:
            self.sessions[session] = status
        self.touch()

    def touch(self) -> None:
        """Say that something worth a progress event has changed."""
        self.changed.set()
        self.changed = trio.Event()

    @property
    def state(self) -> ConnectorState:
        """Give the state on which the sessions agree; `degraded` if only some of them work.

        While some are live and the others on their way, it is that of the others.
        """
        states = {status.state for status in self.sessions.values()} or {self.own.state}
        if "live" in states and states & _BROKEN:
            return "degraded"
        return next(state for state in _WORST_FIRST if state in states)

    @property
    def reason(self) -> str | None:
        """Give why the connector is not live, naming the sessions where there are several."""
        if not self.sessions:
            return self.own.reason
        reasons = {name: status.reason for name, status in self.sessions.items() if status.reason}
        if len(self.sessions) == 1:
            return next(iter(reasons.values()), None)
        return "; ".join(f"{name}: {reason}" for name, reason in reasons.items()) or None

    def progress(self) -> dict[str, SessionProgress]:
        """Give the sessions as progress events tell them."""
        return {name: SessionProgress(status.state, status.reason) for name, status in self.sessions.items()}
