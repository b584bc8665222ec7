"""Notifications in the running daemon: a hint is quick, and none does harm."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from streamd import app
from streamd.config.file import load
from streamd.connectors.oracle_isr.notifications import called
from streamd.simulators.oracle_isr import OracleIsrOptions, OracleIsrSimulator, open_oracle_isr_simulator
from streamd.spool import directory
from streamd.spool.store import Store
from streamd.transport.exchange import Request
from tests.core import Announcer
from tests.running import accepted

NAME = "isr-push"
FORM = {"content-type": "application/x-www-form-urlencoded"}
UCID = "x-isr-ucid-1-9%40192.0.2.8"


class Notified:
    """A daemon that polls seldom and is notified; `url` is where."""

    def __init__(self, simulator: OracleIsrSimulator, daemon: app.Daemon, store: Store) -> None:
        self.simulator = simulator
        self.url = simulator.ingress_url(NAME)
        self._daemon = daemon
        self._store = store

    def told(self, kind: str) -> list[dict[str, Any]]:
        events = [json.loads(record.value) for _, record in accepted(self._store) if record.value is not None]
        return [event for event in events if event["type"] == f"streamd.recording.{kind}"]

    def counted(self, name: str) -> float:
        found = self._daemon.metrics.registry.get_sample_value(
            f"streamd_oracle_isr_{name}_total", {"connector": NAME}
        )
        return found or 0.0

    def looks(self) -> list[float]:
        """Give when the running recordings were asked for."""
        return [each.at for each in self.simulator.replies if each.query.get("inProgress") == "true"]

    async def until(self, condition: Callable[[], Any], within: float = 10.0) -> None:
        with trio.fail_after(within):
            while not condition():
                await trio.sleep(0.02)


@pytest.fixture
def notified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setattr(app, "_FLUSH_SECONDS", 0.1)

    @asynccontextmanager
    async def open_one(*faults: str, **keys: str) -> AsyncIterator[Notified]:
        options = OracleIsrOptions(rate=0, faults=frozenset(faults))
        async with open_oracle_isr_simulator(options) as simulator:
            table = simulator.connector_table(NAME, poll_seconds="30", **keys)
            path, home = tmp_path / "streamd.toml", tmp_path / "state"
            path.write_text(
                '[kafka]\nbootstrap_servers = ["127.0.0.1:1"]\n[admin]\nlisten = "127.0.0.1:0"\n'
                f"[spool]\ndirectory = '{home}'\n{simulator.ingress_table()}\n{table}"
            )
            config = load(path).config
            with directory.hold(home):
                store = Store(home / directory.DATABASE, config.spool.max_bytes, app.SystemClock().now())
                announcer = Announcer({})
                daemon = app.Daemon(path, config, store, announcer)
                try:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(daemon.run)
                        with trio.fail_after(10):
                            await announcer.is_ready.wait()
                            status = daemon.fleet.runtimes[NAME].status
                            while status.state != "live":
                                await status.changed.wait()
                        simulator.notify_to(simulator.ingress_url(NAME))
                        yield Notified(simulator, daemon, store)
                        daemon.stopping.set()
                finally:
                    store.close()

    return open_one


@pytest.mark.parametrize(
    "fault", ["", "notify-post", "notify-post-form", "notify-raw-at", "notify-face-names"]
)
async def test_a_hint_brings_started_within_two_seconds(fault: str, notified: Any) -> None:
    async with notified(*([fault] if fault else [])) as here:
        began = time.monotonic()
        recording = here.simulator.start()
        await here.until(lambda: here.told("started"))
        assert time.monotonic() - began < 2.0
        assert here.told("started")[0]["data"]["call_id"] == recording.call_key


async def test_a_hint_that_comes_too_early_is_followed_by_further_looks(notified: Any) -> None:
    async with notified("live-late=1.5") as here:
        here.simulator.start()
        await here.until(lambda: here.told("started"), within=6)


async def test_it_is_answered_as_face_does_and_at_once(notified: Any) -> None:
    async with notified() as here, httpx.AsyncClient() as client:
        await client.get(here.url)
        for method in ("GET", "POST"):
            took = []
            for _ in range(4):
                began = time.monotonic()
                answer = await client.request(method, f"{here.url}?event=RECORDING_STARTED_EVENT&ucid={UCID}")
                took.append(time.monotonic() - began)
                assert answer.status_code == 200
                assert answer.text == "<response><Code>0</Code><message>success</message></response>"
            assert min(took) < 0.1  # the others may have met a moment in which the machine stood still
        assert (await client.put(here.url)).status_code == 405
        assert (await client.get(f"{here.url}x")).status_code == 404


async def test_a_flood_of_forged_hints_costs_one_poll_a_second_and_tells_nothing(notified: Any) -> None:
    async with notified() as here, httpx.AsyncClient() as client:
        before = len(here.looks())
        began = time.monotonic()
        number = 0
        while time.monotonic() < began + 2.5:
            number += 1
            await client.get(f"{here.url}?event=RECORDING_ENDED_EVENT&ucid=forged-{number}")
        assert number > 20
        assert len(here.looks()) - before <= 1.5 + (time.monotonic() - began)
        assert here.told("started") == here.told("ended") == here.told("lost") == []


async def test_what_comes_from_elsewhere_is_refused(notified: Any) -> None:
    async with notified(notification_sources='["192.0.2.0/24"]') as here, httpx.AsyncClient() as client:
        before = len(here.looks())
        assert (await client.get(f"{here.url}?ucid={UCID}")).status_code == 403
        await trio.sleep(1.2)
        assert len(here.looks()) == before


# -- what is in them


def request(query: str = "", body: bytes = b"", headers: dict[str, str] | None = None) -> Request:
    return Request("POST", "/", query, headers or {}, body, "127.0.0.1")


@pytest.mark.parametrize(
    "hint",
    [
        request(f"event=AudioRecordingStarted&ucid={UCID}&calledAors=sip:a1%40192.0.2.9"),
        request("event=X&ucid=x-isr-ucid-1-9@192.0.2.8"),
        request("event=X&ucid=1-9@192.0.2.8"),
        request(f"what={UCID}"),
        request(body=f"event=X&UCID={UCID}".encode(), headers=FORM),
        request("ingressCallId=1-9%40192.0.2.8"),
    ],
)
def test_the_call_is_found_whatever_its_parameter_is_called(hint: Request) -> None:
    assert called(hint) == "1-9@192.0.2.8"


@pytest.mark.parametrize(
    "hint",
    [
        request(),
        request("event=X"),
        request("&".join(["a=1"] * 500)),
        request("ucid=" + "x" * 1000),
        request(body=b"\xff\xfe\x00", headers=FORM),
        request("%zz=%&=&&ucid"),
    ],
)
def test_any_notification_is_a_hint(hint: Request) -> None:
    assert called(hint) == ""


@given(st.text(max_size=200), st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_hint(query: str, body: bytes, is_form: bool) -> None:
    assert len(called(request(query, body, FORM if is_form else {}))) <= 256
