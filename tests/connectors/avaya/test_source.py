"""The connector against the simulator, on a real spool: what it keeps, and what it does about trouble."""

from __future__ import annotations

from typing import Any

import pytest

from streamd.config import Secret
from streamd.connectors.avaya.config import AvayaPrivacy
from streamd.connectors.avaya.source import probe
from streamd.errors import Rejected, Transient
from streamd.simulators.avaya import AvayaOptions, open_avaya_simulator

QUEUE = "Queue_itd_1.0.0"
AGENT = "Agent_itd_1.0.0"


def options(*faults: str, **changes: Any) -> AvayaOptions:
    return AvayaOptions(**{"keys": 30, "producers": (QUEUE, AGENT), "faults": frozenset(faults), **changes})


async def test_the_snapshot_and_the_live_data_come_out_as_avayas_own_table(system: Any, truth: Any) -> None:
    quiet = {"snapshot_quiet_seconds": 10.0}  # a busy machine may stop for longer than the usual
    async with system(options(rate=200.0), measure_producers=[QUEUE, AGENT], **quiet) as (simulator, running):
        await running.until_state("live")
        await running.until(lambda: len(running.events("snapshot_completed")) == 2)
        simulator.set_rate(0)
        await running.until(lambda: running.table() == truth(simulator, QUEUE, AGENT))
        await running.until(lambda: len(running.events(".upserted")) == simulator.messages_sent)
        first = running.events(".upserted")[0]
        assert first["tenant"] == "ABCDEF"
        assert first["phase"] == "snapshot"
        assert first["source"] == "/avaya/avaya-test/measures"
        completed = running.events("snapshot_completed")
        assert {event["subject"] for event in completed} == {QUEUE, AGENT}
        assert all(event["data"]["details"]["rule"] == "live" for event in completed)
        assert all(event["data"]["details"]["proven"] for event in completed)


async def test_the_catalogue_types_the_first_snapshot(system: Any) -> None:
    async with system(options()) as (_simulator, running):
        await running.until_state("live")
        data = running.events(".upserted")[0]["data"]
        assert data["measures_typed"]
        typed = {name: str(value) for name, value in data["measures_typed"].items() if type(value) is int}
        assert typed.items() <= data["measures"].items()


@pytest.mark.parametrize("mode", ["fin", "rst", "close:1001", "close:1012"])
async def test_a_lost_link_is_a_gap_that_the_next_snapshot_heals(system: Any, truth: Any, mode: str) -> None:
    async with system(options(rate=100.0)) as (simulator, running):
        await running.until_state("live")
        await simulator.drop_sockets(mode)
        await running.until(lambda: "recovered" in running.moments())
        simulator.set_rate(0)
        await running.until(lambda: running.table() == truth(simulator, QUEUE))

        def is_healed() -> bool:
            healed = [event["data"] for event in running.events("gap.healed")]
            return any(gap["cause"] == "link_lost" and gap["scope"] == [QUEUE] for gap in healed)

        await running.until(is_healed)  # after "recovered": only a snapshot that is proven heals
        assert len(simulator.subscriptions) == 1


async def test_rows_that_vanished_while_we_were_away_are_deleted_with_the_reason(
    system: Any, truth: Any
) -> None:
    async with system(options()) as (simulator, running):
        await running.until_state("live")
        simulator.remove_keys(5, QUEUE, silent=True)
        await simulator.drop_sockets()
        await running.until(lambda: running.table() == truth(simulator, QUEUE))
        deleted = running.events(".deleted")
        assert len(deleted) == 5
        assert {event["data"]["reason"] for event in deleted} == {"absent_from_snapshot"}


async def test_after_a_restart_the_subscription_is_used_again_and_vanished_rows_are_deleted(
    bench: Any, quick: Any, truth: Any
) -> None:
    async with open_avaya_simulator(options()) as simulator:
        async with bench(quick(simulator.base_url)) as running:
            await running.until_state("live")
            await running.until(lambda: running.events("gap.healed"))
        [subscription] = simulator.subscriptions
        simulator.remove_keys(3, QUEUE, silent=True)
        async with bench(quick(simulator.base_url)) as running:
            await running.until(lambda: running.table() == truth(simulator, QUEUE))
            assert list(simulator.subscriptions) == [subscription]
            assert [event["data"]["reason"] for event in running.events(".deleted")] == [
                "absent_from_snapshot"
            ] * 3


async def test_the_rows_of_a_producer_that_is_taken_out_are_deleted_at_the_next_start(
    bench: Any, quick: Any, truth: Any
) -> None:
    async with open_avaya_simulator(options(rate=0.0)) as simulator:
        async with bench(quick(simulator.base_url, measure_producers=[QUEUE, AGENT])) as running:
            await running.until(lambda: running.table() == truth(simulator, QUEUE, AGENT))
        for _ in range(2):
            async with bench(quick(simulator.base_url)) as running:
                await running.until_state("live")
                await running.until(lambda: running.table() == truth(simulator, QUEUE))
                deleted = running.events(".deleted")
                assert len(deleted) == 30
                assert {event["data"]["reason"] for event in deleted} == {"producer_removed"}
                assert {event["data"]["measure_producer_id"] for event in deleted} == {AGENT}
                assert not running.runtime.states(f"key/{AGENT}/")
                assert not running.runtime.state(f"subscription/{AGENT}")


async def test_a_kept_subscription_that_is_gone_is_made_anew(system: Any, bench: Any, quick: Any) -> None:
    async with system(options()) as (_simulator, running):
        await running.until_state("live")
    async with open_avaya_simulator(options()) as other, bench(quick(other.base_url)) as running:
        await running.until_state("live")
        assert len(other.subscriptions) == 1


@pytest.mark.parametrize(("delete", "left"), [(False, 1), (True, 0)])
async def test_a_stop_keeps_the_subscription_unless_told_to_delete_it(
    bench: Any, quick: Any, delete: bool, left: int
) -> None:
    async with open_avaya_simulator(options()) as simulator:
        async with bench(quick(simulator.base_url, delete_on_shutdown=delete)) as running:
            await running.until_state("live")
        assert len(simulator.subscriptions) == left


async def test_a_stop_with_delete_does_not_leave_an_id_behind_that_a_restart_would_stumble_over(
    bench: Any, quick: Any
) -> None:
    async with open_avaya_simulator(options()) as simulator:
        for _ in range(2):
            async with bench(quick(simulator.base_url, delete_on_shutdown=True)) as running:
                await running.until_state("live")


async def test_other_extensions_than_those_of_the_kept_subscription_take_a_new_one(
    bench: Any, quick: Any
) -> None:
    async with open_avaya_simulator(options()) as simulator:
        async with bench(quick(simulator.base_url)) as running:
            await running.until_state("live")
        [old] = simulator.subscriptions
        async with bench(quick(simulator.base_url, extensions={"processorType": "ITD"})) as running:
            await running.until_state("live")
            [new] = simulator.subscriptions
            assert new != old


async def test_both_engines_stream(system: Any, truth: Any) -> None:
    async with system(options(rate=200.0), websocket_engine="sans-io") as (simulator, running):
        await running.until_state("live")
        simulator.set_rate(0)
        await running.until(lambda: running.table() == truth(simulator, QUEUE))


async def test_privacy_rules_apply_before_anything_is_published_or_kept(
    bench: Any, quick: Any, truth: Any
) -> None:
    rules = AvayaPrivacy(drop=["measures.agentFirstName"], mask=["measures.agentLoginId"])
    async with open_avaya_simulator(options()) as simulator:
        config = quick(simulator.base_url, measure_producers=[AGENT], privacy=rules)
        async with bench(config) as running:
            await running.until_state("live")
            sent = {name for row in simulator.truth().values() for name in row}
            assert {"agentFirstName", "agentLoginId"} <= sent
            for measures in [event["data"]["measures"] for event in running.events(".upserted")]:
                assert "agentFirstName" not in measures
                assert measures["agentLoginId"] == "***"
            assert {row["agentLoginId"] for row in running.table().values()} == {"***"}


@pytest.mark.parametrize("engine", ["trio-websocket", "sans-io"])
async def test_a_snapshot_larger_than_the_intake_is_waited_for_and_not_dropped(
    system: Any, truth: Any, engine: str
) -> None:
    async with system(options(keys=12_000, log=False), websocket_engine=engine) as (simulator, running):
        await running.until(lambda: running.tally["messages"] >= 12_000, 60.0)
        await running.until_state("live", 30.0)
        await running.until(lambda: running.table() == truth(simulator, QUEUE), 30.0)
        assert running.tally["dropped_events"] == 0


async def test_the_probe_logs_in_and_knows_the_producers(quick: Any, bench: Any) -> None:
    async with open_avaya_simulator(options()) as simulator, bench(quick(simulator.base_url)) as running:
        await probe(running.runtime)
        running.runtime.config = quick(simulator.base_url, measure_producers=["Queue_ITD_1.0.0"])
        with pytest.raises(
            Rejected, match=r"Queue_ITD_1\.0\.0 is not in the catalogue, which has Queue_itd_1"
        ):
            await probe(running.runtime)
        running.runtime.config = quick(simulator.base_url, appkey=Secret("wrong-appkey"))
        with pytest.raises(Rejected, match="401"):
            await probe(running.runtime)
        running.runtime.config = quick("http://127.0.0.1:1")
        with pytest.raises(Transient):
            await probe(running.runtime)
