"""Whatever the outage, every record is published once by its id, and each gap told to its end.

The whole connector on a real spool, pushed to through a real listener by the simulator, on its clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from streamd.cloudevents import Envelope
from streamd.config import AdminConfig, Config, IngressConfig, KafkaConfig, Secret, SpoolConfig
from streamd.connectors.omilia import CONNECTOR
from streamd.connectors.omilia.config import ExportConfig, OmiliaConfig
from streamd.ingress.listener import Listener
from streamd.runtime import Runtime
from streamd.simulators.omilia import OmiliaOptions, OmiliaSimulator, open_omilia_simulator
from streamd.spool.directory import DATABASE
from streamd.spool.spool import Spool
from streamd.spool.store import Store
from tests.connectors.omilia.managing import NAME, PlatformClock, config_for
from tests.connectors.omilia.watching import Watched
from tests.running import Tally, at_work

HOUR = 3600.0
SCALE = 900.0  # a second of ours is a quarter of an hour of the platform's


class Whole(Watched):
    """The connector at work."""

    @property
    def published(self) -> Counter[str]:
        return Counter(each["id"] for each in self.events() if each["type"].startswith("streamd.dialog."))

    @property
    def gaps(self) -> list[dict[str, Any]]:
        """Give each gap as it is now, but for the one before the first start."""
        told = {each["data"]["gap_id"]: each["data"] for each in self.events() if ".gap." in each["type"]}
        return [gap for gap in told.values() if gap["from"] is not None]

    async def until_healed(self, within: float = 30.0) -> None:
        """Wait until no gap is open or pending any more."""

        def healed() -> bool:
            return all(gap["to"] is not None and gap["events"] != "pending" for gap in self.gaps)

        await self.until(healed, within)


def table(simulator: OmiliaSimulator, **changes: Any) -> OmiliaConfig:
    quick = {
        "export": ExportConfig(poll_seconds=0.02),
        "reconcile_seconds": 0.2,
        "insecure": True,
        "token_seconds": 86400.0,
    }
    return config_for(simulator, **{**quick, **changes})


@asynccontextmanager
async def open_connector(
    directory: Path, simulator: OmiliaSimulator, config: OmiliaConfig
) -> AsyncIterator[Whole]:
    """Run the connector until the block is left; a second one in the same directory is a restart."""
    clock = PlatformClock(simulator)
    address = f"127.0.0.1:{simulator.ingress_port}"
    ingress = IngressConfig(address, f"http://{address}")
    listener = Listener(
        Config(KafkaConfig(["127.0.0.1:1"]), SpoolConfig(), ingress, AdminConfig(), {NAME: config})
    )
    store = Store(directory / DATABASE, 2**30, clock.now())
    spool = Spool(
        store,
        prefix="p",
        envelope=Envelope(store.epoch, "structured"),
        partitions=lambda topic: 6,
        clock=clock,
    )
    tally = Tally()
    runtime = Runtime(
        NAME,
        CONNECTOR,
        config,
        spool=spool,
        share=2**28,
        clock=clock,
        log=structlog.get_logger().bind(connector=NAME),
        counters=tally,
        ingress=listener.claims,
    )
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(listener.run)
            async with at_work(spool, runtime):
                yield Whole(spool, store, runtime, tally)
            nursery.cancel_scope.cancel()
    finally:
        store.close()


async def talk(simulator: OmiliaSimulator, calls: int = 3) -> None:
    """Let some calls happen, and be pushed or fail."""
    for _ in range(calls):
        simulator.call()
    await trio.lowlevel.checkpoint()


async def settled(simulator: OmiliaSimulator) -> None:
    with trio.fail_after(30):
        await simulator.settle()


async def hours_pass(simulator: OmiliaSimulator, hours: int) -> None:
    """Let hours pass with calls in each."""
    for _ in range(hours):
        await talk(simulator)
        simulator.advance(HOUR)
        await trio.sleep(0.005)


def assert_each_record_once(simulator: OmiliaSimulator, it: Whole) -> None:
    assert len(it.published) == len(simulator.records)
    assert max(it.published.values()) == 1


@pytest.mark.parametrize(
    ("hours", "healed_by"), [(20, {"redelivery"}), (23, {"redelivery", "backfill"}), (30, {"backfill"})]
)
async def test_an_outage_of_our_own_ends_with_every_record_once_and_nobody_is_asked(
    tmp_path: Path, hours: int, healed_by: set[str]
) -> None:
    async with open_omilia_simulator(OmiliaOptions(time_scale=SCALE)) as simulator:
        for outage in (hours, 0):
            async with open_connector(tmp_path, simulator, table(simulator)) as it:
                await it.until_state("live")
                await talk(simulator)
                await settled(simulator)
                if not outage:
                    simulator.advance(5 * HOUR)
                    await it.until_healed()
                    assert_each_record_once(simulator, it)
                    assert {gap["events"] for gap in it.gaps} == {"recovered"}
                    assert {gap["healed_by"] for gap in it.gaps} <= healed_by
            await hours_pass(simulator, outage)


async def test_a_network_outage_that_nobody_here_can_see_is_found_by_the_silence(tmp_path: Path) -> None:
    async with (
        open_omilia_simulator(OmiliaOptions(time_scale=SCALE)) as simulator,
        open_connector(tmp_path, simulator, table(simulator, max_silence_seconds=0.5)) as it,
    ):
        await it.until_state("live")
        await talk(simulator)
        await settled(simulator)
        simulator.set_faults("network-down")
        await hours_pass(simulator, 30)

        def silent() -> list[dict[str, Any]]:
            return [gap for gap in it.gaps if gap["cause"] == "silence" and gap["to"] is None]

        await it.until(lambda: len(silent()) == 3)
        ids = {gap["gap_id"] for gap in silent()}  # of this silence: there may be others before and after

        def found() -> list[dict[str, Any]]:
            return [gap for gap in it.gaps if gap["gap_id"] in ids]

        simulator.set_faults()
        await talk(simulator)
        await it.until(lambda: all(gap["to"] is not None for gap in found()))
        simulator.advance(5 * HOUR)
        await it.until(lambda: all(gap["events"] == "recovered" for gap in found()), 30)
        assert_each_record_once(simulator, it)


async def test_a_subscription_that_vanishes_is_made_again_and_its_hole_is_healed_by_export(
    tmp_path: Path,
) -> None:
    async with (
        open_omilia_simulator(OmiliaOptions(time_scale=SCALE)) as simulator,
        open_connector(tmp_path, simulator, table(simulator)) as it,
    ):
        await it.until_state("live")
        await talk(simulator)
        await settled(simulator)
        simulator.vanish("dialog_step")
        await talk(simulator)  # its steps are lost to streaming
        await it.until(lambda: any(gap["scope"] == ["dialog_step"] for gap in it.gaps))
        await it.until_state("live")
        await settled(simulator)
        assert len(it.published) < len(simulator.records)
        simulator.advance(5 * HOUR)
        await it.until_healed()
        assert_each_record_once(simulator, it)
        assert [(gap["cause"], gap["healed_by"]) for gap in it.gaps] == [("link_lost", "backfill")]


async def test_a_secret_is_rotated_under_load_without_a_record_lost(tmp_path: Path) -> None:
    options = OmiliaOptions(time_scale=SCALE, rate=300.0, faults=frozenset(["deleted-pushes=600"]))
    async with open_omilia_simulator(options) as simulator:
        async with open_connector(tmp_path, simulator, table(simulator)) as it:
            await it.until_state("live")
            await it.until(lambda: it.tally["records"] > 50)
        rotated = table(
            simulator,
            auth_secret=Secret("the next push secret"),
            previous_auth_secret=Secret("simulated push secret"),
        )
        async with open_connector(tmp_path, simulator, rotated) as it:
            await it.until_state("live")
            await it.until(lambda: it.tally["records"] > 100)
            simulator.set_rate(0)
            await settled(simulator)
            assert {each.delivery.auth_secret for each in simulator.subscriptions} == {"the next push secret"}
            simulator.advance(5 * HOUR)
            await it.until_healed()
            simulator.advance(2 * HOUR)
            await it.until(lambda: len(it.published) >= dialogs(simulator), 30)
            assert len(it.published) == dialogs(simulator)
            assert max(it.published.values()) == 1
            assert {gap["events"] for gap in it.gaps} == {"recovered"}


def dialogs(simulator: OmiliaSimulator) -> int:
    return sum(each.message_type.startswith("dialog_") for each in simulator.records)


async def test_the_status_tells_each_subscription(tmp_path: Path) -> None:
    options = OmiliaOptions(faults=frozenset(["foreign:dialog_end"]))
    async with (
        open_omilia_simulator(options) as simulator,
        open_connector(tmp_path, simulator, table(simulator)) as it,
    ):
        wanted = {"dialog_start": "active", "dialog_step": "active", "dialog_end": "blocked_foreign"}
        await it.until(lambda: {each.name: each.state for each in it.runtime.status.subscriptions} == wanted)
        await it.until_state("degraded")
        assert "blocked_foreign" in it.reason
