"""What is promised of the ingress inside the running daemon."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from streamd import app
from streamd.config.file import load
from streamd.connector import Context, Link
from streamd.model import Event
from streamd.spool import directory
from streamd.spool.store import Store
from streamd.transport.exchange import Request, Response
from tests.core import Announcer, free_port
from tests.ingress.conftest import RINGS


class Running:
    """A daemon with bells; `url` is its ingress, `admin` its admin endpoint."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._admin = free_port()
        self.admin = f"http://127.0.0.1:{self._admin}"
        self.path = directory / "streamd.toml"
        self.home = directory / "state"
        self.daemon: app.Daemon

    def configure(self, **paths: str) -> None:
        """Write a configuration with a bell for each path."""
        self.path.write_text(
            '[kafka]\nbootstrap_servers = ["127.0.0.1:1"]\n'
            f"[spool]\ndirectory = '{self.home}'\n[admin]\nlisten = '127.0.0.1:{self._admin}'\n"
            f"[ingress]\nlisten = '127.0.0.1:{self.port}'\npublic_url = 'https://in.example.net'\n"
            + "".join(
                f"[connectors.{name}]\ntype = 'bell'\npath = '{path}'\n" for name, path in paths.items()
            )
        )


@asynccontextmanager
async def run_daemon(running: Running) -> AsyncIterator[Running]:
    config = load(running.path).config
    with directory.hold(running.home):
        store = Store(running.home / directory.DATABASE, config.spool.max_bytes, app.SystemClock().now())
        announcer = Announcer({})
        running.daemon = app.Daemon(running.path, config, store, announcer)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(running.daemon.run)
                with trio.fail_after(30):
                    await announcer.is_ready.wait()
                yield running
                running.daemon.stopping.set()
        finally:
            store.close()


async def ring(context: Context[Any], link: Link, handled: Callable[[], None] = lambda: None) -> None:
    """Claim the connector's path, and commit an event for each request."""

    async def handle(request: Request) -> Response:
        handled()
        now = context.clock.now()
        await context.append([Event(RINGS, "", "streamd.bell.rung", {"bytes": len(request.body)}, now)])
        return Response(200, {"Content-Type": "application/json"}, b"{}")

    async with context.ingress.claim(context.config.path, handle):
        await link.connected(context.clock.now())
        link.prove_with(context.clock.now)
        await link.live()
        await trio.sleep_forever()


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bell: dict[str, Any]) -> Running:
    monkeypatch.setattr(app, "_FLUSH_SECONDS", 0.1)
    bell.update(paris=ring, rome=ring)
    return Running(tmp_path)


async def until_answered(client: httpx.AsyncClient, url: str, status: int) -> httpx.Response:
    with trio.fail_after(30):
        while (answer := await client.post(url)).status_code != status:
            await trio.sleep(0.02)
    return answer


async def test_what_is_pushed_is_committed_answered_and_counted(running):
    running.configure(paris="/paris")
    async with run_daemon(running), httpx.AsyncClient() as client:
        await until_answered(client, f"{running.url}/paris", 200)
        assert running.daemon.spool.numbers["paris", "rings"] >= 1
        assert (await client.get(f"{running.admin}/readyz")).status_code == 200
        metrics = (await client.get(f"{running.admin}/metrics")).text
        assert 'streamd_bell_requests_200_total{connector="paris"} 1.0' in metrics
        assert (await client.post(f"{running.url}/rome")).status_code == 404


async def test_an_ingress_that_is_not_bound_is_unreadiness_and_stops_nothing_else(running, monkeypatch):
    monkeypatch.setattr("streamd.ingress.listener._FIRST_WAIT", 0.05)
    running.configure(paris="/paris")
    (other,) = await trio.open_tcp_listeners(running.port, host="127.0.0.1")
    async with run_daemon(running), httpx.AsyncClient() as client:
        answer = await client.get(f"{running.admin}/readyz")
        assert answer.status_code == 503
        assert "the ingress is not bound: cannot listen on" in answer.text
        await other.aclose()
        with trio.fail_after(30):
            while (await client.get(f"{running.admin}/readyz")).status_code != 200:
                await trio.sleep(0.02)
        await until_answered(client, f"{running.url}/paris", 200)


async def test_a_reload_adds_and_removes_paths_without_a_restart(running):
    running.configure(paris="/paris")
    async with run_daemon(running), httpx.AsyncClient() as client:
        running.configure(rome="/rome")
        assert await running.daemon.reload()
        await until_answered(client, f"{running.url}/rome", 200)
        assert (await client.post(f"{running.url}/paris")).status_code == 404


async def test_a_connector_that_is_lost_refused_or_crashed_answers_503(running, bell):
    crashed, go_on = trio.Event(), trio.Event()

    async def crash_once(context: Context[Any], link: Link) -> None:
        if not crashed.is_set():
            crashed.set()
            raise ZeroDivisionError
        await go_on.wait()
        await ring(context, link)

    bell["rome"] = crash_once
    running.configure(paris="/paris", rome="/rome")
    async with run_daemon(running), httpx.AsyncClient() as client:
        await crashed.wait()
        assert (await client.post(f"{running.url}/rome")).headers["retry-after"] == "5"
        go_on.set()
        await until_answered(client, f"{running.url}/paris", 200)
        await until_answered(client, f"{running.url}/rome", 200)


async def test_a_drain_turns_new_requests_away_before_the_sources_stop(running, bell):
    running.configure(paris="/paris")
    handling, go_on, answers = trio.Event(), trio.Event(), []

    async def slowly(context: Context[Any], link: Link) -> None:
        async def handle(request: Request) -> Response:
            handling.set()
            await go_on.wait()
            now = context.clock.now()
            await context.append([Event(RINGS, "", "streamd.bell.rung", {}, now)])
            return Response(200)

        async with context.ingress.claim(context.config.path, handle):
            await link.live()
            await trio.sleep_forever()

    bell["paris"] = slowly
    async with run_daemon(running), httpx.AsyncClient() as client:

        async def push() -> None:
            answers.append((await client.post(f"{running.url}/paris")).status_code)

        async with trio.open_nursery() as nursery:
            with trio.fail_after(30):
                while running.daemon.fleet.runtimes["paris"].status.state != "live":
                    await trio.sleep(0.02)
            nursery.start_soon(push)
            await handling.wait()
            running.daemon.stopping.set()
            answer = await until_answered(client, f"{running.url}/paris", 503)
            assert (answer.headers["connection"], answer.headers["retry-after"]) == ("close", "5")
            go_on.set()
    assert answers == [200]
