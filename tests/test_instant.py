"""Instants and setbacks, by a wall clock that is set."""

from __future__ import annotations

from datetime import timedelta

import pytest

from streamd.instant import Setbacks, instant
from tests.spool.rig import START


class Clock:
    """Two clocks that a test moves."""

    def __init__(self) -> None:
        self.wall = START
        self.ticks = 1000.0

    def now(self):
        return self.wall

    def monotonic(self):
        return self.ticks

    def go(self, seconds: float, drift: float = 0.0) -> None:
        self.ticks += seconds
        self.wall += timedelta(seconds=seconds + drift)


@pytest.mark.parametrize("step", [-7200.0, -0.2, 0.0, 0.2, 7200.0])
def test_an_instant_is_told_by_the_reckoning_in_which_it_is_earlier(step: float) -> None:
    clock = Clock()
    held = instant(START - timedelta(seconds=5), clock)
    clock.go(10, drift=step)
    expected = min(step, 0.0) if abs(step) > 1 else 0.0
    assert held.told(clock) == START + timedelta(seconds=expected - 5)
    assert held.now(clock) == START + timedelta(seconds=step - 5)


def test_no_instant_is_held_to_be_later_than_now() -> None:
    clock = Clock()
    assert instant(START + timedelta(days=1), clock).told(clock) == START


def test_a_setback_is_noticed_once_whatever_slewing_and_steps_ahead_there_were() -> None:
    clock = Clock()
    setbacks = Setbacks(clock)
    for drift in (0.001, -0.1, 3600.0, -0.2):
        clock.go(1, drift=drift)
        assert (setbacks.pending, setbacks.take()) == (timedelta(0), timedelta(0))
    clock.go(1, drift=-60.0)
    assert setbacks.pending == setbacks.take() == timedelta(seconds=60.2)
    assert setbacks.take() == timedelta(0)
