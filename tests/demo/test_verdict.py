"""The demo's judge: what was sent is on Kafka or inside a declared gap, or it is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from streamd.demo.verdict import Verdict, judge
from streamd.simulators import Sent


def hole(begin: str | None, end: str | None, *scope: str) -> Mapping[str, Any]:
    """Give the data of a gap between two minutes of an hour."""
    begin, end = (text and f"1970-01-01T00:{text}:00Z" for text in (begin, end))
    return {"from": begin, "to": end, "scope": scope or ("*",)}


def sent(*minutes: int) -> list[Sent]:
    """Give equal events, sent at these minutes."""
    return [Sent(60.0 * minute, "calls", "busy") for minute in minutes]


@pytest.mark.parametrize(
    ("arrived", "holes", "on_kafka", "in_gaps", "missing"),
    [
        (3, [], 3, 0, 0),
        (2, [], 2, 0, 1),
        (2, [hole("01", "03")], 2, 1, 0),
        (3, [hole("01", "03")], 3, 0, 0),
        (1, [hole("01", "03")], 1, 1, 1),
        (2, [hole("01", "03", "agents")], 2, 0, 1),
        (2, [hole("01", "03", "agents", "calls")], 2, 1, 0),
        (1, [hole("01", None)], 1, 2, 0),
        (1, [hole(None, "03")], 1, 2, 0),
        (0, [hole(None, None)], 0, 3, 0),
    ],
)
def test_of_equal_events_those_outside_of_every_gap_must_have_arrived(
    arrived: int, holes: list[Mapping[str, Any]], on_kafka: int, in_gaps: int, missing: int
) -> None:
    verdict = judge(sent(0, 2, 4), Counter(busy=arrived), holes)
    assert verdict == Verdict(3, on_kafka, in_gaps, missing)


def test_what_arrived_more_often_than_it_was_sent_stands_for_nothing_else() -> None:
    events = [*sent(0), Sent(0.0, "calls", "idle")]
    assert judge(events, Counter(busy=2), []) == Verdict(2, 1, 0, 1)


def test_a_verdict_on_nothing_does_not_hold() -> None:
    assert not judge([], Counter(), []).holds
    assert not judge(sent(2), Counter(), [hole("01", "03")]).holds
