"""What is known of pushes outlives nothing that a gap does not hold."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio

from streamd.clock import SystemClock
from streamd.connectors.omilia import arrivals, callback, session
from streamd.connectors.omilia.arrivals import Pushes
from streamd.life import Continuous
from tests.connectors.omilia.pushing import START, Pushed, body, open_system, start
from tests.judge import instant

SECOND = timedelta(seconds=1)


class Hands:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)
        self.back = 0 * SECOND

    def now(self) -> datetime:
        return self.at - self.back

    def monotonic(self) -> float:
        return self.at.timestamp()

    def turn(self, seconds: float) -> datetime:
        self.at += seconds * SECOND
        return self.now()

    def set_back(self, seconds: float) -> None:
        self.back += seconds * SECOND


def test_a_failure_after_the_link_delivers_again_is_not_forgotten_with_those_before() -> None:
    clock = SystemClock()
    pushes = Pushes(clock)
    began = clock.now() - timedelta(seconds=1)
    pushes.failed("a push was answered 503")
    pushes.forget(began)
    assert pushes.failed_since is not None, "its push is in no gap yet"
    pushes.forget(clock.now())
    assert pushes.failed_since is None


def test_a_slow_push_that_fails_beside_a_good_one_is_missed_since_before_it_came() -> None:
    clock = Hands()
    pushes = Pushes(clock)
    pushes.seen(clock.now())
    came = clock.turn(60)
    slow = pushes.come()
    clock.turn(7)
    pushes.accepted(pushes.come(), None)
    assert pushes.proof() == slow.since.wall < came
    clock.turn(1)
    pushes.failed("a push was answered 503", slow)
    assert pushes.failed_since == slow.since
    seen = clock.turn(5)
    pushes.seen(seen)
    assert pushes.proof() == slow.since.wall, "its gap is not committed yet"
    with pushes.declared():
        assert pushes.proof() == seen
        pushes.failed("another", pushes.come())
        assert pushes.proof() == seen, "the gap holds it, too"
        pushes.healthy()
    assert pushes.proof() == seen


def test_what_failed_before_the_subscription_was_known_is_missed_since_the_links_gap_ends() -> None:
    clock = Hands()
    pushes = Pushes(clock)
    online_since = clock.now()
    clock.turn(5)
    pushes.failed("a token request was answered 503")
    pushes.seen(online_since)
    pushes.forget(online_since)
    assert pushes.proof() == online_since
    assert pushes.failed_since is not None
    assert pushes.failed_since.wall == online_since


def test_a_stranger_holds_nothing_back() -> None:
    clock = Hands()
    pushes = Pushes(clock)
    stranger = pushes.come()
    pushes.seen(clock.turn(60))
    pushes.turn_away(stranger)
    assert pushes.proof() == clock.now()


def test_a_clock_that_is_set_back_lets_nothing_be_proven_that_nobody_has_seen() -> None:
    clock = Hands()
    pushes, life = Pushes(clock), Continuous(clock)
    life.connect(clock.now())
    pushes.seen(clock.now())
    assert life.prove(pushes.proof()).alive == clock.now()
    clock.set_back(3600)
    clock.turn(10)
    push = pushes.come()
    life.prove(pushes.proof())
    came = clock.now()
    pushes.accepted(push, None)
    clock.turn(300)
    alive = life.prove(pushes.proof()).alive
    assert alive is not None
    assert came - 3 * SECOND < alive < came


@asynccontextmanager
async def half_a_push(pushed: Pushed) -> AsyncIterator[trio.SocketStream]:
    """Send a push but for the end of its body, and let its head arrive."""
    host, port = pushed.listener.addresses[0].split(":")
    stream = await trio.open_tcp_stream(host, int(port))
    content = body(start("slow"))
    head = (
        f"POST /omilia/acme_prod/{START} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {pushed.token}\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    claim = pushed.listener.claims._claims[f"/omilia/acme_prod/{START}"]
    async with stream:
        await stream.send_all(head.encode() + content[:-5])
        await pushed.until(lambda: claim._scopes)
        yield stream


async def test_a_push_whose_body_never_ends_is_in_the_gap_although_one_beside_it_was_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "UNDERWAY", 0 * SECOND)
    async with open_system(tmp_path) as (_, pushed):
        await pushed.push(start("d0"))
        before = SystemClock().now()
        async with half_a_push(pushed):
            began = SystemClock().now()
            assert (await pushed.push(start("d1"))).status_code == 200
        await pushed.until(pushed.gaps)
        assert pushed.gaps()[0]["cause"] == "push_failed"
        assert before.timestamp() <= instant(pushed.gaps()[0]["from"]) <= began.timestamp()


async def test_the_proof_of_life_waits_until_the_gap_of_a_failed_push_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr("streamd.connectors.omilia.session.UNDERWAY", 0 * SECOND)
    monkeypatch.setattr("streamd.connectors.omilia.subscriptions.SHARED_SECONDS", 0.0)
    async with open_system(tmp_path, reconcile_seconds="0.05") as (simulator, pushed):
        await pushed.push(start("d0"))
        link = pushed.runtime._links[START]

        def proof() -> datetime:
            alive = link._prove().alive
            assert alive is not None
            return alive

        pushed.keep_out()
        async with pushed.runtime.gaps.telling:  # no gap is committed now
            came = SystemClock().now()
            assert (await pushed.push(start("d1"))).status_code == 503
            listed = len(simulator.requests)
            await pushed.until(lambda: len(simulator.requests) > listed + 5)
            assert proof() <= came, "the looks that find the subscription there prove nothing of this push"
        await pushed.until(lambda: proof() > came)
        assert instant(pushed.gaps()[0]["from"]) <= came.timestamp()
        pushed.let_in()


async def test_the_time_in_which_the_process_stood_still_is_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PAUSE_SECONDS", 0.5)
    monkeypatch.setattr(session, "_TICK_SECONDS", 0.05)
    async with open_system(tmp_path, data_types=[START]) as (_, pushed):
        await pushed.push(start("d0"))
        before = SystemClock().now()
        time.sleep(1.0)  # noqa: ASYNC251 - that is what a frozen process does
        begin, end = before.timestamp(), (before + SECOND).timestamp()

        def is_covered() -> bool:
            spans = [(instant(gap["from"]), instant(gap["to"])) for gap in pushed.gaps()]
            return any(since <= begin and end <= until for since, until in spans)

        await pushed.until(is_covered)
        assert {gap["cause"] for gap in pushed.gaps()} == {"paused"}
        assert {gap["events"] for gap in pushed.gaps()} == {"pending"}
