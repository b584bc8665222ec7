"""The server's now never runs ahead of the server, whatever our own clock does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from streamd.pull.server_clock import ServerClock

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class Clocks:
    """Ours, and the server's, which is `ahead` of it."""

    def __init__(self, ahead: float) -> None:
        self.seconds = 0.0
        self.stepped = timedelta(0)
        self.ahead = timedelta(seconds=ahead)

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds) + self.stepped

    def monotonic(self) -> float:
        return self.seconds

    def server(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds) + self.ahead

    def answer(self, clock: ServerClock, *, there: float, back: float) -> None:
        asked_at = self.seconds
        self.seconds += there
        date = format_datetime(self.server(), usegmt=True)
        self.seconds += back
        clock.heard({"date": date}, asked_at)


@pytest.mark.parametrize("ahead", [-7200.3, 0.0, 86_400.9])
def test_the_server_s_now_follows_it_from_behind_while_our_wall_clock_jumps(ahead: float) -> None:
    clocks = Clocks(ahead)
    clock = ServerClock(clocks)
    for jump, way in ((0, 0.1), (3600, 4.0), (-90_000, 0.0)):
        clocks.answer(clock, there=way, back=way)
        clocks.stepped += timedelta(seconds=jump)
        clocks.seconds += 17.5
        now = clock.now()
        assert now is not None
        assert timedelta(0) <= clocks.server() - now <= timedelta(seconds=1 + way)


def test_the_skew_is_told_within_a_second_and_half_the_way() -> None:
    clocks = Clocks(3600.0)
    clock = ServerClock(clocks)
    clocks.answer(clock, there=0.0, back=2.0)
    skew = clock.skew()
    assert skew is not None
    assert abs(skew - clocks.ahead) <= timedelta(seconds=1.5)


@pytest.mark.parametrize("headers", [{}, {"date": "yesterday"}, {"date": ""}])
def test_an_answer_without_a_date_that_can_be_read_changes_nothing(headers: dict[str, str]) -> None:
    clocks = Clocks(0.0)
    clock = ServerClock(clocks)
    clock.heard(headers, 0.0)
    assert clock.now() is None
    assert clock.skew() is None
    clocks.answer(clock, there=0.0, back=0.0)
    before = clock.now()
    clock.heard(headers, 0.0)
    assert clock.now() == before


def test_a_server_that_is_set_back_is_followed() -> None:
    clocks = Clocks(0.0)
    clock = ServerClock(clocks)
    clocks.answer(clock, there=0.0, back=0.0)
    clocks.ahead = timedelta(hours=-1)
    clocks.answer(clock, there=0.0, back=0.0)
    now = clock.now()
    assert now is not None
    assert now <= clocks.server()
