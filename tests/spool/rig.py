"""A real spool on a directory of its own, opened and looked into as a daemon and an operator would."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import trio

from streamd.cloudevents import Envelope, Mode
from streamd.model import Event, Origin, Record, State, Stream
from streamd.spool.accounts import RESERVE_BYTES
from streamd.spool.beat import Beat
from streamd.spool.directory import DATABASE
from streamd.spool.inspect import Dumped, look
from streamd.spool.rows import Row
from streamd.spool.spool import Spool
from streamd.spool.store import Store

PREFIX = "p"
ORIGIN = Origin("emea", "avaya")
OTHER = Origin("paris", "o2g")
MEASURES = Stream("avaya", "measures")
MEASURES_STATE = Stream("avaya", "measures.state", "compact")
TOPIC = f"{PREFIX}.avaya.measures"
STATE_TOPIC = f"{PREFIX}.avaya.measures.state"
START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
PATIENCE_SECONDS = 30.0


class TrioClock:
    """trio's time as ours: where a test turns trio's clock, it turns this one too. `step`: how far the wall
    clock has been set."""

    step = timedelta(0)

    def now(self) -> datetime:
        return START + timedelta(seconds=trio.current_time()) + self.step

    def monotonic(self) -> float:
        return trio.current_time()


class Rig:
    """Opens the spool of one directory, again and again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = home / DATABASE
        self.clock = TrioClock()
        self._store: Store | None = None

    def store(self, max_bytes: int = 64 * 1024**2, now: datetime | None = None, **how: Any) -> Store:
        self.close()
        self._store = Store(self.path, max_bytes, now or datetime.now(UTC), **how)
        return self._store

    def spool(
        self,
        *,
        partitions: int = 4,
        cache_bytes: int = 8 * 1024**2,
        mode: Mode = "structured",
        max_bytes: int = 64 * 1024**2,
        prefix: str = PREFIX,
        observe: Callable[[float], None] = lambda seconds: None,
        beat: Beat | None = None,
    ) -> Spool:
        store = self.store(max_bytes)
        spool = Spool(
            store,
            prefix=prefix,
            envelope=Envelope(store.epoch, mode),
            partitions=lambda topic: partitions,
            clock=self.clock,
            cache_bytes=cache_bytes,
            observe=observe,
            beat=beat,
        )
        for connector in (ORIGIN.connector, OTHER.connector):
            spool.usage(connector).share = max_bytes
        return spool

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def dumped(self, topic: str | None = None) -> list[Dumped]:
        """Give the committed records, as another process sees them."""
        with look(self.home) as seen:
            return list(seen.records(topic))

    def events(self, topic: str) -> list[dict[str, Any]]:
        """Give the committed events of a topic, in the order of their acceptance."""
        return [msgspec.json.decode(record.value) for record in self.dumped(topic) if record.value]


def event(number: int, key: str = "k", stream: Stream = MEASURES, **more: Any) -> Event:
    return Event(stream, key, "streamd.measure.upserted", {"n": number}, START, **more)


def noise(size: int) -> str:
    """Give a text that stays as long as it is when it is packed."""
    return base64.b64encode(random.Random(size).randbytes(size)).decode()[:size]


def state(number: int | None, key: str = "k", of: Stream = MEASURES) -> State:
    data = None if number is None else {"n": number}
    return State(MEASURES_STATE, of, key, "streamd.measure.state", data, START)


def numbers(rows: list[Row]) -> list[int]:
    """Give what `event` put into the records of these rows."""
    return [number_of(record) for row in rows for record in row.records or ()]


def number_of(record: Record) -> int:
    assert record.value is not None
    found: int = msgspec.json.decode(record.value)["data"]["n"]
    return found


def choke(spool: Spool) -> None:
    """Leave a connector no room for anything, streamd's own events neither."""
    spool.usage(ORIGIN.connector).add(True, RESERVE_BYTES, 0, 0)
    spool.usage(ORIGIN.connector).share = 0


def relieve(spool: Spool) -> None:
    """Take that back."""
    spool.usage(ORIGIN.connector).add(True, -RESERVE_BYTES, 0, 0)
    spool.usage(ORIGIN.connector).share = 64 * 1024**2


async def eventually(condition: Callable[[], Any]) -> Any:
    """Wait for what threads bring about, in real time, however the test turns trio's clock."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        await trio.to_thread.run_sync(time.sleep, 0.002)
    return found
