"""Section 3 of the contract against the simulator, row by row: what the connector does about each case."""

from __future__ import annotations

from base64 import b64decode
from datetime import datetime
from typing import Any

import pytest
import trio

from streamd.config import Secret
from streamd.connectors.o2g.config import O2gPrivacy, Selector
from streamd.simulators.o2g import O2gOptions, O2gSimulator
from streamd.simulators.o2g import digest as simulator_digest
from streamd.transport import rounds


def options(*faults: str, **changes: Any) -> O2gOptions:
    return O2gOptions(**{"users": 6, "agents": 2, "rate": 100.0, "faults": frozenset(faults), **changes})


def asked(simulator: O2gSimulator, method: str, end: str) -> int:
    return sum(each.method == method and each.path.endswith(end) for each in simulator.requests)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


ROWS = {
    1: ["chunk-random blank-lines=3 crlf non-ascii-names", "chunk-per-line"],
    6: ["heartbeat-burst=3 unknown-channel-text=3"],
    7: [
        "unknown-event=3 missing-event-name=3 extra-fields null-fields call-data-kept opaque-participants",
        "bad-json=3 invalid-utf8=3 not-an-object=3 two-on-a-line=3 unknown-call=3 new-enum=3",
        "caller-participants releasing-both skills-bare withdraw-node dynamic-modified agent-group-string",
    ],
    9: [
        "unauthorized-401:open=1 missing-404:open=1 error-500:open=1",
        "forbidden-403:open=1 limited-429:open=1",
        "unauthorized-401:subscribe=1",
        "error-500:info=1 error-500:session=1 error-500:subscribe=1 error-500:logins=1",
        "missing-404:info=1 missing-404:authenticate=1",
        "error-500:snapshot=1 error-500:agent=1",
        "unauthorized-401:snapshot=1",
        "missing-404:snapshot=1",
    ],
    12: ["subscribe-unknown=2"],
    14: ["unauthorized-html:session=1 error-empty:subscribe=1", "gateway-html:authenticate=1"],
    15: ["internal-port-80"],
    16: ["token-in-body-only jsessionid-required", "token-in-cookie-only no-jsessionid"],
    18: ["transfer-new-callref reuse-callrefs=40"],
    19: ["shuffle-users"],
    20: ["snapshot-slow=40", "device-states-nested"],
    0: ["reset-after-post"],
}


@pytest.mark.parametrize("faults", [faults for row in ROWS.values() for faults in row])
async def test_the_states_are_the_switchboards_whatever_happens(system: Any, truth: Any, faults: str) -> None:
    async with system(options(*faults.split(), rate=1000.0)) as (simulator, running):
        await running.until_state("live")
        await running.until(lambda: simulator.lines_sent > 200 and running.calls())
        simulator.set_rate(0)
        await running.until(lambda: (running.calls(), running.agents()) == truth(simulator))


async def test_a_line_cut_in_half_at_the_end_is_dead_lettered_and_a_whole_one_is_an_event(
    system: Any, truth: Any
) -> None:
    async with system(options("truncated-end", "message-before-close")) as (simulator, running):
        await running.until_state("live")
        await trio.sleep(0.3)
        await simulator.drop_channels("clean")
        await running.until(lambda: running.moments().count("connected") == 2)
        assert running.tally["unterminated_lines"] == 1
        assert running.tally["channel_messages"] == 1
        [letter] = running.events("dead_letter.written")
        assert "odd-truncated" in b64decode(letter["data"]["payload_base64"]).decode()
        simulator.set_faults("unterminated-end")
        await trio.sleep(0.3)
        await simulator.drop_channels("clean")
        simulator.set_rate(0)
        await running.until(lambda: running.calls() == truth(simulator)[0])
        assert len(running.events("dead_letter.written")) == 1


async def test_a_clean_close_is_reopened_at_once_and_the_hole_is_declared_and_healed(
    system: Any, truth: Any
) -> None:
    async with system(options("timeout-lifetime"), retry_min_seconds=20.0, retry_max_seconds=40.0) as (
        simulator,
        running,
    ):
        await running.until_state("live")
        await trio.sleep(0.3)
        await simulator.drop_channels("clean")
        await running.until(lambda: running.moments().count("snapshot_completed") == 2)
        await running.until_state("live")
        assert "lost" not in running.moments()
        assert asked(simulator, "POST", "/subscriptions") == 1
        assert asked(simulator, "POST", "/OTEvents") == 2
        gap = list(running.gaps().values())[-1]
        assert (gap["cause"], gap["state"], gap["healed_by"]) == ("channel_closed", "restored", "snapshot")
        assert (instant(gap["to"]) - instant(gap["from"])).total_seconds() < 2.0
        simulator.set_rate(0)
        await running.until(lambda: running.calls() == truth(simulator)[0])


async def test_a_server_that_closes_at_once_is_not_hammered(system: Any) -> None:
    async with system(options("close-after-start")) as (simulator, running):
        await running.until_state("lost")
        await trio.sleep(1.0)
        # At the shortest waits of retry_max_seconds = 0.2 that is ten; at none it is hundreds.
        assert 2 <= asked(simulator, "POST", "/OTEvents") <= 25
        assert asked(simulator, "POST", "/subscriptions") == 1
        simulator.set_faults()
        await running.until_state("live")


async def test_a_silent_channel_is_noticed_within_the_idle_deadline_and_reopened_in_the_same_session(
    system: Any, truth: Any
) -> None:
    async with system(options("half-open=1"), idle_timeout_seconds=0.5) as (simulator, running):
        await running.until_state("live")
        await running.until(lambda: "lost" in running.moments(), within=4.0)
        assert "silent for 0.5 s" in running.events("connector.lost")[0]["data"]["reason"]
        simulator.set_faults()
        await simulator.drop_channels("rst")
        await running.until_state("live")
        assert asked(simulator, "POST", "/sessions") == 1
        simulator.set_rate(0)
        await running.until(lambda: running.calls() == truth(simulator)[0])


async def test_what_waits_to_be_read_is_no_silence(system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with system(options(rate=100.0), idle_timeout_seconds=0.5) as (_, running):
        await running.until_state("live")
        with monkeypatch.context() as patched:  # as when many channels wait together, after a standstill
            patched.setattr(rounds, "_ROUND_BYTES", 0)
            await trio.sleep(1.0)
        await trio.sleep(0.2)
        assert "lost" not in running.moments()


@pytest.mark.parametrize("mode", ["fin", "rst"])
async def test_a_broken_channel_is_a_gap_and_is_reopened_in_the_same_session(
    system: Any, truth: Any, mode: str
) -> None:
    async with system(options()) as (simulator, running):
        await running.until_state("live")
        await simulator.drop_channels(mode)
        await running.until(lambda: "recovered" in running.moments())
        assert asked(simulator, "POST", "/sessions") == asked(simulator, "POST", "/subscriptions") == 1
        simulator.set_rate(0)
        await running.until(lambda: running.calls() == truth(simulator)[0])
        gap = list(running.gaps().values())[-1]
        assert (gap["cause"], gap["state"]) == ("link_lost", "restored")


async def test_no_line_that_was_lost_is_outside_a_gap(system: Any) -> None:
    async with system(options(rate=300.0)) as (simulator, running):
        await running.until_state("live")
        for mode in ("rst", "clean", "fin", "clean"):
            await trio.sleep(0.4)
            await simulator.drop_channels(mode)
            await running.until_state("live")
        simulator.set_rate(0)
        await running.until(lambda: not undeclared(simulator, running))


def undeclared(simulator: O2gSimulator, running: Any) -> list[Any]:
    """Give the lines that are neither published nor inside a gap that is closed."""
    published = {
        (event["data"].get("login_name"), simulator_digest(event["data"])) for event in running.events()
    }
    holes = [
        (instant(gap["from"]), instant(gap["to"]))
        for gap in running.gaps().values()
        if gap["from"] and gap["to"]
    ]
    return [
        entry
        for entry in simulator.log
        if entry.package
        and (entry.login, entry.marker) not in published
        and not any(
            begin <= datetime.fromtimestamp(entry.sent_at).astimezone() <= end for begin, end in holes
        )
    ]


async def test_the_polling_port_may_be_down_while_rest_is_up(system: Any, truth: Any) -> None:
    async with system(options()) as (simulator, running):
        await running.until_state("live")
        simulator.set_faults("polling-port-down")
        await running.until_state("lost")
        await trio.sleep(0.5)
        simulator.set_faults()
        await running.until_state("live")
        assert asked(simulator, "POST", "/sessions") == 1
        simulator.set_rate(0)
        await running.until(lambda: running.calls() == truth(simulator)[0])


@pytest.mark.parametrize("status", ["expired-403", "expired-401", "expired-404"])
async def test_a_session_that_is_gone_is_replaced_although_the_channel_streams_on(
    system: Any, status: str
) -> None:
    faults = ("expiry-keeps-channel", "session-seconds=1", status)
    async with system(options(*faults)) as (simulator, running):
        await running.until_state("live")
        simulator.expire_sessions()
        await running.until(lambda: "lost" in running.moments())
        assert "keepalive" in running.events("connector.lost")[0]["data"]["reason"]
        await running.until_state("live")
        assert asked(simulator, "POST", "/sessions") == 2


async def test_keepalives_keep_the_session_for_many_of_its_lives(system: Any) -> None:
    async with system(options("session-seconds=1", rate=0.0)) as (simulator, running):
        await running.until_state("live")
        await running.until(lambda: asked(simulator, "POST", "/keepalive") >= 6)
        assert "lost" not in running.moments()


async def test_failing_keepalives_degrade_and_are_no_dead_channel(system: Any) -> None:
    async with system(options("session-seconds=3", "error-500:keepalive=2")) as (_simulator, running):
        await running.until_state("degraded")
        assert "keepalives fail: keepalive: 500" in running.reason
        await running.until_state("live")
        assert "lost" not in running.moments()


async def test_a_refused_subscription_is_refused_with_the_servers_message(system: Any) -> None:
    async with system(options("subscribe-refused")) as (simulator, running):
        await running.until_state("refused")
        assert "too many subscriptions" in running.reason
        assert simulator.sessions == []


async def test_a_partial_subscription_runs_degraded_and_says_which(system: Any) -> None:
    async with system(options("not-monitored=1")) as (_simulator, running):
        await running.until_state("degraded")
        assert "oxe2002" in running.reason
        await running.until(lambda: running.events("call.created"))


@pytest.mark.parametrize(
    ("fault", "state"),
    [("error-500:rti=1", "live"), ("missing-404:rti", "degraded"), ("forbidden-403:rti", "degraded")],
)
async def test_indicators_that_cannot_be_had_stop_nothing_else(system: Any, fault: str, state: str) -> None:
    selectors = [Selector(["telephony"], "all"), Selector(["rti"])]
    async with system(options(fault), selectors=selectors) as (_simulator, running):
        await running.until(lambda: running.moments().count("snapshot_completed") == 1)
        await running.until_state(state)
        await running.until(lambda: running.events("call.created"))
        assert "lost" not in running.moments()
        if state == "live":
            await running.until(lambda: running.events("o2g.queue_rti_changed"))


async def test_a_wrong_password_is_tried_once(system: Any) -> None:
    async with system(options("account-locks=3"), password=Secret("wrong-password")) as (simulator, running):
        await running.until_state("refused")
        await trio.sleep(0.5)
        assert asked(simulator, "GET", "/authenticate") == 1


async def test_a_password_that_changes_while_we_run_is_tried_once(system: Any) -> None:
    async with system(options("session-seconds=1", "expired-401")) as (simulator, running):
        await running.until_state("live")
        before = asked(simulator, "GET", "/authenticate")
        simulator.set_faults("unauthorized-401:authenticate", "expired-401")
        simulator.restart()
        await running.until_state("refused")
        await trio.sleep(0.3)
        assert asked(simulator, "GET", "/authenticate") == before + 1


async def test_a_link_of_the_oxe_that_is_down_is_said_and_is_a_gap_of_its_own(
    system: Any, truth: Any
) -> None:
    async with system(options()) as (simulator, running):
        await running.until_state("live")
        simulator.set_link(up=False)
        await running.until_state("degraded")
        assert "Cti link to 407 is down" in running.reason
        await trio.sleep(0.5)
        simulator.set_link(up=True)
        await running.until_state("live")
        simulator.set_rate(0)
        await running.until(lambda: (running.calls(), running.agents()) == truth(simulator))
        gap = next(gap for gap in running.gaps().values() if gap["cause"] == "cti_link_down")
        assert (gap["state"], gap["healed_by"]) == ("restored", "snapshot")
        assert 0.4 < (instant(gap["to"]) - instant(gap["from"])).total_seconds() < 2.5
        assert "lost" not in running.moments()


async def test_snapshots_that_never_come_are_fetched_user_by_user(system: Any, truth: Any) -> None:
    async with system(options("snapshot-silent", rate=0.0), snapshot_limit_seconds=0.3) as (
        simulator,
        running,
    ):
        simulator.place_call("oxe1001", "oxe1002")
        await running.until_state("live")
        assert (running.calls(), running.agents()) == truth(simulator)
        assert {event["phase"] for event in running.events("user.snapshot")} == {"snapshot"}


async def test_the_other_server_is_used_and_the_first_again_once_it_is_well(system: Any, truth: Any) -> None:
    async with system(options(hosts=2), failback_seconds=0.8) as (simulator, running):
        await running.until_state("live")
        first, second = simulator.hosts
        simulator.set_host(0, up=False)
        await running.until(lambda: running.state == "live" and second.accounts.sessions)
        simulator.set_host(0, up=True)
        await running.until(lambda: first.accounts.sessions and not second.accounts.sessions)
        await running.until_state("live")
        simulator.set_rate(0)
        await running.until(lambda: running.calls() == truth(simulator)[0])


async def test_a_server_that_flaps_does_not_move_the_session(system: Any) -> None:
    async with system(options(hosts=2), failback_seconds=1.5) as (simulator, running):
        await running.until_state("live")
        simulator.set_host(0, up=False)
        await running.until(lambda: running.state == "live" and simulator.hosts[1].accounts.sessions)
        before = running.moments().count("connected")
        for _ in range(4):
            simulator.set_host(0, up=True)
            await trio.sleep(0.4)
            simulator.set_host(0, up=False)
            await trio.sleep(0.4)
        assert running.moments().count("connected") == before
        assert running.state == "live"


async def test_both_servers_may_be_down_for_a_while(system: Any) -> None:
    async with system(options(hosts=2)) as (simulator, running):
        await running.until_state("live")
        for number in (0, 1):
            simulator.set_host(number, up=False)
        await running.until_state("lost")
        await trio.sleep(0.5)
        simulator.set_host(1, up=True)
        await running.until_state("live")


async def test_a_slow_reader_is_dropped_and_comes_back(system: Any, truth: Any) -> None:
    async with system(options("slow-reader-dropped=100000", rate=2000.0)) as (simulator, running):
        await running.until_state("live")
        await trio.sleep(0.5)
        simulator.set_rate(0)
        await running.until(lambda: running.calls() == truth(simulator)[0])


async def test_a_private_url_without_tls_is_not_used_beyond_loopback(system: Any) -> None:
    async with system(options(private_host="o2g.lan"), address="private") as (_simulator, running):
        await running.until_state("refused")
        assert "o2g.lan is http://" in running.reason


async def test_privacy_rules_apply_before_anything_is_published_or_kept(system: Any) -> None:
    rules = O2gPrivacy(
        drop=["callData.initialCalled"],
        mask=["participants[].identity.firstName", "addedParticipants[].identity.firstName"],
        hash=["loginName"],
        hash_key=Secret("a key for hashing"),
    )
    async with system(options(), privacy=rules) as (_simulator, running):
        await running.until_state("live")
        await running.until(lambda: len(running.events("call.modified")) > 20)
        assert "recovered" not in running.moments()
        for event in running.events("call.created"):
            assert len(event["data"]["login_name"]) == 32
            assert "initial_called" not in event["data"]["call_data"]
            names = [each["identity"].get("first_name") for each in event["data"].get("participants", ())]
            assert set(names) <= {"***", None}
        assert all(len(key.split("|")[0]) == 32 for key in running.calls())


async def test_selectors_without_state_are_live_at_once(system: Any) -> None:
    async with system(options(rate=0.0), selectors=[Selector(["system", "pbxManagement"])]) as (
        simulator,
        running,
    ):
        await running.until_state("live")
        simulator.administer("change_object", "Created", "Subscriber", "1001")
        await running.until(lambda: running.events("o2g.pbx_object_instance_created"))
