"""The way over to the Kafka thread, where that has ended."""

from __future__ import annotations

import pytest
import trio

from streamd.errors import Transient
from streamd.publish.crossing import Crossing


async def nothing() -> None:
    raise AssertionError("there is no loop to run this on")


async def test_a_call_into_a_thread_that_has_ended_says_so() -> None:
    with pytest.raises(Transient, match="the Kafka thread has ended"):
        await Crossing().call(nothing)


async def test_a_caller_that_is_cancelled_with_the_thread_is_only_cancelled() -> None:
    """Else the daemon would tell of the Kafka thread, and not of what had ended it."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await Crossing().call(nothing)
    assert scope.cancelled_caught
