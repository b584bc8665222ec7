"""Make the live messages: at a rate, on request, and the bursts of the timed switches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import trio

from streamd.simulators.avaya.oddities import ODDITIES
from streamd.simulators.avaya.service import Service
from streamd.simulators.avaya.table import Producer
from streamd.simulators.avaya.wire import Message

_TICK = 0.01  # seconds; at a high rate what falls into one tick goes out as one write
_CHUNK = 500  # messages between two turns of the scheduler
_ROOM = 2 * 1024 * 1024  # bytes that may wait for a socket when the rate is as fast as possible
_CATCH_UP = 1.0  # seconds: a process that was stopped does not make up for more


async def run_feed(service: Service) -> None:
    """Make `service.rate` LIVE messages a second, evenly over the producers, until cancelled."""
    owed, last = 0.0, trio.current_time()
    while True:
        rate = 0.0 if service.faults.has("silent-night") else service.rate
        if rate == math.inf:
            await _as_fast_as_possible(service)
            owed, last = 0.0, trio.current_time()
            continue
        pause = max(_TICK, (1.0 - owed) / rate) if rate > 0 else math.inf
        with trio.move_on_after(pause):
            await service.changed.park()
        now = trio.current_time()
        owed = min(owed + (now - last) * rate, max(1.0, rate * _CATCH_UP)) if rate > 0 else 0.0
        last = now
        count = int(owed)
        owed -= count
        for start in range(0, count, _CHUNK):
            live_everywhere(service, min(_CHUNK, count - start))
            await trio.lowlevel.checkpoint()


async def _as_fast_as_possible(service: Service) -> None:
    if service.sessions and all(session.outgoing.bytes < _ROOM for session in service.sessions):
        live_everywhere(service, _CHUNK)
        await trio.lowlevel.checkpoint()
    else:
        await trio.sleep(0.001)


def live_everywhere(service: Service, count: int) -> None:
    """Let `count` things happen, spread over the producers."""
    producers = [each for each in service.table.producers.values() if each.living]
    if not producers:
        return
    first = int(service.table.random.random() * len(producers))
    share, rest = divmod(count, len(producers))
    for place in range(len(producers)):
        producer = producers[(first + place) % len(producers)]
        live(service, producer, share + (place < rest))


def live(service: Service, producer: Producer, count: int) -> None:
    """Let `count` things happen to random keys of `producer` and send them to who listens.

    Without a listener the truth moves on all the same: nothing is kept for later (section 4).
    """
    draw, now_ms, tail = service.table.random.random, service.now_ms(), service.tail
    full = service.faults.has("live-full")
    heard = bool(service.listeners(producer.name))
    odd = [
        (ODDITIES[name], int(service.faults.number(name))) for name in ODDITIES if service.faults.has(name)
    ]
    messages: list[Message] = []
    for _ in range(count if producer.living else 0):
        row = producer.living[int(draw() * len(producer.living))]
        assert row.life is not None, "only living rows are drawn"
        changed = row.life.step(now_ms, draw())
        row.measures = {**row.measures, **changed}
        if heard:
            messages.append(row.envelope.live(row.measures if full else changed, tail))
        for oddity, period in odd if heard else ():
            if int(draw() * max(1, period)) == 0:
                messages += oddity(row, messages[-1], tail)
    if messages:
        service.deliver(producer.name, messages)


def reset_counters(service: Service) -> None:
    """Let all counters of all keys fall to zero, in one burst (section 3, trap 8)."""
    now_ms, tail = service.now_ms(), service.tail
    for producer in service.table.producers.values():
        messages: list[Message] = []
        for row in producer.living:
            assert row.life is not None, "only living rows are drawn"
            changed = row.life.reset(now_ms)
            row.measures = {**row.measures, **changed}
            messages.append(row.envelope.live(changed, tail))
        service.deliver(producer.name, messages)


def vanish(service: Service, name: str) -> None:
    """With `vanish-while-away`, let keys of producer `name` go that nobody listens to any more (row 13)."""
    count = int(service.faults.number("vanish-while-away"))
    if not count or service.listeners(name):
        return
    producer = service.table.producers[name]
    for row in list(producer.rows.values())[:count]:
        producer.remove(row)


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
                action(service)
        with trio.move_on_at(min(due.values(), default=math.inf)):
            await service.changed.park()


def _end_all(mode: str) -> Callable[[Service], None]:
    def end(service: Service) -> None:
        for session in list(service.sessions):
            session.end(mode)

    return end


def _snapshot_again(service: Service) -> None:
    for session in service.sessions:
        session.snapshot_again()


_PERIODIC: Mapping[str, Callable[[Service], None]] = {
    "drop-every": _end_all("fin"),
    "reset-every": _end_all("rst"),
    "close-every": _end_all("close:1011"),
    "midnight-reset": reset_counters,
    "snapshot-again": _snapshot_again,
}
