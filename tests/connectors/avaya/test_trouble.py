"""The contract's sections 2 and 5 against the simulator: what the connector does about each fault."""

from __future__ import annotations

import json
from typing import Any

import pytest
import structlog
import trio

from streamd.config import Secret
from streamd.simulators.avaya import AvayaOptions, AvayaSimulator, open_avaya_simulator
from streamd.transport.http import open_http
from tests.judge import instant

QUEUE = "Queue_itd_1.0.0"


def options(*faults: str, **changes: Any) -> AvayaOptions:
    return AvayaOptions(
        **{"keys": 10, "producers": (QUEUE,), "rate": 50.0, "faults": frozenset(faults), **changes}
    )


def calls(simulator: AvayaSimulator, method: str, end: str) -> int:
    return sum(each.method == method and each.path.endswith(end) for each in simulator.requests)


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ("forbidden-403:token", "token: 403"),
        ("missing-404:token", "token: 404"),
        ("appkey-401:token", "token: 401"),
        ("appkey-401:create", "create: 401"),
        ("forbidden-403:create", "create: 403"),
        ("missing-404:create", "create: 404"),
        ("auth-constraint-violation", "CONNECTION_FAILED_CONSTRAINT_VIOLATION"),
    ],
)
async def test_a_configuration_fault_is_refused_and_not_retried_in_a_loop(
    system: Any, fault: str, word: str
) -> None:
    async with system(options(fault)) as (simulator, running):
        await running.until_state("refused")
        assert word in running.reason
        before = len(simulator.requests)
        await trio.sleep(0.6)
        assert len(simulator.requests) == before


async def test_a_frame_that_the_server_calls_malformed_is_logged_without_its_token(system: Any) -> None:
    with structlog.testing.capture_logs() as lines:
        async with system(options("auth-constraint-violation")) as (simulator, running):
            await running.until_state("refused")
            [subscription] = simulator.subscriptions
    [line] = [line for line in lines if line["event"] == "authentication_refused"]
    assert json.loads(line["frame"]) == {
        "event": "authentication",
        "subscriptionId": subscription,
        "token": "***",
    }


async def test_wrong_credentials_are_tried_once_for_all_producers_together(system: Any) -> None:
    producers = ("Agent_itd_1.0.0", "AgentByChannel_itd_1.0.0", QUEUE, "QueueByChannel_itd_1.0.0")
    wrong = {"client_secret": Secret("wrong-secret"), "measure_producers": list(producers)}
    async with system(options(producers=producers), **wrong) as (simulator, running):
        await running.until_state("refused")
        await running.until(
            lambda: [each.state for each in running.runtime.status.sessions.values()] == ["refused"] * 4
        )
        assert len(simulator.requests) == 1


async def test_wrong_credentials_are_tried_once_for_all_by_an_operators_nudge_and_by_nothing_sooner(
    system: Any,
) -> None:
    producers = ("Agent_itd_1.0.0", "AgentByChannel_itd_1.0.0", QUEUE, "QueueByChannel_itd_1.0.0")
    wrong = {"client_secret": Secret("wrong-secret"), "measure_producers": list(producers)}
    async with system(options(producers=producers), **wrong) as (simulator, running):
        await running.until_state("refused")
        for tries in (1, 2, 3):
            await running.until(lambda: calls(simulator, "POST", "/token") == tries)  # noqa: B023
            await trio.sleep(0.3)
            assert calls(simulator, "POST", "/token") == tries
            running.runtime.nudge.give()


async def test_credentials_that_go_wrong_while_all_is_live_are_tried_once_for_all(system: Any) -> None:
    """The producers renew one after the other, each in its own time."""
    producers = ("Agent_itd_1.0.0", "AgentByChannel_itd_1.0.0", QUEUE, "QueueByChannel_itd_1.0.0")
    faults = ("token-seconds=2", "expiry-keeps")
    async with system(options(*faults, producers=producers), measure_producers=list(producers)) as (
        simulator,
        running,
    ):
        await running.until_state("live")
        simulator.set_faults(*faults, "forbidden-403:token")
        await running.until_state("degraded")
        before = calls(simulator, "POST", "/token")
        await running.until(lambda: running.tally["renewals_failed"] >= 4)
        assert calls(simulator, "POST", "/token") == before


async def test_a_wrong_secret_is_refused(system: Any) -> None:
    async with system(options(), client_secret=Secret("wrong-secret")) as (_simulator, running):
        await running.until_state("refused")


@pytest.mark.parametrize(
    "fault",
    [
        "error-500:token=2",
        "gateway-html:token=2",
        "error-500:create=2",
        "gateway-html:create=2",
        "token-401:create=1",
        "limited-429:create=1",
        "limited-429-bare:create=1",
        "reset-after-post",
        "upgrade-503=2",
        "auth-internal-error",
        "auth-unknown-status",
        "unknown-subscription=2",
        "invalid-token=1",
        "invalid-token=2",
        "auth-reply-upper",
        "endpoint-bare",
        "fractions-3",
        "extra-fields",
        "problem-status-string",
        "expires-at-far",
        "pending-seconds=1",
        "fragmented",
        "array-frames",
        "second-refused",
        "forbidden-403:producers",
        "missing-404:producers",
        "error-500:producers",
        "limited-429:producers=1",
    ],
)
async def test_what_passes_is_waited_out_and_the_connector_goes_live(
    system: Any, truth: Any, fault: str
) -> None:
    async with system(options(fault)) as (simulator, running):
        await running.until_state("live")
        simulator.set_rate(0)
        await running.until(lambda: running.table() == truth(simulator, QUEUE))


async def test_an_invalid_token_is_replaced_and_the_subscription_renewed_at_once(system: Any) -> None:
    async with system(options("invalid-token=1"), retry_min_seconds=30.0, retry_max_seconds=60.0) as (
        simulator,
        running,
    ):
        await running.until_state("live")
        assert calls(simulator, "POST", "/token") == 2
        assert calls(simulator, "POST", ":renew") == 1
        assert calls(simulator, "POST", "/subscriptions") == 1


async def test_an_unknown_subscription_is_looked_up_and_not_recreated(system: Any) -> None:
    async with system(options("unknown-subscription=2")) as (simulator, running):
        await running.until_state("live")
        assert calls(simulator, "POST", "/subscriptions") == 1
        assert (
            sum(each.method == "GET" and "/subscriptions/" in each.path for each in simulator.requests) == 2
        )


async def test_what_an_answer_asked_for_is_still_done_after_a_call_that_failed(system: Any) -> None:
    faults = ("unknown-subscription=1", "error-500:get=2")
    async with system(options(*faults)) as (simulator, running):
        await running.until_state("live")
        looks = [each.status for each in simulator.requests if "/subscriptions/" in each.path]
        assert looks == [500, 500, 200]


async def test_a_refused_access_token_is_fetched_once_and_retried_once(system: Any) -> None:
    async with system(options("token-401:create=1")) as (simulator, running):
        await running.until_state("live")
        assert calls(simulator, "POST", "/token") == 2
        assert "lost" not in running.moments()


async def test_no_authentication_response_ends_the_wait(system: Any) -> None:
    async with system(options("auth-no-reply"), authentication_timeout_seconds=0.3) as (_simulator, running):
        await running.until_state("live")
        assert "no authentication response" in str(running.events("connector.lost")[0]["data"])


async def test_a_producer_that_never_becomes_active_is_refused_after_one_new_try(system: Any) -> None:
    async with system(options("pending-forever"), activation_limit_seconds=1.0) as (simulator, running):
        await running.until_state("refused")
        assert QUEUE in running.reason
        assert calls(simulator, "POST", "/subscriptions") == 2
        assert simulator.subscriptions == {}


async def test_a_misspelt_producer_is_refused(system: Any) -> None:
    async with system(options(), measure_producers=["Queue_ITD_1.0.0"]) as (_simulator, running):
        await running.until_state("refused")
        assert "create: 400" in running.reason


async def test_the_subscription_is_renewed_with_new_tokens_before_it_expires(system: Any) -> None:
    async with system(options("token-seconds=3")) as (simulator, running):
        await running.until_state("live")
        await running.until(lambda: running.tally["renewals"] >= 3)
        assert running.tally["renewals_without_effect"] == 0
        assert "lost" not in running.moments()
        assert calls(simulator, "POST", "/token") >= 3


async def test_a_renewal_that_extends_nothing_is_an_alarm_and_the_stream_goes_on(system: Any) -> None:
    faults = ("token-seconds=3", "token-cached", "expiry-keeps")
    async with system(options(*faults)) as (_simulator, running):
        await running.until(lambda: running.tally["renewals_without_effect"] >= 1)
        assert "lost" not in running.moments()


async def test_a_subscription_that_vanished_is_made_anew_when_its_renewal_says_so(system: Any) -> None:
    faults = ("token-seconds=3", "delete-keeps")
    async with system(options(*faults)) as (simulator, running):
        await running.until_state("live")
        simulator.set_faults(*faults, "missing-404:renew=1")
        await running.until(lambda: calls(simulator, "POST", "/subscriptions") == 2)
        await running.until(lambda: "recovered" in running.moments())


async def test_failing_renewals_degrade_the_link_only_when_the_subscription_has_expired(system: Any) -> None:
    faults = ("token-seconds=2", "expiry-keeps")
    async with system(options(*faults)) as (simulator, running):
        await running.until_state("live")
        simulator.set_faults(*faults, "error-500:renew")
        await running.until_state("degraded")
        assert "renew" in running.reason
        simulator.set_faults(*faults)
        await running.until_state("live")
        assert "lost" not in running.moments()


async def test_a_socket_that_fell_silent_at_the_expiry_is_replaced_and_its_gap_begins_there(
    system: Any, truth: Any
) -> None:
    faults = ("token-seconds=4", "expiry-silent")
    async with system(options(*faults)) as (simulator, running):
        await running.until_state("live")
        simulator.set_faults(*faults, "error-500:renew")
        await running.until_state("degraded")
        await trio.sleep(1.0)
        last = max(instant(event["receivedtime"]) for event in running.events(".upserted"))
        simulator.set_faults(*faults)
        await running.until(lambda: "recovered" in running.moments())
        gaps = [event["data"] for event in running.events("gap.closed")]
        [gap] = [gap for gap in gaps if gap["cause"] == "link_lost"]
        assert instant(gap["from"]) <= last < instant(gap["to"])
        simulator.set_rate(0)
        await running.until(lambda: running.table() == truth(simulator, QUEUE))


async def test_expiry_that_closes_the_socket_is_survived(system: Any) -> None:
    async with system(options()) as (simulator, running):
        await running.until_state("live")
        simulator.expire_tokens()
        await simulator.drop_sockets("close:1000")
        await running.until(lambda: "recovered" in running.moments())


async def test_a_subscription_that_became_inactive_for_want_of_pings_is_renewed_and_used_again(
    system: Any,
) -> None:
    async with system(options("ping-interval=1"), ping_interval_seconds=60.0) as (simulator, running):
        await running.until_state("live")
        await running.until(lambda: "recovered" in running.moments())
        assert calls(simulator, "POST", ":renew") >= 1
        assert calls(simulator, "POST", "/subscriptions") == 1


async def test_a_half_open_line_is_noticed_and_its_gap_begins_before_it_went_dead(
    bench: Any, quick: Any
) -> None:
    async with open_avaya_simulator(options("half-open=1")) as simulator:
        config = quick(simulator.base_url, ping_interval_seconds=0.2, pong_timeout_seconds=0.5)
        async with bench(config) as running:
            await running.until(lambda: "lost" in running.moments())
            simulator.set_faults()
            await running.until(lambda: "recovered" in running.moments())
            gap = next(
                event["data"]
                for event in running.events("gap.closed")
                if event["data"]["cause"] == "link_lost"
            )
            received = [instant(event["receivedtime"]) for event in running.events(".upserted")]
            before = [each for each in received if each < instant(gap["to"])]
            assert instant(gap["from"]) < before[-1]


async def test_a_peer_that_sends_data_but_no_pong_is_alive(bench: Any, quick: Any) -> None:
    async with open_avaya_simulator(options("no-pong")) as simulator:
        config = quick(simulator.base_url, ping_interval_seconds=0.2, pong_timeout_seconds=0.7)
        async with bench(config) as running:
            await running.until_state("live")
            await trio.sleep(2.0)
            assert "lost" not in running.moments()


async def test_a_silent_night_with_pongs_is_no_loss(system: Any) -> None:
    async with system(options("silent-night", "ping-interval=1"), snapshot_proof_seconds=1.5) as (
        _simulator,
        running,
    ):
        await running.until_state("live")
        await running.until(lambda: len(running.events("snapshot_completed")) >= 2)
        await trio.sleep(0.5)
        assert "lost" not in running.moments()
        rules = [event["data"]["details"] for event in running.events("snapshot_completed")]
        assert [(each["rule"], each["proven"]) for each in rules] == [("quiet", False), ("quiet", True)]


@pytest.mark.parametrize("shape", ["snapshot-empty", "snapshot-one", "snapshot-slow=40", "live-in-snapshot"])
async def test_any_shape_of_snapshot_ends(system: Any, shape: str) -> None:
    async with system(options(shape), snapshot_limit_seconds=2.0) as (_simulator, running):
        await running.until_state("live")


async def test_an_empty_snapshot_retires_nothing(system: Any) -> None:
    async with system(options("silent-night"), snapshot_limit_seconds=1.0) as (simulator, running):
        await running.until(lambda: running.events("gap.healed"))
        simulator.set_faults("snapshot-empty", "silent-night")
        await simulator.drop_sockets()
        await running.until(
            lambda: running.events("snapshot_completed")[-1]["data"]["details"]["rule"] == "empty"
        )
        assert not running.events("snapshot_completed")[-1]["data"]["details"]["proven"]
        assert len(running.table()) == 10
        assert running.events(".deleted") == []


async def test_live_data_without_a_snapshot_costs_the_subscription_once(system: Any) -> None:
    async with system(options("snapshot-first-only"), snapshot_limit_seconds=1.0) as (simulator, running):
        await running.until(lambda: running.events("gap.healed"))
        await simulator.drop_sockets()
        await running.until(lambda: calls(simulator, "POST", "/subscriptions") == 2)
        await running.until(lambda: len(running.events("gap.healed")) >= 2)
        assert len(simulator.subscriptions) == 1


async def test_a_snapshot_that_cannot_be_forced_is_not_forced_for_ever(system: Any) -> None:
    async with system(options("snapshot-empty"), snapshot_limit_seconds=0.7) as (simulator, running):
        await running.until(lambda: calls(simulator, "POST", "/subscriptions") == 2)
        await running.until(lambda: len(running.events("snapshot_completed")) >= 2)
        await running.until_state("live")
        await trio.sleep(1.0)  # longer than the limit
        assert calls(simulator, "POST", "/subscriptions") == 2
        assert running.state == "live"


async def test_too_many_vanished_rows_are_held_and_deleted_when_the_next_snapshot_lacks_them_too(
    system: Any, truth: Any
) -> None:
    async with system(options(keys=60, rate=0.0)) as (simulator, running):
        await running.until(lambda: running.events("gap.healed"))
        simulator.remove_keys(56, QUEUE, silent=True)
        await simulator.drop_sockets()
        await running.until_state("degraded")
        assert "56 keys" in running.reason
        assert len(running.table()) == 60
        assert len(running.events("gap.healed")) == 1
        assert not running.events("snapshot_completed")[-1]["data"]["details"]["proven"]
        await simulator.drop_sockets()
        await running.until(lambda: running.table() == truth(simulator, QUEUE))
        await running.until_state("live")
        await running.until(lambda: len(running.events("gap.healed")) == 3)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("unknown-payload-type=2", "unknown payloadType 'REPLAYED'"),
        ("unknown-event-action=2", "unknown eventAction 'MERGE'"),
        ("missing-keys=2", "no keys"),
        ("bad-json=2", "not a JSON object"),
    ],
)
async def test_a_bad_frame_is_a_dead_letter_and_the_stream_goes_on(
    system: Any, truth: Any, fault: str, reason: str
) -> None:
    async with system(options(fault)) as (simulator, running):
        await running.until(lambda: len(running.events("dead_letter.written")) >= 3)
        assert reason in {event["data"]["reason"] for event in running.events("dead_letter.written")}
        assert "lost" not in running.moments()
        simulator.set_faults()
        simulator.set_rate(0)
        await running.until(lambda: running.table() == truth(simulator, QUEUE))


@pytest.mark.parametrize(
    "fault",
    [
        "non-string-values=2",
        "null-measures=2",
        "null-values=2",
        "binary-frame=2",
        "huge-frame=5",
        "repeat-upserts=2",
        "delete-unknown=2",
        "upsert-after-delete=2",
        "initializing-delete=2",
        "delete-with-measures",
        "live-full",
        "snapshot-again=1",
        "midnight-reset=1",
        "unknown-event=2",
    ],
)
async def test_odd_data_does_not_end_the_link(system: Any, fault: str) -> None:
    async with system(options(fault)) as (_simulator, running):
        await running.until_state("live")
        await running.until(lambda: len(running.events(".upserted")) > 60)
        assert "lost" not in running.moments()


async def test_frames_that_are_not_utf8_cost_the_link_but_are_no_fault(system: Any) -> None:
    async with system(options("invalid-utf8=20")) as (_simulator, running):
        await running.until(lambda: running.moments().count("recovered") >= 3)
        assert "refused" not in running.moments()


async def test_a_frame_above_our_limit_raises_the_limit(system: Any) -> None:
    async with system(options("huge-frame=20"), max_message_bytes=400_000) as (_simulator, running):
        await running.until(lambda: running.tally["link_alerts"] >= 1)
        await running.until(lambda: running.moments().count("recovered") >= 1)


async def test_a_token_goes_to_no_host_that_is_not_allowed(system: Any) -> None:
    async with system(options(), endpoint_hosts=["avayacloud.com"]) as (simulator, running):
        await running.until_state("refused")
        assert "endpoint_hosts" in running.reason
        assert simulator.sockets == []


@pytest.mark.parametrize(
    ("engine", "code"),
    # trio-websocket does not tell whose 1002, 1003 or 1007 it was.
    [("trio-websocket", 1008), *(("sans-io", code) for code in (1002, 1003, 1007, 1008))],
)
async def test_a_complaint_takes_a_new_token_and_a_look_and_is_refused_when_repeated(
    system: Any, engine: str, code: int
) -> None:
    async with system(options(), websocket_engine=engine) as (simulator, running):
        await running.until_state("live")
        tokens = calls(simulator, "POST", "/token")
        await simulator.drop_sockets(f"close:{code}")
        await running.until(lambda: "recovered" in running.moments())
        assert calls(simulator, "POST", "/token") == tokens + 1
        assert (
            sum(each.method == "GET" and "/subscriptions/" in each.path for each in simulator.requests) == 1
        )
        await simulator.drop_sockets(f"close:{code}")
        await running.until_state("refused")


async def test_a_rate_limit_is_honoured_by_all_producers_together(system: Any) -> None:
    producers = ("Agent_itd_1.0.0", "AgentByChannel_itd_1.0.0", QUEUE, "QueueByChannel_itd_1.0.0")
    limited = options("limited-429:create=1", producers=producers)
    async with system(limited, measure_producers=list(producers)) as (simulator, running):
        await running.until_state("live")
        creates = [each for each in simulator.requests if each.path.endswith("/subscriptions")]
        refused = next(each for each in creates if each.status == 429)
        later = [each.at for each in creates if each.at > refused.at]
        # The other three may have been on their way already; whatever else waited out the second.
        assert sum(at - refused.at < 0.95 for at in later) < len(producers)
        assert max(later) - refused.at > 0.95


async def test_what_a_lost_create_left_behind_is_deleted_when_nobody_else_uses_the_account(
    system: Any,
) -> None:
    async with system(options("reset-after-post"), single_owner=True) as (simulator, running):
        await running.until_state("live")
        assert len(simulator.subscriptions) == 1


async def test_what_a_lost_create_left_behind_is_left_alone_otherwise(system: Any) -> None:
    async with system(options("reset-after-post")) as (simulator, running):
        await running.until_state("live")
        assert len(simulator.subscriptions) == 2


async def test_all_producers_share_one_token(system: Any) -> None:
    producers = ("Agent_itd_1.0.0", QUEUE, "QueueByChannel_itd_1.0.0")
    async with system(options(producers=producers), measure_producers=list(producers)) as (
        simulator,
        running,
    ):
        await running.until_state("live")
        assert calls(simulator, "POST", "/token") == 1
        assert len(simulator.sockets) == 3


async def test_authentication_is_sent_again_on_the_open_socket_only_when_told_to(system: Any) -> None:
    quick_tokens = options("token-seconds=2", "reauth-closes", "expiry-keeps")
    async with system(quick_tokens, reauth_on_refresh=True) as (_, running):
        await running.until_state("live")
        await running.until(lambda: "lost" in running.moments())
    async with system(quick_tokens) as (_, running):
        await running.until_state("live")
        await running.until(lambda: running.tally["renewals"] >= 2)
        assert running.moments()[-1] == "live"


async def test_a_refused_second_authentication_ends_the_link(system: Any) -> None:
    quick_tokens = options("token-seconds=2", "reauth-confirmed")
    async with system(quick_tokens, reauth_on_refresh=True) as (_, running):
        await running.until(lambda: running.tally["renewals"] >= 2)
        assert "lost" not in running.moments()


async def test_proof_of_life_follows_the_last_byte_and_not_our_clock(system: Any) -> None:
    """While pings go unanswered and nothing comes, what is proven stands still."""
    config = {"ping_interval_seconds": 0.1, "pong_timeout_seconds": 60.0}
    async with system(options("half-open=1"), **config) as (_simulator, running):
        await running.until_state("live")
        spool, origin = running.runtime.spool, running.runtime.origin
        await trio.sleep(1.5)
        first = spool.alive(origin, QUEUE)
        await trio.sleep(1.0)
        assert spool.alive(origin, QUEUE) == first


async def test_no_token_and_no_secret_is_in_anything_written(
    system: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    faults = ("token-cached", "bad-json=2", "invalid-token=1")
    async with system(options(*faults)) as (simulator, running):
        await running.until_state("live")
        await simulator.drop_sockets()
        await running.until(lambda: "recovered" in running.moments())
        written = b"".join(record.value or b"" for _, record in running.records()).decode()
        seen = written + repr(running.runtime.config) + "".join(capfd.readouterr())
        for secret in ("simulated-secret", "simulated-appkey", await token_of(simulator)):
            assert secret not in seen


async def token_of(simulator: AvayaSimulator) -> str:
    """Get the token that is in use; only with the fault `token-cached`."""
    path = "/api/auth/v1/ABCDEF/protocol/openid-connect/token"
    form = {"grant_type": "client_credentials", "client_id": "streamd", "client_secret": "simulated-secret"}
    async with open_http(simulator.base_url, headers={"appkey": "simulated-appkey"}) as http:
        answer = await http.request("POST", path, form=form)
    token = json.loads(answer.body)["access_token"]
    assert len(token) > 20
    return str(token)
