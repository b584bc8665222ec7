"""The whole connector on a real spool behind a real ingress, pushed to by the simulator or by the test."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import structlog
import trio

from streamd.clock import SystemClock
from streamd.config.file import load
from streamd.connectors.omilia import CONNECTOR
from streamd.ingress.listener import Listener
from streamd.runtime import Runtime
from streamd.simulators.omilia import OmiliaOptions, OmiliaSimulator, identify, open_omilia_simulator
from streamd.spool.directory import DATABASE
from streamd.spool.store import Store
from tests.connectors.omilia.watching import Watched
from tests.running import Tally, at_work, open_spool

NAME = "omilia-test"
SECRET = "simulated push secret"
START, STEP, END = DIALOGS = ("dialog_start", "dialog_step", "dialog_end")
QUICK: Mapping[str, str] = {
    "reconcile_seconds": "0.2",
    "requests_per_minute": "100000",
    "retry_min_seconds": "0.02",
    "retry_max_seconds": "0.1",
}


class Pushed(Watched):
    """The running connector, its listener, and a client that pushes."""

    listener: Listener
    http: httpx.AsyncClient
    url: str
    token: str = ""

    async def ask_token(self, secret: str = SECRET, **fields: str) -> httpx.Response:
        form = {
            "grant_type": "client_credentials",
            "client_id": "omilia-acme",
            "client_secret": secret,
            **fields,
        }
        return await self.http.post(f"{self.url}oauth/token", data=form)

    async def post(self, content: bytes, data_type: str = START, **headers: str) -> httpx.Response:
        """Push a body as Omilia does; `headers` with underscores for hyphens."""
        if not self.token:
            self.token = (await self.ask_token()).json()["access_token"]
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(f"{self.url}{data_type}", content=content, headers=sent)

    async def push(self, *records: Any, data_type: str = START, **envelope: Any) -> httpx.Response:
        return await self.post(body(*records, **envelope), data_type)

    def dialogs(self) -> list[dict[str, Any]]:
        return [event for event in self.events() if event["type"].startswith("streamd.dialog.")]

    def letters(self) -> list[dict[str, Any]]:
        return [event["data"] for event in self.events("dead_letter.written")]

    def gaps(self) -> list[dict[str, Any]]:
        """Give each gap as it is now, in the order of opening, but the first of the spool."""
        latest = {
            event["data"]["gap_id"]: event["data"] for event in self.events() if ".gap." in event["type"]
        }
        return [gap for gap in latest.values() if gap["cause"] != "new_spool"]

    def keep_out(self) -> None:
        """Let nothing more into the spool."""
        self.spool.usage(NAME).share = 0

    def let_in(self) -> None:
        usage = self.spool.usage(NAME)
        usage.share = 2**28
        usage.waiting.unpark_all()


def body(*records: Any, **envelope: Any) -> bytes:
    """Write an envelope around records, which may be bytes already."""
    messages = b",".join(each if isinstance(each, bytes) else json.dumps(each).encode() for each in records)
    head = {"schemaName": "s", "sessionId": "x", "sessionStartingSequenceNumber": "0", **envelope}
    return json.dumps(head).encode()[:-1] + b', "messages": [' + messages + b"]}"


def start(identifier: str = "d1", **more: Any) -> dict[str, Any]:
    """Make a dialog_start."""
    return {"message_type": START, "id": identifier, "group": "c1", "time": 1767261600123, **more}


def identities(events: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Give the simulator's identity of dialog events; times as it has them."""
    return [identify(_as_sent(event)) for event in events]


def _as_sent(event: Mapping[str, Any]) -> dict[str, Any]:
    from datetime import datetime

    time = round(datetime.fromisoformat(event["data"]["time"]).timestamp() * 1000)
    return {**event["data"], "time": time}


@asynccontextmanager
async def open_pushed(
    directory: Path,
    simulator: OmiliaSimulator,
    data_types: Sequence[str] = DIALOGS,
    state: str = "live",
    **more: str,
) -> AsyncIterator[Pushed]:
    """Run the connector, once in `state`, until the block is left; `more` are keys and TOML values."""
    file = directory / "streamd.toml"
    tables = simulator.ingress_table() + simulator.connector_table(NAME, data_types, **{**QUICK, **more})
    file.write_text(f"[kafka]\nbootstrap_servers = ['127.0.0.1:1']\n{tables}")
    config = load(file).config
    store = Store(directory / DATABASE, 2**30, SystemClock().now())
    tally = Tally()
    listener = Listener(config)
    try:
        spool = open_spool(store, "p")
        runtime = Runtime(
            NAME,
            CONNECTOR,
            config.connectors[NAME],
            spool=spool,
            share=2**28,
            clock=SystemClock(),
            log=structlog.get_logger().bind(connector=NAME),
            counters=tally,
            ingress=listener.claims,
        )
        async with trio.open_nursery() as nursery, httpx.AsyncClient(trust_env=False, timeout=20) as http:
            await nursery.start(listener.run)
            async with at_work(spool, runtime):
                pushed = Pushed(spool, store, runtime, tally)
                pushed.listener, pushed.http = listener, http
                pushed.url = f"http://127.0.0.1:{simulator.ingress_port}/omilia/acme_prod/"
                await pushed.until_state(state)
                yield pushed
            nursery.cancel_scope.cancel()
    finally:
        store.close()


@asynccontextmanager
async def open_system(
    directory: Path, *faults: str, options: Mapping[str, Any] | None = None, **more: Any
) -> AsyncIterator[tuple[OmiliaSimulator, Pushed]]:
    """Run the simulator with faults, and the connector against it."""
    chosen = OmiliaOptions(faults=frozenset(faults), **(options or {}))
    async with (
        open_omilia_simulator(chosen) as simulator,
        open_pushed(directory, simulator, **more) as pushed,
    ):
        yield simulator, pushed
