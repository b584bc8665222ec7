"""Let people do things by themselves: scripts at a rate, and the bursts of the timed switches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import trio

from streamd.simulators.o2g.people import User
from streamd.simulators.o2g.scripts import CALL_SCRIPTS, Script, agent_day
from streamd.simulators.o2g.service import Service

_TICK = 0.01  # seconds; at a high rate what falls into one tick goes out as one write
_CHUNK = 500  # lines between two turns of the scheduler
_ROOM = 2 * 1024 * 1024  # bytes that may wait for a channel when the rate is as fast as possible
_LEAST = 0.1  # lines that a step counts as, though nobody asked for its events
_OVER = object()
_CATCH_UP = 1.0  # seconds: a process that was stopped does not make up for more


class Feed:
    """The scripts that are under way. Nobody is in two of them at once."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stage = service.stage
        self._random = service.exchange.random
        self._running: list[tuple[Script, list[User]]] = []
        users = service.exchange.people.users.values()
        self._free = [user for user in users if user.agent is None]
        self._agents = [user for user in users if user.agent is not None]
        self._names = list(CALL_SCRIPTS)
        self._weights = [weight for _, weight in CALL_SCRIPTS.values()]

    async def run(self) -> None:
        """Make `service.rate` lines a second until cancelled."""
        owed, last = 0.0, trio.current_time()
        while True:
            rate = self._service.rate
            if rate == math.inf:
                await self._as_fast_as_possible()
                owed, last = 0.0, trio.current_time()
                continue
            pause = max(_TICK, (1.0 - owed) / rate) if rate > 0 else math.inf
            with trio.move_on_after(pause):
                await self._service.changed.park()
            now = trio.current_time()
            owed = min(owed + (now - last) * rate, max(1.0, rate * _CATCH_UP)) if rate > 0 else 0.0
            last = now
            while owed >= 1:
                owed -= self._go_on(min(owed, _CHUNK))
                await trio.lowlevel.checkpoint()

    async def _as_fast_as_possible(self) -> None:
        channels = self._service.channels()
        if channels and all(channel.bytes < _ROOM for channel in channels):
            self._go_on(_CHUNK)
            await trio.lowlevel.checkpoint()
        else:
            await trio.sleep(0.001)

    def _go_on(self, lines: float) -> float:
        """Take steps until about `lines` lines are made; return how many were; `lines`: nobody moves."""
        made = 0.0
        while made < lines:
            self._begin()
            if not self._running:
                return max(made, lines)
            made += max(_LEAST, self._step(int(self._random.random() * len(self._running))))
        return made

    def _step(self, place: int) -> int:
        script, users = self._running[place]
        if next(script, _OVER) is _OVER:
            self._running[place] = self._running[-1]
            self._running.pop()
            (self._agents if users[0].agent is not None else self._free).extend(users)
        return self._service.exchange.flush()

    def _begin(self) -> None:
        if not self.more():
            return
        while self._agents and self._service.exchange.people.pilots:
            agent = self._agents.pop()
            pilot = self._random.choice(list(self._service.exchange.people.pilots.values()))
            self._running.append((agent_day(self._stage, agent, pilot, self.more), [agent]))
        while len(self._free) >= 3:
            users = [self._free.pop(int(self._random.random() * len(self._free))) for _ in range(3)]
            name = self._random.choices(self._names, self._weights)[0]
            self._running.append((CALL_SCRIPTS[name][0](self._stage, *users), users))

    def more(self) -> bool:
        """Tell whether calls may still begin by themselves."""
        return self._stage.telephony.started < self._service.options.calls


async def run_timed_switches(service: Service) -> None:
    """Do what the switches with a period ask for, until cancelled."""
    due: dict[str, float] = {}
    while True:
        now = trio.current_time()
        for name, action in _PERIODIC.items():
            period = max(0.05, service.faults.number(name))
            if not service.faults.has(name):
                due.pop(name, None)
            elif due.setdefault(name, now + period) <= now:
                due[name] = now + period
                action(service, period)
        with trio.move_on_at(min(due.values(), default=math.inf)):
            await service.changed.park()


def _end_all(mode: str, service: Service, _period: float) -> None:
    for channel in service.channels():
        channel.end(mode)


def _link_down(service: Service, period: float) -> None:
    service.exchange.link("Cti", up=False)
    service.later(period / 4, lambda: service.exchange.link("Cti", up=True))


def _host_down(service: Service, period: float) -> None:
    service.host_turn = (service.host_turn + 1) % len(service.hosts)
    place = service.host_turn
    service.set_host(place, up=False)
    service.later(period / 2, lambda: service.set_host(place, up=True))


_PERIODIC: Mapping[str, Callable[[Service, float], None]] = {
    "clean-every": partial(_end_all, "clean"),
    "drop-every": partial(_end_all, "fin"),
    "reset-every": partial(_end_all, "rst"),
    "sessions-expire-every": lambda service, _: service.expire_sessions(),
    "link-down-every": _link_down,
    "host-down-every": _host_down,
    "restart-every": lambda service, _: service.restart(),
}
