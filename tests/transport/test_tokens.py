"""What is promised of a token shared by many tasks."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from streamd.errors import Rejected, Transient
from streamd.transport.tokens import TokenCache


class Server:
    """Gives t1, t2 … with a life of 100 s, when let; its clock is set by hand."""

    def __init__(self):
        self.now = 1000.0
        self.fetches = 0
        self.error = None
        self.gate = trio.Event()
        self.gate.set()

    async def fetch(self):
        self.fetches += 1
        number = self.fetches
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return f"t{number}", 100.0

    def cache(self, **options):
        return TokenCache(self.fetch, lambda: self.now, **options)


@pytest.fixture
def server():
    return Server()


async def _all_of(count, cache):
    results = []

    async def one():
        try:
            results.append(await cache.get())
        except (Transient, Rejected) as error:
            results.append(error)

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one)
    return results


async def test_concurrent_callers_share_one_fetch(server):
    cache = server.cache()
    assert await _all_of(10, cache) == ["t1"] * 10
    assert await cache.get() == "t1"
    assert server.fetches == 1


async def test_a_token_is_refreshed_before_it_ends(server):
    cache = server.cache()
    await cache.get()
    server.now += 79.9
    assert await cache.get() == "t1"
    server.now += 0.2
    assert await cache.get() == "t2"


async def test_jitter_refreshes_earlier_never_later(server):
    cache = server.cache(jitter=lambda: 1.0)
    await cache.get()
    server.now += 72.1
    assert await cache.get() == "t2"


async def test_a_failed_fetch_reaches_all_who_waited_and_the_next_call_tries_again(server):
    cache = server.cache()
    server.error = Rejected("wrong secret")
    assert await _all_of(3, cache) == [server.error] * 3
    assert server.fetches == 1
    server.error = None
    assert await cache.get() == "t2"


async def test_a_refused_token_is_fetched_anew_and_a_newer_one_is_kept(server):
    cache = server.cache()
    assert await cache.get() == "t1"
    assert cache.holds("t1")
    cache.invalidate("t1")
    assert not cache.holds("t1")
    assert await cache.get() == "t2"
    cache.invalidate("t1")
    assert await cache.get() == "t2"
    assert cache.holds("t2")
    assert not cache.holds("t1")


async def test_a_cancelled_caller_takes_no_fetch_away_from_the_others(server):
    cache = server.cache()
    server.gate = trio.Event()
    results = []

    async def waiter():
        results.append(await cache.get())

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as first:
            nursery.start_soon(waiter)
            nursery.start_soon(waiter)
            await trio.testing.wait_all_tasks_blocked()
            # Whichever of the three leads, cancelling this one leaves the others served.
            first.cancel()
            await cache.get()
        server.gate.set()
    assert len(set(results)) == 1
    assert len(results) == 2


async def test_when_the_one_that_fetches_is_cancelled_another_fetches(server):
    cache = server.cache()
    server.gate = trio.Event()
    results = []

    async def follower():
        results.append(await cache.get())

    async with trio.open_nursery() as nursery:
        leader = trio.CancelScope()

        async def lead():
            with leader:
                await cache.get()

        nursery.start_soon(lead)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(follower)
        nursery.start_soon(follower)
        await trio.testing.wait_all_tasks_blocked()
        leader.cancel()
        await trio.testing.wait_all_tasks_blocked()
        server.gate.set()
    assert results == ["t2", "t2"]


async def test_a_token_that_is_still_good_outlives_a_bad_moment_of_its_server(server):
    cache = server.cache()
    await cache.get()
    server.error = Transient("busy")
    server.now += 90
    assert await cache.get() == "t1"
    assert await cache.get() == "t1"
    assert server.fetches == 2, "the server is not asked with every request"
    server.now += 10
    with pytest.raises(Transient):
        await cache.get()


async def test_no_token_shows_in_a_repr(server):
    cache = server.cache()
    await cache.get()
    assert "t1" not in repr(cache)
