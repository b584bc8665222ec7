"""The Omilia simulator keeps to the documents by default, and to each switch that is named."""

from __future__ import annotations

import gzip
import io
import json
import ssl
import subprocess
import sys
import tomllib
import zipfile
from base64 import b64decode
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import httpx
import pytest
import trio
import trustme

import streamd.simulators.omilia as package
from streamd.errors import ConfigError
from streamd.simulators.omilia import (
    FAULTS,
    Fate,
    OmiliaOptions,
    OmiliaSimulator,
    identify,
    open_omilia_simulator,
)
from streamd.simulators.omilia.faults import SWITCHES
from streamd.simulators.omilia.vocabulary import DATA_TYPES, OPERATIONS
from streamd.transport.server import Request, Response, serve_http

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # httpx otherwise loads the CA bundle for each client
START, STEP, END = DIALOGS = ("dialog_start", "dialog_step", "dialog_end")
IAM = "/auth/realms/master/protocol/openid-connect"
PASSWORD = {
    "client_id": "ocp",
    "grant_type": "password",
    "username": "streamd",
    "password": "simulated-password",
}
SECRET = "simulated push secret"
ACCEPTED = Response(200, {"Content-Type": "application/json"}, b'{"status":"ok"}')
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


class Receiver:
    """The client's side: a token endpoint and callbacks, with whatever `answer` says to a push."""

    def __init__(self) -> None:
        self.url = ""
        self.tokens: list[Request] = []
        self.pushes: list[Request] = []
        self.answer: Callable[[Request], Response] = lambda _: ACCEPTED
        self.expires_in: float = 3600
        self.in_flight = self.most_in_flight = 0
        self.gate = trio.Event()
        self.gate.set()

    async def respond(self, request: Request) -> Response:
        if request.path == "/token":
            self.tokens.append(request)
            body = {"access_token": f"t{len(self.tokens)}", "expires_in": self.expires_in}
            return Response(200, {}, json.dumps(body).encode())
        self.in_flight += 1
        self.most_in_flight = max(self.in_flight, self.most_in_flight)
        await self.gate.wait()
        self.in_flight -= 1
        self.pushes.append(request)
        return self.answer(request)

    def bodies(self, data_type: str = "") -> list[Any]:
        pushes = [each for each in self.pushes if each.path.endswith(data_type)]
        return [json.loads(each.body) for each in pushes]

    def messages(self, data_type: str = "") -> list[Any]:
        return [message for body in self.bodies(data_type) for message in body["messages"]]


class World:
    """A simulator, a client of its APIs with a token, and the receiver of its pushes."""

    def __init__(self, simulator: OmiliaSimulator, http: httpx.AsyncClient, receiver: Receiver) -> None:
        self.simulator, self.http, self.receiver = simulator, http, receiver
        self.root = f"{simulator.exports_url}/exports-api/v1/groups/acme_prod"

    async def iam(self, path: str = "token", **form: str) -> httpx.Response:
        return await self.http.post(f"{self.simulator.iam_url}{IAM}/{path}", data=form)

    async def log_in(self) -> dict[str, Any]:
        answer = (await self.iam(**PASSWORD)).json()
        self.http.headers["Authorization"] = f"Bearer {answer['access_token']}"
        return answer

    async def get(self, path: str, **query: str | int) -> httpx.Response:
        return await self.http.get(self.root + path, params=query)

    async def post(self, path: str, body: Any) -> httpx.Response:
        return await self.http.post(self.root + path, json=body)

    async def delete(self, identifier: str) -> httpx.Response:
        return await self.http.delete(f"{self.root}/subscriptions/{identifier}")

    def wanted(self, data_type: str = START, **delivery: Any) -> dict[str, Any]:
        return {
            "data_type": data_type,
            "schema_name": f"streamd_{data_type}",
            "delivery": {
                "type": "http",
                "path": f"{self.receiver.url}/in/{data_type}",
                "auth_type": "oauth2",
                "auth_id": "omilia acme",
                "auth_secret": SECRET,
                "token_path": f"{self.receiver.url}/token",
                **delivery,
            },
        }

    async def create(self, data_type: str = START, **delivery: Any) -> str:
        answer = await self.post("/subscriptions", self.wanted(data_type, **delivery))
        assert answer.status_code == 200, answer.text
        return answer.json()["export_id"]

    async def listed(self, **query: str | int) -> Any:
        return (await self.get("/subscriptions", **query)).json()

    def order(self, hours_ago: float = 4, hours: float = 1, **more: Any) -> dict[str, Any]:
        begin = self.hour() - timedelta(hours=hours_ago)
        return {
            "from_date": begin.isoformat(),
            "to_date": (begin + timedelta(hours=hours)).isoformat(),
            "types": ["Dialog Data"],
            "export_name": "a-name",
            **more,
        }

    def hour(self) -> datetime:
        return self.simulator.now().replace(minute=0, second=0, microsecond=0)

    async def job(self, **order: Any) -> str:
        answer = await self.post("/jobs", self.order(**order))
        assert answer.status_code == 200, answer.text
        return answer.json()["export_id"]

    async def ready_job(self, **order: Any) -> str:
        job = await self.job(**order)
        self.simulator.advance(10)
        return job

    async def zip(self, job: str, **page: int) -> httpx.Response:
        return await self.get(f"/jobs/{job}/data/compressed", **page)

    async def lines(self, job: str) -> list[bytes]:
        files = unzipped((await self.zip(job, page_size=50)).content)
        return [line for content in files.values() for line in content.splitlines()]


@asynccontextmanager
async def simulated(*faults: str, log_in: bool = True, **options: Any) -> AsyncIterator[World]:
    with trio.fail_after(30):
        async with (
            receiving() as receiver,
            open_omilia_simulator(OmiliaOptions(faults=frozenset(faults), **options)) as simulator,
            httpx.AsyncClient(verify=NO_TLS, trust_env=False) as http,
        ):
            world = World(simulator, http, receiver)
            if log_in:
                await world.log_in()
            yield world


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    receiver.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    serve = partial(serve_http, on_error=lambda *_: None, max_body_bytes=1 << 24)
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, receiver.respond, listeners)
        yield receiver
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def pushing(*faults: str, types: Sequence[str] = (START,), **options: Any) -> AsyncIterator[World]:
    """Simulate with a subscription of each of `types`."""
    async with simulated(*faults, **options) as world:
        for each in types:
            await world.create(each)
        yield world


async def eventually(condition: Callable[[], bool]) -> None:
    while not condition():
        await trio.sleep(0.005)


def refusing(status: int, headers: Mapping[str, str] | None = None) -> Callable[[Request], Response]:
    return lambda _: Response(status, headers or {}, b'{"status":"no"}')


def unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def identities(messages: Sequence[Any]) -> list[Any]:
    return [identify(each) for each in messages]


# IAM


async def test_a_password_grant_opens_a_session_and_a_refresh_keeps_it() -> None:
    async with simulated(log_in=False) as world:
        answer = (await world.iam(**PASSWORD)).json()
        assert (answer["expires_in"], answer["refresh_expires_in"]) == (300, 1800)
        assert answer["token_type"] == "bearer"
        refresh = {"client_id": "ocp", "refresh_token": answer["refresh_token"]}
        again = (await world.iam(grant_type="refresh_token", **refresh)).json()
        assert again["session_state"] == answer["session_state"]
        assert again["access_token"] != answer["access_token"]
        assert world.simulator.sessions_opened == 1
        await world.log_in()
        assert world.simulator.sessions_opened == 2
        assert (await world.iam("logout", **refresh)).status_code == 204
        assert len(world.simulator.sessions) == 1
        gone = await world.iam(grant_type="refresh_token", **refresh)
        assert (gone.status_code, gone.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({**PASSWORD, "password": "wrong"}, 401, "invalid_grant"),
        ({**PASSWORD, "username": "nobody"}, 401, "invalid_grant"),
        ({**PASSWORD, "client_id": "other"}, 401, "invalid_client"),
        ({**PASSWORD, "grant_type": "magic"}, 400, "unsupported_grant_type"),
        ({"client_id": "ocp", "grant_type": "refresh_token", "refresh_token": "x"}, 400, "invalid_grant"),
    ],
)
async def test_what_iam_does_not_grant(form: Any, status: int, error: str) -> None:
    async with simulated(log_in=False) as world:
        answer = await world.iam(**form)
        assert (answer.status_code, answer.json()["error"]) == (status, error)


async def test_iam_takes_forms_only_and_knows_one_realm() -> None:
    async with simulated(log_in=False) as world:
        url = f"{world.simulator.iam_url}{IAM}/token"
        assert (await world.http.post(url, json=PASSWORD)).status_code == 400
        assert (await world.http.post(url.replace("master", "ocp"), data=PASSWORD)).status_code == 404
        world.simulator.set_faults("realm-ocp")
        assert (await world.http.post(url.replace("master", "ocp"), data=PASSWORD)).status_code == 200


async def test_a_password_grant_may_need_an_otp() -> None:
    async with simulated("otp-required", log_in=False) as world:
        assert (await world.iam(**PASSWORD)).status_code == 401
        assert (await world.iam(**PASSWORD, otp="246810")).status_code == 200


async def test_an_account_may_lock() -> None:
    async with simulated("account-locks=2", log_in=False) as world:
        for _ in range(2):
            await world.iam(**{**PASSWORD, "password": "wrong"})
        assert (await world.iam(**PASSWORD)).status_code == 401


async def test_refreshes_may_be_refused_or_good_once() -> None:
    async with simulated("refresh-rotates") as world:
        form = {"client_id": "ocp", "grant_type": "refresh_token"}
        token = (await world.log_in())["refresh_token"]
        rotated = (await world.iam(**form, refresh_token=token)).json()["refresh_token"]
        assert (await world.iam(**form, refresh_token=token)).status_code == 400
        world.simulator.set_faults("refresh-expired=1")
        assert (await world.iam(**form, refresh_token=rotated)).status_code == 400
        assert (await world.iam(**form, refresh_token=rotated)).status_code == 200


async def test_an_access_token_ends_and_a_personal_one_does_not() -> None:
    async with simulated(token_seconds=0.2) as world:
        assert (await world.get("/subscriptions")).status_code == 200
        await trio.sleep(0.25)
        assert (await world.get("/subscriptions")).status_code == 401
        await world.log_in()
        world.simulator.expire_tokens()
        assert (await world.get("/subscriptions")).status_code == 401
        world.http.headers["Authorization"] = "Bearer pat-simulated-0001"
        assert (await world.get("/subscriptions")).status_code == 200
        world.simulator.set_faults("pat-refused")
        assert (await world.get("/subscriptions")).status_code == 401


async def test_without_a_token_it_is_401_and_another_group_403() -> None:
    async with simulated(log_in=False) as world:
        assert (await world.get("/subscriptions")).status_code == 401
        await world.log_in()
        answer = await world.http.get(world.root.replace("acme_prod", "other") + "/subscriptions")
        assert answer.status_code == 403
        assert answer.json().keys() == {"message"}
        world.simulator.set_faults("error-body-old")
        answer = await world.http.get(world.root.replace("acme_prod", "other") + "/subscriptions")
        assert answer.json().keys() == {"error", "code", "message"}


# Subscriptions


async def test_a_subscription_is_created_listed_without_secrets_and_deleted() -> None:
    async with simulated() as world:
        answer = await world.post("/subscriptions", world.wanted(custom_headers={"x-a": "1"}))
        created = answer.json()
        assert created["description"] == "Streaming subscription Submitted"
        listed = await world.listed()
        assert listed["pagination"] == {"pages": 1, "page_number": 1, "page_size": 50, "total_results": 1}
        [item] = listed["exports"]
        assert item.keys() == {"data_type", "schema_name", "created_at", "subscription_id", "delivery"}
        assert item["delivery"].keys() == {"type", "path"}
        assert item["subscription_id"] == created["export_id"]
        assert (await world.get(f"/subscriptions/{created['export_id']}")).status_code == 404
        answer = await world.delete(created["export_id"])
        assert (answer.status_code, answer.json()) == (200, {"message": "success"})
        assert (await world.listed())["exports"] == []


@pytest.mark.parametrize(
    ("change", "delivery"),
    [
        ({"data_type": "dialog_dream"}, {}),
        ({"data_type": None}, {}),
        ({"schema_name": ""}, {}),
        ({"schema_name": 7}, {}),
        ({"delivery": "x"}, {}),
        ({}, {"type": "ftp"}),
        ({}, {"path": "get_it"}),
        ({}, {"auth_type": "basic"}),
        ({}, {"auth_id": None}),
        ({}, {"auth_secret": ""}),
        ({}, {"token_path": None}),
        ({}, {"auth_scope": "s" * 101}),
        ({}, {"auth_scope": "ä"}),
        ({}, {"custom_headers": {f"x-{n}": "v" for n in range(6)}}),
        ({}, {"custom_headers": {"y-a": "v"}}),
        ({}, {"custom_headers": {"X-OCPfoo": "v"}}),
        ({}, {"custom_headers": {"x-a_b": "v"}}),
        ({}, {"custom_headers": {"x-a": None}}),
        ({}, {"custom_headers": {"x-a": "v" * 1000}}),
        ({}, {"custom_headers": {"x-a": "ä"}}),
        ({}, {"custom_headers": []}),
    ],
)
async def test_a_subscription_that_breaks_a_rule_is_refused(change: Any, delivery: Any) -> None:
    async with simulated() as world:
        answer = await world.post("/subscriptions", {**world.wanted(**delivery), **change})
        assert answer.status_code == 400
        assert answer.json()["message"]
        assert not world.simulator.subscriptions


@pytest.mark.parametrize(
    "delivery",
    [
        {"auth_scope": "s" * 100},
        {"token_path": "get_authentication"},
        {"custom_headers": {f"X-{n}": "v" * 999 for n in range(5)}},
        {"custom_headers": {"x-a/b": ""}},
        {"custom_headers": None},
    ],
)
async def test_a_subscription_that_the_seed_allows_is_made(delivery: Any) -> None:
    async with simulated() as world:
        await world.create(**delivery)


async def test_a_body_that_is_no_object_is_refused() -> None:
    async with simulated() as world:
        for body in (b"{", b"[]", b"\xff"):
            assert (await world.http.post(f"{world.root}/subscriptions", content=body)).status_code == 400


@pytest.mark.parametrize(("faults", "status"), [((), 409), (("conflict-400",), 400)])
async def test_a_second_subscription_of_a_type_conflicts(faults: tuple[str, ...], status: int) -> None:
    async with simulated(*faults) as world:
        await world.create()
        assert (await world.post("/subscriptions", world.wanted())).status_code == status
        await world.create(STEP)


async def test_a_slot_can_be_held_for_a_while_after_a_delete() -> None:
    async with simulated("slot-held=30") as world:
        await world.delete(await world.create())
        assert (await world.post("/subscriptions", world.wanted())).status_code == 409
        world.simulator.advance(31)
        await world.create()


async def test_deleting_twice_is_a_404_or_a_200() -> None:
    async with simulated() as world:
        gone = await world.create()
        await world.delete(gone)
        assert (await world.delete(gone)).status_code == 404
        world.simulator.set_faults("delete-gone-200")
        assert (await world.delete(gone)).status_code == 200


async def test_others_can_hold_a_slot_seen_or_unseen() -> None:
    async with simulated("foreign:dialog_start", "foreign-hidden:dialog_step") as world:
        [seen] = (await world.listed())["exports"]
        assert seen["data_type"] == START
        assert not seen["schema_name"].startswith("streamd")
        for each in (START, STEP):
            assert (await world.post("/subscriptions", world.wanted(each))).status_code == 409
        hidden = world.simulator.subscriptions[1]
        assert (await world.delete(hidden.id)).status_code == 404
        assert (await world.delete(seen["subscription_id"])).status_code == 200
        await world.create(START)


async def test_lists_come_in_pages() -> None:
    async with pushing(types=DATA_TYPES) as world:
        page = await world.listed(page_size=4, page_number=2)
        assert page["pagination"] == {"pages": 2, "page_number": 2, "page_size": 4, "total_results": 6}
        assert len(page["exports"]) == 2
        for bad in ({"page_size": 101}, {"page_size": 0}, {"page_number": 0}, {"page_number": "x"}):
            assert (await world.get("/subscriptions", **bad)).status_code == 400
        world.simulator.set_faults("page-cap=2")
        page = await world.listed(page_size=100)
        assert (page["pagination"]["pages"], len(page["exports"])) == (3, 2)


async def test_a_create_can_be_carried_out_and_answered_by_an_error_or_a_reset() -> None:
    async with simulated("create-500", "create-reset") as world:
        assert (await world.post("/subscriptions", world.wanted(START))).status_code == 500
        with pytest.raises(httpx.TransportError):
            await world.post("/subscriptions", world.wanted(STEP))
        assert len(world.simulator.subscriptions) == 2


async def test_the_type_of_audit_events_is_spelt_as_the_switch_says() -> None:
    async with simulated() as world:
        assert (await world.post("/subscriptions", world.wanted("audit"))).status_code == 400
        world.simulator.set_faults("audit-short")
        assert (await world.post("/subscriptions", world.wanted("audit_events"))).status_code == 400
        await world.create("audit")
        record = world.simulator.audit()
        await world.simulator.settle()
        assert record.fate == Fate.DELIVERED


# Tokens for pushes


async def test_a_token_is_asked_for_with_client_credentials_and_then_kept() -> None:
    async with simulated() as world:
        await world.create(auth_scope="omilia.push")
        for _ in range(3):
            world.simulator.call()
            await world.simulator.settle()
        [asked] = world.receiver.tokens
        assert parse_qs(asked.body.decode()) == {
            "grant_type": ["client_credentials"],
            "client_id": ["omilia acme"],
            "client_secret": [SECRET],
            "scope": ["omilia.push"],
        }
        assert {each.headers["authorization"] for each in world.receiver.pushes} == {"Bearer t1"}
        [entry] = world.simulator.token_calls
        assert (entry.outcome, entry.status, entry.form) == ("token", 200, "token-body")


@pytest.mark.parametrize("form", ["token-basic", "token-basic-raw", "token-both", "token-json"])
async def test_credentials_come_in_the_form_that_the_switch_names(form: str) -> None:
    async with pushing(form) as world:
        world.simulator.call()
        await world.simulator.settle()
        [asked] = world.receiver.tokens
        if form == "token-json":
            assert json.loads(asked.body)["client_secret"] == SECRET
            return
        pair = b64decode(asked.headers["authorization"].removeprefix("Basic ")).decode().split(":")
        if form == "token-basic-raw":
            assert pair == ["omilia acme", SECRET]
        else:
            assert pair[0] == "omilia+acme"
            assert unquote_plus(pair[1]) == SECRET
        assert (b"client_secret" in asked.body) == (form == "token-both")


async def test_a_token_is_renewed_before_its_end_or_never_or_each_time() -> None:
    async with pushing() as world:
        world.receiver.expires_in = 0.2  # half of it counts
        for _ in range(2):
            world.simulator.call()
            await world.simulator.settle()
            await trio.sleep(0.15)
        assert len(world.receiver.tokens) == 2
        world.simulator.set_faults("token-kept")
        world.simulator.call()
        await world.simulator.settle()
        assert len(world.receiver.tokens) == 2
        world.simulator.set_faults("token-per-push")
        for expected in (3, 4):
            world.simulator.call()
            await world.simulator.settle()
            assert len(world.receiver.tokens) == expected


@pytest.mark.parametrize(
    ("faults", "tokens", "fate"),
    [((), 1, Fate.DROPPED), (("401-retries",), 2, Fate.REDELIVERED), (("401-ignored",), 1, Fate.DROPPED)],
)
async def test_a_401_is_treated_as_the_switch_says(faults: tuple[str, ...], tokens: int, fate: Fate) -> None:
    async with pushing(*faults) as world:
        good = "Bearer t2"
        world.receiver.answer = lambda push: (
            ACCEPTED if push.headers["authorization"] == good else Response(401, {}, b"{}")
        )
        records = world.simulator.call()
        await eventually(lambda: bool(records[0].failed))
        await trio.sleep(0.05)
        assert len(world.receiver.tokens) == tokens
        assert records[0].fate == fate
        later = world.simulator.call()
        await eventually(lambda: bool(later[0].failed or later[0].accepted))
        assert bool(later[0].accepted) == ("401-ignored" not in faults)


async def test_pushes_can_carry_no_token_or_one_of_somebody_else() -> None:
    async with pushing("bearer-missing=1") as world:
        world.simulator.call()
        await world.simulator.settle()
        world.simulator.set_faults("bearer-forged=1")
        world.simulator.call()
        await world.simulator.settle()
        first, second = world.receiver.pushes
        assert "authorization" not in first.headers
        assert second.headers["authorization"].count(".") == 2
        assert not world.receiver.tokens


async def test_token_calls_can_use_a_wrong_scope_a_wrong_or_the_previous_secret() -> None:
    async with simulated("scope-wrong", "secret-wrong") as world:
        identifier = await world.create(auth_secret="first")
        world.simulator.call()
        await world.simulator.settle()
        asked = parse_qs(world.receiver.tokens[0].body.decode())
        assert asked["client_secret"] == ["first-wrong"]
        assert asked["scope"] == ["nobody.configured.this"]
        await world.delete(identifier)
        world.simulator.set_faults("secret-previous=1", "token-per-push")
        await world.create(auth_secret="second")
        for secret in ("first", "second"):
            world.simulator.call()
            await world.simulator.settle()
            assert parse_qs(world.receiver.tokens[-1].body.decode())["client_secret"] == [secret]


async def test_without_a_token_nothing_is_pushed_and_the_records_are_dropped() -> None:
    async with simulated() as world:
        await world.create(token_path="get_authentication")
        records = world.simulator.call()
        await eventually(lambda: bool(records[0].failed))
        assert records[0].fate == Fate.DROPPED
        assert world.simulator.deliveries[0].outcome == "no token: not sent"
        assert not world.receiver.pushes


# Pushes


async def test_each_type_is_pushed_to_its_own_path_in_envelopes() -> None:
    async with simulated() as world:
        for each in DIALOGS:
            await world.create(each, custom_headers={"X-Streamd-Generation": "g3"})
        records = world.simulator.call(children=2)
        await world.simulator.settle()
        for each in DIALOGS:
            [body] = world.receiver.bodies(each)
            assert list(body) == ["schemaName", "sessionId", "sessionStartingSequenceNumber", "messages"]
            assert body["schemaName"] == f"streamd_{each}"
            assert body["sessionStartingSequenceNumber"] == "0"
            expected = [record.identity for record in records if record.message_type == each]
            assert identities(body["messages"]) == expected
        assert all(each.headers["x-streamd-generation"] == "g3" for each in world.receiver.pushes)
        assert {each.fate for each in records} == {Fate.DELIVERED}
        assert len({body["sessionId"] for body in world.receiver.bodies()}) == 3


async def test_a_type_that_nobody_subscribed_to_is_never_streamed() -> None:
    async with pushing() as world:
        counts = Counter(each.fate for each in world.simulator.call(children=0))
        await world.simulator.settle()
        assert counts[Fate.UNSUBSCRIBED] == 3
        assert Counter(world.simulator.fates().values())[Fate.DELIVERED] == 1


async def sequences(world: World, calls: int = 3) -> list[tuple[str, Any]]:
    for _ in range(calls):
        world.simulator.call(children=1)
        await world.simulator.settle()
    return [
        (each["sessionId"], each.get("sessionStartingSequenceNumber")) for each in world.receiver.bodies()
    ]


@pytest.mark.parametrize(
    ("fault", "numbers"),
    [
        ("sequence-of-first", ["0", "2", "4"]),
        ("sequence-base", ["0", "0", "0"]),
        ("sequence-hole=1", ["0", "7", "14"]),
        ("sequence-reset=1", ["0", "0", "0"]),
        ("sequence-number", [0, 2, 4]),
        ("sequence-missing", [None, None, None]),
    ],
)
async def test_batches_are_numbered_as_the_switch_says(fault: str, numbers: list[Any]) -> None:
    async with pushing(fault) as world:
        found = await sequences(world)
        assert [number for _, number in found] == numbers
        assert len({session for session, _ in found}) == 1


async def test_a_session_can_be_renewed_at_any_time() -> None:
    async with pushing("session-renews=1") as world:
        found = await sequences(world)
        assert len({session for session, _ in found}) == 3
        assert {number for _, number in found} == {"0"}


@pytest.mark.parametrize("fault", ["bare-objects", "bare-array", "ndjson"])
async def test_bodies_can_lack_the_envelope(fault: str) -> None:
    async with pushing(fault) as world:
        records = world.simulator.call(children=2)
        await world.simulator.settle()
        pushes = [each.body for each in world.receiver.pushes]
        expected = [each.identity for each in records if each.message_type == START]
        if fault == "bare-objects":
            messages = [json.loads(each) for each in pushes]
        elif fault == "bare-array":
            [messages] = [json.loads(each) for each in pushes]
        else:
            messages = [json.loads(line) for line in pushes[0].splitlines()]
        assert identities(messages) == expected


async def test_bodies_can_be_compressed_chunked_and_slow() -> None:
    async with pushing("gzip", "chunked", "slow-send=0.2") as world:
        world.simulator.call()
        await world.simulator.settle()
        [push] = world.receiver.pushes
        assert json.loads(gzip.decompress(push.body))["messages"]
        assert push.headers["transfer-encoding"] == "chunked"
        assert world.simulator.deliveries[0].seconds > 0.2


async def test_batches_are_limited_and_may_be_shuffled() -> None:
    async with pushing("batch-size=2", "shuffle-records") as world:
        records = [each for each in world.simulator.call(children=6) if each.message_type == START]
        await world.simulator.settle()
        assert [len(body["messages"]) for body in world.receiver.bodies()] == [2, 2, 2, 1]
        assert sorted(identities(world.receiver.messages())) == sorted(each.identity for each in records)


async def test_several_pushes_of_a_stream_can_be_under_way() -> None:
    async with pushing("concurrent=3", "batch-size=1") as world:
        world.receiver.gate = trio.Event()
        world.simulator.call(children=6)
        await eventually(lambda: world.receiver.in_flight == 3)
        await trio.sleep(0.05)
        world.receiver.gate.set()
        await world.simulator.settle()
        assert world.receiver.most_in_flight == 3
        world.simulator.set_faults("batch-size=1")
        world.receiver.most_in_flight = 0
        world.simulator.call(children=6)
        await world.simulator.settle()
        assert world.receiver.most_in_flight == 1


async def test_a_stream_can_run_behind_so_that_ends_come_before_starts() -> None:
    async with pushing("delay:dialog_start", types=(START, END)) as world:
        world.simulator.call(children=0)
        await eventually(lambda: len(world.receiver.pushes) == 1)
        assert world.receiver.pushes[0].path.endswith(END)
        world.simulator.advance(31)
        await world.simulator.settle()
        assert world.receiver.pushes[1].path.endswith(START)


@pytest.mark.parametrize(
    ("fault", "strange"),
    [
        ("wrong-type=1", lambda each: isinstance(each, dict) and each.get("message_type") == END),
        (
            "unknown-type=1",
            lambda each: isinstance(each, dict) and each.get("message_type") == "dialog_dream",
        ),
        ("bad-record=1", lambda each: each in (42, None, [])),
        ("huge-batch=1", lambda each: isinstance(each, dict) and len(each.get("notes", "")) > 4_000_000),
    ],
)
async def test_strange_records_travel_among_good_ones_and_are_no_part_of_the_truth(
    fault: str, strange: Callable[[Any], bool]
) -> None:
    async with pushing(fault) as world:
        records = world.simulator.call(children=1)
        await world.simulator.settle()
        messages = world.receiver.messages()
        assert any(map(strange, messages))
        good = [
            each for each in messages if isinstance(each, dict) and not each.get("id", "").startswith("odd-")
        ]
        assert identities(good) == [each.identity for each in records if each.message_type == START]
        assert world.simulator.deliveries[0].odd == len(messages) - len(good)
        assert world.simulator.truth().keys() == {each.identity for each in records}


async def test_bodies_that_are_no_json_no_utf8_or_empty_come_by_switch() -> None:
    async with pushing("bad-json=1", "empty-messages=1", "invalid-utf8=1") as world:
        world.simulator.call()
        await world.simulator.settle()
        first, empty, broken = (each.body for each in world.receiver.pushes)
        with pytest.raises(UnicodeDecodeError):
            first.decode()
        assert json.loads(empty)["messages"] == []
        with pytest.raises(json.JSONDecodeError):
            json.loads(broken)


async def test_fields_can_be_new_or_of_other_types() -> None:
    async with pushing("extra-fields", "type-drift=1", types=(STEP, END)) as world:
        world.simulator.call(children=0)
        await world.simulator.settle()
        [end], [step, _] = world.receiver.messages(END), world.receiver.messages(STEP)
        assert isinstance(end["duration"], str)
        assert (type(end["events"]), type(step["events"])) == (list, str)
        assert end["moon_phase"]["visible"] is True
        assert all("deliveryAttemptHint" in each for each in world.receiver.bodies())


async def test_a_batch_can_come_twice_or_again_under_another_session() -> None:
    async with pushing("repeat-batch=1") as world:
        world.simulator.call()
        await world.simulator.settle()
        first, second = world.receiver.pushes
        assert first.body == second.body
        world.receiver.pushes.clear()
        world.simulator.set_faults("rebatch=1")
        records = [each for each in world.simulator.call(children=2) if each.message_type == START]
        await world.simulator.settle()
        whole, *parts = world.receiver.bodies()
        assert len(parts) == 2
        assert whole["sessionId"] not in {each["sessionId"] for each in parts}
        assert [each for part in parts for each in part["messages"]] == whole["messages"]
        assert {each.accepted for each in records} == {2}


# What the client's answers mean


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Response(204), "no JSON object"),
        (Response(200), "no JSON object"),
        (Response(200, {}, b"[]"), "no JSON object"),
        (Response(200, {}, b"ok"), "no JSON object"),
        (Response(200, {}, b"\xff"), "no JSON object"),
        (Response(201, {}, b"{}"), "accepted"),
        (Response(302, {"Location": "/"}, b"{}"), "status 302"),
        (Response(400, {}, b"{}"), "status 400"),
        (Response(413, {}, b"{}"), "status 413"),
        (Response(429, {"Retry-After": "1"}, b"{}"), "status 429"),
        (Response(503, {}, b"{}"), "status 503"),
    ],
)
async def test_only_2xx_with_a_json_object_accepts_a_batch(answer: Response, outcome: str) -> None:
    async with pushing() as world:
        world.receiver.answer = lambda _: answer
        [record, *_] = world.simulator.call(children=0)
        await eventually(lambda: bool(world.simulator.deliveries))
        [entry] = world.simulator.deliveries
        assert (entry.outcome, entry.status) == (outcome, answer.status)
        assert entry.records == [record.number]
        assert record.fate == (Fate.DELIVERED if outcome == "accepted" else Fate.DROPPED)


async def test_any_2xx_may_do() -> None:
    async with pushing("any-2xx") as world:
        world.receiver.answer = lambda _: Response(204)
        [record, *_] = world.simulator.call()
        await world.simulator.settle()
        assert record.fate == Fate.DELIVERED


async def test_a_client_that_does_not_answer_or_is_not_there_drops_the_batch() -> None:
    async with pushing("push-timeout=0.2") as world:
        world.receiver.gate = trio.Event()
        world.simulator.call()
        await eventually(lambda: bool(world.simulator.deliveries))
        world.receiver.gate.set()
        assert world.simulator.deliveries[0].outcome == "timeout"
    async with simulated() as world:
        await world.create(path="http://127.0.0.1:1/in", token_path=f"{world.receiver.url}/token")
        world.simulator.call()
        await eventually(lambda: bool(world.simulator.deliveries))
        assert world.simulator.deliveries[0].outcome == "unreachable"


async def test_a_custom_header_that_http_does_not_allow_makes_every_push_fail() -> None:
    async with simulated() as world:
        await world.create(custom_headers={"x-a/b": "v"})
        world.simulator.call()
        await eventually(lambda: bool(world.simulator.deliveries))
        assert world.simulator.deliveries[0].outcome == "not sent"


@pytest.mark.parametrize(
    ("fault", "outcome", "arrives"),
    [("abort-mid-body=1", "not sent", False), ("answer-lost=1", "no answer", True)],
)
async def test_a_push_can_be_cut_and_then_comes_again(fault: str, outcome: str, arrives: bool) -> None:
    async with pushing(fault, "online-by-push") as world:
        [record, *_] = world.simulator.call()
        await eventually(lambda: bool(record.failed))
        assert world.simulator.deliveries[0].outcome == outcome
        await trio.sleep(0.05)
        assert bool(world.receiver.pushes) == arrives
        world.simulator.set_faults()
        world.simulator.advance(10 * MINUTE)
        await world.simulator.settle()
        assert record.fate == Fate.REDELIVERED


async def test_failed_pushes_can_be_tried_again_at_once() -> None:
    async with pushing("retry-at-once=2") as world:
        world.receiver.answer = lambda _: ACCEPTED if len(world.receiver.pushes) == 3 else refusing(500)(_)
        [record, *_] = world.simulator.call()
        await world.simulator.settle()
        assert (record.failed, record.accepted, record.fate) == (2, 1, Fate.REDELIVERED)


async def test_a_retry_after_can_make_the_stream_wait() -> None:
    async with pushing("retry-after-honoured") as world:
        world.receiver.answer = refusing(503, {"Retry-After": "1"})
        world.simulator.call()
        await eventually(lambda: len(world.simulator.deliveries) == 1)
        began = trio.current_time()
        world.simulator.call()
        await eventually(lambda: len(world.simulator.deliveries) == 2)
        assert trio.current_time() - began > 0.9


async def test_a_4xx_can_discard_for_ever() -> None:
    async with pushing("discard-4xx") as world:
        world.receiver.answer = refusing(400)
        [record, *_] = world.simulator.call()
        await eventually(lambda: bool(record.failed))
        assert record.fate == Fate.DISCARDED
        assert world.simulator.is_settled
        world.receiver.answer = refusing(429)
        [record, *_] = world.simulator.call()
        await eventually(lambda: bool(record.failed))
        assert record.fate == Fate.DROPPED


# Reconciliation


async def test_what_was_dropped_comes_back_ten_minutes_after_the_client_did_beside_the_live_stream() -> None:
    async with pushing() as world:
        world.receiver.answer = refusing(503)
        lost = world.simulator.call(children=0)[0]
        await eventually(lambda: bool(lost.failed))
        world.receiver.answer = lambda _: ACCEPTED
        world.simulator.call(children=0)
        await eventually(lambda: world.simulator.records_accepted > 0)
        world.simulator.advance(9.9 * MINUTE)
        await trio.sleep(0.05)
        assert lost.fate == Fate.DROPPED
        world.simulator.advance(0.2 * MINUTE)
        await world.simulator.settle()
        assert lost.fate == Fate.REDELIVERED
        live, again = world.simulator.deliveries[-2:]
        assert (live.stream, again.stream) == ("live", "reconciliation")
        assert live.session_id != again.session_id
        assert (live.sequence, again.sequence) == (1, 0)


async def test_it_may_share_the_live_session_and_bring_accepted_records_too() -> None:
    async with pushing("reconcile-same-session", "reconcile-overlap=2") as world:
        before = [world.simulator.call(children=0)[0] for _ in range(3)]
        await world.simulator.settle()
        world.receiver.answer = refusing(503)
        lost = world.simulator.call(children=0)[0]
        await eventually(lambda: bool(lost.failed))
        world.receiver.answer = lambda _: ACCEPTED
        world.simulator.advance(10 * MINUTE)
        await world.simulator.settle()
        assert len({each.session_id for each in world.simulator.deliveries}) == 1
        assert world.simulator.deliveries[-1].records == [before[1].number, before[2].number, lost.number]


async def test_an_idle_stream_tries_its_oldest_batch_every_ten_minutes_unless_only_live_pushes_tell() -> None:
    async with pushing() as world:
        world.receiver.answer = refusing(503)
        lost = world.simulator.call()[0]
        for tries in (1, 2, 3):
            await eventually(lambda tries=tries: lost.failed == tries)
            world.simulator.advance(10 * MINUTE)
        world.receiver.answer = lambda _: ACCEPTED
        world.simulator.advance(10 * MINUTE)
        await world.simulator.settle()
        assert lost.fate == Fate.REDELIVERED
        world.simulator.set_faults("online-by-push")
        world.receiver.answer = refusing(503)
        lost = world.simulator.call()[0]
        await eventually(lambda: bool(lost.failed))
        world.receiver.answer = lambda _: ACCEPTED
        world.simulator.advance(HOUR)
        await trio.sleep(0.05)
        assert lost.fate == Fate.DROPPED


async def test_what_the_demo_missed_comes_back_though_nothing_new_is_pushed() -> None:
    async with pushing("reconcile-after=0.1", "probe-after=0.1", "network-down") as world:
        missed = world.simulator.call()[0]
        await eventually(lambda: bool(missed.failed))
        world.simulator.set_faults("reconcile-after=0.1", "probe-after=0.1")
        await eventually(lambda: missed.fate == Fate.REDELIVERED)


async def outage(world: World, hours: int) -> list[Any]:
    """Let a call happen each hour of an outage; return the starts, once all that comes back has."""
    await world.simulator.settle()
    world.simulator.set_faults(*world.simulator.faults, "network-down")
    starts = []
    for _ in range(hours):
        starts.append(world.simulator.call(children=0)[0])
        await eventually(lambda: bool(starts[-1].failed))
        world.simulator.advance(HOUR)
    world.simulator.set_faults(*(set(world.simulator.faults) - {"network-down"}))
    live = world.simulator.call(children=0)[0]
    await eventually(lambda: bool(live.accepted))
    world.simulator.advance(10 * MINUTE)
    await world.simulator.settle()
    return starts


async def test_an_outage_of_23_hours_comes_back_whole() -> None:
    async with pushing() as world:
        starts = await outage(world, 23)
        assert {each.fate for each in starts} == {Fate.REDELIVERED}


async def test_of_an_outage_of_30_hours_the_last_24_come_back_or_nothing_by_switch() -> None:
    async with pushing() as world:
        starts = await outage(world, 30)
        assert [each.fate for each in starts] == [Fate.LOST] * 7 + [Fate.REDELIVERED] * 23
    async with pushing("window-by-outage") as world:
        starts = await outage(world, 30)
        assert {each.fate for each in starts} == {Fate.LOST}
        starts = await outage(world, 23)
        assert {each.fate for each in starts} == {Fate.REDELIVERED}


async def test_a_scaled_clock_makes_an_outage_of_30_hours_last_seconds() -> None:
    async with pushing("network-down", types=DIALOGS, time_scale=100_000, rate=200) as world:
        await eventually(lambda: {each.message_type for each in world.simulator.records} == set(DIALOGS))
        await trio.sleep(30 * HOUR / 100_000)
        world.simulator.set_faults()
        await trio.sleep(0.3)
        world.simulator.set_rate(0)
        await world.simulator.settle()
        fates = Counter(world.simulator.fates().values())
        assert all(fates[fate] > 0 for fate in (Fate.LOST, Fate.REDELIVERED, Fate.DELIVERED))
        for kind in DIALOGS:
            records = [each for each in world.simulator.records if each.message_type == kind]
            lost = [each.made_at for each in records if each.fate == Fate.LOST]
            again = [each.made_at for each in records if each.fate == Fate.REDELIVERED]
            assert max(lost) < min(again)
            assert max(again) - min(again) < DAY
        assert fates.keys() <= {Fate.LOST, Fate.REDELIVERED, Fate.DELIVERED, Fate.UNSUBSCRIBED}
        received = Counter(identities(world.receiver.messages()))
        kept = {each.identity for each in world.simulator.records if each.accepted}
        assert received.keys() == kept


async def test_reconciliation_can_be_slow() -> None:
    async with pushing("network-down", "batch-size=1", "reconcile-rate=20") as world:
        world.simulator.call(children=5)
        await eventually(lambda: len(world.simulator.deliveries) == 6)
        world.simulator.set_faults("batch-size=1", "reconcile-rate=20")
        began = trio.current_time()
        world.simulator.advance(10 * MINUTE)
        await world.simulator.settle()
        assert 0.25 < trio.current_time() - began < 5


# Subscriptions that come and go


async def test_what_a_deleted_subscription_had_not_delivered_is_lost() -> None:
    async with simulated("network-down") as world:
        identifier = await world.create()
        lost = world.simulator.call()[0]
        await eventually(lambda: bool(lost.failed))
        await world.delete(identifier)
        between = world.simulator.call()[0]
        world.simulator.set_faults()
        await world.create()
        world.simulator.advance(HOUR)
        await world.simulator.settle()
        assert (lost.fate, between.fate) == (Fate.LOST, Fate.UNSUBSCRIBED)


async def test_a_new_subscription_can_get_the_24_hours_before_it() -> None:
    async with simulated("reconcile-before-creation") as world:
        old = world.simulator.call()[0]
        world.simulator.advance(DAY)
        new = world.simulator.call()[0]
        await world.create()
        world.simulator.advance(10 * MINUTE)
        await world.simulator.settle()
        assert (old.fate, new.accepted) == (Fate.UNSUBSCRIBED, 1)


async def test_a_deleted_subscription_can_be_pushed_a_while_beside_its_successor() -> None:
    async with simulated("deleted-pushes=60") as world:
        await world.delete(await world.create(custom_headers={"x-generation": "g1"}))
        await world.create(custom_headers={"x-generation": "g2"})
        both = world.simulator.call()[0]
        await world.simulator.settle()
        assert {each.headers["x-generation"] for each in world.receiver.pushes} == {"g1", "g2"}
        assert both.accepted == 2
        world.simulator.advance(61)
        await trio.sleep(0.05)
        one = world.simulator.call()[0]
        await world.simulator.settle()
        assert one.accepted == 1


async def test_a_stream_can_fall_silent_while_it_is_still_listed() -> None:
    async with pushing("silent-stop:dialog_start", types=(START, END)) as world:
        world.simulator.call(children=0)
        await world.simulator.settle()
        fates = {each.message_type: each.fate for each in world.simulator.records}
        assert (fates[START], fates[END]) == (Fate.WITHHELD, Fate.DELIVERED)
        assert len((await world.listed())["exports"]) == 2


async def test_a_subscription_can_vanish() -> None:
    async with pushing(types=(START, END)) as world:
        assert world.simulator.vanish(START)
        assert not world.simulator.vanish(START)
        assert [each["data_type"] for each in (await world.listed())["exports"]] == [END]
        world.simulator.set_faults("vanish-every=0.05")
        await eventually(lambda: not world.simulator.subscriptions)


# Batch exports


async def test_a_job_goes_through_its_states_and_holds_what_the_hours_hold() -> None:
    async with simulated() as world:
        world.simulator.history(hours=6, calls=24)
        order = world.order(hours_ago=4, hours=2)
        job = await world.job(**order)
        seen = []
        for _ in range(4):
            [item] = (await world.get("/jobs")).json()["exports"]
            seen.append(item["status"])
            if item["status"] != "READY":
                assert (await world.get(f"/jobs/{job}")).status_code == 400
                assert (await world.zip(job)).status_code == 400
            world.simulator.advance(2)
        assert seen == ["SUBMITTED", "PROCESSING", "RUNNING", "READY"]
        assert item["types"] == ["Dialog Step", "Dialog Start", "Dialog End"]
        metadata = (await world.get(f"/jobs/{job}")).json()
        assert metadata["num_of_files"] == 6
        answer = await world.zip(job)
        assert answer.headers["pagination-pages"] == "1"
        assert answer.headers["pagination-page_number"] == "1"
        assert answer.headers["pagination-page_size"] == "20"
        found = [json.loads(line) for each in unzipped(answer.content).values() for line in each.splitlines()]
        begin, end = (
            datetime.fromisoformat(order[name]).timestamp() * 1000 for name in ("from_date", "to_date")
        )
        expected = [each for each in world.simulator.records if begin <= each.time < end]
        assert sorted(identities(found)) == sorted(each.identity for each in expected)
        assert {each.exported for each in expected} == {1}


async def test_an_export_has_the_fields_that_were_pushed_in_other_bytes() -> None:
    async with simulated() as world:
        world.simulator.history(hours=6, calls=12)
        job = await world.ready_job()
        pushed = {each.identity: each.payload for each in world.simulator.records}
        lines = await world.lines(job)
        for line in lines:
            message = json.loads(line)
            assert message == json.loads(pushed[identify(message)])
            assert line not in pushed.values()
        world.simulator.set_faults("same-bytes")
        assert set(await world.lines(job)) <= set(pushed.values())


@pytest.mark.parametrize(
    "order",
    [
        {"export_name": "a"},
        {"export_name": "a_b"},
        {"export_name": "a.b"},
        {"export_name": " ab"},
        {"export_name": None},
        {"hours": 0},
        {"hours": 49, "hours_ago": 60},
        {"hours": -1},
        {"hours_ago": 2},
        {"from_date": "yesterday"},
        {"to_date": None},
        {"types": []},
        {"types": ["Dialog Dream"]},
        {"types": "Dialog Data"},
        {"types": [1]},
    ],
)
async def test_a_job_that_breaks_a_rule_is_refused(order: dict[str, Any]) -> None:
    async with simulated() as world:
        answer = await world.post("/jobs", world.order(**order))
        assert answer.status_code == 400
        assert not world.simulator.jobs


async def test_both_ends_of_a_range_are_cut_to_the_hour() -> None:
    async with simulated() as world:
        hour = world.hour() - timedelta(hours=5)
        inside = {
            "from_date": hour.replace(minute=10).isoformat(),
            "to_date": hour.replace(minute=50).isoformat(),
        }
        assert (await world.post("/jobs", world.order(**inside))).status_code == 400
        inside["to_date"] = (hour + timedelta(hours=1, minutes=20)).isoformat().replace("+00:00", "Z")
        assert (await world.post("/jobs", world.order(**inside))).status_code == 200
        [item] = (await world.get("/jobs")).json()["exports"]
        assert item["from_date"] == f"{hour:%Y-%m-%dT%H}:00:00Z"
        assert item["to_date"] == f"{hour + timedelta(hours=1):%Y-%m-%dT%H}:00:00Z"


async def test_48_hours_up_to_two_hours_ago_are_allowed() -> None:
    async with simulated() as world:
        await world.job(hours=48, hours_ago=50)


@pytest.mark.parametrize(
    ("faults", "name", "status"),
    [((), "a b", 200), (("name-literal",), "a b", 400), (("name-literal",), "a\\b", 200), ((), "a\\b", 400)],
)
async def test_the_pattern_of_names_can_be_read_in_two_ways(
    faults: tuple[str, ...], name: str, status: int
) -> None:
    async with simulated(*faults) as world:
        assert (await world.post("/jobs", world.order(export_name=name))).status_code == status


@pytest.mark.parametrize(
    ("fault", "legacy", "new"), [("types-both", 200, 200), ("types-legacy", 200, 400), ("types-v2", 400, 200)]
)
async def test_types_are_spelt_as_the_switch_says(fault: str, legacy: int, new: int) -> None:
    async with simulated(fault) as world:
        world.simulator.history(hours=6, calls=6)
        assert (await world.post("/jobs", world.order(types=["Dialog Start"]))).status_code == legacy
        world.simulator.advance(10)
        for each in ("All", "ALL", "dialog_start", "vb_enrolment", "audit"):
            assert (await world.post("/jobs", world.order(types=[each]))).status_code == new
            world.simulator.advance(10)


async def test_a_type_alone_holds_only_that() -> None:
    async with simulated() as world:
        world.simulator.history(hours=6, calls=12)
        job = await world.ready_job(types=["Dialog End"])
        assert {json.loads(each)["message_type"] for each in await world.lines(job)} == {END}


@pytest.mark.parametrize(("faults", "status"), [((), 409), (("conflict-400",), 400)])
async def test_one_job_runs_at_a_time_of_ours_or_of_others(faults: tuple[str, ...], status: int) -> None:
    async with simulated(*faults) as world:
        await world.job()
        assert (await world.post("/jobs", world.order())).status_code == status
        world.simulator.advance(10)
        world.simulator.add_foreign_job(60)
        assert (await world.post("/jobs", world.order())).status_code == status
        world.simulator.advance(61)
        await world.job()
        world.simulator.advance(10)
        world.simulator.set_faults("foreign-job=30")
        assert len((await world.get("/jobs", status="RUNNING")).json()["exports"]) == 1


async def test_jobs_are_listed_by_page_and_status() -> None:
    async with simulated() as world:
        jobs = [await world.ready_job() for _ in range(3)]
        page = (await world.get("/jobs", page_size=2)).json()
        assert [each["export_id"] for each in page["exports"]] == jobs[:0:-1]
        assert page["pagination"] == {"pages": 2, "page_number": 1, "page_size": 2, "total_results": 3}
        assert (await world.get("/jobs", status="EXPIRED")).json()["exports"] == []
        assert (await world.get("/jobs", status="MAYBE")).status_code == 400
        assert (await world.get("/jobs/nobody")).status_code == 404


async def test_a_job_expires_after_a_day_or_after_a_page() -> None:
    async with simulated("expires-after-page=1") as world:
        job = await world.ready_job()
        assert (await world.zip(job)).status_code == 200
        assert (await world.zip(job)).status_code == 404
        world.simulator.set_faults()
        job = await world.ready_job()
        world.simulator.advance(DAY - MINUTE)
        assert (await world.zip(job)).status_code == 200
        world.simulator.advance(2 * MINUTE)
        assert (await world.zip(job)).status_code == 404
        assert (await world.get(f"/jobs/{job}")).status_code == 404
        job = await world.ready_job()
        world.simulator.expire_jobs()
        assert (await world.zip(job)).status_code == 404


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("slow-states", "SUBMITTED"),
        ("never-ready", "RUNNING"),
        ("failed-state", "FAILED"),
        ("expires-after=1", "EXPIRED"),
    ],
)
async def test_jobs_end_in_other_states_by_switch(fault: str, status: str) -> None:
    async with simulated(fault) as world:
        await world.ready_job()
        assert world.simulator.job_status(world.simulator.jobs[0]) == status


async def test_a_state_that_nobody_documented_can_come_before_ready() -> None:
    async with simulated("unknown-state", "unready-404", "finished-late") as world:
        job = await world.job()
        world.simulator.advance(4.5)
        assert (await world.get("/jobs")).json()["exports"][0]["status"] == "VALIDATING"
        assert (await world.get(f"/jobs/{job}")).status_code == 404
        world.simulator.advance(4)
        finished = datetime.fromisoformat((await world.get("/jobs")).json()["exports"][0]["finished_date"])
        assert finished - world.simulator.now() > timedelta(days=2)
        assert (finished.minute, finished.second) == (0, 0)


@pytest.mark.parametrize("digits", [0, 2, 3, 6])
async def test_timestamps_carry_the_digits_of_the_switch(digits: int) -> None:
    async with pushing(f"fraction-digits={digits}") as world:
        [item] = (await world.listed())["exports"]
        fraction = item["created_at"].removesuffix("Z").partition(".")[2]
        assert len(fraction) == digits


async def test_files_come_in_pages_and_five_zips_a_minute() -> None:
    async with simulated("file-records=2", "bucket-retry-after") as world:
        world.simulator.history(hours=6, calls=24)
        job = await world.ready_job(types=["Dialog Step"])
        files = (await world.get(f"/jobs/{job}")).json()["num_of_files"]
        pages = -(-files // 4)
        assert pages > 1
        found: list[bytes] = []
        for number in range(1, pages + 1):
            if number > 1 and number % 5 == 1:
                world.simulator.advance(61)
            answer = await world.zip(job, page_number=number, page_size=4)
            assert answer.headers["pagination-pages"] == str(pages)
            found += [line for each in unzipped(answer.content).values() for line in each.splitlines()]
        assert len(found) == len(set(found)) == sum(1 for each in world.simulator.records if each.exported)
        world.simulator.advance(61)
        statuses = [(await world.zip(job)).status_code for _ in range(6)]
        assert statuses == [200] * 5 + [429]
        world.simulator.set_faults("zips-a-minute=6", "file-records=2")
        assert (await world.zip(job, page_number=99)).status_code == 400
        for bad in ({"page_size": 51}, {"page_size": 0}, {"page_number": 0}):
            assert (await world.zip(job, **bad)).status_code == 400


async def test_hours_without_records_have_no_files() -> None:
    async with simulated() as world:
        job = await world.ready_job()
        assert (await world.get(f"/jobs/{job}")).json() == {
            "export_id": job,
            "num_of_files": 0,
            "size_of_export": 0,
        }
        answer = await world.zip(job)
        assert (answer.headers["pagination-pages"], unzipped(answer.content)) == ("0", {})


async def test_what_is_older_than_60_days_is_gone() -> None:
    async with simulated() as world:
        world.simulator.history(hours=2, calls=10)
        world.simulator.advance(61 * DAY)
        job = await world.ready_job(hours_ago=61 * 24 + 2, hours=3)
        assert await world.lines(job) == []
        world.simulator.set_faults("retention-400")
        assert (await world.post("/jobs", world.order(hours_ago=61 * 24))).status_code == 400


async def test_hours_hold_records_by_the_time_that_the_switch_names() -> None:
    async with simulated(starts_at=1_767_225_600 + 13 * HOUR) as world:
        call = [*world.simulator.call(children=0)]
        world.simulator.advance(9 * HOUR)
        late = {"message_type": END, "id": "late", "time": call[0].time, "duration": 3_600_000 * 2}
        record = world.simulator.send(late)
        world.simulator.advance(6 * HOUR)
        for fault, hours_after in (("filter-time", 0), ("filter-end", 2), ("filter-made", 9)):
            world.simulator.set_faults(fault)
            job = await world.ready_job(hours_ago=15 - hours_after, types=["Dialog End"])
            assert record.identity in identities([json.loads(each) for each in await world.lines(job)])


@pytest.mark.parametrize("fault", ["zip-truncated", "zip-bad-crc", "zip-cut", "zip-empty"])
async def test_zips_can_be_spoilt_once(fault: str) -> None:
    async with simulated(fault) as world:
        world.simulator.history(hours=6, calls=12)
        job = await world.ready_job()
        if fault == "zip-cut":
            with pytest.raises(httpx.TransportError):
                await world.zip(job)
        else:
            content = (await world.zip(job)).content
            if fault == "zip-empty":
                assert unzipped(content) == {}
            else:
                with pytest.raises((zipfile.BadZipFile, AssertionError)):
                    unzipped(content)
        assert await world.lines(job)


async def test_zips_can_hold_more_than_they_should() -> None:
    async with simulated(
        "zip-bomb=1", "zip-paths", "audio-members", "gzip-members", "no-pagination"
    ) as world:
        world.simulator.history(hours=6, calls=12)
        answer = await world.zip(await world.ready_job())
        assert not any(name.startswith("pagination") for name in answer.headers)
        files = unzipped(answer.content)
        assert len(files["dialog_step/blanks.json"]) == 1 << 20
        assert any(name.startswith("../../") for name in files)
        assert any(name.startswith("/") for name in files)
        assert any(name.endswith(".wav") for name in files)
        packed = [content for name, content in files.items() if name.endswith(".gz")]
        assert json.loads(gzip.decompress(packed[0]).splitlines()[0])


async def test_files_can_be_spoilt() -> None:
    async with simulated("zips-a-minute=99") as world:
        world.simulator.history(hours=6, calls=12)
        job = await world.ready_job(types=["Dialog Start"])

        async def content(*faults: str) -> bytes:
            world.simulator.set_faults("zips-a-minute=99", *faults)
            return next(iter(unzipped((await world.zip(job)).content).values()))

        plain = await content()
        assert plain.endswith(b"\n")
        assert await content("blank-lines") == plain.replace(b"\n", b"\n\n")
        assert await content("no-final-newline") == plain.rstrip(b"\n")
        assert await content("bom") == b"\xef\xbb\xbf" + plain
        assert json.loads(await content("array-files")) == [json.loads(each) for each in plain.splitlines()]
        spoilt = await content("bad-byte")
        assert len(spoilt.splitlines()) == len(plain.splitlines()) + 1
        with pytest.raises(UnicodeDecodeError):
            spoilt.decode()


# Trouble with the APIs


async def test_the_group_has_one_bucket_for_all_endpoints() -> None:
    async with simulated("bucket=3", starts_at=1_767_225_600) as world:
        paths = ("/jobs", "/subscriptions", "/jobs/nobody", "/jobs")
        answers = [await world.get(path) for path in paths]
        assert [each.status_code for each in answers] == [200, 200, 404, 429]
        assert "retry-after" not in answers[-1].headers
        world.simulator.set_faults("bucket=3", "bucket-retry-after")
        assert 0 < int((await world.get("/jobs")).headers["retry-after"]) <= 60
        world.simulator.advance(60)
        assert (await world.get("/jobs")).status_code == 200


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        ("unauthorized-401", 401, b'{"message":"simulated"}'),
        ("failed-402", 402, b'{"message":"simulated"}'),
        ("forbidden-403", 403, b'{"message":"simulated"}'),
        ("limited-429", 429, b'{"message":"simulated"}'),
        ("limited-429-bare", 429, b'{"message":"simulated"}'),
        ("error-500", 500, b'{"message":"simulated"}'),
        ("unavailable-503", 503, b'{"message":"simulated"}'),
        ("error-empty", 500, b""),
        ("gateway-html", 502, b"<!DOCTYPE html><html><body><h1>Bad Gateway</h1></body></html>"),
    ],
)
async def test_calls_fail_as_often_as_the_switch_says(fault: str, status: int, body: bytes) -> None:
    async with simulated(f"{fault}:list=1") as world:
        answer = await world.get("/subscriptions")
        assert (answer.status_code, answer.content) == (status, body)
        assert (await world.get("/subscriptions")).status_code == 200


async def test_every_operation_can_be_spoilt() -> None:
    async with simulated() as world:
        calls: dict[str, Callable[[], Any]] = {
            "token": lambda: world.iam(**PASSWORD),
            "refresh": lambda: world.iam(client_id="ocp", grant_type="refresh_token"),
            "logout": lambda: world.iam("logout", client_id="ocp"),
            "create": lambda: world.post("/subscriptions", {}),
            "list": lambda: world.get("/subscriptions"),
            "delete": lambda: world.delete("x"),
            "job-create": lambda: world.post("/jobs", {}),
            "job-list": lambda: world.get("/jobs"),
            "job-metadata": lambda: world.get("/jobs/x"),
            "job-data": lambda: world.zip("x"),
        }
        assert calls.keys() == set(OPERATIONS)
        for operation, call in calls.items():
            world.simulator.set_faults(f"unavailable-503:{operation}")
            assert (await call()).status_code == 503
            for other in calls.keys() - {operation}:
                assert (await calls[other]()).status_code != 503


async def test_a_body_can_come_late_and_every_answer_tells_the_platforms_time() -> None:
    async with simulated("slow-body=0.2", starts_at=1_767_225_600) as world:
        began = trio.current_time()
        answer = await world.get("/jobs")
        assert trio.current_time() - began > 0.2
        assert answer.headers["date"].startswith("Thu, 01 Jan 2026 00:00:")


# Records


async def test_a_call_is_a_root_with_children_of_one_conversation() -> None:
    async with simulated() as world:
        records = [json.loads(each.payload) for each in world.simulator.call(children=2, end_type="TRANSFER")]
        starts = [each for each in records if each["message_type"] == START]
        ends = {each["id"]: each for each in records if each["message_type"] == END}
        root, *children = starts
        assert root["id"] == root["group"]
        assert (root["flow"]["type"], root["flow"]["parent_step"]) == ("Flow", 0)
        assert len(children) == 2
        for each in children:
            assert each["group"] == root["group"] != each["id"]
            assert each["flow"]["parent_step"] > 0
        assert ends.keys() == {each["id"] for each in starts}
        assert ends[root["id"]]["end_type"] == "TRANSFER"
        for each in starts:
            assert ends[each["id"]]["time"] == each["time"]
            assert ends[each["id"]]["duration"] > 0
        assert {each["id"] for each in records if each["message_type"] == STEP} == ends.keys()


async def test_no_two_records_share_an_identity_and_one_call_in_twenty_is_a_test() -> None:
    async with simulated("steps-same-ms=1") as world:
        records = [record for _ in range(40) for record in world.simulator.call()]
        assert len(world.simulator.truth()) == len(records)
        steps = Counter((each.id, each.time) for each in records if each.message_type == STEP)
        assert max(steps.values()) > 1
        flags = {(each["group"], each["test_flag"]) for each in world.simulator.truth().values()}
        assert sum(flag for _, flag in flags) == 2
        said = {each.get("transcription") for each in world.simulator.truth().values()}
        assert {"", "[hup]", "[noinput]", "****"} <= said


async def test_steps_can_be_numbered_and_all_values_masked() -> None:
    async with simulated("step-numbers", "all-masked") as world:
        steps = [json.loads(each.payload) for each in world.simulator.call(0) if each.message_type == STEP]
        assert [each["step"] for each in steps] == [1, 2]
        assert {each["transcription"] for each in steps} == {"****"}


async def test_audits_and_voices_come_after_calls() -> None:
    async with pushing(types=DATA_TYPES, audit_every=5, voice_every=5) as world:
        world.simulator.set_rate(2000)
        await eventually(lambda: len({each.message_type for each in world.simulator.records}) == 6)
        world.simulator.set_rate(0)
        await world.simulator.settle()
        assert {each.fate for each in world.simulator.records} == {Fate.DELIVERED}
        assert len(world.simulator.voices()) == 2


async def test_records_come_at_the_rate_asked_for() -> None:
    async with pushing(types=DIALOGS, rate=200) as world:
        began = trio.current_time()
        await trio.sleep(1)
        assert 100 <= world.simulator.records_made / (trio.current_time() - began) <= 220
        world.simulator.set_rate(float("inf"))
        before, began = world.simulator.records_made, trio.current_time()
        await eventually(lambda: world.simulator.records_made - before > 500)
        assert trio.current_time() - began < 500 / 200
        world.simulator.set_rate(0)
        await world.simulator.settle()
        assert world.simulator.records_accepted == sum(each.accepted for each in world.simulator.records)


async def test_without_a_log_records_are_pushed_but_not_kept() -> None:
    async with pushing(types=DIALOGS, log=False) as world:
        world.simulator.call()
        await world.simulator.settle()
        assert (list(world.simulator.records), list(world.simulator.deliveries)) == ([], [])
        assert world.simulator.records_accepted == world.simulator.records_made > 0


async def test_the_same_seed_makes_the_same_calls() -> None:
    def plain(simulator: OmiliaSimulator) -> list[Any]:
        return [{**json.loads(each.payload), "time": 0, "duration": 0} for each in simulator.records]

    made = []
    for _ in range(2):
        async with simulated(starts_at=1_767_225_600, time_scale=1e-9) as world:
            world.simulator.call()
            made.append(plain(world.simulator))
    assert made[0] == made[1]


# Reaching it


async def test_both_directions_can_talk_tls() -> None:
    authority = trustme.CA()
    server, trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(trust)
    plain = await trio.open_tcp_listeners(0, host="127.0.0.1")
    listeners = [trio.SSLListener(plain[0], server)]
    receiver = Receiver()
    receiver.url = f"https://127.0.0.1:{plain[0].socket.getsockname()[1]}"
    options = OmiliaOptions(ssl_context=server, push_ssl_context=trust)
    with trio.fail_after(20):
        async with (
            trio.open_nursery() as nursery,
            open_omilia_simulator(options) as simulator,
            httpx.AsyncClient(verify=trust, trust_env=False) as http,
        ):
            await nursery.start(partial(serve_http, on_error=lambda *_: None), receiver.respond, listeners)
            world = World(simulator, http, receiver)
            await world.log_in()
            await world.create(type="https")
            for _ in range(2):
                simulator.call()
                await simulator.settle()
            assert len(receiver.bodies()) == 2
            assert len(receiver.tokens) == 1
            assert world.root.startswith("https://")
            nursery.cancel_scope.cancel()


async def test_another_process_can_steer_and_judge_over_http() -> None:
    async with pushing() as world:
        base = f"{world.simulator.exports_url}/_simulator"

        async def act(command: str, **arguments: Any) -> Any:
            answer = await world.http.post(f"{base}/{command}", json=arguments)
            assert answer.status_code == 200, answer.text
            return answer.json()["result"]

        async def show(what: str) -> Any:
            return (await world.http.get(f"{base}/{what}")).json()

        made = await act("call", children=1, end_type="TRANSFER")
        await world.simulator.settle()
        entries = (await show("records"))["entries"]
        assert [each["identity"] for each in entries] == [each["identity"] for each in made]
        assert entries[0]["fate"] == "delivered"
        assert entries[0]["record"]["message_type"] == START
        part = await show("deliveries?since=0&limit=1")
        assert (part["entries"][0]["outcome"], part["next"]) == ("accepted", 1)
        assert await show("fates") == {"exported": 0, "delivered": 2, "unsubscribed": len(made) - 2}
        before = (await show("state"))["now"]
        await act("advance", seconds=3600)
        assert (await show("state"))["now"] - before >= 3600
        await act("audit")
        await act("voices")
        await act("history", hours=4, calls=2)
        await act("send", message={"message_type": START, "id": "mine", "time": 1})
        await act("foreign", data_type=STEP)
        await act("foreign-job")
        await act("expire-jobs")
        await act("rate", rate=0)
        await act("vanish", data_type=START)
        await act("expire-tokens")
        await act("faults", faults=["gzip"])
        assert await show("faults") == {"faults": ["gzip"]}
        assert (await show("tokens"))["tokens"][0]["outcome"] == "token"
        assert (await show("requests"))["requests"][0]["api"] == "iam"
        assert (await world.http.get(f"{base}/nonsense")).status_code == 404
        assert (await world.http.post(f"{base}/nonsense")).status_code == 404
        for command, body in (("faults", {"faults": ["x"]}), ("rate", {}), ("advance", {"seconds": "x"})):
            assert (await world.http.post(f"{base}/{command}", json=body)).status_code == 400


async def test_no_log_holds_a_secret() -> None:
    async with pushing(types=DIALOGS) as world:
        world.simulator.call()
        await world.simulator.settle()
        everything = repr(
            [
                world.simulator.options,
                world.simulator.requests,
                world.simulator.token_calls,
                world.simulator.deliveries,
                [each.delivery for each in world.simulator.subscriptions],
                world.simulator.subscriptions,
            ]
        )
        for secret in (SECRET, "simulated-password", "pat-simulated", "246810", "t1'", "eyJ"):
            assert secret not in everything


async def test_the_tables_are_toml_with_the_keys_of_the_interface() -> None:
    async with simulated(log_in=False) as world:
        simulator = world.simulator
        text = simulator.ingress_table() + simulator.connector_table("one", [START], takeover="true")
        tables = tomllib.loads(text)
        assert tables["ingress"] == {
            "listen": f"127.0.0.1:{simulator.ingress_port}",
            "public_url": f"http://127.0.0.1:{simulator.ingress_port}",
        }
        assert tables["connectors"]["one"] == {
            "type": "omilia",
            "exports_url": simulator.exports_url,
            "iam_url": simulator.iam_url,
            "realm": "master",
            "group": "acme_prod",
            "username": "streamd",
            "password": "simulated-password",
            "data_types": [START],
            "auth_id": "omilia-acme",
            "auth_secret": SECRET,
            "takeover": True,
        }
        tls = tomllib.loads(simulator.ingress_table(tls='{ certificate_file = "c.pem" }'))
        assert tls["ingress"]["public_url"].startswith("https://")


# Switches and the command line


def test_every_switch_is_used_and_described() -> None:
    sources = "".join(
        path.read_text() for path in Path(package.__path__[0]).glob("*.py") if path.name != "faults.py"
    )
    choices = {switch.name for switch in SWITCHES if switch.choice}
    unused = [name for name in FAULTS if f'"{name}"' not in sources and name not in choices]
    assert unused == []
    rows = {switch.row for switch in SWITCHES}
    natural = {41, 42, 43}  # every call has them
    assert rows | natural >= set(range(1, 45))


@pytest.mark.parametrize(
    "faults",
    [
        ("nonsense",),
        ("batch-size=x",),
        ("gzip=1",),
        ("delay:audit",),
        ("error-500:nowhere",),
        ("bare-array", "ndjson"),
    ],
)
def test_a_switch_that_cannot_be_read_is_a_config_error(faults: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        trio.run(_open_and_leave, OmiliaOptions(faults=frozenset(faults)))


async def _open_and_leave(options: OmiliaOptions) -> None:
    async with open_omilia_simulator(options):
        pass


def test_the_command_line_prints_where_it_listens_and_ends_on_a_signal() -> None:
    with _started("--rate", "0", "--fault", "gzip", "--time-scale", "60") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"exports_url http://127.0.0.1:")
        assert process.stdout.readline().startswith(b"iam_url http://127.0.0.1:")
        process.terminate()
        rest = process.stdout.read().decode()
        assert process.wait(10) == 0
    assert tomllib.loads(rest).keys() == {"ingress", "connectors"}


def test_the_command_line_ends_with_78_on_an_unknown_fault() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "streamd.simulators.omilia", "--fault", "nonsense"],
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert found.returncode == 78
    assert b"nonsense" in found.stderr


def _started(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "streamd.simulators.omilia", *arguments], stdout=subprocess.PIPE
    )
