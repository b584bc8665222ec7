"""The O2G simulator keeps to the documents by default, and to each switch that is named."""

from __future__ import annotations

import copy
import json
import re
import ssl
import subprocess
import sys
import tomllib
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import h11
import httpx
import pytest
import trio
import trustme

import streamd.simulators.o2g as package
from streamd.errors import ConfigError
from streamd.simulators.o2g import FAULTS, O2gOptions, O2gSimulator, digest, open_o2g_simulator
from streamd.simulators.o2g.faults import OPERATIONS, SWITCHES
from streamd.simulators.o2g.oddities import ODDITIES

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # httpx otherwise loads the CA bundle for each client
ALL = [{"ids": ["*"], "names": ["telephony", "agent"]}]
STARTED = {"eventName": "OnChannelInformation", "text": "Chunk started"}
KEEPALIVE = {"eventName": "OnChannelInformation", "text": "keepalive"}
A, B, C = "oxe1001", "oxe1002", "oxe1003"


class Ended(Exception):
    """A channel ended: `clean` with the last chunk, else in mid-body."""

    def __init__(self, *, clean: bool, rest: bytes) -> None:
        super().__init__(f"clean={clean}")
        self.clean, self.rest = clean, rest


class Channel:
    """One open channel, read by h11 chunk by chunk."""

    def __init__(self, stream: trio.SocketStream, connection: h11.Connection, head: h11.Response) -> None:
        self.status = head.status_code
        self.read = 0
        self.chunks: list[bytes] = []
        self._stream, self._connection, self._buffer = stream, connection, b""

    async def chunk(self) -> bytes:
        while True:
            event = self._connection.next_event()
            if event is h11.NEED_DATA:
                await self._feed()
            elif isinstance(event, h11.Data):
                self.chunks.append(bytes(event.data))
                return bytes(event.data)
            else:
                raise Ended(clean=True, rest=self._buffer)

    async def _feed(self) -> None:
        try:
            data = await self._stream.receive_some(65536)
        except trio.BrokenResourceError as error:
            raise Ended(clean=False, rest=self._buffer) from error
        if not data:
            raise Ended(clean=False, rest=self._buffer)
        self._connection.receive_data(bytes(data))

    async def line(self) -> bytes:
        while b"\n" not in self._buffer:
            self._buffer += await self.chunk()
        line, _, self._buffer = self._buffer.partition(b"\n")
        self.read += 1
        return line

    async def event(self) -> dict[str, Any]:
        return json.loads(await self.line())

    async def events(self, count: int) -> list[dict[str, Any]]:
        return [await self.event() for _ in range(count)]

    async def all_sent(self, simulator: O2gSimulator) -> list[dict[str, Any]]:
        """Read all that the simulator, which is quiet now, has sent on this, its only channel so far."""
        found = []
        while self.read < simulator.lines_sent or simulator.channels[0].bytes:
            found.append(await self.event())
        return found

    async def until(self, name: str, **fields: Any) -> dict[str, Any]:
        while True:
            event = await self.event()
            if event["eventName"] == name and fields.items() <= event.items():
                return event

    async def to_end(self) -> tuple[list[bytes], Ended]:
        lines: list[bytes] = []
        while True:
            try:
                lines.append(await self.line())
            except Ended as ended:
                return lines, ended


class Client:
    """A plain client of one host."""

    def __init__(self, simulator: O2gSimulator, http: httpx.AsyncClient) -> None:
        self.simulator, self.http, self.base, self.session = simulator, http, "", {}

    async def authenticate(self, login: str = "admin", password: str = "") -> httpx.Response:
        info = (await self.http.get("/api/rest")).json()
        known = "simulated-password" if login == "admin" else "simulated-code"
        return await self.http.get(info["versions"][0]["publicUrl"], auth=(login, password or known))

    async def log_in(self, login: str = "admin") -> None:
        authenticated = (await self.authenticate(login)).json()
        opened = await self.http.post(authenticated["publicUrl"], json={"applicationName": "test"})
        assert opened.status_code == 200, opened.text
        self.session = opened.json()
        self.base = self.session["publicBaseUrl"]

    async def get(self, path: str) -> httpx.Response:
        return await self.http.get(self.base + path)

    async def post(self, path: str, body: Any = None) -> httpx.Response:
        return await self.http.post(self.base + path, json=body)

    async def keepalive(self) -> int:
        return (await self.post("/sessions/keepalive")).status_code

    async def subscribe(self, selectors: Any = None, timeout: int = 0) -> dict[str, Any]:
        response = await self.ask(selectors or ALL, timeout)
        assert response.status_code == 200, response.text
        return response.json()

    async def ask(self, selectors: Any, timeout: int = 0) -> httpx.Response:
        body = {"filter": {"selectors": selectors}, "version": "1.0", "timeout": timeout}
        return await self.post("/subscriptions", body)


@asynccontextmanager
async def client_of(simulator: O2gSimulator, host: int = 0, login: str = "admin") -> AsyncIterator[Client]:
    async with httpx.AsyncClient(base_url=simulator.base_urls[host], verify=NO_TLS, trust_env=False) as http:
        client = Client(simulator, http)
        if login:
            await client.log_in(login)
        yield client


@asynccontextmanager
async def simulated(*faults: str, login: str = "admin", **options: Any) -> AsyncIterator[Client]:
    options.setdefault("users", 6)
    options.setdefault("agents", 2)
    with trio.fail_after(20):
        async with (
            open_o2g_simulator(O2gOptions(faults=frozenset(faults), **options)) as simulator,
            client_of(simulator, login=login) as client,
        ):
            yield client


@asynccontextmanager
async def opened(subscription: dict[str, Any], method: str = "POST") -> AsyncIterator[Channel]:
    """Open a channel without a cookie; leaving cuts the connection."""
    url = urlsplit(subscription["publicPollingUrl"])
    assert url.hostname is not None
    assert url.port is not None
    stream = await trio.open_tcp_stream(url.hostname, url.port)
    try:
        connection = h11.Connection(h11.CLIENT)
        request = h11.Request(
            method=method,
            target=f"{url.path}?{url.query}",
            headers=[("Host", url.netloc), ("Content-Length", "0")],
        )
        await stream.send_all(connection.send(request) + connection.send(h11.EndOfMessage()))
        while (head := connection.next_event()) is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(65536)))
        assert isinstance(head, h11.Response)
        yield Channel(stream, connection, head)
    finally:
        await trio.aclose_forcefully(stream)


@asynccontextmanager
async def listening(
    client: Client, selectors: Any = None, timeout: int = 0
) -> AsyncIterator[tuple[Channel, dict[str, Any]]]:
    subscription = await client.subscribe(selectors, timeout)
    async with opened(subscription) as channel:
        assert await channel.event() == STARTED
        yield channel, subscription


async def status_of_channel(subscription: dict[str, Any]) -> int:
    async with opened(subscription) as channel:
        return channel.status


async def eventually(condition: Callable[[], bool]) -> None:
    while not condition():
        await trio.sleep(0.005)


def names(events: Iterable[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Return login, event and what state it tells."""
    found = []
    for event in events:
        state = event.get("state") or event.get("callData", {}).get("state", "")
        found.append((event["loginName"], event["eventName"].removeprefix("On"), state))
    return found


class Fold:
    """What a client that knows section 2.2 makes of the events it reads."""

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str], dict[str, Any]] = {}
        self.users: dict[str, str] = {}
        self.agents: dict[str, Any] = {}

    def take(self, event: dict[str, Any]) -> None:
        login = event.get("loginName", "")
        match event["eventName"]:
            case "OnTelephonyState":
                for key in [key for key in self.calls if key[0] == login]:
                    del self.calls[key]
                for call in event["state"]["calls"]:
                    self._put(login, call)
                self.users[login] = event["state"]["userState"]
            case "OnCallCreated":
                self._put(login, event)
            case "OnCallModified":
                self._modify(login, event)
            case "OnCallRemoved":
                self.calls.pop((login, event["callRef"]), None)
            case "OnUserStateModified":
                self.users[login] = event["state"]
            case "OnAgentStateChanged":
                self.agents[login] = event["state"]

    def _put(self, login: str, call: dict[str, Any]) -> None:
        self.calls[login, call["callRef"]] = {
            "callData": call["callData"],
            "legs": {each["deviceId"]: each for each in call["legs"]},
            "participants": {each["participantId"]: each for each in call["participants"]},
        }

    def _modify(self, login: str, event: dict[str, Any]) -> None:
        call = self.calls.pop((login, event.get("previousCallRef") or event["callRef"]), None)
        if call is None:
            return
        call["callData"] = event.get("callData") or call["callData"]
        for each in event["modifiedLegs"] + event["addedLegs"]:
            call["legs"][each["deviceId"]] = each
        for each in event["modifiedParticipants"] + event["addedParticipants"]:
            call["participants"][each["participantId"]] = each
        for gone in event["removedParticipantIds"]:
            call["participants"].pop(gone, None)
        self.calls[login, event["callRef"]] = call


def true_fold(simulator: O2gSimulator) -> Fold:
    fold = Fold()
    for (login, _), call in simulator.calls().items():
        fold._put(login, copy.deepcopy(call))
    truth = simulator.truth()
    fold.users = {login: state["userState"] for login, state in truth["users"].items()}
    fold.agents = truth["agents"]
    return fold


def folded(events: Iterable[dict[str, Any]]) -> Fold:
    fold = Fold()
    for event in events:
        fold.take(event)
    return fold


def agrees(fold: Fold, simulator: O2gSimulator) -> bool:
    true = true_fold(simulator)
    users = all(true.users[login] == state for login, state in fold.users.items())
    agents = all(true.agents[login] == state for login, state in fold.agents.items())
    return fold.calls == true.calls and users and agents


# Up to a session


async def test_discovery_names_the_authentication_url_and_only_get_is_allowed() -> None:
    async with simulated(login="") as client:
        info = (await client.http.get("/api/rest")).json()
        assert info["serverInfo"]["productType"] == "O2G"
        assert info["versions"][0]["status"] == "CURRENT"
        assert info["versions"][0]["publicUrl"].endswith("/api/rest/authenticate?version=1.0")
        assert (await client.http.post("/api/rest")).status_code == 405


async def test_the_token_travels_in_a_cookie_and_in_the_body() -> None:
    async with simulated(login="") as client:
        answer = await client.authenticate()
        token = answer.json()["credential"]
        assert answer.headers["set-cookie"] == f"AlcUserId={token}; Path=/"
        assert token.count(".") == 2
        client.simulator.set_faults("token-in-body-only")
        assert "set-cookie" not in (await client.authenticate()).headers
        client.simulator.set_faults("token-in-cookie-only", "secure-cookie")
        answer = await client.authenticate()
        assert "credential" not in answer.json()
        assert answer.headers["set-cookie"].endswith("; Path=/; Secure")


async def test_authentication_without_credentials_or_with_wrong_ones_is_a_401() -> None:
    async with simulated(login="") as client:
        url = "/api/rest/authenticate?version=1.0"
        assert (await client.http.get(url)).status_code == 401
        assert (await client.authenticate(password="wrong")).status_code == 401
        assert (await client.authenticate("nobody")).status_code == 401
        broken = {"Authorization": "Basic " + b64encode(b"\xff\xfe").decode()}
        assert (await client.http.get(url, headers=broken)).status_code == 401
        assert (await client.authenticate("1001")).status_code == 200


async def test_an_account_that_locks_refuses_the_right_password_after_wrong_ones() -> None:
    async with simulated("account-locks=2", login="") as client:
        await client.authenticate(password="wrong")
        assert (await client.authenticate()).status_code == 200
        await client.authenticate(password="wrong")
        assert (await client.authenticate()).status_code == 401


async def test_a_session_tells_base_urls_services_and_its_time_to_live_in_seconds() -> None:
    async with simulated() as client:
        session = client.session
        assert session["timeToLive"] == 1800
        assert session["admin"] is True
        assert {"Subscriptions", "Telephony", "Logins"} <= {
            each["serviceName"] for each in session["services"]
        }
        assert session["otherSessions"] == []
        assert "JSESSIONID" in client.http.cookies
        await client.log_in()
        assert len(client.session["otherSessions"]) == 1
        again = (await client.get("/sessions")).json()
        assert again["login"] == "admin"


async def test_a_session_without_an_application_name_is_refused_with_error_info() -> None:
    async with simulated() as client:
        answer = await client.post("/sessions", {})
        assert answer.status_code == 400
        assert answer.json()["httpStatus"] == "BAD_REQUEST"
        assert answer.json()["canRetry"] is True
        client.simulator.set_faults("error-type-capital")
        assert "Type" in (await client.post("/sessions", {})).json()


async def test_a_dead_token_is_403_or_what_the_switch_says() -> None:
    async with simulated() as client:
        client.http.cookies.clear()
        assert (await client.get("/logins")).status_code == 403
        client.simulator.set_faults("expired-401")
        assert (await client.get("/logins")).status_code == 401


@pytest.mark.parametrize(
    ("fault", "status"), [("expired-403", 403), ("expired-401", 401), ("expired-404", 404)]
)
async def test_a_dead_session_is_told_from_the_keepalive(fault: str, status: int) -> None:
    async with simulated(fault) as client:
        assert await client.keepalive() == 204
        client.simulator.expire_sessions()
        assert await client.keepalive() == status


async def test_a_session_ends_after_thirty_minutes_without_a_request_and_any_request_resets_them() -> None:
    async with simulated(time_scale=1500) as client:
        for ask in (client.keepalive, lambda: client.get("/logins"), client.keepalive):
            await trio.sleep(0.45)
            await ask()
        assert len(client.simulator.sessions) == 1
        await eventually(lambda: not client.simulator.sessions)
        assert await client.keepalive() == 403


async def test_the_channel_of_a_session_ends_with_it_although_it_was_busy() -> None:
    async with simulated(time_scale=1800 / 0.3, rate=200) as client, listening(client) as (channel, _):
        lines, ended = await channel.to_end()
        assert ended.clean
        assert len(lines) > 5


async def test_lines_on_the_channel_keep_the_session_where_the_switch_says_so() -> None:
    async with (
        simulated("channel-keeps-session", time_scale=1800, rate=200) as client,
        listening(client),
    ):
        await trio.sleep(1.3)
        assert await client.keepalive() == 204


async def test_a_channel_can_stream_on_when_its_session_is_gone_but_not_be_reopened() -> None:
    async with simulated("expiry-keeps-channel") as client, listening(client) as (channel, subscription):
        client.simulator.expire_sessions()
        assert await client.keepalive() == 403
        client.simulator.place_call(A, B)
        assert (await channel.event())["eventName"] == "OnCallCreated"
        assert await status_of_channel(subscription) == 404


async def test_a_tiny_time_to_live_is_told_and_held() -> None:
    async with simulated("session-seconds=0.3") as client:
        assert client.session["timeToLive"] == 0.3
        await eventually(lambda: not client.simulator.sessions)


async def test_a_session_id_that_is_required_must_come_back() -> None:
    async with simulated("jsessionid-required") as client:
        assert await client.keepalive() == 204
        client.http.cookies.delete("JSESSIONID")
        assert await client.keepalive() == 403
    async with simulated("no-jsessionid") as client:
        assert "JSESSIONID" not in client.http.cookies
        assert await client.keepalive() == 204


async def test_teardown_answers_204_and_ends_channels() -> None:
    async with simulated() as client, listening(client) as (channel, subscription):
        url = f"{client.base}/subscriptions/{subscription['subscriptionId']}"
        assert (await client.http.delete(url)).status_code == 204
        assert (await channel.to_end())[1].clean
        assert (await client.http.delete(url)).status_code == 404
        assert (await client.http.delete(f"{client.base}/sessions")).status_code == 204
        assert await client.keepalive() == 403


# Users


async def test_an_administrator_sees_all_users_and_a_user_himself() -> None:
    async with simulated() as client:
        logins = (await client.get("/logins")).json()["loginNames"]
        assert len(logins) == 8
        assert (await client.get("/logins?onlyACD")).json()["loginNames"] == ["oxe2001", "oxe2002"]
        assert (await client.get("/logins?nodeIds=1;2")).json()["loginNames"] == []
        user = (await client.get(f"/users/{A}")).json()
        assert user["nodeId"] == "407"
        assert user["devices"][0]["id"] == "1001"
        assert (await client.get("/users/nobody")).status_code == 404
        async with client_of(client.simulator, login=A) as own:
            assert "admin" not in own.session
            assert (await own.get("/logins")).json()["loginNames"] == [A]
            assert (await own.get(f"/users/{B}")).status_code == 403


async def test_a_user_hears_of_himself_whatever_ids_he_asks_for() -> None:
    async with (
        simulated(login=A) as client,
        listening(client, [{"ids": [B], "names": ["telephony"]}]) as (channel, _),
    ):
        client.simulator.place_call(A, B)
        assert {event["loginName"] for event in await channel.events(3)} == {A}


# Subscriptions


async def test_a_subscription_is_accepted_with_both_polling_urls() -> None:
    async with simulated() as client:
        found = await client.subscribe([{"ids": [A, B], "names": ["telephony"]}, {"names": ["system"]}])
        assert found["status"] == "ACCEPTED"
        assert found["mode"] == "CHUNK"
        assert found["publicPollingUrl"].endswith(f"/OTEvents?subscriptionId={found['subscriptionId']}")
        assert str(client.simulator.hosts[0].event_port) in found["privatePollingUrl"]


@pytest.mark.parametrize(
    ("selectors", "timeout"),
    [(ALL, 1), (ALL, 61), ([], 0), ([{"ids": ["*"]}], 0), ([{"ids": [], "names": ["telephony"]}], 0)],
)
async def test_a_bad_subscription_is_a_400(selectors: Any, timeout: int) -> None:
    async with simulated() as client:
        assert (await client.ask(selectors, timeout)).status_code == 400


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("unknown-login-partial", "PARTIAL"),
        ("unknown-login-refused", "REFUSED"),
        ("unknown-login-ignored", "ACCEPTED"),
        ("unknown-login-400", 400),
    ],
)
async def test_a_login_that_cannot_be_monitored_is_answered_as_the_switch_says(
    fault: str, status: Any
) -> None:
    async with simulated(fault, "not-monitored=1") as client:
        for unknown in ("nobody", "oxe2002"):
            answer = await client.ask([{"ids": [A, unknown], "names": ["telephony"]}])
            assert (answer.status_code if status == 400 else answer.json()["status"]) == status


async def test_an_unlicensed_package_is_left_out_and_told() -> None:
    async with simulated("unlicensed:agent") as client:
        found = await client.subscribe()
        assert found["status"] == "PARTIAL"
        assert "agent" in found["message"]
        assert (await client.subscribe([{"ids": ["*"], "names": ["agent"]}]))["status"] == "REFUSED"


@pytest.mark.parametrize("status", ["PARTIAL", "REFUSED", "UNKNOWN"])
async def test_a_subscription_gets_the_status_of_the_switch_as_often_as_it_says(status: str) -> None:
    async with simulated(f"subscribe-{status.lower()}=1") as client:
        ids = [{"ids": [A, B], "names": ["telephony"]}]
        assert (await client.subscribe(ids))["status"] == status
        assert (await client.subscribe(ids))["status"] == "ACCEPTED"


async def test_a_subscription_may_be_made_and_the_answer_lost() -> None:
    async with simulated() as client:
        client.simulator.set_faults("reset-after-post=1")
        with pytest.raises(httpx.ReadError):
            await client.subscribe()
        assert len(client.simulator.subscriptions) == 1


# The channel


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_channel_begins_with_chunk_started_and_needs_no_cookie(method: str) -> None:
    async with simulated() as client, opened(await client.subscribe(), method) as channel:
        assert channel.status == 200
        assert await channel.event() == STARTED


async def test_a_channel_on_an_unknown_subscription_is_a_404() -> None:
    async with simulated() as client:
        subscription = await client.subscribe()
        subscription["publicPollingUrl"] += "x"
        assert await status_of_channel(subscription) == 404


async def test_a_subscription_hears_its_users_and_packages_only() -> None:
    async with (
        simulated() as client,
        listening(client, [{"ids": [B], "names": ["telephony"]}]) as (channel, _),
    ):
        client.simulator.set_agent("oxe2001", "READY")
        client.simulator.place_call(A, C)
        client.simulator.place_call(A, B)
        assert (await channel.event())["loginName"] == B


async def test_heartbeats_come_at_timeout_zero_and_not_else() -> None:
    async with simulated("heartbeat-seconds=0.05") as client:
        async with listening(client) as (channel, _):
            assert await channel.event() == KEEPALIVE
        async with listening(client, timeout=2) as (channel, _):
            with trio.move_on_after(0.2):
                raise AssertionError(await channel.event())
            client.simulator.set_faults("heartbeat-seconds=0.05", "heartbeat-always")
            assert await channel.event() == KEEPALIVE
            client.simulator.set_faults("no-heartbeat")
        async with listening(client) as (channel, _):
            with trio.move_on_after(0.2):
                raise AssertionError(await channel.event())


async def test_a_channel_ends_cleanly_at_its_timeout_and_reopens_at_the_same_url() -> None:
    async with simulated(time_scale=120 / 0.2, rate=100) as client:
        async with listening(client, timeout=2) as (channel, subscription):
            assert (await channel.to_end())[1].clean
        async with opened(subscription) as channel:
            assert await channel.event() == STARTED


async def test_a_timeout_can_count_silence_only() -> None:
    async with (
        simulated("timeout-idle", time_scale=120) as client,
        listening(client, timeout=2) as (channel, _),
    ):
        for _ in range(5):
            await trio.sleep(0.25)
            client.simulator.set_agent("oxe2001", "READY")
            client.simulator.set_agent("oxe2001", "PAUSE")
        lines, ended = await channel.to_end()
        assert len(lines) >= 10
        assert ended.clean


async def test_what_happens_while_no_channel_is_open_is_lost_and_written_down() -> None:
    async with simulated() as client:
        async with listening(client) as (_, subscription):
            pass
        await eventually(lambda: not client.simulator.channels)
        client.simulator.set_agent("oxe2001", "READY")
        async with opened(subscription) as channel:
            assert await channel.event() == STARTED
            client.simulator.set_agent("oxe2001", "PAUSE")
            assert (await channel.event())["state"]["subState"] == "PAUSE"
        assert [entry.event_name for entry in client.simulator.unheard] == ["OnAgentStateChanged"]


async def test_lines_wait_for_the_next_channel_where_the_switch_says_so() -> None:
    async with simulated("closed-queues=1") as client:
        async with listening(client) as (_, subscription):
            pass
        await eventually(lambda: not client.simulator.channels)
        client.simulator.set_agent("oxe2001", "READY")
        client.simulator.set_agent("oxe2001", "PAUSE")
        async with opened(subscription) as channel:
            assert await channel.event() == STARTED
            assert (await channel.event())["state"]["subState"] == "READY"


async def test_a_reopened_channel_may_repeat_lines() -> None:
    async with simulated("repeat-on-reopen=2") as client:
        async with listening(client) as (channel, subscription):
            client.simulator.play("basic-call", A, B, C)
            before = await channel.events(12)
            await client.simulator.drop_channels("rst")
        async with opened(subscription) as channel:
            assert await channel.events(3) == [STARTED, *before[-2:]]


@pytest.mark.parametrize(
    ("fault", "status", "channels"),
    [("second-replaces", 200, 1), ("second-refused", 409, 1), ("second-both", 200, 2)],
)
async def test_a_second_channel_is_treated_as_the_switch_says(fault: str, status: int, channels: int) -> None:
    async with (
        simulated(fault) as client,
        listening(client) as (first, subscription),
        opened(subscription) as second,
    ):
        assert second.status == status
        if fault == "second-replaces":
            assert (await first.to_end())[1].clean
        await eventually(lambda: len(client.simulator.channels) == channels)


@pytest.mark.parametrize(("mode", "clean"), [("clean", True), ("fin", False), ("rst", False)])
async def test_channels_end_as_asked(mode: str, clean: bool) -> None:
    async with simulated() as client, listening(client) as (channel, _):
        assert await client.simulator.drop_channels(mode) == 1
        assert (await channel.to_end())[1].clean is clean


@pytest.mark.parametrize("fault", ["clean-every=0.1", "drop-every=0.1", "reset-every=0.1"])
async def test_channels_end_from_time_to_time_by_switch(fault: str) -> None:
    async with simulated(fault) as client:
        subscription = await client.subscribe()
        for _ in range(2):
            async with opened(subscription) as channel:
                assert (await channel.to_end())[1].clean is fault.startswith("clean")


async def test_a_clean_end_may_cut_the_last_line_leave_it_open_or_announce_itself() -> None:
    async with simulated("truncated-end", "message-before-close") as client:
        async with listening(client) as (channel, subscription):
            await client.simulator.drop_channels("clean")
            lines, ended = await channel.to_end()
            assert json.loads(lines[-1])["eventName"] == "Message"
            assert ended.clean
            assert ended.rest.startswith(b'{"eventName"')
            with pytest.raises(json.JSONDecodeError):
                json.loads(ended.rest)
        client.simulator.set_faults("unterminated-end")
        async with opened(subscription) as channel:
            await channel.event()
            await client.simulator.drop_channels("clean")
            assert json.loads((await channel.to_end())[1].rest)["eventName"] == "OnUserStateModified"
            assert client.simulator.log[-1].event_name == "OnUserStateModified"


async def test_channels_may_end_right_after_they_began() -> None:
    async with simulated("close-after-start=2") as client:
        subscription = await client.subscribe()
        for _ in range(2):
            async with opened(subscription) as channel:
                lines, ended = await channel.to_end()
                assert [json.loads(line) for line in lines] == [STARTED]
                assert ended.clean
        async with opened(subscription) as channel:
            client.simulator.set_agent("oxe2001", "READY")
            assert [event["eventName"] for event in await channel.events(2)][1] == "OnAgentStateChanged"


async def test_a_half_open_channel_says_nothing_and_does_not_end() -> None:
    async with (
        simulated("half-open=0.1", "heartbeat-seconds=0.3") as client,
        listening(client) as (channel, _),
    ):
        await trio.sleep(0.15)
        client.simulator.play("basic-call", A, B, C)
        with trio.move_on_after(0.4):
            raise AssertionError(await channel.chunk())
        assert len(client.simulator.channels) == 1


async def test_nobody_listens_on_the_event_port_while_rest_is_up_by_switch() -> None:
    async with simulated("polling-port-down") as client:
        subscription = await client.subscribe()
        with pytest.raises(OSError):
            await status_of_channel(subscription)
        assert await client.keepalive() == 204
        client.simulator.set_faults()
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert await status_of_channel(subscription) == 200


@pytest.mark.parametrize("when", ["open", "reopen"])
@pytest.mark.parametrize(
    ("fault", "status"), [("unauthorized-401", 401), ("missing-404", 404), ("unavailable-503", 503)]
)
async def test_opening_and_reopening_can_be_refused(when: str, fault: str, status: int) -> None:
    async with simulated(f"{fault}:{when}=1") as client:
        subscription = await client.subscribe()
        first, second, third = [await status_of_channel(subscription) for _ in range(3)]
        assert (first, second, third) == ((status, 200, 200) if when == "open" else (200, status, 200))


@pytest.mark.parametrize("name", ["slow-reader-dropped", "slow-reader-skips"])
async def test_a_slow_reader_is_dropped_or_loses_lines_by_switch(name: str) -> None:
    async with simulated(f"{name}=100000", correlator_bytes=400) as client, listening(client) as (channel, _):
        while not client.simulator.unheard:
            client.simulator.play("basic-call", A, B, C)
            await trio.lowlevel.checkpoint()
        if name == "slow-reader-dropped":
            assert not (await channel.to_end())[1].clean
        else:
            await channel.events(500)
            client.simulator.set_agent("oxe2001", "READY")
            await channel.until("OnAgentStateChanged")


# Framing


@pytest.mark.parametrize("fault", ["chunk-bytes=1", "chunk-bytes=7", "chunk-random", "chunk-per-line"])
async def test_any_chunking_carries_the_same_lines(fault: str) -> None:
    async with simulated(fault, "non-ascii-names") as client, listening(client) as (channel, _):
        client.simulator.play("transfer", A, B, C)
        count = len(client.simulator.unheard) + 20
        events = await channel.events(count)
        assert len({len(chunk) for chunk in channel.chunks[5:-5]}) >= 1
        assert len(channel.chunks) >= count
        logged = [json.loads(entry.line) for entry in client.simulator.log[1 : 1 + count]]
        assert events == logged
        assert any(not each.isascii() for each in (entry.line for entry in client.simulator.log))


async def test_a_burst_comes_in_one_chunk_and_lines_may_end_in_crlf() -> None:
    async with simulated() as client, listening(client) as (channel, _):
        client.simulator.play("basic-call", A, B, C)
        assert (await channel.chunk()).count(b"\n") == 12
        client.simulator.set_faults("crlf")
        client.simulator.set_agent("oxe2001", "READY")
        assert (await channel.line()).endswith(b"}\r")


@pytest.mark.parametrize("name", sorted(ODDITIES))
async def test_each_oddity_is_sent_marked_odd_and_no_part_of_the_truth(name: str) -> None:
    async with simulated(f"{name}=1") as client, listening(client) as (channel, _):
        client.simulator.set_agent("oxe2001", "READY")
        expected = len(client.simulator.log)
        await eventually(lambda: len(client.simulator.log) > expected)
        odd = [entry for entry in client.simulator.log if entry.odd]
        assert odd
        await channel.event()
        assert [await channel.line() for _ in odd] == [entry.line for entry in odd]
        assert not any(login.startswith("odd-") for login in client.simulator.truth()["users"])


async def test_extra_and_null_fields_are_in_events_by_switch() -> None:
    async with simulated("extra-fields", "null-fields") as client, listening(client) as (channel, _):
        client.simulator.set_agent("oxe2001", "READY")
        event = await channel.event()
        assert event["vendorHint"] == {"build": 7}
        assert event["cause"] is None


# Calls


async def test_the_basic_call_of_chapter_8_comes_event_by_event() -> None:
    async with simulated() as client, listening(client) as (channel, _):
        client.simulator.play("basic-call", A, B, C)
        events = await channel.events(12)
    assert names(events) == [
        (A, "CallCreated", "DIALING"),
        (A, "UserStateModified", "BUSY"),
        (B, "CallCreated", "RINGING_INCOMING"),
        (A, "CallModified", "RINGING_OUTGOING"),
        (B, "CallModified", "ACTIVE"),
        (B, "UserStateModified", "BUSY"),
        (A, "CallModified", "ACTIVE"),
        (A, "CallRemoved", ""),
        (A, "UserStateModified", "FREE"),
        (B, "CallModified", "RELEASING"),
        (B, "CallRemoved", ""),
        (B, "UserStateModified", "FREE"),
    ]
    created, ringing = events[0], events[2]
    assert re.fullmatch("[0-9a-f]{16}", created["callRef"])
    assert len({event["callRef"] for event in events[:12] if "callRef" in event}) == 1
    assert created["participants"] == []
    assert ringing["participants"][0]["identity"]["id"] == {"loginName": A, "phoneNumber": "1001"}
    assert ringing["callData"]["capabilities"] == {
        "addMedias": [],
        "redirect": True,
        "pickedUp": True,
        "terminate": True,
    }
    assert events[9]["removedParticipantIds"] == ["1001"]
    assert "cause" not in events[10]


async def test_the_transfer_of_chapter_9_keeps_the_call_reference_by_default() -> None:
    async with simulated() as client:
        ref = client.simulator.place_call(A, B)
        client.simulator.answer(ref)
        async with listening(client) as (channel, _):
            assert client.simulator.transfer(ref, A, C) == ref
            client.simulator.answer(ref)
            events = await channel.events(8)
    assert names(events) == [
        (B, "CallModified", "HELD"),
        (C, "CallCreated", "RINGING_INCOMING"),
        (B, "CallModified", "RINGING_OUTGOING"),
        (A, "CallRemoved", ""),
        (A, "UserStateModified", "FREE"),
        (C, "CallModified", "ACTIVE"),
        (C, "UserStateModified", "BUSY"),
        (B, "CallModified", "ACTIVE"),
    ]
    assert events[2]["removedParticipantIds"] == ["1001"]
    assert events[2]["addedParticipants"][0]["participantId"] == "1003"
    assert {event["callRef"] for event in events if "callRef" in event} == {ref}


async def test_the_transfer_with_a_new_reference_names_the_previous_one_and_removes_it_for_nobody_else() -> (
    None
):
    async with simulated("transfer-new-callref") as client:
        ref = client.simulator.place_call(A, B)
        client.simulator.answer(ref)
        async with listening(client) as (channel, _):
            after = client.simulator.transfer(ref, A, C)
            client.simulator.answer(after)
            client.simulator.release(after, B)
            client.simulator.set_agent("oxe2001", "READY")
            events = await channel.events(15)
    assert after != ref
    moved = next(event for event in events if "previousCallRef" in event)
    assert (moved["loginName"], moved["callRef"], moved["previousCallRef"]) == (B, after, ref)
    leaving = next(event for event in events if "replacedByCallRef" in event)
    assert (leaving["loginName"], leaving["replacedByCallRef"]) == (A, after)
    removed = [
        (event["loginName"], event["callRef"]) for event in events if event["eventName"] == "OnCallRemoved"
    ]
    assert removed == [(A, ref), (B, after), (C, after)]


@pytest.mark.parametrize(
    "faults",
    [
        (),
        ("transfer-new-callref", "shuffle-users"),
        ("call-data-kept", "opaque-participants", "reuse-callrefs=30"),
        ("caller-participants", "releasing-both", "non-ascii-names"),
    ],
    ids=lambda faults: " ".join(faults) or "default",
)
async def test_all_events_of_a_day_add_up_to_the_truth_at_any_moment(faults: tuple[str, ...]) -> None:
    async with simulated(*faults, users=9, agents=3) as client, listening(client) as (channel, _):
        client.simulator.set_rate(4000)
        fold, under_way = Fold(), 0
        for _ in range(6):
            await trio.sleep(0.1)
            client.simulator.set_rate(0)
            with trio.fail_after(5):
                while True:  # a step that had begun tells its last events a moment later
                    for event in await channel.all_sent(client.simulator):
                        fold.take(event)
                    if agrees(fold, client.simulator):
                        break
                    await trio.sleep(0.01)
            under_way += len(fold.calls)
            client.simulator.set_rate(4000)
        assert under_way


async def test_call_data_is_left_out_only_where_all_of_it_is_as_it_was() -> None:
    async with simulated("call-data-kept") as client, listening(client) as (channel, _):
        ref = client.simulator.place_call(A, B)
        client.simulator.redirect(ref, C)
        fold = folded(await channel.all_sent(client.simulator))
        assert fold.calls[A, ref]["callData"]["lastRedirecting"]["id"]["loginName"] == B
        assert agrees(fold, client.simulator)


async def test_an_unanswered_callee_is_never_busy_and_has_missed_a_call() -> None:
    selectors = [{"ids": ["*"], "names": ["telephony", "eventSummary"]}]
    async with simulated() as client, listening(client, selectors) as (channel, _):
        client.simulator.play("abandoned-call", A, B, C)
        seen = []
        while not seen or seen[-1]["eventName"] != "OnCallRemoved" or seen[-1]["loginName"] != B:
            seen.append(await channel.event())
        assert (B, "UserStateModified", "BUSY") not in names(seen)
        assert seen[-1]["cause"] == "ABANDONED"


async def test_a_missed_call_is_summarised_and_recorded() -> None:
    selectors = [{"ids": [B], "names": ["eventSummary", "unifiedComLog"]}]
    async with simulated() as client, listening(client, selectors) as (channel, _):
        client.simulator.play("abandoned-call", A, B, C)
        created = await channel.until("OnComRecordCreated")
        assert [each["role"] for each in created["record"]["participants"]] == ["CALLER", "CALLEE"]
        assert "endDate" in (await channel.until("OnComRecordModified"))["record"]
        assert (await channel.until("OnEventSummaryUpdated"))["eventSummary"]["missedCallsNb"] == 1


async def test_a_redirected_call_tells_its_new_destination_and_a_conference_its_states() -> None:
    async with simulated() as client, listening(client) as (channel, _):
        client.simulator.play("redirected-call", A, B, C)
        removed = await channel.until("OnCallRemoved", loginName=B)
        assert removed["newDestination"]["id"]["loginName"] == C
        assert (await channel.until("OnCallCreated", loginName=C))["cause"] == "REDIRECTED"
        client.simulator.play("conference", A, B, C)
        created = await channel.until("OnCallCreated", loginName=C)
        assert [each["state"] for each in created["participants"]] == ["ACTIVE", "ACTIVE"]


async def test_a_call_from_outside_has_a_participant_without_a_login() -> None:
    async with simulated() as client, listening(client) as (channel, _):
        ref = client.simulator.place_call("+33155000001", A)
        created = await channel.event()
        assert created["participants"][0]["identity"]["id"] == {"phoneNumber": "+33155000001"}
        assert created["participants"][0]["identity"]["type"] == {"main": "EXTERNAL"}
        client.simulator.hold(ref, A)
        assert (await channel.until("OnCallModified"))["callData"]["state"] == "HELD"
        client.simulator.retrieve(ref, A)
        client.simulator.release(ref, "+33155000001")
        await channel.until("OnCallRemoved")
        assert not client.simulator.calls()


async def test_actions_on_nobody_or_nothing_are_value_errors() -> None:
    async with simulated() as client:
        simulator = client.simulator
        ref = simulator.place_call(A, B)
        for act in (
            lambda: simulator.place_call(A, "nobody"),
            lambda: simulator.answer("0"),
            lambda: simulator.release(ref, C),
            lambda: simulator.set_agent(A, "READY"),
            lambda: simulator.set_agent("oxe2001", "ASLEEP"),
        ):
            with pytest.raises(ValueError):
                act()


# Agents, pilots, RTI and the rest


async def test_an_agent_day_goes_from_log_on_to_log_off() -> None:
    async with (
        simulated() as client,
        listening(client, [{"ids": ["oxe2001"], "names": ["agent"]}]) as (channel, _),
    ):
        client.simulator.play("agent-day", "oxe2001")
        states = []
        while not states or states[-1] != ("LOG_OFF", None):
            event = await channel.event()
            if event["eventName"] == "OnAgentSkillChanged":
                assert event["skills"]["skills"][0]["number"] == 101
            else:
                states.append((event["state"]["mainState"], event["state"].get("subState")))
        assert states[:4] == [
            ("LOG_ON", "READY"),
            ("LOG_ON", "BUSY"),
            ("LOG_ON", "WRAPUP"),
            ("LOG_ON", "READY"),
        ]
        assert {("LOG_ON", "PAUSE"), ("LOG_ON", "WITHDRAW")} <= set(states)


async def test_withdrawal_and_skills_are_spelt_as_the_switches_say() -> None:
    async with simulated() as client, listening(client) as (channel, _):
        client.simulator.set_agent("oxe2001", "WITHDRAW", 2)
        await channel.event()
        assert (await channel.event())["state"]["withdrawn"] is True
        client.simulator.set_faults("withdraw-node", "skills-bare")
        client.simulator.set_agent("oxe2001", "WITHDRAW", 3)
        assert (await channel.event())["state"] == {
            "mainState": "LOG_ON",
            "subState": "WITHDRAW",
            "proAcdDeviceNumber": "2001",
            "pgNumber": "3901",
            "withdrawReason": 3,
            "withdraw": True,
        }
        client.simulator.set_skill("oxe2001", 7, 2)
        assert (await channel.event())["skills"][0]["number"] == 7


async def test_a_pilot_is_heard_once_it_is_monitored() -> None:
    async with (
        simulated() as client,
        listening(client, [{"ids": ["3001"], "names": ["pilot"]}]) as (channel, _),
    ):
        client.simulator.play("agent-day", "oxe2001")
        assert (await client.post("/acd/pilot/3001")).status_code == 204
        assert (await client.post("/acd/pilot/9")).status_code == 404
        client.simulator.play("agent-day", "oxe2001")
        events = await channel.events(3)
        assert [event["eventName"] for event in events] == [
            "OnPilotCallCreated",
            "OnPilotCallQueued",
            "OnPilotCallRemoved",
        ]
        assert events[0]["callData"]["initialCalled"] == "3001"
        assert "loginName" not in events[0]


async def test_rti_events_need_a_context_that_was_started_and_tell_changes() -> None:
    async with (
        simulated("no-heartbeat", time_scale=50) as client,
        listening(client, [{"ids": ["*"], "names": ["rti"]}]) as (channel, _),
    ):
        agents = (await client.get("/acd/rti/agents")).json()["agents"]
        wanted = {
            "agentFilter": {"numbers": [each["number"] for each in agents], "attributes": ["ALL"]},
            "pilotFilter": {"numbers": ["3001"], "attributes": ["incomingTraffic"]},
            "queueFilter": {"numbers": ["3801"], "attributes": ["ALL"]},
            "pgAgentFilter": {"numbers": ["3901"], "attributes": ["ALL"]},
            "pgOtherFilter": {"numbers": ["3951"], "attributes": ["ALL"]},
        }
        context = {"obsPeriod": 15, "notifFrequency": 5, "filter": wanted}
        assert (await client.post("/acd/rti/snapshot")).status_code == 404
        assert (await client.post("/acd/rti/ctx", {**context, "notifFrequency": 4})).status_code == 400
        assert (await client.post("/acd/rti/ctx", context)).status_code == 204
        assert (await client.get("/acd/rti/ctx")).json() == context
        assert (await client.post("/acd/rti/snapshot")).status_code == 204
        events = await channel.events(6)
        assert [event["eventName"] for event in events] == [
            "OnAgentRtiChanged",
            "OnAgentRtiChanged",
            "OnPilotRtiChanged",
            "OnQueueRtiChanged",
            "OnPGAgentRtiChanged",
            "OnPGOtherRtiChanged",
        ]
        assert events[0]["serviceState"] == "LoggedOut"
        assert events[2] == {
            "eventName": "OnPilotRtiChanged",
            "name": "Pilot 3001",
            "number": "3001",
            "incomingTraffic": 0,
        }
        client.simulator.play("agent-day", "oxe2001")
        assert (await channel.until("OnAgentRtiChanged", number="2001"))["nbOfServedACDCalls"] == 12
        assert (await client.http.delete(f"{client.base}/acd/rti/ctx")).status_code == 204
        assert (await client.get("/acd/rti/ctx")).status_code == 404


async def test_the_other_packages_have_their_events() -> None:
    everything = [
        {"ids": ["*"], "names": ["routingManagement", "user", "telephony"]},
        {"names": ["userManagement", "system", "pbxManagement", "rsi"]},
        {"ids": ["*"], "names": ["acdstats"]},
    ]
    async with simulated() as client, listening(client, everything) as (channel, _):
        simulator = client.simulator
        simulator.play("office-life", A, B, C)
        simulator.create_user("oxe1999", "1999")
        simulator.delete_user("oxe1999")
        simulator.administer("report", "admin")
        simulator.administer("warn_of_licence", 5)
        simulator.administer("server_started", "o2g-0")
        simulator.administer("remote_server", "o2g-1", up=False)
        seen: dict[str, dict[str, Any]] = {}
        while "OnRemoteServerLinkDown" not in seen:
            event = await channel.event()
            seen.setdefault(event["eventName"], event)
    assert seen["OnRoutingStateChanged"]["routingState"]["forwardRoutes"]
    assert seen["OnDynamicStateChanged"]["huntingGroupState"] == {"logon": True}
    assert seen["OnDeviceStateModified"]["deviceStates"] == [{"deviceId": "1002", "state": "OUT_OF_SERVICE"}]
    assert seen["OnUserInfoChanged"]["user"]["loginName"] == A
    assert seen["OnUserCreated"]["user"]["loginName"] == "oxe1999"
    assert seen["OnUserDeleted"]["loginName"] == "oxe1999"
    assert seen["OnPbxObjectInstanceModified"]["nodeId"] == "407"
    assert seen["OnRouteRequest"]["request"]["routeCrid"] == 1
    assert {"OnToneGeneratedStart", "OnToneGeneratedStop", "OnDigitCollected", "OnRouteEnd"} <= seen.keys()
    assert seen["OnAcdStatsProgress"]["step"] == "COLLECT"
    assert {"OnLicenseExpiration", "OnServerStart"} <= seen.keys()


# Snapshots


async def test_a_snapshot_sends_the_state_of_each_user_on_the_channel() -> None:
    async with simulated() as client:
        ref = client.simulator.place_call(A, B)
        async with listening(client) as (channel, _):
            assert (await client.post("/telephony/state/snapshot")).status_code == 204
            events = await channel.events(8)
            assert agrees(folded(events), client.simulator)
            assert [event["loginName"] for event in events] == list(client.simulator.truth()["users"])
            assert isinstance(events[0]["state"]["deviceStates"], list)
            assert (await client.post(f"/telephony/state/snapshot?loginName={B}")).status_code == 204
            assert (await channel.event())["state"]["calls"][0]["callRef"] == ref
            assert (await client.post("/telephony/state/snapshot?loginName=nobody")).status_code == 404


async def test_state_is_also_had_by_rest() -> None:
    async with simulated("device-states-nested") as client:
        ref = client.simulator.place_call(A, B)
        state = (await client.get(f"/telephony/state?loginName={A}")).json()
        assert state["userState"] == "BUSY"
        assert state["deviceStates"] == {"deviceStates": [{"deviceId": "1001", "state": "IN_SERVICE"}]}
        calls = (await client.get(f"/telephony/calls?loginName={A}")).json()["calls"]
        assert [call["callRef"] for call in calls] == [ref]
        assert (await client.get("/acd/agent/state?loginName=oxe2001")).json() == {"mainState": "LOG_OFF"}
        assert "skills" in (await client.get("/acd/agent/config?loginName=oxe2001")).json()["skills"]
        assert (await client.get(f"/acd/agent/state?loginName={A}")).status_code == 404
        assert (await client.get(f"/routing/state?loginName={A}")).json()["dndState"] == {}
        assert (await client.get(f"/eventsummary?loginName={A}")).json()["missedCallsNb"] == 0


async def test_agents_and_routing_have_snapshots_too() -> None:
    selectors = [{"ids": ["*"], "names": ["agent", "routingManagement"]}]
    async with simulated() as client, listening(client, selectors) as (channel, _):
        await client.post("/acd/agent/state/snapshot")
        assert [event["loginName"] for event in await channel.events(2)] == ["oxe2001", "oxe2002"]
        await client.post(f"/routing/state/snapshot?loginName={A}")
        assert (await channel.event())["eventName"] == "OnRoutingStateChanged"


async def test_a_snapshot_asked_for_while_one_runs_is_not_doubled_and_deltas_flow_between() -> None:
    async with simulated("snapshot-slow=40") as client, listening(client) as (channel, _):
        for _ in range(3):
            await client.post("/telephony/state/snapshot")
        await channel.event()
        ref = client.simulator.place_call(A, B)
        events = await channel.events(11)
        assert [event["eventName"] for event in events].count("OnTelephonyState") == 7
        assert [call["callRef"] for call in events[4]["state"]["calls"]] == [ref]


async def test_a_snapshot_may_be_stale_or_never_come() -> None:
    async with simulated("snapshot-slow=20", "snapshot-stale") as client, listening(client) as (channel, _):
        await client.post(f"/telephony/state/snapshot?loginName={B}")
        client.simulator.place_call(A, B)
        assert (await channel.until("OnTelephonyState"))["state"]["calls"] == []
        client.simulator.set_faults("snapshot-silent")
        assert (await client.post("/telephony/state/snapshot")).status_code == 204
        with trio.move_on_after(0.1):
            raise AssertionError(await channel.until("OnTelephonyState"))


# Links and hosts

SYSTEM = [*ALL, {"names": ["system"]}]


async def test_a_link_that_is_down_is_silence_and_its_return_a_burst() -> None:
    async with simulated() as client, listening(client, SYSTEM) as (channel, _):
        client.simulator.set_link(up=False)
        assert await channel.event() == {"eventName": "OnCtiLinkDown", "nodeId": "407"}
        client.simulator.place_call(A, B)
        client.simulator.set_agent("oxe2001", "READY")
        answer = await client.get(f"/telephony/state?loginName={A}")
        assert answer.status_code == 503
        assert answer.json()["telephony"]["errorType"] == "SERVICE_UNAVAILABLE"
        client.simulator.set_link(up=True)
        events = await channel.events(5)
        assert [event["eventName"] for event in events] == [
            "OnCtiLinkUp",
            "OnPbxLoaded",
            "OnTelephonyState",
            "OnTelephonyState",
            "OnAgentStateChanged",
        ]
        assert agrees(folded(events), client.simulator)
        client.simulator.set_faults("link-forgets")
        client.simulator.set_link(up=False, kind="Pbx")
        client.simulator.set_agent("oxe2001", "PAUSE")
        client.simulator.set_link(up=True, kind="Pbx")
        assert [event["eventName"] for event in await channel.events(3)] == [
            "OnPbxLinkDown",
            "OnPbxLinkUp",
            "OnPbxLoaded",
        ]


async def test_two_hosts_share_the_telephones_but_no_session() -> None:
    async with simulated(hosts=2) as client, client_of(client.simulator, host=1) as other:
        assert (await client.http.get("/api/rest")).json()["serverInfo"]["haMode"] is True
        async with listening(client, SYSTEM) as (first, _), listening(other, SYSTEM) as (second, _):
            client.simulator.place_call(A, B)
            assert await first.event() == await second.event()
            client.simulator.set_host(0, up=False)
            assert not (await first.to_end())[1].clean
            assert (await second.until("OnRemoteServerLinkDown"))["host"] == "o2g-0"
            with pytest.raises(httpx.TransportError):
                await client.keepalive()
            assert await other.keepalive() == 204
            client.simulator.set_host(0, up=True)
            await second.until("OnRemoteServerLinkUp")
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert await client.keepalive() == 403


async def test_a_pair_that_shares_sessions_takes_over_with_them() -> None:
    async with simulated(hosts=2, shared_sessions=True) as client:
        other = client.simulator.base_urls[1]
        client.simulator.set_host(0, up=False)
        cookies = "; ".join(f"{each.name}={each.value}" for each in client.http.cookies.jar)
        async with httpx.AsyncClient(trust_env=False, verify=NO_TLS) as http:
            url = f"{other}/api/rest/1.0/sessions/keepalive"
            assert (await http.post(url, headers={"Cookie": cookies})).status_code == 204


async def test_a_restart_forgets_tokens_sessions_and_subscriptions() -> None:
    async with simulated() as client, listening(client) as (channel, subscription):
        client.simulator.restart()
        assert not (await channel.to_end())[1].clean
        assert await status_of_channel(subscription) == 404
        assert await client.keepalive() == 403
        await client.log_in()


@pytest.mark.parametrize(
    "fault", ["host-down-every=0.2", "restart-every=0.2", "sessions-expire-every=0.2", "link-down-every=0.2"]
)
async def test_trouble_comes_from_time_to_time_by_switch(fault: str) -> None:
    async with simulated(fault) as client:
        async with listening(client, SYSTEM) as (channel, _):
            if fault.startswith("link"):
                await channel.until("OnCtiLinkDown")
                await channel.until("OnCtiLinkUp")
            else:
                await channel.to_end()
        await eventually(lambda: client.simulator.hosts[0].up)


# REST faults, URLs, TLS


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        ("unauthorized-html", 401, b"<!DOCTYPE"),
        ("error-empty", 500, b""),
        ("gateway-html", 502, b"<!DOCTYPE"),
        ("limited-429", 429, b"{"),
        ("error-500", 500, b"{"),
        ("forbidden-403", 403, b"{"),
    ],
)
async def test_rest_calls_fail_as_often_as_the_switch_says(fault: str, status: int, body: bytes) -> None:
    async with simulated() as client:
        client.simulator.set_faults(f"{fault}:keepalive=1")
        assert (await client.get("/logins")).status_code == 200
        answer = await client.post("/sessions/keepalive")
        assert (answer.status_code, answer.content[: len(body)]) == (status, body)
        assert await client.keepalive() == 204


async def test_every_operation_can_be_spoilt() -> None:
    async with simulated() as client:
        subscription = await client.subscribe()
        calls: dict[str, Callable[[], Any]] = {
            "info": lambda: client.http.get("/api/rest"),
            "authenticate": lambda: client.http.get("/api/rest/authenticate"),
            "session": lambda: client.post("/sessions", {"applicationName": "x"}),
            "keepalive": lambda: client.post("/sessions/keepalive"),
            "logins": lambda: client.get("/logins"),
            "users": lambda: client.get(f"/users/{A}"),
            "subscribe": lambda: client.ask(ALL),
            "unsubscribe": lambda: client.http.delete(f"{client.base}/subscriptions/x"),
            "snapshot": lambda: client.post("/telephony/state/snapshot"),
            "state": lambda: client.get("/telephony/state"),
            "agent": lambda: client.post("/acd/agent/state/snapshot"),
            "routing": lambda: client.post("/routing/state/snapshot"),
            "rti": lambda: client.get("/acd/rti/ctx"),
            "pilot": lambda: client.post("/acd/pilot/3001"),
            "logout": lambda: client.http.delete(f"{client.base}/sessions"),
        }
        assert {*calls, "open", "reopen"} == set(OPERATIONS)
        for operation, call in calls.items():
            client.simulator.set_faults(f"unavailable-503:{operation}=1")
            answer = await call()
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), operation
        client.simulator.set_faults("unavailable-503")
        assert await status_of_channel(subscription) == 503


async def test_a_body_can_come_late() -> None:
    async with simulated("slow-body=0.1", login="") as client:
        begun = trio.current_time()
        await client.http.get("/api/rest")
        assert trio.current_time() - begun >= 0.1


async def test_internal_urls_can_be_those_where_nobody_listens() -> None:
    async with simulated("internal-port-80", private_host="localhost", login="") as client:
        version = (await client.http.get("/api/rest")).json()["versions"][0]
        assert version["internalUrl"].startswith("http://localhost:80/")
        assert ":80/" not in version["publicUrl"]


async def test_tls_and_plain_http_are_served_on_the_same_ports() -> None:
    authority = trustme.CA()
    server, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(trusting)
    options = O2gOptions(
        ssl_context=server, public_host="localhost", faults=frozenset(["http-polling", "http-base"])
    )
    with trio.fail_after(10):
        async with open_o2g_simulator(options) as simulator:
            assert simulator.base_url.startswith("https://localhost:")
            async with httpx.AsyncClient(
                base_url=simulator.base_url, verify=trusting, trust_env=False
            ) as http:
                client = Client(simulator, http)
                await client.log_in()
                assert client.base.startswith("http://localhost:")
                async with listening(client) as (channel, _):
                    simulator.set_agent("oxe2001", "READY")
                    assert (await channel.event())["loginName"] == "oxe2001"
                simulator.set_faults()
                await client.log_in()
                url = (await client.subscribe())["publicPollingUrl"]
                assert url.startswith("https://")
                async with http.stream("POST", url) as response:
                    simulator.channels[-1].end("clean")
                    assert json.loads(await response.aread()) == STARTED


# Feed, log, control


async def test_calls_begin_by_themselves_up_to_the_limit_and_then_all_is_quiet() -> None:
    async with simulated(rate=3000, calls=60) as client, listening(client) as (channel, _):
        await eventually(lambda: client.simulator.calls_started >= 60 and not client.simulator.calls())
        await eventually(
            lambda: all(
                each == {"mainState": "LOG_OFF"} for each in client.simulator.truth()["agents"].values()
            )
        )
        fold = folded(await channel.all_sent(client.simulator))
        assert agrees(fold, client.simulator)
        assert fold.calls == {}


async def test_lines_come_at_the_rate_asked_for() -> None:
    async with simulated(rate=500) as client, listening(client):
        before, begun = client.simulator.lines_sent, trio.current_time()
        await trio.sleep(1)
        rate = (client.simulator.lines_sent - before) / (trio.current_time() - begun)
        assert 350 < rate < 650


async def test_the_same_seed_makes_the_same_day() -> None:
    days = []
    for _ in range(2):
        async with simulated(calls=20) as client, listening(client) as (channel, _):
            client.simulator.set_rate(2000)
            days.append([(event.get("loginName"), event["eventName"]) for event in await channel.events(80)])
    assert days[0] == days[1]


async def test_the_log_names_each_line_that_was_handed_over() -> None:
    async with simulated() as client, listening(client) as (channel, subscription):
        client.simulator.place_call(A, B)
        line = await channel.line()
        entry = client.simulator.log[1]
        assert entry.line == line
        assert (entry.login, entry.event_name, entry.channel) == (A, "OnCallCreated", 1)
        assert entry.subscription_id == subscription["subscriptionId"]
        assert entry.marker == digest(json.loads(line))


def test_the_digest_of_an_event_is_that_of_its_data_in_streamds_spelling() -> None:
    wire = {
        "eventName": "OnCallCreated",
        "loginName": A,
        "callRef": "b74ca96573000100",
        "callData": {"state": "ACTIVE", "tags": [], "capabilities": {"addMedias": [], "terminate": True}},
        "deviceStates": {"deviceStates": [{"deviceId": "1001", "state": "IN_SERVICE"}]},
        "newThing": 4,
    }
    data = {
        "event_name": "OnCallCreated",
        "login_name": A,
        "call_ref": "b74ca96573000100",
        "call_state": "active",
        "call_data": {"state": "ACTIVE", "tags": [], "capabilities": {"terminate": True, "transfer": False}},
        "participants": None,
        "device_states": [{"device_id": "1001", "state": "IN_SERVICE"}],
        "extra": {"newThing": 4},
    }
    assert digest(wire) == digest(data)
    assert digest(wire) != digest({**data, "call_ref": "b74ca96573000200"})


async def test_the_log_can_go_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    async with simulated(log_file=str(path)) as client, listening(client) as (channel, _):
        client.simulator.set_agent("oxe2001", "READY")
        await channel.event()
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        assert [entry["event_name"] for entry in entries] == ["OnChannelInformation", "OnAgentStateChanged"]
        assert not client.simulator.log


async def test_no_request_entry_holds_a_secret() -> None:
    async with simulated() as client, listening(client) as (_, subscription):
        secret = subscription["subscriptionId"]
        await client.http.delete(f"{client.base}/subscriptions/{secret}")
        assert not any(secret in entry.path for entry in client.simulator.requests)
        assert secret not in repr(client.simulator.subscriptions) + repr(client.simulator.channels)


async def test_another_process_can_steer_and_judge_over_http() -> None:
    async with simulated() as client, listening(client) as (channel, _):
        http = client.http

        async def do(command: str, **body: Any) -> Any:
            answer = await http.post(f"/_simulator/{command}", json=body)
            assert answer.status_code == 200, answer.text
            return answer.json().get("result")

        ref = await do("call", caller=A, callee=B)
        await do("answer", ref=ref)
        await do("hold", ref=ref, by=A)
        await do("retrieve", ref=ref, by=A)
        after = await do("transfer", ref=ref, by=A, to=C)
        await do("answer", ref=after)
        await do("agent", login="oxe2001", state="READY")
        await do("play", script="basic-call", who=["oxe1004", "oxe1005", "oxe1006"])
        truth = (await http.get("/_simulator/truth")).json()
        assert truth == json.loads(json.dumps(client.simulator.truth()))
        await do("release", ref=after, by=B)
        await do("link", up=False)
        await do("link", up=True)
        await do("rate", rate=0)
        assert (await http.post("/_simulator/faults", json={"faults": ["nonsense"]})).status_code == 400
        assert (await http.post("/_simulator/answer", json={"ref": "0"})).status_code == 400
        assert (await http.get("/_simulator/nonsense")).status_code == 404
        state = (await http.get("/_simulator/state")).json()
        log = (await http.get("/_simulator/log?since=1&limit=2")).json()
        assert state["calls_started"] == 2
        assert [entry["event_name"] for entry in log["entries"]] == ["OnCallCreated", "OnUserStateModified"]
        assert log["next"] == 3
        assert (await http.get("/_simulator/requests")).json()["requests"]
        await do("expire")
        assert (await channel.to_end())[1].clean


async def test_the_connector_table_is_toml_with_the_keys_of_the_interface() -> None:
    async with simulated(hosts=2) as client:
        table = tomllib.loads(client.simulator.connector_table("o2g-demo", timeout_minutes="10"))
        assert table["connectors"]["o2g-demo"] == {
            "type": "o2g",
            "urls": client.simulator.base_urls,
            "login": "admin",
            "password": "simulated-password",
            "selectors": [{"packages": ["telephony", "agent"], "ids": "all"}, {"packages": ["system"]}],
            "timeout_minutes": 10,
        }


# A day with trouble


async def test_a_client_that_asks_for_snapshots_ends_a_troubled_day_with_the_truth() -> None:
    faults = ("reset-every=0.35", "link-down-every=0.9", "sessions-expire-every=1.3", "unknown-event=20")
    async with simulated(*faults, "transfer-new-callref", users=9, agents=3, rate=1500) as client:
        fold, read = Fold(), 0

        async def follow(until: Callable[[], bool]) -> None:
            nonlocal read
            while not until():
                await client.log_in()
                subscribed = await client.ask(SYSTEM)
                if subscribed.status_code == 403:
                    continue  # the session has expired already
                async with opened(subscribed.json()) as channel:
                    for path in ("/telephony/state/snapshot", "/acd/agent/state/snapshot"):
                        await client.post(path)
                    try:
                        while not until():
                            fold.take(await channel.event())
                            read += 1
                    except Ended:
                        continue

        end = trio.current_time() + 3
        await follow(lambda: trio.current_time() > end)
        client.simulator.set_faults()
        client.simulator.set_rate(0)
        client.simulator.set_link(up=True)
        fold.calls.clear()
        with trio.move_on_after(0.5):
            await follow(lambda: False)
        assert read > 500
        assert client.simulator.calls()
        assert agrees(fold, client.simulator)
        assert fold.users.keys() >= client.simulator.truth()["users"].keys()


# Switches and the command line


def test_every_switch_is_used_and_described() -> None:
    sources = "".join(
        path.read_text() for path in Path(package.__path__[0]).glob("*.py") if path.name != "faults.py"
    )
    choices = {switch.name for switch in SWITCHES if switch.choice}
    unused = [name for name in FAULTS if f'"{name}"' not in sources and name not in choices]
    assert unused == []
    assert all(text.startswith("row ") for text in FAULTS.values())


@pytest.mark.parametrize(
    "faults",
    [
        ("nonsense",),
        ("chunk-bytes=x",),
        ("crlf=1",),
        ("crlf:open",),
        ("error-500:nowhere",),
        ("second-both", "second-refused"),
    ],
)
def test_a_switch_that_cannot_be_read_is_a_config_error(faults: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        trio.run(_open_and_leave, O2gOptions(faults=frozenset(faults)))


async def _open_and_leave(options: O2gOptions) -> None:
    async with open_o2g_simulator(options):
        pass


def test_the_command_line_prints_where_it_listens_and_ends_on_a_signal() -> None:
    process = _started("--rate", "0", "--fault", "no-heartbeat")
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith(b"base_url http://127.0.0.1:")
    finally:
        process.terminate()
        assert process.wait(10) == 0
        process.stdout.close()


def test_the_command_line_ends_with_78_on_an_unknown_fault() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "streamd.simulators.o2g", "--fault", "nonsense"],
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert found.returncode == 78
    assert b"nonsense" in found.stderr


def _started(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "streamd.simulators.o2g", *arguments], stdout=subprocess.PIPE
    )
