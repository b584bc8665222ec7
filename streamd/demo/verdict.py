"""Say whether every event that the simulators sent is on Kafka or inside a declared gap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

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


def judge(
    sent: Sequence[Sent], arrived: Mapping[Hashable, int], gaps: Iterable[Mapping[str, Any]]
) -> Verdict:
    """Match each sent event with one that arrived; look for a gap that covers those left over."""
    left = Counter(arrived)
    holes = list(gaps)
    on_kafka = in_gaps = 0
    for event in reversed(sent):  # equal events: the last sending is the one that must have arrived
        if left[event.identity] > 0:
            left[event.identity] -= 1
            on_kafka += 1
        elif any(_covers(hole, event) for hole in holes):
            in_gaps += 1
    return Verdict(len(sent), on_kafka, in_gaps, len(sent) - on_kafka - in_gaps)


def _covers(hole: Mapping[str, Any], event: Sent) -> bool:
    begin, end = _instant(hole["from"], 0.0), _instant(hole["to"], float("inf"))
    return begin <= event.at <= end and (event.scope in hole["scope"] or "*" in hole["scope"])


def _instant(text: str | None, absent: float) -> float:
    return absent if text is None else datetime.fromisoformat(text).timestamp()
