"""The Avaya simulator keeps to the documents by default, and to each switch that is named."""

from __future__ import annotations

import json
import math
import ssl
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import trio
import trustme
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    WebSocketConnection,
    wrap_client_stream,
)

from streamd.errors import ConfigError
from streamd.simulators.avaya import FAULTS, AvayaOptions, AvayaSimulator, digest, open_avaya_simulator
from streamd.simulators.avaya.oddities import ODDITIES
from streamd.simulators.avaya.wire import Envelope, array_frames

AGENTS, QUEUES = "Agent_itd_1.0.0", "Queue_itd_1.0.0"
TOKEN = "/api/auth/v1/ABCDEF/protocol/openid-connect/token"
PRODUCERS = "/api/analytics/producer-management/v1/accounts/ABCDEF/measure-producers"
SUBSCRIPTIONS = "/api/notification/v1/accounts/ABCDEF/subscriptions"
CREDENTIALS = {
    "grant_type": "client_credentials",
    "client_id": "streamd",
    "client_secret": "simulated-secret",
}
CONFIRMED = "CONNECTION_CONFIRMED"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # httpx otherwise loads the CA bundle for each client


class Client:
    """A plain client of the simulator, with a token of its own."""

    simulator: AvayaSimulator

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http, self.token = http, ""

    async def renew_token(self) -> str:
        self.token = (await self.http.post(TOKEN, data=CREDENTIALS)).json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {self.token}"
        return self.token

    async def create(self, producer: str = AGENTS) -> dict[str, Any]:
        response = await self.http.post(SUBSCRIPTIONS, json=wanted(producer))
        assert response.status_code == 201, response.text
        return response.json()

    async def status(self, subscription: dict[str, Any]) -> str:
        return (await self.http.get(f"{SUBSCRIPTIONS}/{subscription['subscriptionId']}")).json()["status"]

    async def authenticate(self, socket: WebSocketConnection, subscription: dict[str, Any]) -> str:
        frame = {
            "event": "authentication",
            "subscriptionId": subscription["subscriptionId"],
            "token": self.token,
        }
        await socket.send_message(json.dumps(frame))
        return json.loads(await socket.get_message())["status"]


def wanted(producer: str) -> dict[str, Any]:
    return {
        "family": "ANALYTICS",
        "events": ["ALL"],
        "transport": {"type": "WEBSOCKET"},
        "extensions": {"measureProducerId": producer},
    }


@asynccontextmanager
async def client_of(simulator: AvayaSimulator) -> AsyncIterator[Client]:
    headers = {"appkey": "simulated-appkey"}
    async with httpx.AsyncClient(
        base_url=simulator.base_url, headers=headers, verify=NO_TLS, trust_env=False
    ) as http:
        client = Client(http)
        client.simulator = simulator
        await client.renew_token()
        yield client


@asynccontextmanager
async def simulated(*faults: str, **options: Any) -> AsyncIterator[Client]:
    options.setdefault("keys", 8)
    with trio.fail_after(60):
        async with (
            open_avaya_simulator(AvayaOptions(faults=frozenset(faults), **options)) as simulator,
            client_of(simulator) as client,
        ):
            yield client


def opened(
    subscription: dict[str, Any], tls: ssl.SSLContext | None = None
) -> AbstractAsyncContextManager[WebSocketConnection]:
    return upgraded(subscription["transport"]["endpoint"], tls)


@asynccontextmanager
async def upgraded(
    url: str, tls: ssl.SSLContext | None = None, queue: int = 1000
) -> AsyncIterator[WebSocketConnection]:
    """Open a websocket; leaving cuts the connection, whatever state it is in."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    tcp = await trio.open_tcp_stream(parts.hostname, parts.port or 443)
    stream = trio.SSLStream(tcp, tls, server_hostname=parts.hostname) if tls else tcp
    try:
        async with trio.open_nursery() as nursery:
            yield await wrap_client_stream(
                nursery, stream, parts.netloc, parts.path, message_queue_size=queue, max_message_size=2**22
            )
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(stream)


@asynccontextmanager
async def streaming(client: Client, producer: str = AGENTS) -> AsyncIterator[WebSocketConnection]:
    subscription = await client.create(producer)
    async with opened(subscription) as socket:
        assert await client.authenticate(socket, subscription) == CONFIRMED
        yield socket


async def messages(socket: WebSocketConnection, count: int) -> list[dict[str, Any]]:
    return [json.loads(await socket.get_message()) for _ in range(count)]


async def until_closed(socket: WebSocketConnection) -> int:
    """Read on until the other side closes; return the code (1006: no close frame)."""
    reason = None
    while reason is None:
        try:
            await socket.get_message()
        except ConnectionClosed as closed:
            reason = closed.reason
    return reason.code


async def eventually(condition: Callable[[], object]) -> None:
    """Wait for what the other side of a socket will make true."""
    while not condition():
        await trio.sleep(0.01)


async def is_quiet(socket: WebSocketConnection, seconds: float = 0.2) -> bool:
    with trio.move_on_after(seconds):
        await socket.get_message()
        return False
    return True


def merged(received: list[dict[str, Any]], into: dict[Any, dict[str, str]] | None = None) -> dict[Any, Any]:
    """Merge messages as section 4 says: INITIALIZING replaces, LIVE merges, DELETE removes."""
    state = {} if into is None else into
    for each in received:
        key = (
            each["accountId"],
            each["eventSourceId"],
            each["measureProducerId"],
            tuple(sorted(each["keys"].items())),
        )
        if each["eventAction"] == "DELETE":
            state.pop(key, None)
        elif each["payloadType"] == "INITIALIZING":
            state[key] = each["measures"]
        else:
            state[key] = {**state.get(key, {}), **each["measures"]}
    return state


# REST


async def test_a_token_is_given_for_the_right_credentials_only() -> None:
    async with simulated() as client:
        given = await client.http.post(TOKEN, data=CREDENTIALS)
        assert given.json()["expires_in"] == 900
        refresh = {
            **CREDENTIALS,
            "grant_type": "refresh_token",
            "refresh_token": given.json()["refresh_token"],
        }
        assert (await client.http.post(TOKEN, data=refresh)).status_code == 200
        wrong = await client.http.post(TOKEN, data={**CREDENTIALS, "client_secret": "x"})
        assert wrong.status_code == 401
        missing = await client.http.post(TOKEN, data={"grant_type": "client_credentials", "client_id": "x"})
        assert missing.json()["violations"][0] == {
            "field": "client_secret",
            "message": "must not be null",
            "code": 20002,
        }
        assert (await client.http.post(TOKEN, json=CREDENTIALS)).status_code == 415


async def test_the_detail_of_a_401_tells_appkey_from_access_token() -> None:
    async with simulated() as client:
        no_appkey = await client.http.get(PRODUCERS, headers={"appkey": "x"})
        no_token = await client.http.get(PRODUCERS, headers={"Authorization": "Bearer x"})
        assert (no_appkey.status_code, no_token.status_code) == (401, 401)
        assert no_appkey.headers["content-type"] == "application/problem+json"
        assert no_appkey.json()["detail"].endswith("(Appkey)")
        assert no_token.json()["detail"].endswith("(Access-Token)")


async def test_another_account_is_refused_by_shape_or_by_permission() -> None:
    async with simulated() as client:
        assert (await client.http.get(SUBSCRIPTIONS.replace("ABCDEF", "ABC123"))).status_code == 400
        assert (await client.http.get(SUBSCRIPTIONS.replace("ABCDEF", "GHIJKL"))).status_code == 403
        assert (await client.http.get("/api/nothing")).status_code == 404


async def test_the_catalogue_names_every_measure_that_the_stream_sends() -> None:
    async with simulated() as client:
        listed = (await client.http.get(PRODUCERS, params={"processorType": "ITD"})).json()
        assert len(listed) == 4
        assert all("measureSets" not in each for each in listed)
        assert len((await client.http.get(PRODUCERS)).json()) == 5
        for (_, _, producer, keys), measures in client.simulator.truth().items():
            details = (await client.http.get(f"{PRODUCERS}/{producer}")).json()
            (measure_set,) = details["measureSets"]
            assert set(measures) == {each["name"] for each in measure_set["measures"]}
            assert len(measure_set["measures"]) <= 25
            assert [name for name, _ in keys] == sorted(measure_set["keys"])
        assert "en" in (await client.http.get(f"{PRODUCERS}/{AGENTS}/locales")).json()
        words = (await client.http.get(f"{PRODUCERS}/{AGENTS}/dictionaries/en")).json()["measures"]
        assert {"name": "timeInACW", "displayName": "Time In ACW", "description": "Time In ACW"} in words


async def test_a_subscription_expires_with_the_token_presented() -> None:
    async with simulated() as client:
        created = await client.create()
        assert created["status"] == "ACTIVE"
        assert created["expiresIn"] in (899, 900)
        assert len(created["createdAt"].split(".")[1]) == len("123456789Z")
        assert created["transport"]["pingInterval"] == 300
        client.simulator.expire_tokens()
        await client.renew_token()
        assert await client.status(created) == "INACTIVE"
        renewed = await client.http.post(f"{SUBSCRIPTIONS}/{created['subscriptionId']}:renew")
        assert (renewed.json()["status"], renewed.json()["expiresIn"]) == ("ACTIVE", 899)


@pytest.mark.parametrize(("faults", "extended"), [((), False), (("renew-extends-same-token",), True)])
async def test_renewing_with_the_same_token_extends_only_by_switch(
    faults: tuple[str, ...], extended: bool
) -> None:
    async with simulated(*faults, token_seconds=100) as client:
        created = await client.create()
        before = client.simulator.subscriptions[created["subscriptionId"]].expires_at
        await client.http.post(f"{SUBSCRIPTIONS}/{created['subscriptionId']}:renew")
        assert (client.simulator.subscriptions[created["subscriptionId"]].expires_at > before) is extended


async def test_constraint_violations_name_the_field() -> None:
    async with simulated() as client:
        for change, field in (
            ({"family": None}, "family"),
            ({"family": "ANALYTICS_REALTIME"}, "family"),
            ({"events": []}, "events"),
            ({"transport": {"type": "WEBHOOK"}}, "transport.type"),
            ({"extensions": {}}, "extensions.measureProducerId"),
            ({"extensions": {"measureProducerId": "Agent_ITD_1.0.0"}}, "extensions.measureProducerId"),
        ):
            refused = await client.http.post(SUBSCRIPTIONS, json={**wanted(AGENTS), **change})
            assert refused.status_code == 400
            assert [each["field"] for each in refused.json()["violations"]] == [field]


async def test_a_wrong_case_producer_stays_pending_by_switch() -> None:
    async with simulated("wrong-case-pending") as client:
        assert (await client.create("Agent_ITD_1.0.0"))["status"] == "PENDING"


async def test_subscriptions_are_listed_in_pages_and_deleted_once() -> None:
    async with simulated() as client:
        created = [await client.create() for _ in range(12)]
        first = (await client.http.get(SUBSCRIPTIONS)).json()
        assert first["pagination"] == {"pageNumber": 1, "pageSize": 10, "total": 12}
        assert first["links"]["prev"] == ""
        second = (await client.http.get(first["links"]["next"])).json()
        assert [each["subscriptionId"] for each in second["subscriptions"]] == [
            each["subscriptionId"] for each in created[10:]
        ]
        assert (await client.http.get(SUBSCRIPTIONS, params={"pageSize": "26"})).status_code == 400
        one = f"{SUBSCRIPTIONS}/{created[0]['subscriptionId']}"
        assert [(await client.http.delete(one)).status_code for _ in range(2)] == [204, 404]
        assert (await client.http.post(f"{one}:renew")).status_code == 404


async def test_the_request_log_holds_no_token() -> None:
    async with simulated() as client:
        await client.create()
        assert [(each.method, each.status) for each in client.simulator.requests] == [
            ("POST", 200),
            ("POST", 201),
        ]
        assert client.token not in repr(client.simulator.requests)


@pytest.mark.parametrize(
    ("fault", "status", "retry_after"),
    [
        ("appkey-401", 401, None),
        ("token-401", 401, None),
        ("forbidden-403", 403, None),
        ("missing-404", 404, None),
        ("limited-429", 429, "1"),
        ("limited-429-bare", 429, None),
        ("error-500", 500, None),
        ("gateway-html", 502, None),
    ],
)
async def test_a_rest_fault_strikes_the_named_operation_as_often_as_written(
    fault: str, status: int, retry_after: str | None
) -> None:
    async with simulated(f"{fault}:list=1") as client:
        await client.create()
        struck = await client.http.get(SUBSCRIPTIONS)
        assert (struck.status_code, struck.headers.get("retry-after")) == (status, retry_after)
        assert (await client.http.get(SUBSCRIPTIONS)).status_code == 200


async def test_a_burst_over_the_spike_limit_is_answered_429() -> None:
    async with simulated("spike-limit=3") as client:
        assert [(await client.http.get(SUBSCRIPTIONS)).status_code for _ in range(3)] == [200, 200, 429]


async def test_a_create_can_be_carried_out_and_its_answer_lost() -> None:
    async with simulated("reset-after-post=1") as client:
        with pytest.raises(httpx.NetworkError):
            await client.create()
        assert len(client.simulator.subscriptions) == 1


async def test_a_slow_body_comes_in_halves() -> None:
    async with simulated() as client:
        client.simulator.set_faults("slow-body=30")
        with pytest.raises(httpx.ReadTimeout):
            await client.http.get(SUBSCRIPTIONS, timeout=0.2)


# The stream


async def test_the_snapshot_then_live_lead_to_the_truth() -> None:
    async with simulated(rate=4000.0) as client, streaming(client) as socket:
        received = await messages(socket, 200)
        types = [each["payloadType"] for each in received]
        assert types == ["INITIALIZING"] * 8 + ["LIVE"] * 192
        client.simulator.set_rate(0)
        while len(received) < client.simulator.messages_sent or client.simulator.sockets[0].outgoing.bytes:
            received += await messages(socket, 1)
        truth = {key: value for key, value in client.simulator.truth().items() if key[2] == AGENTS}
        assert merged(received) == truth


async def test_the_log_names_every_message_in_the_order_sent() -> None:
    async with simulated(rate=4000.0) as client, streaming(client, QUEUES) as socket:
        for message, entry in zip(await messages(socket, 100), client.simulator.log, strict=False):
            assert tuple(message["keys"].items()) == entry.keys
            assert (message["payloadType"], message["eventAction"]) == (
                entry.payload_type,
                entry.event_action,
            )
            assert digest(message["measures"]) == entry.marker
            assert entry.producer == QUEUES
            assert not entry.odd


@pytest.mark.parametrize("producer", [AGENTS, QUEUES])
async def test_no_two_live_messages_are_alike_and_all_values_are_strings(producer: str) -> None:
    async with simulated(rate=2000.0, keys=2) as client, streaming(client, producer) as socket:
        received = await messages(socket, 500)
        assert len({json.dumps(each, sort_keys=True) for each in received}) == 500
        assert all(isinstance(value, str) for each in received for value in each["measures"].values())


async def test_a_live_agent_message_is_as_large_as_the_seed_example() -> None:
    async with simulated(rate=4000.0) as client, streaming(client) as socket:
        received = await messages(socket, 58)
        sizes = [len(json.dumps(each, separators=(",", ":"))) for each in received[8:]]
        assert 540 <= sum(sizes) / len(sizes) <= 620


async def test_live_is_partial_unless_switched_to_full() -> None:
    async with simulated(rate=1000.0) as client, streaming(client, QUEUES) as socket:
        assert len((await messages(socket, 9))[8]["measures"]) < 6
        client.simulator.set_faults("live-full")
        full = await messages(socket, 20)
        assert len(full[-1]["measures"]) == 17


async def test_keys_are_added_changed_and_deleted_on_request() -> None:
    async with simulated(keys=2) as client, streaming(client) as socket:
        state = merged(await messages(socket, 2))
        client.simulator.add_keys(2)
        client.simulator.upsert(AGENTS, {"agentId": "x"}, {"agentState": "READY"})
        client.simulator.remove_keys(1)
        assert client.simulator.delete(AGENTS, {"agentId": "x"})
        received = await messages(socket, 5)
        assert [each["eventAction"] for each in received] == ["UPSERT"] * 3 + ["DELETE"] * 2
        assert "measures" not in received[-1]
        truth = {key: value for key, value in client.simulator.truth().items() if key[2] == AGENTS}
        assert merged(received, state) == truth
        client.simulator.remove_keys(1, silent=True)
        assert await is_quiet(socket)


@pytest.mark.parametrize(
    "frame",
    ["no json", '{"event":"subscribe","token":"x"}', '{"event":"authentication"}', "[]", b"\x00\x01"],
)
async def test_a_malformed_first_frame_is_a_constraint_violation_and_a_close(frame: str | bytes) -> None:
    async with simulated() as client, opened(await client.create()) as socket:
        await socket.send_message(frame)
        assert json.loads(await socket.get_message()) == {
            "event": "authenticationResponse",
            "status": "CONNECTION_FAILED_CONSTRAINT_VIOLATION",
        }
        assert await until_closed(socket) == 1000


async def test_a_silent_client_is_closed() -> None:
    async with simulated("auth-silence-seconds=0.1") as client, opened(await client.create()) as socket:
        assert await until_closed(socket) == 1000


async def test_an_invalid_token_is_said_and_the_socket_left_open_only_by_switch() -> None:
    async with simulated() as client:
        subscription = await client.create()
        client.token = "garbage"
        async with opened(subscription) as socket:
            assert await client.authenticate(socket, subscription) == "CONNECTION_FAILED_INVALID_TOKEN"
            assert await until_closed(socket) == 1000
        client.simulator.set_faults("invalid-token-keeps-open")
        async with opened(subscription) as socket:
            assert await client.authenticate(socket, subscription) == "CONNECTION_FAILED_INVALID_TOKEN"
            await client.renew_token()
            assert await client.authenticate(socket, subscription) == CONFIRMED


async def test_a_subscription_that_is_not_active_is_unknown() -> None:
    async with simulated("pending-seconds=0.3") as client:
        subscription = await client.create()
        assert subscription["status"] == "PENDING"
        async with opened(subscription) as socket:
            assert await client.authenticate(socket, subscription) == "CONNECTION_FAILED_UNKNOWN_SUBSCRIPTION"
        pending = client.simulator.subscriptions[subscription["subscriptionId"]].pending_until
        await trio.sleep_until(pending)
        async with opened(subscription) as socket:
            assert await client.authenticate(socket, subscription) == CONFIRMED


async def test_pending_can_last_for_ever() -> None:
    async with simulated("pending-forever") as client:
        subscription = await client.create()
        assert client.simulator.subscriptions[subscription["subscriptionId"]].pending_until == math.inf


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("unknown-subscription", "CONNECTION_FAILED_UNKNOWN_SUBSCRIPTION"),
        ("auth-internal-error", "CONNECTION_FAILED_INTERNAL_SERVER_ERROR"),
        ("auth-constraint-violation", "CONNECTION_FAILED_CONSTRAINT_VIOLATION"),
        ("auth-unknown-status", "CONNECTION_FAILED_TENANT_MIGRATED"),
        ("invalid-token", "CONNECTION_FAILED_INVALID_TOKEN"),
    ],
)
async def test_a_refusal_by_switch_strikes_once(fault: str, status: str) -> None:
    async with simulated(fault) as client:
        subscription = await client.create()
        async with opened(subscription) as socket:
            assert await client.authenticate(socket, subscription) == status
        async with opened(subscription) as socket:
            assert await client.authenticate(socket, subscription) == CONFIRMED


async def test_an_authentication_can_go_unanswered() -> None:
    async with simulated("auth-no-reply") as client:
        subscription = await client.create()
        async with opened(subscription) as socket:
            with trio.move_on_after(0.2) as waited:
                await client.authenticate(socket, subscription)
            assert waited.cancelled_caught


async def test_documented_variants_of_spelling_come_by_switch() -> None:
    faults = ("auth-reply-upper", "endpoint-bare", "fractions-3", "extra-fields", "problem-status-string")
    async with simulated(*faults, "expires-at-far") as client:
        subscription = await client.create()
        assert subscription["transport"]["endpoint"].endswith("/ws/notification/v1/analytics/realtime")
        assert len(subscription["createdAt"].split(".")[1]) == len("123Z")
        assert "revision" in subscription
        assert (await client.http.get(f"{PRODUCERS}/x")).json()["status"] == "404"
        async with opened(subscription) as socket:
            frame = {"event": "authentication", "token": client.token, **subscription}
            await socket.send_message(json.dumps(frame))
            reply, first = await messages(socket, 2)
            assert reply["event"] == "AUTHENTICATION_RESPONSE"
            assert "traceContext" in first


async def test_a_missing_ping_closes_and_makes_inactive_and_renew_revives() -> None:
    async with simulated(ping_interval=2) as client:
        subscription = await client.create()
        async with opened(subscription) as socket:
            await client.authenticate(socket, subscription)
            await trio.sleep(1.1)
            await socket.ping()
            await trio.sleep(1.1)
            assert await client.status(subscription) == "ACTIVE"
            assert await until_closed(socket) == 1000
        assert await client.status(subscription) == "INACTIVE"
        await client.http.post(f"{SUBSCRIPTIONS}/{subscription['subscriptionId']}:renew")
        assert await client.status(subscription) == "ACTIVE"


async def test_expiry_closes_the_socket_by_default() -> None:
    async with simulated(rate=1000.0) as client, streaming(client) as socket:
        client.simulator.expire_tokens()
        assert await until_closed(socket) == 1000


async def test_expiry_can_leave_the_socket_streaming() -> None:
    async with simulated("expiry-keeps", rate=1000.0) as client, streaming(client) as socket:
        client.simulator.expire_tokens()
        await messages(socket, 50)


async def test_expiry_can_silence_the_socket_while_pongs_go_on() -> None:
    async with simulated("expiry-silent") as client, streaming(client) as socket:
        await messages(socket, 8)
        client.simulator.expire_tokens()
        await socket.ping()
        client.simulator.add_keys(1)
        await socket.ping()
        assert await is_quiet(socket)


async def test_renewing_in_time_keeps_the_socket() -> None:
    async with simulated(token_seconds=1.5) as client:
        subscription = await client.create()
        async with opened(subscription) as socket:
            await client.authenticate(socket, subscription)
            client.simulator.set_faults("token-seconds=900")
            await client.renew_token()
            await client.http.post(f"{SUBSCRIPTIONS}/{subscription['subscriptionId']}:renew")
            await trio.sleep(1.6)
            await socket.ping()


@pytest.mark.parametrize(
    ("fault", "replies"),
    [
        ("reauth-ignored", []),
        ("reauth-confirmed", [CONFIRMED]),
        ("reauth-snapshot", [CONFIRMED, "INITIALIZING", "INITIALIZING"]),
        ("reauth-closes", [1000]),
    ],
)
async def test_a_second_authentication_is_answered_as_switched(fault: str, replies: list[Any]) -> None:
    async with simulated(fault, keys=2) as client:
        subscription = await client.create()
        async with opened(subscription) as socket:
            await client.authenticate(socket, subscription)
            await messages(socket, 2)
            frame = {
                "event": "authentication",
                "subscriptionId": subscription["subscriptionId"],
                "token": client.token,
            }
            await socket.send_message(json.dumps(frame))
            if replies == [1000]:
                assert await until_closed(socket) == 1000
                return
            received = await messages(socket, len(replies))
            assert [each.get("status") or each["payloadType"] for each in received] == replies
            assert await is_quiet(socket)


@pytest.mark.parametrize("fault", ["second-replaces", "second-refused", "second-both"])
async def test_a_second_socket_is_treated_as_switched(fault: str) -> None:
    async with simulated(fault, keys=1) as client:
        subscription = await client.create()
        async with opened(subscription) as first, opened(subscription) as second:
            await client.authenticate(first, subscription)
            await messages(first, 1)
            status = await client.authenticate(second, subscription)
            client.simulator.add_keys(1)
            if fault == "second-refused":
                assert status == "CONNECTION_FAILED_INTERNAL_SERVER_ERROR"
                await messages(first, 1)
                return
            assert status == CONFIRMED
            await messages(second, 2)
            if fault == "second-replaces":
                assert await until_closed(first) == 1000
            else:
                await messages(first, 1)


@pytest.mark.parametrize(
    ("fault", "keys"), [("snapshot-empty", 0), ("snapshot-one", 1), ("snapshot-large=300", 300)]
)
async def test_the_snapshot_has_the_size_that_is_switched(fault: str, keys: int) -> None:
    async with simulated(fault) as client, streaming(client) as socket:
        received = await messages(socket, keys)
        assert all(each["payloadType"] == "INITIALIZING" for each in received)
        assert await is_quiet(socket)


async def test_a_snapshot_can_be_slow_or_rest_midway_while_live_waits() -> None:
    async with simulated("snapshot-slow=40", "snapshot-pause=0.1", rate=400.0) as client:
        began = trio.current_time()
        async with streaming(client) as socket:
            received = await messages(socket, 20)
            assert [each["payloadType"] for each in received] == ["INITIALIZING"] * 8 + ["LIVE"] * 12
            assert trio.current_time() - began > 0.25


async def test_only_the_first_socket_gets_a_snapshot_by_switch() -> None:
    async with simulated("snapshot-first-only") as client:
        subscription = await client.create()
        async with opened(subscription) as socket:
            await client.authenticate(socket, subscription)
            await messages(socket, 8)
        async with opened(subscription) as socket:
            await client.authenticate(socket, subscription)
            assert await is_quiet(socket)


async def test_a_snapshot_can_come_again_in_the_middle() -> None:
    async with simulated("snapshot-again=0.1", keys=2) as client, streaming(client) as socket:
        assert [each["payloadType"] for each in await messages(socket, 6)] == ["INITIALIZING"] * 6


async def test_live_can_be_mixed_into_the_snapshot_and_still_lead_to_the_truth() -> None:
    async with simulated("live-in-snapshot", keys=40) as client, streaming(client) as socket:
        received = await messages(socket, 43)
        types = [each["payloadType"] for each in received]
        assert "LIVE" in types[:42]
        assert merged(received) == {k: v for k, v in client.simulator.truth().items() if k[2] == AGENTS}


@pytest.mark.parametrize("fault", sorted(ODDITIES))
async def test_an_odd_message_is_sent_and_marked_in_the_log(fault: str) -> None:
    async with simulated(f"{fault}=1", rate=200.0, keys=1) as client, streaming(client) as socket:
        if fault == "invalid-utf8":
            assert await until_closed(socket) == 1007
            return
        received = [await socket.get_message() for _ in range(4)]
        log = client.simulator.log[:4]
        regular = fault in ("repeat-upserts", "upsert-after-delete")
        assert [each.odd for each in log] == [False, False, *((False, False) if regular else (True, False))]
        if fault == "repeat-upserts":
            assert received[1] == received[2]
        if fault == "upsert-after-delete":
            assert [json.loads(each)["eventAction"] for each in received[2:]] == ["DELETE", "UPSERT"]
        if fault == "huge-frame":
            assert len(received[2]) > 2**20
        assert not any("odd-" in repr(key) for key in client.simulator.truth())


@pytest.mark.parametrize("fault", ["non-ascii-names", "awkward-keys", "keys-by-channel"])
async def test_other_names_and_keys_are_in_stream_and_truth_alike(fault: str) -> None:
    async with simulated(fault) as client, streaming(client, QUEUES) as socket:
        received = await messages(socket, 8)
        assert merged(received) == {k: v for k, v in client.simulator.truth().items() if k[2] == QUEUES}
        if fault == "keys-by-channel":
            assert list(received[0]["keys"]) == ["channelId"]
        else:
            assert not json.dumps(received, ensure_ascii=False).isascii()


async def test_fragments_and_arrays_carry_the_same_messages() -> None:
    async with simulated("fragmented", "non-ascii-names") as client:
        async with streaming(client, QUEUES) as socket:
            assert len(await messages(socket, 8)) == 8
        client.simulator.set_faults("array-frames")
        async with streaming(client, QUEUES) as socket:
            assert len(json.loads(await socket.get_message())) == 8


def test_a_message_that_is_no_json_spoils_no_array() -> None:
    envelope = Envelope("ABCDEF", "IXCC_1.0.0", QUEUES, (("queueId", "q-1"),))
    live = envelope.live({"Offered": "1"})
    [bad] = ODDITIES["bad-json"](None, live, b"}")
    payloads = array_frames([live, live, bad, live])[1::2]
    assert [json.loads(payloads[0]), json.loads(payloads[2])] == [
        [json.loads(live.payload)] * n for n in (2, 1)
    ]
    assert payloads[1] == bad.payload


async def test_keys_vanish_without_a_delete_while_the_client_is_away() -> None:
    async with simulated("vanish-while-away=3") as client:
        async with streaming(client) as socket:
            await messages(socket, 8)
        await eventually(lambda: not client.simulator.sockets)
        async with streaming(client) as socket:
            await messages(socket, 5)
            assert await is_quiet(socket)


async def test_midnight_brings_all_counters_to_zero_and_a_silent_night_no_data() -> None:
    async with simulated("silent-night", rate=4000.0, keys=3) as client, streaming(client, QUEUES) as socket:
        await messages(socket, 3)
        assert await is_quiet(socket)
        client.simulator.reset_counters()
        assert [each["measures"]["Offered"] for each in await messages(socket, 3)] == ["0"] * 3


async def test_a_half_open_socket_says_nothing_any_more() -> None:
    async with simulated("half-open=1", rate=1000.0) as client, streaming(client) as socket:
        await trio.sleep(1.2)
        with trio.move_on_after(0.3) as waited:
            await socket.ping()
        assert waited.cancelled_caught
        assert [each.phase.value for each in client.simulator.sockets] == ["dead"]


async def test_pongs_can_be_withheld_or_late_while_data_flows() -> None:
    async with simulated("no-pong", rate=1000.0) as client, streaming(client) as socket:
        with trio.move_on_after(0.2) as waited:
            await socket.ping()
        assert waited.cancelled_caught
        client.simulator.set_faults("late-pong=0.2")
        began = trio.current_time()
        await socket.ping()
        assert trio.current_time() - began >= 0.2


@pytest.mark.parametrize(("mode", "code"), [("fin", 1006), ("rst", 1006), ("close:1011", 1011)])
async def test_sockets_are_dropped_as_asked(mode: str, code: int) -> None:
    async with simulated() as client, streaming(client) as socket:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.simulator.drop_sockets, mode)
            assert await until_closed(socket) == code
        assert not client.simulator.sockets


async def test_sockets_are_dropped_every_now_and_then_by_switch() -> None:
    async with simulated("close-every=0.1") as client:
        for _ in range(2):
            async with streaming(client) as socket:
                assert await until_closed(socket) == 1011


async def test_a_slow_reader_is_reset_by_switch() -> None:
    async with simulated("slow-reader-dropped=100000", keys=100) as client:
        subscription = await client.create()
        async with upgraded(subscription["transport"]["endpoint"], queue=1) as socket:
            await client.authenticate(socket, subscription)
            client.simulator.set_rate(50_000)
            await eventually(lambda: not client.simulator.sockets)


async def test_deleting_a_subscription_closes_its_socket() -> None:
    async with simulated() as client:
        subscription = await client.create()
        async with opened(subscription) as socket:
            await client.authenticate(socket, subscription)
            await client.http.delete(f"{SUBSCRIPTIONS}/{subscription['subscriptionId']}")
            assert await until_closed(socket) == 1000


async def test_an_upgrade_can_be_refused_and_other_paths_are() -> None:
    async with simulated("upgrade-503=1") as client:
        subscription = await client.create()
        with pytest.RaisesGroup(ConnectionRejected) as refused:
            async with opened(subscription):
                pass
        assert refused.value.exceptions[0].status_code == 503
        with pytest.RaisesGroup(ConnectionRejected) as refused:
            async with upgraded(client.simulator.base_url + "/elsewhere"):
                pass
        assert refused.value.exceptions[0].status_code == 404


@pytest.mark.parametrize(
    "head", [b"nonsense\r\n\r\n", b"GET /ws/notification/v1/analytics/realtime HTTP/1.1\r\nHost: x\r\n"]
)
async def test_a_broken_request_ends_its_own_connection_only(head: bytes) -> None:
    async with simulated() as client:
        stream = await trio.open_tcp_stream("127.0.0.1", client.simulator.port)
        async with stream:
            await stream.send_all(head + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            assert await stream.receive_some() == b""
        assert (await client.http.get(SUBSCRIPTIONS)).status_code == 200


async def test_rest_and_websocket_are_served_over_tls_on_one_port() -> None:
    authority = trustme.CA()
    server, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(trusting)
    options = AvayaOptions(ssl_context=server, public_host="localhost", keys=2)
    with trio.fail_after(60):
        async with open_avaya_simulator(options) as simulator:
            async with httpx.AsyncClient(
                base_url=simulator.base_url,
                verify=trusting,
                headers={"appkey": "simulated-appkey"},
                trust_env=False,
            ) as http:
                client = Client(http)
                await client.renew_token()
                subscription = await client.create()
            assert subscription["transport"]["endpoint"].startswith("wss://localhost:")
            async with opened(subscription, trusting) as socket:
                assert await client.authenticate(socket, subscription) == CONFIRMED
                await messages(socket, 2)


# Switches and commands


async def test_every_mistake_in_the_switches_is_told_at_once() -> None:
    wrong = {
        "expiry-close",
        "expiry-keeps",
        "expiry-silent",
        "drop-every=soon",
        "silent-night=3",
        "half-open:list",
    }
    with pytest.raises(ConfigError) as refused:
        async with open_avaya_simulator(AvayaOptions(faults=frozenset(wrong))):
            pass
    text = str(refused.value)
    assert all(name in text for name in FAULTS)
    assert len(refused.value.problems) == 5


async def test_an_unknown_producer_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="Team_itd"):
        async with open_avaya_simulator(AvayaOptions(producers=("Team_itd_1.0.0",))):
            pass


def test_every_row_of_the_contract_has_a_switch() -> None:
    assert {int(text.split(",")[0].removeprefix("row ")) for text in FAULTS.values()} == set(range(1, 20))


async def test_another_process_can_steer_and_judge_it_by_http() -> None:
    async with simulated(keys=2) as client, streaming(client) as socket:
        await messages(socket, 2)
        control = client.http

        async def command(name: str, **asked: Any) -> dict[str, Any]:
            response = await control.post(f"/_simulator/{name}", json=asked)
            assert response.status_code == 200, response.text
            return response.json()

        await command("add-keys", count=1, producer=AGENTS)
        await command("upsert", producer=AGENTS, keys={"agentId": "x"}, measures={"agentState": "BUSY"})
        await command("rate", rate=100)
        await messages(socket, 4)
        await command("rate", rate=0)
        log = (await control.get("/_simulator/log", params={"since": "2", "limit": "2"})).json()
        assert [each["payload_type"] for each in log["entries"]] == ["LIVE", "LIVE"]
        assert log["next"] == 4
        truth = (await control.get("/_simulator/truth")).json()
        assert {"agentId": "x"} in [each["keys"] for each in truth]
        assert (await command("faults", faults=["no-pong"]))["faults"] == ["no-pong"]
        assert (await control.post("/_simulator/faults", json={"faults": ["x"]})).status_code == 400
        assert (await control.get("/_simulator/state")).json()["sockets"][0]["phase"] == "live"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(until_closed, socket)
            assert await command("drop", mode="close:1012") == {"dropped": 1}


async def test_the_module_serves_and_prints_a_connector_table_and_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    arguments = [
        "--rate",
        "100",
        "--keys",
        "3",
        "--fault",
        "live-full",
        "--log",
        str(log),
        "--producer",
        AGENTS,
    ]
    with trio.fail_after(60):
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "streamd.simulators.avaya", *arguments], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        printed = b""
        while b"measure_producers" not in printed:
            printed += await process.stdout.receive_some()
        table = tomllib.loads(printed.decode().split("\n", 1)[1])["connectors"]["avaya-sim"]
        assert table["measure_producers"] == [AGENTS]
        headers = {"appkey": table["appkey"]}
        async with httpx.AsyncClient(
            base_url=table["base_url"], headers=headers, verify=NO_TLS, trust_env=False
        ) as http:
            client = Client(http)
            await client.renew_token()
            async with streaming(client) as socket:
                await messages(socket, 5)
        process.terminate()
        assert await process.wait() == 0
        await process.stdout.aclose()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [each["payload_type"] for each in lines[:4]] == ["INITIALIZING"] * 3 + ["LIVE"]
