"""When a snapshot is over, and when it may be believed to be whole."""

from __future__ import annotations

import pytest

from streamd.connectors.avaya.snapshot import Ended, Fact, Missing, Proven, Rules, Snapshot

RULES = Rules(quiet=10, limit=120, settle=2, proof=30)


def played(*steps: tuple[float, str], until: float) -> list[tuple[float, Fact]]:
    """Play messages ("I", "L") at their times, ticking each tenth of a second; return facts with times."""
    snapshot = Snapshot(RULES, 0.0)
    waiting = sorted(steps)
    facts: list[tuple[float, Fact]] = []
    for tenth in range(int(until * 10) + 1):
        now = tenth / 10
        while waiting and waiting[0][0] <= now:
            kind = waiting.pop(0)[1]
            (snapshot.on_initialising if kind == "I" else snapshot.on_live)(now)
        facts += [(now, fact) for fact in snapshot.tick(now)]
    return facts


def test_a_live_behind_the_last_initialising_ends_and_proves_the_snapshot_once_it_settled() -> None:
    assert played((0, "I"), (1, "I"), (1.5, "L"), until=200) == [(3.5, Ended("live")), (3.5, Proven("live"))]


def test_a_live_mixed_into_the_snapshot_does_not_end_it() -> None:
    facts = played((0, "I"), (1, "L"), (2, "I"), (4, "L"), until=200)
    assert facts == [(6.0, Ended("live")), (6.0, Proven("live"))]


def test_quiet_ends_the_snapshot_and_a_longer_quiet_proves_it() -> None:
    assert played((0, "I"), (1, "I"), until=200) == [(11.0, Ended("quiet")), (31.0, Proven("quiet"))]


def test_a_live_after_the_quiet_proves_the_snapshot() -> None:
    assert played((0, "I"), (15, "L"), until=200) == [(10.0, Ended("quiet")), (17.0, Proven("live"))]


def test_a_pause_longer_than_the_quiet_does_not_prove_what_was_only_half_of_it() -> None:
    facts = played((0, "I"), (25, "I"), (40, "I"), until=200)
    assert facts == [(10.0, Ended("quiet")), (70.0, Proven("quiet"))]


def test_the_hard_limit_ends_a_snapshot_that_never_does() -> None:
    steps = [(float(second), "I") for second in range(0, 150, 5)]
    assert played(*steps, until=200) == [(120.0, Ended("limit")), (175.0, Proven("quiet"))]


def test_nothing_at_all_is_an_empty_snapshot_at_the_limit_and_proves_nothing() -> None:
    assert played(until=400) == [(120.0, Ended("empty"))]


def test_live_without_a_snapshot_is_empty_at_once_and_missing_at_the_limit_but_only_once() -> None:
    steps = [(float(second), "L") for second in range(5, 300)]
    assert played(*steps, until=400) == [(7.0, Ended("empty")), (120.0, Missing())]


def test_a_snapshot_that_comes_after_the_first_live_counts_as_one() -> None:
    facts = played((0, "L"), (1, "I"), (2, "I"), (3, "L"), until=200)
    assert facts == [(5.0, Ended("live")), (5.0, Proven("live"))]


def test_a_snapshot_that_comes_after_an_empty_end_can_still_be_proven() -> None:
    facts = played((0, "L"), (10, "I"), (11, "L"), until=200)
    assert facts == [(2.0, Ended("empty")), (13.0, Proven("live"))]


def test_initialising_after_the_proof_is_counted_as_late() -> None:
    snapshot = Snapshot(RULES, 0.0)
    snapshot.on_initialising(0.0)
    snapshot.on_live(1.0)
    snapshot.tick(3.0)
    snapshot.on_initialising(4.0)
    assert snapshot.late == 1


@pytest.mark.parametrize("now", [0.0, 1.0, 9.95, 119.9, 500.0])
def test_the_next_tick_is_never_far_and_never_in_the_past(now: float) -> None:
    snapshot = Snapshot(RULES, 0.0)
    snapshot.on_initialising(0.0)
    snapshot.on_live(0.0)
    assert 0 < snapshot.due(now) <= 0.5
