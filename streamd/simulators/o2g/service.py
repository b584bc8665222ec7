"""Hold what all parts of the simulator share: one OXE, its O2G servers, the switches that are on."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import trio

from streamd.simulators.o2g.accounts import Accounts, Session
from streamd.simulators.o2g.administration import routing_state
from streamd.simulators.o2g.channel import Channel
from streamd.simulators.o2g.exchange import Exchange
from streamd.simulators.o2g.faults import read_faults
from streamd.simulators.o2g.host import Host
from streamd.simulators.o2g.log import LineLog, RequestEntry
from streamd.simulators.o2g.options import O2gOptions
from streamd.simulators.o2g.people import User
from streamd.simulators.o2g.scripts import Stage
from streamd.simulators.o2g.wire import Line, line

_SNAPSHOT_CHUNK = 50  # users between two turns of the scheduler


class Service:
    """`changed` wakes the loops that wait for time to pass after anything they count on has changed."""

    def __init__(self, options: O2gOptions) -> None:
        self.options = options
        self.faults = read_faults(options.faults)
        self.rate = options.rate
        self.exchange = Exchange(options, self.faults, self._deliver)
        self.stage = Stage(self.exchange)
        shared = Accounts(options)
        self.hosts = [
            Host(number, options, shared if options.shared_sessions else Accounts(options))
            for number in range(options.hosts)
        ]
        self.log = LineLog(options.log, options.log_file)
        self.requests: deque[RequestEntry] = deque(maxlen=100_000)
        self.changed = trio.lowlevel.ParkingLot()
        self.channels_opened = 0
        self.host_turn = -1
        self.nursery: trio.Nursery | None = None

    @property
    def accounts(self) -> list[Accounts]:
        return list({id(host.accounts): host.accounts for host in self.hosts}.values())

    def channels(self) -> list[Channel]:
        subscriptions = (each for accounts in self.accounts for each in accounts.subscriptions.values())
        return [channel for subscription in subscriptions for channel in subscription.channels]

    def set_faults(self, written: Iterable[str]) -> None:
        """Replace all switches by `written`; ConfigError names what is unknown."""
        self.faults = self.exchange.faults = read_faults(written)
        self.wake()

    def set_host(self, number: int, *, up: bool) -> None:
        """Take a host down, or let it start: it then knows nobody, unless its sessions are shared."""
        host = self.hosts[number]
        if host.up == up:
            return
        host.up = up
        if not up and not self.options.shared_sessions:
            host.accounts.forget()
        if up:
            self.stage.administration.server_started(f"o2g-{number}")
        self.stage.administration.remote_server(f"o2g-{number}", up=up)
        self.exchange.flush()
        self.wake()

    def restart(self) -> None:
        """Let all hosts forget tokens, sessions and subscriptions."""
        for accounts in self.accounts:
            accounts.forget()
        self.stage.administration.server_started("o2g-0")
        self.exchange.flush()

    def expire_sessions(self) -> None:
        """Let every session expire now."""
        keep = self.faults.has("expiry-keeps-channel")
        for accounts in self.accounts:
            for session in list(accounts.sessions.values()):
                accounts.end(session, keep_channels=keep)

    def wake(self) -> None:
        self.changed.unpark_all()
        for channel in self.channels():
            channel.changed.unpark_all()

    def scaled(self, seconds: float) -> float:
        """Return how long `seconds` of the server's clock last."""
        return seconds / self.options.time_scale

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something in `seconds`."""

        async def wait() -> None:
            await trio.sleep(seconds)
            act()

        assert self.nursery is not None, "the simulator is open"
        self.nursery.start_soon(wait)

    @property
    def monitored(self) -> list[str]:
        """Return the logins that can be monitored (row 24)."""
        logins = list(self.exchange.people.users)
        count = int(self.faults.number("not-monitored"))
        return logins[: len(logins) - count] if count else logins

    # Telling

    def _deliver(self, lines: Sequence[Line]) -> None:
        taken: set[int] = set()
        for accounts in self.accounts:
            taken |= accounts.deliver(lines)
        if self.log.on and len(taken) < len(lines):
            self.log.missed("", [each for each in lines if id(each) not in taken])

    def start_snapshot(
        self, accounts: Accounts, session: Session, package: str, users: Sequence[User]
    ) -> None:
        """Send the state of `users` to the session's subscriptions; nothing while such a one is under way."""
        if package in session.snapshots or self.faults.has("snapshot-silent"):
            return
        session.snapshots.add(package)
        assert self.nursery is not None, "the simulator is open"
        self.nursery.start_soon(self._snapshot, accounts, session, package, list(users))

    async def _snapshot(
        self, accounts: Accounts, session: Session, package: str, users: Sequence[User]
    ) -> None:
        stale = self.faults.has("snapshot-stale")
        early = [self._state(package, user) for user in users] if stale else []
        slow = self.faults.number("snapshot-slow")
        chunk = 1 if slow else _SNAPSHOT_CHUNK
        for start in range(0, len(users), chunk):
            await trio.sleep(1 / slow if slow else 0.0)
            part = users[start : start + chunk]
            lines = early[start : start + chunk] or [self._state(package, user) for user in part]
            accounts.deliver_to(session, lines)
        session.snapshots.discard(package)

    def _state(self, package: str, user: User) -> Line:
        make = {
            "telephony": self.exchange.telephony_state,
            "agent": self.exchange.agent_state,
            "routingManagement": routing_state,
        }[package]
        return line(package, user.login, make(user))

    # Time

    async def watch_sessions(self) -> None:
        """End sessions when their time is over, until cancelled."""
        while True:
            ends = [each.expires_at for accounts in self.accounts for each in accounts.sessions.values()]
            with trio.move_on_at(min(ends, default=math.inf)):
                await self.changed.park()
            keep = self.faults.has("expiry-keeps-channel")
            for accounts in self.accounts:
                accounts.end_expired(keep_channels=keep)

    async def watch_contexts(self) -> None:
        """Send RTI events to the sessions whose context has started, until cancelled."""
        while True:
            now = trio.current_time()
            due = math.inf
            for accounts in self.accounts:
                for session in accounts.sessions.values():
                    context = session.context
                    if context is None or not context.started:
                        continue
                    if context.due <= now and self.exchange.linked:
                        accounts.deliver_to(session, context.news(self.exchange))
                        context.due = now + self.scaled(context.notify_seconds)
                    due = min(due, max(context.due, now + 0.01))
            with trio.move_on_at(due):
                await self.changed.park()
