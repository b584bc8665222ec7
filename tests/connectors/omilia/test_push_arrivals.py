"""What is known of pushes outlives nothing that a gap does not hold."""

from __future__ import annotations

from datetime import timedelta

from streamd.clock import SystemClock
from streamd.connectors.omilia.arrivals import Pushes


def test_a_failure_after_the_link_delivers_again_is_not_forgotten_with_those_before() -> None:
    clock = SystemClock()
    pushes = Pushes(clock)
    began = clock.now() - timedelta(seconds=1)
    pushes.failed("a push was answered 503")
    pushes.forget(began)
    assert pushes.failed_since is not None, "its push is in no gap yet"
    pushes.forget(clock.now())
    assert pushes.failed_since is None
