"""Say whether every event that the simulators sent is on Kafka or inside a declared gap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from math import inf
from typing import Any, NamedTuple

from msgspec import Struct

from streamd.simulators import Sent


class Verdict(Struct, frozen=True):
    """How many were sent, are on Kafka, are not but inside a gap, and are simply missing."""

    sent: int
    on_kafka: int
    in_gaps: int
    missing: int

    @property
    def holds(self) -> bool:
        """Tell whether nothing is missing without a word, and something was there to miss."""
        return self.missing == 0 and self.on_kafka > 0


class _Hole(NamedTuple):
    """A gap: begin and end in seconds since the epoch, and what may have been missed."""

    begin: float
    end: float
    scope: frozenset[str]

    def covers(self, event: Sent) -> bool:
        return self.begin <= event.at <= self.end and not self.scope.isdisjoint((event.scope, "*"))


def judge(
    sent: Sequence[Sent], arrived: Mapping[Hashable, int], gaps: Iterable[Mapping[str, Any]]
) -> Verdict:
    """Count how many of each event had to arrive, and how many did.

    Of equal events, those inside a gap may have arrived and need not have.
    """
    holes = [
        _Hole(_instant(gap["from"], 0.0), _instant(gap["to"], inf), frozenset(gap["scope"])) for gap in gaps
    ]
    due: Counter[Hashable] = Counter()
    excused: Counter[Hashable] = Counter()
    for event in sent:
        covered = any(hole.covers(event) for hole in holes)
        (excused if covered else due)[event.identity] += 1
    found = Counter(arrived)
    on_kafka = ((due + excused) & found).total()
    missing = (due - found).total()
    return Verdict(len(sent), on_kafka, len(sent) - on_kafka - missing, missing)


def _instant(text: str | None, absent: float) -> float:
    return absent if text is None else datetime.fromisoformat(text).timestamp()
