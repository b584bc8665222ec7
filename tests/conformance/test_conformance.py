"""What every connector must hold to. It finds the vendors by itself; a new one is tested by being there."""

from __future__ import annotations

import importlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import structlog
import trio

from streamd import events
from streamd.clock import SystemClock
from streamd.config import Config
from streamd.config.file import load
from streamd.ingress.listener import Listener
from streamd.model import CORE_STREAMS, Record
from streamd.registry import all_types
from streamd.runtime import Runtime
from streamd.schema import schemas as json_schemas
from streamd.simulators import DemoSource
from streamd.spool.directory import DATABASE
from streamd.spool.spool import Spool
from streamd.spool.store import Store
from streamd.telemetry import Metrics
from tests.core import free_port
from tests.judge import instant
from tests.running import accepted, at_work, open_spool

VENDORS = sorted(all_types())
RATE = 200.0


class Bench:
    """One connector on a real spool; no Kafka, so that all it accepted can be read back."""

    def __init__(self, spool: Spool, store: Store, runtime: Runtime) -> None:
        self.spool = spool
        self.store = store
        self.runtime = runtime

    async def until(self, condition: Callable[[], bool], within: float = 60.0) -> None:
        with trio.fail_after(within):
            while not condition():
                await trio.sleep(0.02)

    async def until_state(self, state: str) -> None:
        await self.until(lambda: self.runtime.status.state == state)

    def records(self) -> list[tuple[str, Record]]:
        return accepted(self.store)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(record.value) for _, record in self.records() if record.value is not None]


@contextmanager
def opened(directory: Path, table: str, port: int = 0) -> Iterator[tuple[Config, Spool, Store]]:
    """Open configuration and spool; `port` is where a vendor pushes to."""
    file = directory / "streamd.toml"
    address = f"127.0.0.1:{port}"
    file.write_text(
        "[kafka]\nbootstrap_servers = ['127.0.0.1:1']\n"
        f"[ingress]\nlisten = '{address}'\npublic_url = 'http://{address}'\n{table}"
    )
    config = load(file).config
    store = Store(directory / DATABASE, 2**30, SystemClock().now())
    spool = open_spool(store, "contact-center")
    try:
        yield config, spool, store
    finally:
        store.close()


@asynccontextmanager
async def system(vendor: str, directory: Path) -> AsyncIterator[tuple[DemoSource, Bench]]:
    """Run the vendor's simulator and its connector until the block is left; then its goodbye is there."""
    port = free_port()
    module = importlib.import_module(f"streamd.simulators.{vendor}.demo")
    async with module.open_demo(RATE, port) as source, trio.open_nursery() as nursery:
        with opened(directory, source.table, port) as (config, spool, store):
            [(name, connector)] = config.connectors.items()
            listener = Listener(config)
            await nursery.start(listener.run)
            runtime = Runtime(
                name,
                all_types()[vendor],
                connector,
                spool=spool,
                share=2**28,
                clock=SystemClock(),
                log=structlog.get_logger().bind(connector=name),
                counters=Metrics().for_connector(name, vendor),
                ingress=listener.claims,
            )
            async with at_work(spool, runtime):
                yield source, Bench(spool, store, runtime)
            nursery.cancel_scope.cancel()


def types_of(found: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("streamd.connector.") for event in found]


@pytest.mark.parametrize("vendor", VENDORS)
async def test_it_connects_goes_live_and_its_first_gap_claims_nothing(vendor: str, tmp_path: Path) -> None:
    async with system(vendor, tmp_path) as (_, on_bench):
        await on_bench.until(lambda: "live" in types_of(on_bench.events()))
        found = on_bench.events()
        moments = types_of(found)
        assert moments.index("connected") < moments.index("live")
        first = next(event for event in found if event["type"] == events.GAP_OPENED)
        assert first["data"]["cause"] == "new_spool"
        assert first["data"]["from"] is None


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_broken_link_is_a_gap_that_closes_unless_it_is_walked_later_and_the_connector_recovers(
    vendor: str, tmp_path: Path
) -> None:
    async with system(vendor, tmp_path) as (source, on_bench):
        await on_bench.until_state("live")
        await trio.sleep(1)
        await source.disturb()
        await on_bench.until(lambda: "lost" in types_of(on_bench.events()))
        await on_bench.until(lambda: "recovered" in types_of(on_bench.events()))

        def broken() -> list[dict[str, Any]]:
            closed = [event["data"] for event in on_bench.events() if event["type"] == events.GAP_CLOSED]
            return [gap for gap in closed if gap["cause"] != "new_spool"]

        if all_types()[vendor].losses == "refetched":
            assert broken() == []
        else:
            await on_bench.until(lambda: bool(broken()))
            assert all(instant(gap["from"]) < instant(gap["to"]) for gap in broken())


@pytest.mark.parametrize("vendor", VENDORS)
async def test_everything_sent_is_accepted_numbered_and_meets_its_schema(vendor: str, tmp_path: Path) -> None:
    schemas = {each["$id"]: jsonschema.Draft202012Validator(each) for each in json_schemas().values()}
    async with system(vendor, tmp_path) as (source, on_bench):
        await on_bench.until_state("live")
        await trio.sleep(1)
        source.quiet()

        def is_all_accepted() -> bool:
            sent = {event.identity for event in source.sent()}
            return sent <= {source.identity(event) for event in on_bench.events()}

        await on_bench.until(is_all_accepted)
    # Left: the connector said goodbye, and nothing leaves the spool without Kafka.
    with opened(tmp_path, "") as (_, spool, store):
        found = Bench(spool, store, on_bench.runtime).records()
    events_of = [json.loads(record.value) for _, record in found if record.value is not None]
    numbers: dict[str, list[int]] = {}
    for event in events_of:
        schemas[event["dataschema"]].validate(event["data"])
        assert event["connector"] == on_bench.runtime.origin.connector
        assert event["source"].startswith(f"/{vendor}/{event['connector']}/")
        if "sequence" in event:
            numbers.setdefault(event["source"], []).append(int(event["sequence"]))
    assert all(sorted(given) == list(range(1, len(given) + 1)) for given in numbers.values())
    assert all(record.key.startswith(f"{on_bench.runtime.origin.connector}|".encode()) for _, record in found)
    topics = {f"contact-center.{stream.topic}" for stream in _streams(vendor, on_bench)}
    assert {topic for topic, _ in found} <= topics
    assert types_of(events_of)[-2:] == ["progress", "progress"]
    assert events_of[-1]["data"]["state"] == "stopped"


def _streams(vendor: str, on_bench: Bench) -> list[Any]:
    return [*CORE_STREAMS, *all_types()[vendor].streams(on_bench.runtime.config)]


@pytest.mark.parametrize("vendor", VENDORS)
async def test_its_secrets_are_in_nothing_that_it_writes(
    vendor: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with system(vendor, tmp_path) as (source, on_bench):
        await on_bench.until_state("live")
        await source.disturb()
        await on_bench.until(lambda: "recovered" in types_of(on_bench.events()))
        written = b"".join(record.value or b"" for _, record in on_bench.records())
        shown = repr(on_bench.runtime.config) + repr(on_bench.runtime.progress())
    secrets = [line.split('"')[1] for line in source.table.splitlines() if "secret" in line or "key" in line]
    assert secrets
    output = capfd.readouterr()
    for secret in secrets:
        assert secret.encode() not in written
        assert secret not in shown + output.out + output.err


@pytest.mark.parametrize("vendor", VENDORS)
def test_its_sample_configuration_has_its_table_and_every_type_a_schema(vendor: str) -> None:
    sample = Path(__file__).parents[2] / "config" / f"{vendor}.toml"
    assert f'type = "{vendor}"' in sample.read_text()
    kind = all_types()[vendor]
    assert kind.schemas
    assert all(name.startswith("streamd.") for name in kind.schemas)
    assert set(kind.stream_of) <= set(kind.schemas)
