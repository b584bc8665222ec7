"""Let people call by themselves, and do what the timed switch asks for."""

from __future__ import annotations

import math
from collections.abc import Iterator

import trio

from streamd.simulators.omilia import commands
from streamd.simulators.omilia.dialogs import Message
from streamd.simulators.omilia.service import Service

_TICK = 0.01  # seconds; at a high rate what falls into one tick is made at once
_CHUNK = 500  # records between two turns of the scheduler
_ROOM = 2000  # records that may wait for a stream when the rate is as fast as possible
_CATCH_UP = 1.0  # seconds: a process that was stopped does not make up for more


class Feed:
    """The calls that are under way."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._running: list[Iterator[Message]] = []
        self._ended = 0

    async def run(self) -> None:
        """Make `service.rate` records a second until cancelled."""
        owed, last = 0.0, trio.current_time()
        while True:
            rate = self._service.rate
            if rate == math.inf:
                await self._as_fast_as_possible()
                owed, last = 0.0, trio.current_time()
                continue
            with trio.move_on_after(max(_TICK, (1.0 - owed) / rate) if rate > 0 else math.inf):
                await self._service.changed.park()
            now = trio.current_time()
            owed = min(owed + (now - last) * rate, max(1.0, rate * _CATCH_UP)) if rate > 0 else 0.0
            last = now
            while owed >= 1:
                part = int(min(owed, _CHUNK))
                self._go_on(part)
                owed -= part
                await trio.lowlevel.checkpoint()

    async def _as_fast_as_possible(self) -> None:
        streamings = self._service.streamings
        if streamings and all(len(each.queue) < _ROOM for each in streamings):
            self._go_on(_CHUNK)
            await trio.lowlevel.checkpoint()
        else:
            await trio.sleep(0.001)

    def _go_on(self, records: int) -> None:
        """Make `records` records, and what comes after calls that end."""
        service, draw = self._service, self._service.dialogs.random
        for _ in range(records):
            while len(self._running) < max(1, service.options.calls):
                self._running.append(service.dialogs.call())
            place = draw.randrange(len(self._running))
            message = next(self._running[place], None)
            if message is None:
                self._running[place] = service.dialogs.call()
                self._end_call()
                message = next(self._running[place])
            service.emit(message)

    def _end_call(self) -> None:
        self._ended += 1
        options = self._service.options
        if options.audit_every and self._ended % options.audit_every == 0:
            commands.audit(self._service)
        if options.voice_every and self._ended % options.voice_every == 0:
            commands.voices(self._service)


async def let_subscriptions_vanish(service: Service) -> None:
    """Drop the oldest subscription of ours each period of `vanish-every`, until cancelled."""
    due = math.inf
    while True:
        now = trio.current_time()
        if not service.faults.has("vanish-every"):
            due = math.inf
        elif due == math.inf:
            due = now + max(0.05, service.faults.number("vanish-every"))
        elif due <= now:
            due = math.inf
            if service.streamings:
                commands.vanish(service, service.streamings[0].subscription.data_type)
            continue
        with trio.move_on_at(due):
            await service.changed.park()
