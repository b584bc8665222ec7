"""What is proven of a link, step by step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from streamd.connectors.avaya.proof import Proof

BEGAN = datetime(2026, 1, 2, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def test_a_pong_proves_up_to_its_ping_once_what_came_before_it_is_committed() -> None:
    proof = Proof(BEGAN)
    assert proof.through(None) is None
    proof.on_pong(at(1), bytes_at=1.5)
    assert proof.through(None) is None
    proof.on_drained(1.4)
    assert proof.through(None) is None
    proof.on_put(at(1.6))
    proof.on_drained(1.5)
    assert proof.through(waiting_since=at(1.6)) is None
    assert proof.through(waiting_since=at(1.7)) == at(1)
    assert proof.through(waiting_since=at(1.0)) == at(1)


def test_what_was_put_after_a_pong_does_not_hold_it_back() -> None:
    proof = Proof(BEGAN)
    proof.on_put(at(1))
    proof.on_pong(at(2), bytes_at=2.5)
    proof.on_drained(2.5)
    proof.on_put(at(3))
    assert proof.through(waiting_since=at(3)) == at(2)


def test_the_end_of_the_link_proves_what_pongs_did_and_a_close_frame_all_before_it() -> None:
    cut, closed = Proof(BEGAN), Proof(BEGAN)
    for proof in (cut, closed):
        proof.on_pong(at(2), bytes_at=2.5)
        proof.on_put(at(3))
    cut.on_end(None)
    closed.on_end(at(4))
    assert (cut.through(at(3)), cut.through(None)) == (None, at(2))
    assert (closed.through(at(3)), closed.through(None)) == (None, at(4))


def test_a_clock_that_is_set_back_proves_nothing_more() -> None:
    proof = Proof(BEGAN)
    proof.on_put(at(100))
    proof.on_put(at(10))
    proof.on_pong(at(10), bytes_at=1.0)
    proof.on_drained(1.0)
    assert proof.through(waiting_since=at(11)) is None
    assert proof.through(None) == at(10)


def test_while_nothing_is_committed_the_first_and_the_last_pongs_are_remembered() -> None:
    proof = Proof(BEGAN)
    for second in range(10_000):
        proof.on_put(at(second))
        proof.on_pong(at(second), bytes_at=float(second))
        if second % 2:
            proof.on_drained(float(second))
    assert len(repr(vars(proof))) < 40_000
    assert proof.through(waiting_since=at(5)) == at(3)
    assert proof.through(None) == at(9_999)
