"""Keep the truth: every key of every producer with its merged measures."""

from __future__ import annotations

import random
from collections.abc import Mapping

from streamd.errors import ConfigError, Problem
from streamd.simulators.avaya.options import AvayaOptions
from streamd.simulators.avaya.population import KINDS, Keys, Life, Measures, Style, kind_of, make
from streamd.simulators.avaya.wire import Envelope

TruthKey = tuple[str, str, str, Keys]


class Row:
    """One key; `measures` is replaced, never changed in place, so a snapshot may hold on to it."""

    __slots__ = ("envelope", "gone", "keys", "life", "measures", "place")

    def __init__(self, envelope: Envelope, measures: Measures, life: Life | None) -> None:
        self.envelope, self.keys = envelope, envelope.keys
        self.measures, self.life = measures, life
        self.place = 0
        self.gone = False


class Producer:
    """The keys of one measure producer; `living` are the rows that change by themselves."""

    def __init__(self, name: str, kind: str) -> None:
        self.name, self.kind = name, kind
        self.rows: dict[Keys, Row] = {}
        self.living: list[Row] = []
        self.born = 0

    def add(self, row: Row) -> None:
        self.rows[row.keys] = row
        if row.life is not None:
            row.place = len(self.living)
            self.living.append(row)

    def remove(self, row: Row) -> None:
        del self.rows[row.keys]
        row.gone = True
        if row.life is not None:
            last = self.living.pop()
            if last is not row:
                self.living[row.place] = last
                last.place = row.place


class Table:
    """All producers of the account. Changes here are silent: who sends them is the feed's business."""

    def __init__(self, options: AvayaOptions) -> None:
        self._options = options
        self.random = random.Random(options.seed)  # noqa: S311 - plays a contact centre, guards nothing
        self.producers = {name: Producer(name, _kind(name)) for name in options.producers}

    def grow_to(self, keys: int, style: Style, now_ms: int) -> None:
        """Give every producer at least `keys` keys."""
        for producer in self.producers.values():
            while len(producer.rows) < keys:
                self.bear(producer, style, now_ms)

    def bear(self, producer: Producer, style: Style, now_ms: int) -> Row:
        """Add one more agent or queue to `producer`."""
        keys, life = make(producer.kind, producer.born, self._options.seed, style)
        producer.born += 1
        row = Row(self._envelope(producer, keys), life.birth(now_ms), life)
        producer.add(row)
        return row

    def put(self, producer: Producer, keys: Mapping[str, str], measures: Mapping[str, str]) -> Row:
        """Merge `measures` into the row of `keys`, which is made when it is not there."""
        pairs = tuple(sorted(keys.items()))
        row = producer.rows.get(pairs)
        if row is None:
            row = Row(self._envelope(producer, pairs), dict(sorted(measures.items())), None)
            producer.add(row)
        else:
            row.measures = dict(sorted({**row.measures, **measures}.items()))
        return row

    def truth(self) -> dict[TruthKey, Measures]:
        """Return (account, event source, producer, sorted key pairs) -> merged measures, of this moment."""
        account, source = self._options.account_id, self._options.event_source_id
        return {
            (account, source, producer.name, row.keys): dict(row.measures)
            for producer in self.producers.values()
            for row in producer.rows.values()
        }

    def _envelope(self, producer: Producer, keys: Keys) -> Envelope:
        return Envelope(self._options.account_id, self._options.event_source_id, producer.name, keys)


def _kind(producer: str) -> str:
    kind = kind_of(producer)
    if kind is None:
        known = ", ".join(f"{each}_itd_<version>" for each in KINDS)
        raise ConfigError([Problem("producers", f"{producer!r} cannot be simulated; these can: {known}")])
    return kind
