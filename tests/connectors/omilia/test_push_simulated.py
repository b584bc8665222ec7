"""The push rows of vendors/omilia.md, section 8: whatever the platform does, each record is on Kafka once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import trio

from streamd.schema import schemas
from streamd.simulators.omilia import OmiliaSimulator, open_omilia_simulator
from tests.connectors.omilia.pushing import DIALOGS, STEP, Pushed, identities, open_pushed, open_system
from tests.judge import instant

SOON = "reconcile-after=0.2"
ROWS: dict[str, tuple[str, ...]] = {
    "1 the same batch twice": ("repeat-batch=1",),
    "2 re-batched": ("rebatch=1", "batch-size=7"),
    "3 reconciliation beside live": ("reconcile-overlap=10", "reconcile-same-session", "answer-lost=3"),
    "4 out of order": ("shuffle-records", "delay:dialog_start", "delay-seconds=0.3"),
    "5 reading B": ("sequence-base", "sequence-number", "batch-size=3"),
    "5 holes": ("sequence-hole=1", "sequence-reset=2", "session-renews=3", "batch-size=3"),
    "5 missing": ("sequence-missing",),
    "6 empty": ("empty-messages=1",),
    "7, 8, 9 strange records": ("wrong-type=1", "unknown-type=1", "bad-record=1", "invalid-utf8=1"),
    "8 drift": ("extra-fields", "type-drift=1"),
    "10 huge": ("huge-batch=2", "gzip"),
    "10 slow": ("chunked", "slow-send=0.05", "abort-mid-body=2"),
    "10 no JSON": ("bad-json=1",),
    "10 objects": ("bare-objects",),
    "10 array": ("bare-array",),
    "10 lines": ("ndjson",),
    "11 concurrent": ("concurrent=4", "batch-size=2"),
    "12 forged": ("bearer-forged=2", "bearer-missing=2", "batch-size=3"),
    "12 retried": ("bearer-forged=1", "401-retries"),
    "12, 13 secrets": ("secret-wrong=1", "token-per-push", "batch-size=5"),
    "13 scope": ("scope-wrong=1", "token-basic"),
    "15 any answer": ("any-2xx",),
    "40 steps of one millisecond": ("steps-same-ms=1",),
    "41 numbered steps": ("step-numbers",),
    "44 masked": ("all-masked",),
}


def odd(event: dict[str, Any]) -> bool:
    """Tell what is no record of the simulator's truth."""
    return str(event["data"].get("id", "odd-")).startswith("odd-")


async def each_once(simulator: OmiliaSimulator, pushed: Pushed) -> None:
    """Wait until all has come, and see that it did once."""
    with trio.fail_after(15):
        while not simulator.is_settled:
            with trio.move_on_after(0.5):
                await simulator.settle()
            if not simulator.is_settled:
                simulator.advance(600)  # an idle stream tries what it has dropped every ten minutes
    found = Counter(identities([event for event in pushed.dialogs() if not odd(event)]))
    assert found == Counter(simulator.truth().keys())


@pytest.mark.parametrize("row", ROWS)
async def test_every_record_is_accepted_once(row: str, tmp_path: Path) -> None:
    valid = {each["$id"]: jsonschema.Draft202012Validator(each) for each in schemas().values()}
    async with open_system(tmp_path, SOON, *ROWS[row]) as (simulator, pushed):
        for _ in range(3):
            simulator.call()
            await trio.sleep(0.02)
        await each_once(simulator, pushed)
        for event in pushed.events():
            valid[event["dataschema"]].validate(event["data"])
        await pushed.until_state("live")


async def test_an_outage_of_the_way_to_us_is_made_good_by_redelivery_without_a_duplicate(
    tmp_path: Path,
) -> None:
    async with open_system(tmp_path, SOON) as (simulator, pushed):
        simulator.call()
        simulator.set_faults(SOON, "network-down")
        simulator.call()
        await trio.sleep(0.1)
        simulator.set_faults(SOON)
        simulator.call()
        await each_once(simulator, pushed)


async def test_our_own_downtime_is_a_pending_gap_and_what_it_missed_is_redelivered(tmp_path: Path) -> None:
    async with open_omilia_simulator() as simulator:
        simulator.set_faults(SOON)
        async with open_pushed(tmp_path, simulator) as pushed:
            simulator.call()
            await each_once(simulator, pushed)
        missed = simulator.call()
        await trio.sleep(0.1)
        async with open_pushed(tmp_path, simulator) as pushed:
            simulator.call()
            await each_once(simulator, pushed)
            gaps = [gap for gap in pushed.gaps() if gap["cause"] == "stopped"]
            assert {(gap["events"], *gap["scope"]) for gap in gaps} == {("pending", each) for each in DIALOGS}
            for record in missed:
                [gap] = [gap for gap in gaps if gap["scope"] == [record.message_type]]
                assert instant(gap["from"]) < record.made_at < instant(gap["to"])
            assert len(simulator.subscriptions) == 3


async def test_a_subscription_that_vanished_is_a_pending_gap_that_covers_what_was_not_pushed(
    tmp_path: Path,
) -> None:
    async with open_system(tmp_path) as (simulator, pushed):
        simulator.call()
        with trio.fail_after(5):
            await simulator.settle()
        simulator.vanish(STEP)
        missed = [each for each in simulator.call() if each.message_type == STEP]
        await pushed.until(lambda: any(gap["to"] for gap in pushed.gaps()))
        [gap] = pushed.gaps()
        assert (gap["cause"], gap["events"], gap["scope"]) == ("link_lost", "pending", [STEP])
        assert all(instant(gap["from"]) < each.made_at < instant(gap["to"]) for each in missed)
        await pushed.until_state("live")


async def test_a_silent_stop_is_a_gap_where_a_longest_silence_is_declared(tmp_path: Path) -> None:
    async with open_system(tmp_path, max_silence_seconds="1.5") as (simulator, pushed):
        simulator.call()
        with trio.fail_after(5):
            await simulator.settle()
        simulator.set_faults(f"silent-stop:{STEP}")
        simulator.call()
        await pushed.until(lambda: any(gap["scope"] == [STEP] for gap in pushed.gaps()))


async def test_late_pushes_of_a_deleted_subscription_are_records_like_any_other(tmp_path: Path) -> None:
    faults = ("deleted-pushes=2", "delay:dialog_step", "delay-seconds=0.3")
    async with open_system(tmp_path, *faults) as (simulator, pushed):
        made = simulator.call()
        simulator.vanish(STEP)
        await pushed.until(lambda: len(pushed.dialogs()) == len(made))


async def test_a_call_is_one_root_and_its_parts_under_one_key_and_its_end_has_its_true_time(
    tmp_path: Path,
) -> None:
    async with open_system(tmp_path, options={"time_scale": 1.0}) as (simulator, pushed):
        simulator.call(children=2)
        await each_once(simulator, pushed)
        events = pushed.dialogs()
        roots = {event["data"]["dialog_id"] for event in events if event["data"]["is_root"]}
        assert len(roots) == 1
        assert {event["data"]["conversation_id"] for event in events} == roots
        keys = {record.key for topic, record in pushed.records() if topic == "p.omilia.dialogs"}
        assert keys == {f"omilia-test|{roots.pop()}".encode()}
        for event in events:
            data = event["data"]
            assert (event["subject"], event["tenant"], event["phase"]) == (data["id"], "acme_prod", "live")
            if event["type"].endswith("ended"):
                assert event["time"] == data["ended_at"]
                assert instant(data["ended_at"]) > instant(data["time"])
            else:
                assert event["time"] == data["time"]


async def test_other_types_pass_through_and_audit_has_its_own_topic(tmp_path: Path) -> None:
    types = ("audit_events", "vb_enrolment", "vb_verification")
    async with open_system(tmp_path, data_types=types) as (simulator, pushed):
        simulator.audit()
        simulator.voices()
        await pushed.until(lambda: len(pushed.events("audit.recorded") + pushed.events("omilia.record")) == 3)
        [audit] = pushed.events("audit.recorded")
        assert audit["source"] == "/omilia/omilia-test/audit"
        assert audit["data"]["extra"]["user"]["email"] == "j.doe@acme.example"
        kinds = {event["data"]["message_type"]: event for event in pushed.events("omilia.record")}
        assert set(kinds) == set(types[1:])
        assert all(event["source"] == "/omilia/omilia-test/records" for event in kinds.values())
        assert "+441632960123" not in str(kinds)
