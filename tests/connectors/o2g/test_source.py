"""The connector against the simulator, on a real spool: what it keeps and leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
import trio

from streamd.connector import Changes, Item
from streamd.connectors.o2g.catalogue import PACKAGES
from streamd.connectors.o2g.config import RtiConfig, Selector
from streamd.connectors.o2g.source import probe
from streamd.errors import Rejected
from streamd.instant import Instant
from streamd.live.intake import Intake
from streamd.live.reach import ON_ITS_WAY_SECONDS
from streamd.probe import ProbeContext
from streamd.simulators.o2g import O2gOptions, digest, open_o2g_simulator
from tests.judge import instant


async def test_events_and_states_come_out_as_the_switchboards_own(system: Any, truth: Any) -> None:
    async with system(O2gOptions(rate=300.0)) as (simulator, running):
        await running.until_state("live")
        await trio.sleep(0.7)
        simulator.set_rate(0)
        await running.until(lambda: (running.calls(), running.agents()) == truth(simulator))
        sent = sorted((each.package, each.login, each.marker) for each in simulator.log if each.package)
        await running.until(lambda: told(running) == sent)


def told(running: Any) -> list[tuple[str, str, str]]:
    return sorted(
        (event["source"].rpartition("/")[2], event["data"].get("login_name", ""), digest(event["data"]))
        for event in running.events()
        if event["data"].get("event_name")
    )


async def test_every_package_is_published_on_its_topic_and_none_of_its_events_is_unknown(system: Any) -> None:
    logins = [name for name in PACKAGES if name not in ("pilot", "rti", "acdstats", "rsi")]
    selectors = [
        Selector(logins[:6], "all"),
        Selector(["userManagement", "system", "pbxManagement", "rti", "acdstats", "rsi"]),
        Selector(["agent"], "all"),
        Selector(["pilot"], ["3001", "3002"]),
    ]
    options = O2gOptions(rate=0.0, users=3, agents=1, time_scale=20.0)
    rti = RtiConfig(notif_frequency_seconds=5)
    async with system(options, selectors=selectors, rti=rti) as (simulator, running):
        await running.until_state("live")
        for script in ("basic-call", "office-life", "abandoned-call"):
            simulator.play(script, "oxe1001", "oxe1002", "oxe1003")
        simulator.play("agent-day", "oxe2001")
        simulator.administer("report", "oxe2001")
        simulator.administer("warn_of_licence", 30)
        await running.until(
            lambda: (
                {e["data"].get("event_name") for e in running.events()}
                >= {
                    "OnComRecordModified",
                    "OnEventSummaryUpdated",
                    "OnAgentRtiChanged",
                    "OnPilotRtiChanged",
                    "OnQueueRtiChanged",
                    "OnPGAgentRtiChanged",
                    "OnPGOtherRtiChanged",
                    "OnPilotCallRemoved",
                    "OnAcdStatsProgress",
                    "OnDigitCollected",
                    "OnLicenseExpiration",
                    "OnUserInfoChanged",
                    "OnPbxObjectInstanceModified",
                    "OnRoutingStateChanged",
                    "OnAgentSkillChanged",
                }
            )
        )
        sources = {
            event["source"].rpartition("/")[2] for event in running.events() if event["vendor"] == "o2g"
        }
        assert {*PACKAGES} - sources == {"userManagement"}
        assert not running.events("o2g.unknown")
        extra = [event for event in running.events() if event["data"].get("extra")]
        assert extra == []
        record = running.events("o2g.com_record_created")[0]
        assert instant(record["time"]) <= instant(record["receivedtime"])
        keys = {
            topic.removeprefix("p.o2g."): record.key.decode().split("|", 1)[1]
            for topic, record in running.records()
        }
        assert keys["pilot"] == "3001"
        assert keys["acdstats"] == "acdstats"
        assert keys["system"] == "system"


async def test_users_who_come_are_monitored_and_those_who_go_leave_nothing_behind(
    system: Any, truth: Any
) -> None:
    async with system(O2gOptions(users=2, agents=1)) as (simulator, running):
        await running.until_state("live")
        simulator.create_user("oxe1777", "1777")
        await running.until(lambda: running.moments().count("snapshot_completed") == 2)
        await running.until(lambda: len(simulator.subscriptions) == 1)
        simulator.place_call("oxe1777", "oxe1002")
        await running.until(lambda: len(running.calls()) == 2)
        simulator.delete_user("oxe1777")
        await running.until(lambda: len(running.calls()) == 1)
        [gone] = [event["data"] for event in running.events("call.removed") if "synthetic" in event["data"]]
        assert (gone["login_name"], gone["reason"]) == ("oxe1777", "user_gone")
        gap = list(running.gaps().values())[-1]
        assert (gap["cause"], gap["state"]) == ("resubscribed", "restored")


async def test_after_a_restart_no_ghost_is_left(bench: Any, quick: Any, truth: Any) -> None:
    async with open_o2g_simulator(O2gOptions(users=4, agents=2)) as simulator:
        ended, lasting = (
            simulator.place_call(*who) for who in (("oxe1001", "oxe1002"), ("oxe1003", "oxe1004"))
        )
        config = quick(simulator.base_url)
        async with bench(config) as running:
            await running.until_state("live")
            assert len(running.calls()) == 4
        simulator.release(ended, "oxe1001")
        simulator.answer(lasting)
        async with bench(config) as running:
            await running.until(lambda: (running.calls(), running.agents()) == truth(simulator))
            removed = [event["data"]["reason"] for event in running.events("call.removed")]
            assert removed == ["absent_from_snapshot"] * 2
            await running.until(
                lambda: (
                    [gap["state"] for gap in running.gaps().values() if gap["cause"] == "stopped"]
                    == ["restored"]
                )
            )


async def test_a_stop_deletes_subscription_and_session(system: Any) -> None:
    async with open_o2g_simulator() as outer:
        assert outer.sessions == []
    async with system(O2gOptions(rate=50.0)) as (simulator, running):
        await running.until_state("live")
        assert len(simulator.sessions) == len(simulator.subscriptions) == 1
        running.runtime.nudge.give()
    deleted = [(each.method, each.status) for each in simulator.requests if each.method == "DELETE"]
    assert deleted == [("DELETE", 204), ("DELETE", 204)]


async def test_when_full_wait_stops_reading_and_loses_nothing(
    system: Any, truth: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamd.live.pace.MOST_UNCOMMITTED", 200)
    changes = {"when_full": "wait", "spool_bytes": 300_000, "idle_timeout_seconds": 0.4}
    async with system(O2gOptions(rate=2000.0), **changes) as (simulator, running):
        await running.until(lambda: running.spool.usage("o2g-test").bytes >= 300_000)
        await trio.sleep(0.8)
        assert "lost" not in running.moments(), "who does not read has no silence to complain of"
        simulator.set_rate(0)
        usage = running.spool.usage("o2g-test")
        usage.share = 2**28
        usage.waiting.unpark_all()
        await running.until(lambda: running.calls() == truth(simulator)[0])
        assert running.tally["dropped_events"] == 0


async def test_when_full_drop_declares_what_it_dropped_and_the_states_still_converge(
    system: Any, truth: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamd.connectors.o2g.stream.PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr("streamd.live.pace.MOST_UNCOMMITTED", 200)
    monkeypatch.setattr("streamd.connectors.o2g.stream.Intake", partial(Intake, most=400))
    async with system(O2gOptions(rate=2000.0), spool_bytes=300_000) as (simulator, running):
        await running.until(lambda: running.tally["dropped_events"] > 0)
        simulator.set_rate(0)
        await trio.sleep(0.2)
        usage = running.spool.usage("o2g-test")
        usage.share = 2**28
        usage.waiting.unpark_all()
        await running.until(lambda: (running.calls(), running.agents()) == truth(simulator))
        await running.until(
            lambda: any(gap["cause"] == "overflow" and gap["to"] for gap in running.gaps().values())
        )


async def test_the_intake_learns_how_far_the_channel_was_read_when_it_gets_a_line(
    system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[datetime, datetime]] = []

    class Observed(Intake):
        def put_nowait(
            self,
            items: Sequence[Item],
            changes: Changes,
            at: Instant,
            sent_after: Callable[[], datetime | None] = lambda: None,
        ) -> None:
            reached = sent_after()
            if reached is not None:
                seen.append((at.wall, reached))
            super().put_nowait(items, changes, at, sent_after)

    monkeypatch.setattr("streamd.connectors.o2g.stream.Intake", Observed)
    async with system(O2gOptions(rate=200.0)) as (_, running):
        await running.until(lambda: len(seen) >= 20)
    on_its_way = timedelta(seconds=ON_ITS_WAY_SECONDS)
    assert all(sent_after <= at - on_its_way for at, sent_after in seen)
    assert seen[-1][1] > seen[0][1]


async def test_probing_logs_in_at_each_server_and_leaves_nothing_behind(quick: Any) -> None:
    async with open_o2g_simulator(O2gOptions(hosts=2)) as simulator:
        await probe(ProbeContext("o2g", quick(*simulator.base_urls)))
        assert simulator.sessions == []
        with pytest.raises(Rejected):
            await probe(ProbeContext("o2g", quick(simulator.base_url, login="nobody")))
