"""SIGKILL right after a 200, again and again: the batch that was accepted is on Kafka."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import trio

from streamd.connectors.omilia.normalise import STREAM_OF
from streamd.model import CORE_STREAMS
from streamd.simulators.omilia import OmiliaSimulator, open_omilia_simulator
from tests.connectors.omilia.pushing import NAME, QUICK, SECRET, START, body, start
from tests.daemon import DaemonProcess

KILLS = 6
RECORDS = 50
TOPICS = [stream.topic for stream in (*dict.fromkeys(STREAM_OF.values()), *CORE_STREAMS)]


async def push_until_taken(simulator: OmiliaSimulator, number: int, token: str) -> str:
    """Push one batch as soon as the daemon takes it; give the token that it was taken with."""
    root = f"http://127.0.0.1:{simulator.ingress_port}/omilia/acme_prod/"
    form = {"grant_type": "client_credentials", "client_id": "omilia-acme", "client_secret": SECRET}
    content = body(*(start(f"{number}-{each}") for each in range(RECORDS)))
    async with httpx.AsyncClient(base_url=root, trust_env=False) as http:
        with trio.fail_after(30):
            while True:
                try:
                    token = token or (await http.post("oauth/token", data=form)).json()["access_token"]
                    headers = {"Authorization": f"Bearer {token}"}
                    answer = await http.post(START, content=content, headers=headers)
                except (httpx.TransportError, KeyError):
                    await trio.sleep(0.02)
                    continue
                if answer.status_code == 200:
                    return token
                await trio.sleep(0.02)


async def test_what_was_answered_200_is_on_kafka_whenever_the_daemon_is_killed(
    kafka: Any, tmp_path: Path, consume_all: Callable[..., Any]
) -> None:
    prefix = kafka.unique_prefix()
    if not kafka.real:
        for topic in TOPICS:
            kafka.create_topic(f"{prefix}.{topic}", 3)
    async with open_omilia_simulator() as simulator:
        tables = simulator.ingress_table() + simulator.connector_table(NAME, [START], **QUICK)
        daemon = DaemonProcess(tmp_path, tables, kafka.bootstrap_servers, prefix)
        token = ""
        try:
            for number in range(KILLS):
                daemon.start()
                token = await push_until_taken(simulator, number, token)
                daemon.kill()
            daemon.start()
            await daemon.until("live")
            await daemon.drained()
            assert await daemon.stop() == 0, daemon.tail()
        finally:
            daemon.close()
    topic = f"{prefix}.omilia.dialogs"
    found = await trio.to_thread.run_sync(consume_all, kafka.bootstrap_servers, [topic])
    events = {event["id"]: event for event in (json.loads(record.value) for record in found[topic])}
    assert Counter(event["data"]["id"] for event in events.values()) == Counter(
        f"{number}-{each}" for number in range(KILLS) for each in range(RECORDS)
    )
