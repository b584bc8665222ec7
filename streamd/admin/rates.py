"""How many events a second each connector brings, over the last seconds."""

from __future__ import annotations

from collections import deque

from msgspec import Struct

WINDOW_SECONDS = 10.0
SAMPLE_SECONDS = 1.0


class Totals(Struct, frozen=True):
    """What a connector has done since the daemon began; a state record is a record, but no event."""

    events: int
    records: int
    published: int


class Rates(Struct, frozen=True):
    """Events accepted, records accepted and records that left the spool, each per second."""

    events_per_second: float
    records_per_second: float
    published_per_second: float


class Sampler:
    """The totals of the last WINDOW_SECONDS, by connector."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[tuple[float, Totals]]] = {}

    def sample(self, now: float, totals: dict[str, Totals]) -> None:
        """Note each connector's totals, and forget those that are not among them."""
        self._samples = {name: self._samples.get(name, deque()) for name in totals}
        for name, samples in self._samples.items():
            samples.append((now, totals[name]))
            while samples[0][0] < now - WINDOW_SECONDS - SAMPLE_SECONDS / 2:
                samples.popleft()

    def rates(self, connector: str) -> Rates:
        """Give the rates between the oldest sample in the window and the newest."""
        samples = self._samples.get(connector)
        if samples is None or len(samples) < 2:
            return Rates(0.0, 0.0, 0.0)
        (begin, before), (end, after) = samples[0], samples[-1]
        seconds = end - begin
        return Rates(
            round((after.events - before.events) / seconds, 1),
            round((after.records - before.records) / seconds, 1),
            round((after.published - before.published) / seconds, 1),
        )
