"""Open simulated O2G servers in front of one simulated OXE."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

from streamd.simulators.o2g import commands
from streamd.simulators.o2g.accounts import Session
from streamd.simulators.o2g.channel import Channel
from streamd.simulators.o2g.feed import Feed, run_timed_switches
from streamd.simulators.o2g.host import Host, listen
from streamd.simulators.o2g.log import LogEntry, RequestEntry
from streamd.simulators.o2g.options import O2gOptions
from streamd.simulators.o2g.server import event_handler, rest_handler
from streamd.simulators.o2g.service import Service
from streamd.simulators.o2g.subscriptions import Subscription


class O2gSimulator:
    """A running simulator: what it did and what a test may do to it. Only `drop_channels` waits.

    Users are named by login or number; ValueError for one who does not exist.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    # Inspecting

    @property
    def options(self) -> O2gOptions:
        return self._service.options

    @property
    def base_urls(self) -> list[str]:
        """Return the roots of the hosts, without a path."""
        return [host.base_url for host in self._service.hosts]

    @property
    def base_url(self) -> str:
        return self.base_urls[0]

    @property
    def hosts(self) -> Sequence[Host]:
        return self._service.hosts

    @property
    def faults(self) -> tuple[str, ...]:
        """The switches that are on, as they were written."""
        return self._service.faults.written

    def truth(self) -> dict[str, dict[str, Any]]:
        """Return `users` (login -> TelephonicState), `agents` (login -> state), `routing`, of this moment."""
        return commands.truth(self._service)

    def calls(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return each call that is under way as each user sees it: (login, callRef) -> call."""
        users = self._service.exchange.people.users
        return {
            (login, ref): view.to_wire() for login, user in users.items() for ref, view in user.calls.items()
        }

    @property
    def calls_started(self) -> int:
        return self._service.stage.telephony.started

    @property
    def log(self) -> Sequence[LogEntry]:
        """Every line handed to a channel, in order; empty when it is off or goes to a file."""
        return self._service.log.entries

    @property
    def unheard(self) -> Sequence[LogEntry]:
        """Every line, of packages that were ever subscribed to, that no channel was there for."""
        return self._service.log.unheard

    @property
    def lines_sent(self) -> int:
        """Count the lines handed to channels, logged or not."""
        return self._service.log.count

    @property
    def requests(self) -> Sequence[RequestEntry]:
        """The HTTP requests, oldest first (the last 100,000)."""
        return list(self._service.requests)

    @property
    def channels(self) -> Sequence[Channel]:
        return self._service.channels()

    @property
    def sessions(self) -> Sequence[Session]:
        return [each for accounts in self._service.accounts for each in accounts.sessions.values()]

    @property
    def subscriptions(self) -> Sequence[Subscription]:
        return [each for accounts in self._service.accounts for each in accounts.subscriptions.values()]

    # Steering

    def set_faults(self, *faults: str) -> None:
        """Replace all switches; ConfigError names what is unknown."""
        self._service.set_faults(faults)

    def set_rate(self, rate: float) -> None:
        commands.set_rate(self._service, rate)

    async def drop_channels(self, mode: str = "fin") -> int:
        return await commands.drop_channels(self._service, mode)

    def expire_sessions(self) -> None:
        self._service.expire_sessions()

    def restart(self) -> None:
        """Let all hosts forget tokens, sessions and subscriptions."""
        self._service.restart()

    def set_host(self, number: int, *, up: bool) -> None:
        """Take host `number` (from 0) down, or let it listen again on the same ports."""
        self._service.set_host(number, up=up)

    def set_link(self, *, up: bool, kind: str = "Cti") -> None:
        """Let the `Cti` or `Pbx` link of all hosts to OXE go down or come back."""
        commands.set_link(self._service, up, kind)

    # Acting

    def place_call(self, caller: str, callee: str) -> str:
        return commands.place_call(self._service, caller, callee)

    def answer(self, ref: str) -> None:
        commands.answer(self._service, ref)

    def hold(self, ref: str, by: str) -> None:
        commands.hold(self._service, ref, by)

    def retrieve(self, ref: str, by: str) -> None:
        commands.retrieve(self._service, ref, by)

    def transfer(self, ref: str, by: str, to: str) -> str:
        return commands.transfer(self._service, ref, by, to)

    def redirect(self, ref: str, to: str) -> None:
        commands.redirect(self._service, ref, to)

    def confer(self, ref: str, third: str) -> None:
        commands.confer(self._service, ref, third)

    def release(self, ref: str, by: str) -> None:
        commands.release(self._service, ref, by)

    def play(self, script: str, *who: str) -> None:
        commands.play(self._service, script, *who)

    def set_agent(self, login: str, state: str, reason: int | None = None) -> None:
        commands.set_agent(self._service, login, state, reason)

    def set_skill(self, login: str, number: int, level: int) -> None:
        commands.set_skill(self._service, login, number, level)

    def set_routing(self, login: str, *, forward_to: str = "", do_not_disturb: bool = False) -> None:
        commands.set_routing(self._service, login, forward_to, do_not_disturb)

    def create_user(self, login: str, number: str) -> None:
        commands.create_user(self._service, login, number)

    def delete_user(self, login: str) -> None:
        commands.delete_user(self._service, login)

    def administer(self, what: str, *arguments: Any, **more: Any) -> None:
        """Let an action of `Administration` happen that takes no user, such as ``report``."""
        commands.administer(self._service, what, *arguments, **more)

    def connector_table(
        self, name: str = "o2g-sim", packages: Sequence[str] = ("telephony", "agent"), **more: str
    ) -> str:
        """Return the TOML table that points streamd at this simulator; `more` are keys and TOML values."""
        quoted = ", ".join(f'"{each}"' for each in packages)
        keys: Mapping[str, str] = {
            "type": '"o2g"',
            "urls": "[" + ", ".join(f'"{each}"' for each in self.base_urls) + "]",
            "login": f'"{self.options.login}"',
            "password": f'"{self.options.password}"',
            "selectors": f'[{{ packages = [{quoted}], ids = "all" }}, {{ packages = ["system"] }}]',
            **more,
        }
        return f"[connectors.{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


@asynccontextmanager
async def open_o2g_simulator(options: O2gOptions | None = None) -> AsyncIterator[O2gSimulator]:
    """Listen on two ports per host until the block is left, which cuts everything short.

    Raises ConfigError for unknown faults, OSError when a port is taken.
    """
    options = options or O2gOptions()
    service = Service(options)
    try:
        async with trio.open_nursery() as nursery:
            service.nursery = nursery
            for host in service.hosts:
                await _listen(nursery, service, host)
            nursery.start_soon(Feed(service).run)
            nursery.start_soon(run_timed_switches, service)
            nursery.start_soon(service.watch_sessions)
            nursery.start_soon(service.watch_contexts)
            yield O2gSimulator(service)
            nursery.cancel_scope.cancel()
    finally:
        service.log.close()


async def _listen(nursery: trio.Nursery, service: Service, host: Host) -> None:
    """Open both ports of `host`; they close while it is down, and the event port alone by its switch."""
    rest = partial(listen, wanted=lambda: host.up, changed=service.changed)
    host.port = await nursery.start(rest, host.port, service.options.host, rest_handler(service, host))
    events = partial(
        listen,
        wanted=lambda: host.up and not service.faults.has("polling-port-down"),
        changed=service.changed,
    )
    host.event_port = await nursery.start(
        events, host.event_port, service.options.host, event_handler(service, host)
    )
