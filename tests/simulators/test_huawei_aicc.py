"""The Huawei AICC simulator keeps to the documents by default, and to each switch that is named."""

from __future__ import annotations

import csv
import io
import json
import ssl
import subprocess
import sys
import time
import tomllib
import uuid
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import trio
import trio.testing
import trustme

import streamd.simulators.huawei_aicc as package
from streamd.errors import ConfigError
from streamd.simulators.huawei_aicc import (
    FAULTS,
    Announcement,
    HuaweiOptions,
    HuaweiSimulator,
    Identity,
    identify,
    open_huawei_simulator,
)
from streamd.simulators.huawei_aicc.demo import open_demo
from streamd.simulators.huawei_aicc.faults import SWITCHES
from streamd.simulators.huawei_aicc.signature import (
    Signed,
    authorization,
    canonical,
    chosen,
    matches,
    read_authorization,
    signature,
    spell,
)
from streamd.simulators.huawei_aicc.vocabulary import COLUMNS, DESCRIPTIONS
from streamd.transport.server import Request, Response, serve_http

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # httpx otherwise loads the CA bundle for each client
ACCESS, SECRET = "TESTAK0001", "not-a-real-secret"
QUERY, DOWNLOAD = (f"/CCFS/resource/ccfs/{name}" for name in ("queryBillData", "downloadBillFile"))
JSON = "application/json;charset=UTF-8"
OCTETS = "Application/Octet-stream;charset=UTF-8"
THREE = ("content-length", "content-type", "host")
ACCOUNT = "202405010001"
ACCEPTED = Response(200, {"Content-Type": "application/json"}, b'{"resultCode":"0","resultDesc":"success"}')
SHANGHAI = ZoneInfo("Asia/Shanghai")
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
SOON = "ready-after=0"


class Receiver:
    """The client's side: takes callbacks, with whatever `answer` says to each."""

    def __init__(self) -> None:
        self.url = ""
        self.callbacks: list[Request] = []
        self.answer: Callable[[Request], Response] = lambda _: ACCEPTED
        self.came = trio.lowlevel.ParkingLot()

    async def respond(self, request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        self.callbacks.append(request)
        self.came.unpark_all()
        return self.answer(request)

    async def wait_for(self, count: int) -> list[Any]:
        """Return the messages, once there are `count` of them."""
        with trio.fail_after(10):
            while len(self.callbacks) < count:
                await self.came.park()
        return [json.loads(each.body)["msgBody"] for each in self.callbacks]


class World:
    """A simulator, a signing client, and the receiver of its callbacks."""

    def __init__(self, simulator: HuaweiSimulator, http: httpx.AsyncClient, receiver: Receiver) -> None:
        self.simulator, self.http, self.receiver = simulator, http, receiver
        self.host = simulator.base_url.partition("//")[2]

    async def post(
        self,
        path: str,
        message: Any,
        *,
        names: Sequence[str] = THREE,
        host: str = "",
        timestamp: str = "",
        access: str = ACCESS,
        secret: str = SECRET,
    ) -> httpx.Response:
        body = json.dumps({"request": {"version": "2.0"}, "msgBody": message}).encode()
        every = {"content-length": str(len(body)), "content-type": JSON, "host": host or self.host}
        signed = Signed("POST", path, {name: every[name] for name in names}, body)
        value = authorization(signed, access, secret, timestamp or spell(time.time()))
        return await self.send(path, body, {"Authorization": value})

    async def send(self, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        url = self.simulator.base_url + path
        return await self.http.post(url, content=body, headers={"Content-Type": JSON, **headers})

    def wanted(self, hours: float = 1, hours_ago: float = 0, **more: Any) -> dict[str, Any]:
        end = self.simulator.now().astimezone(self.zone) - timedelta(hours=hours_ago)
        return {
            "beginTime": wall(end - timedelta(hours=hours)),
            "endTime": wall(end),
            "accountId": ACCOUNT,
            "dataType": "call_record",
            "callBackURL": f"{self.receiver.url}/hooks/huawei",
            **more,
        }

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.simulator.options.time_zone)

    async def query(self, **wanted: Any) -> Any:
        answer = await self.post(QUERY, self.wanted(**wanted))
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def job(self, **wanted: Any) -> str:
        """Ask for a window; return the name of its file."""
        answer = await self.query(**wanted)
        assert answer["resultCode"] == "0", answer
        return self.simulator.jobs[-1].name

    async def download(self, name: str) -> httpx.Response:
        return await self.post(DOWNLOAD, {"billFileName": name})

    async def code(self, name: str) -> str:
        answer = await self.download(name)
        assert answer.status_code == 200
        return str(answer.json()["resultCode"])

    async def members(self, name: str) -> dict[str, bytes]:
        return unzipped((await self.download(name)).content)

    async def rows(self, kind: str, **wanted: Any) -> list[dict[str, str]]:
        """Ask for a window, and return the rows of a kind by column; the file is ready at once."""
        members = await self.members(await self.job(**wanted))
        return [row for name, content in members.items() if f"_{kind}" in name for row in read(kind, content)]


def wall(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {each.filename: archive.read(each) for each in archive.infolist()}


def read(kind: str, content: bytes, charset: str = "utf-8") -> list[dict[str, str]]:
    table = csv.reader(io.StringIO(content.decode(charset), newline=""))
    return [dict(zip(COLUMNS[kind], row, strict=False)) for row in table]


@asynccontextmanager
async def simulated(*faults: str, **options: Any) -> AsyncIterator[World]:
    with trio.fail_after(30):
        async with (
            receiving() as receiver,
            open_huawei_simulator(HuaweiOptions(faults=frozenset(faults), **options)) as simulator,
            httpx.AsyncClient(verify=NO_TLS, trust_env=False) as http,
        ):
            yield World(simulator, http, receiver)


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    tcp = await trio.open_tcp_listeners(0, host="127.0.0.1")
    scheme = "http" if tls is None else "https"
    receiver.url = f"{scheme}://127.0.0.1:{tcp[0].socket.getsockname()[1]}"
    listeners: Any = tcp if tls is None else [trio.SSLListener(each, tls) for each in tcp]
    serve = partial(serve_http, on_error=lambda *_: None, max_body_bytes=1 << 20)
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, receiver.respond, listeners)
        yield receiver
        nursery.cancel_scope.cancel()


# The signature: the vectors of vendors/huawei_aicc.md section 1

R = (
    b'{"request":{"version":"2.0"},"msgBody":{"beginTime":"2024-05-01 00:00:00","endTime":'
    b'"2024-05-01 01:00:00","accountId":"202405010001","dataType":"call_record","callBackURL":'
    b'"https://streamd.example.net:8443/hooks/huawei/cdr"}}'
)
C = (
    b'{"request":{"version":"2.0"},"msgBody":{"responseId":"0f0e0d0c0b0a09080706050403020100",'
    b'"billFileName":"20240501_0f0e0d0c0b0a09080706050403020100.zip","accountId":"202405010001"}}'
)
FIVE = "2024-05-01T01:05:00Z"
FIVE_AND_A_BIT = "2024-05-01T01:05:14Z"


def of_query(host: str, *, alone: bool = False) -> Signed:
    headers = {"host": host} if alone else three(R, host)
    return Signed("POST", QUERY, headers, R)


def of_callback(host: str) -> Signed:
    return Signed("POST", "/hooks/huawei/cdr", three(C, host), C)


def three(body: bytes, host: str) -> dict[str, str]:
    return {"content-length": str(len(body)), "content-type": JSON, "host": host}


D = Signed("GET", "/x/y", {"host": "h.example.net"}, b"", [("b", "2 3"), ("a", "é"), ("c", "")])
E = Signed("POST", "/x/y", {"host": "h.example.net"}, '{"n":"中/ ~*"}'.encode())


@pytest.mark.parametrize(
    ("signed", "timestamp", "expected"),
    [
        (
            of_query("ccfs.example.net:18084"),
            FIVE,
            "96e295adf6f105e3fe5121664def9254865fb4331513ed534ae3c508e616f655",
        ),
        (
            of_query("ccfs.example.net:18084", alone=True),
            FIVE,
            "4f6d4d5887c5c97d005aa26694d37f7fe5f60af75518f2093a27ec8611ed117f",
        ),
        (
            of_query("ccfs.example.net", alone=True),
            FIVE,
            "a9dca89963b14b329c42437d364a368663daf5a339786a8152ea30f67b81420d",
        ),
        (
            of_callback("streamd.example.net:8443"),
            FIVE_AND_A_BIT,
            "190dda942c677d7136e0de41671fe912928b2e1f9c1fa565eb3245475075f6da",
        ),
        (
            of_callback("streamd.example.net"),
            FIVE_AND_A_BIT,
            "82fc342d6f338f3627b9b25d66e58de97a6c6fcb3bb8737e8d72bd38be469d82",
        ),
        (D, FIVE, "3fd2ac3e4444579014290ec22f697d99a3feb160f05071304c26e4ed8f88a223"),
        (E, FIVE, "f8c0b188ea9eebd98a79679ca58eef302640a8a9f1a61d575d649afe614a8d16"),
    ],
    ids=["A", "B", "B without port", "C", "C without port", "D", "E"],
)
def test_the_vectors_of_the_contract_are_signed_as_it_says(
    signed: Signed, timestamp: str, expected: str
) -> None:
    assert signature(signed, ACCESS, SECRET, timestamp) == expected
    names = ";".join(sorted(signed.headers))
    assert authorization(signed, ACCESS, SECRET, timestamp) == (
        f"auth-v2/{ACCESS}/{timestamp}/{names}/{expected}"
    )


def test_the_canonical_requests_are_those_of_the_contract() -> None:
    assert (len(R), len(C)) == (225, 179)
    assert sha256(R).hexdigest() == "e3d95f329762e1a66dbe449f144b74a3ab44278f82ae75d9763b3552c3a990cd"
    a, b = of_query("ccfs.example.net:18084"), of_query("ccfs.example.net:18084", alone=True)
    assert digest(a) == "8ff3d68b93a01904956a1c649cea79bbc566be4c9d61f672b060517865a2cbe8"
    assert digest(b) == "5169c302d66e1c0b88c96ec9ac7077f5eddbee9d797da5cefeaf0b1baa4d4e58"
    assert canonical(D) == "GET\n/x/y\na=%C3%A9&b=2%203&c=\nhost\nhost:h.example.net\n"
    assert canonical(E).endswith("\n%7B%22n%22%3A%22%E4%B8%AD%2F%20~%2A%22%7D")


def digest(signed: Signed) -> str:
    return sha256(canonical(signed).encode()).hexdigest()


# Who may call


async def test_a_call_is_checked_with_the_headers_that_it_says_it_signed() -> None:
    async with simulated() as world:
        for names in (THREE, ("host",), ("content-type", "host"), ("content-length",)):
            assert (await world.post(QUERY, world.wanted(), names=names)).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"secret": "another"},
        {"access": "ANOTHER"},
        {"host": "127.0.0.1"},
        {"timestamp": spell(time.time() - 2 * HOUR)},
        {"timestamp": "yesterday"},
        {"timestamp": "2024-05-01 01:05:00"},
    ],
)
async def test_a_wrong_signature_is_a_401_in_json(change: Any) -> None:
    async with simulated() as world:
        answer = await world.post(QUERY, world.wanted(), **change)
        assert answer.status_code == 401
        body = answer.json()
        assert body.pop("timestamp") == pytest.approx(time.time() * 1000, abs=60_000)
        assert body == {
            "status": 401,
            "error": "Unauthorized",
            "message": "No message available",
            "path": QUERY,
        }
        assert world.simulator.jobs == []


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer x",
        "auth-v2/a/b/c",
        "auth-v2//t/host/s",
        "auth-v2/TESTAK0001/2024-05-01T01:05:00Z/x-none/00",
    ],
)
async def test_what_is_no_auth_v2_is_a_401(value: str) -> None:
    async with simulated() as world:
        assert (await world.send(QUERY, b"{}", {"Authorization": value})).status_code == 401
        assert (await world.send(QUERY, b"{}", {})).status_code == 401


async def test_a_timestamp_may_carry_milliseconds_and_be_old_as_the_switch_says() -> None:
    async with simulated("skew-limit=7200") as world:
        for timestamp in (spell(time.time(), millis=True), spell(time.time() - HOUR)):
            assert (await world.post(QUERY, world.wanted(), timestamp=timestamp)).status_code == 200
        world.simulator.set_faults("skew-unchecked")
        assert (await world.post(QUERY, world.wanted(), timestamp=FIVE)).status_code == 200


async def test_a_timestamp_of_the_simulated_clock_is_good_too() -> None:
    async with simulated(starts_at=1_700_000_000.0) as world:
        timestamp = spell(world.simulator.now().timestamp())
        assert (await world.post(QUERY, world.wanted(), timestamp=timestamp)).status_code == 200


async def test_five_wrong_signatures_lock_an_address_for_half_an_hour() -> None:
    async with simulated() as world:
        answers = [await world.post(QUERY, world.wanted(), secret="x") for _ in range(6)]
        assert [each.status_code for each in answers] == [401] * 5 + [403]
        assert answers[5].json()["error"] == "Forbidden"
        assert (await world.post(QUERY, world.wanted())).status_code == 403
        world.simulator.advance(1801)
        assert (await world.post(QUERY, world.wanted())).status_code == 200


async def test_failures_long_ago_or_before_a_success_do_not_lock() -> None:
    async with simulated("lock-after=2") as world:
        for wait, secret in ((0, "x"), (601, "x"), (0, SECRET), (0, "x")):
            world.simulator.advance(wait)
            answer = await world.post(QUERY, world.wanted(), secret=secret)
            assert answer.status_code == (200 if secret == SECRET else 401)
        assert (await world.post(QUERY, world.wanted(), secret="x")).status_code == 401
        assert (await world.post(QUERY, world.wanted())).status_code == 403
        world.simulator.unlock()
        assert (await world.post(QUERY, world.wanted())).status_code == 200
        world.simulator.set_faults("lock-never")
        for _ in range(9):
            assert (await world.post(QUERY, world.wanted(), secret="x")).status_code == 401


async def test_host_counts_as_sent_bare_with_its_port_or_as_the_balancer_has_it() -> None:
    async with simulated("lock-never") as world:
        full, bare = world.host, "127.0.0.1"
        for fault, good, bad in (
            ("host-as-sent", full, bare),
            ("host-bare", bare, full),
            ("host-with-port", full, bare),
        ):
            world.simulator.set_faults(fault, "lock-never")
            assert (await world.post(QUERY, world.wanted(), host=good)).status_code == 200
            assert (await world.post(QUERY, world.wanted(), host=bad)).status_code == 401
    async with simulated(signing_host="nslb.example.net:28080") as world:
        assert (await world.post(QUERY, world.wanted(), host="nslb.example.net:28080")).status_code == 200
        assert (await world.post(QUERY, world.wanted())).status_code == 401


async def test_401_and_403_can_be_had_for_good_signatures() -> None:
    async with simulated("unauthorized-401:query=2", "locked-403:download=1") as world:
        answers = [await world.post(QUERY, world.wanted()) for _ in range(3)]
        assert [each.status_code for each in answers] == [401, 401, 200]
        assert (await world.download("x.zip")).status_code == 403
        assert (await world.download("x.zip")).status_code == 200


# queryBillData


async def test_a_window_is_answered_by_a_response_id_that_is_in_the_name_of_the_file() -> None:
    async with simulated(SOON) as world:
        answer = await world.post(QUERY, world.wanted())
        assert answer.headers["content-type"] == JSON
        body = answer.json()
        job = world.simulator.jobs[0]
        assert body == {
            "resultData": {"responseId": job.response_id},
            "resultCode": "0",
            "resultDesc": "success",
        }
        assert len(job.response_id) == 32
        day = datetime.fromtimestamp(job.asked_at, SHANGHAI)
        assert job.name == f"{day:%Y%m%d}_{job.response_id}.zip"
        assert len(job.name) == 45


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"beginTime": None}, "0300002"),
        ({"beginTime": "2024-05-01T00:00:00"}, "0300002"),
        ({"beginTime": "2024-05-01 0:00:00"}, "0300002"),
        ({"endTime": "2024-02-30 00:00:00"}, "0300003"),
        ({"accountId": "1" * 21}, "0300004"),
        ({"agentId": 7}, "0300005"),
        ({"callId": "1" * 26}, "0300006"),
        ({"dataType": "calls"}, "0300007"),
        ({"dataType": ["call"]}, "0300007"),
        ({"callBackURL": "streamd.example.net"}, "0300010"),
        ({"callBackURL": ""}, "0300010"),
        ({"accountId": "202405019999"}, "0300018"),
        ({"accountId": "7"}, "0300026"),
    ],
)
async def test_a_field_that_breaks_a_rule_gets_its_code_with_200(change: Any, code: str) -> None:
    async with simulated() as world:
        answer = await world.post(QUERY, world.wanted(**change))
        assert answer.status_code == 200
        assert answer.json() == {
            "resultData": None,
            "resultCode": code,
            "resultDesc": DESCRIPTIONS[code],
        }
        assert world.simulator.jobs == []


async def test_a_body_that_is_none_of_version_2_is_refused() -> None:
    async with simulated() as world:
        for body in (b"", b"[]", b"{}", b"\xff", b'{"request":{"version":"1.0"},"msgBody":{}}'):
            headers = {"content-length": str(len(body)), "content-type": JSON, "host": world.host}
            signed = Signed("POST", QUERY, headers, body)
            value = authorization(signed, ACCESS, SECRET, spell(time.time()))
            answer = await world.send(QUERY, body, {"Authorization": value})
            assert answer.json()["resultCode"] == "0300001"


async def test_the_order_the_span_and_the_end_of_a_window_are_limited() -> None:
    async with simulated() as world:
        now = world.simulator.now().astimezone(SHANGHAI)
        early = wall(now - timedelta(hours=2))
        assert (await world.query(beginTime=early, hours_ago=3))["resultCode"] == "0300013"
        assert (await world.query(hours=72))["resultCode"] == "0"
        long = await world.query(hours=72.1)
        assert (long["resultCode"], long["resultDesc"]) == ("0300014", "The interval exceeds 3 days.")
        assert (await world.query(endTime=wall(now + timedelta(minutes=1))))["resultCode"] == "0300016"
        utc = world.simulator.now()
        assert (await world.query(endTime=wall(utc), beginTime=wall(utc)))["resultCode"] == "0"
        world.simulator.set_faults("span-days=1")
        assert "1 days" in (await world.query(hours=25))["resultDesc"]


async def test_the_future_begins_later_west_of_the_tenant() -> None:
    async with simulated(time_zone="America/New_York") as world:
        shanghai = wall(world.simulator.now().astimezone(SHANGHAI))
        assert (await world.query(endTime=shanghai))["resultCode"] == "0300016"


async def test_every_kth_call_meets_flow_control() -> None:
    async with simulated("query-flow=3", "download-flow=2") as world:
        codes = [(await world.query())["resultCode"] for _ in range(6)]
        assert codes == ["0", "0", "0300009"] * 2
        name = world.simulator.jobs[0].name
        assert [await world.code(name) for _ in range(4)] == ["0300011", "0300008"] * 2


async def test_any_code_of_the_table_can_be_had() -> None:
    assert {f"03000{number:02d}" for number in (*range(1, 31), *range(45, 50))} == set(DESCRIPTIONS)
    faults = [f"{operation}-code:{code}" for operation in ("query", "download") for code in DESCRIPTIONS]
    async with simulated(*faults) as world:
        queries = [(await world.query())["resultCode"] for _ in range(len(DESCRIPTIONS) + 1)]
        assert queries == [*DESCRIPTIONS, "0"]
        downloads = [await world.code("x.zip") for _ in DESCRIPTIONS]
        assert downloads == list(DESCRIPTIONS)
        world.simulator.set_faults("query-code")
        assert [(await world.query())["resultCode"] for _ in range(2)] == ["0300045", "0"]


async def test_replies_take_the_shapes_that_other_releases_have() -> None:
    async with simulated("response-too", "dashed-id", "error-data-empty") as world:
        answer = await world.query()
        assert answer["response"] == {"version": "2.0", "resultCode": "0", "resultMsg": "success"}
        dashed = answer["resultData"]["responseId"]
        assert len(dashed) == 36
        assert uuid.UUID(dashed).hex == world.simulator.jobs[0].response_id
        assert (await world.query(dataType="x"))["resultData"] == ""
        world.simulator.set_faults("error-data-absent")
        assert "resultData" not in await world.query(dataType="x")


async def test_a_query_can_be_carried_out_and_never_answered() -> None:
    async with simulated("query-reset", SOON) as world:
        with pytest.raises(httpx.NetworkError):
            await world.query()
        messages = await world.receiver.wait_for(1)
        assert messages[0]["responseId"] == world.simulator.jobs[0].response_id
        assert (await world.query())["resultCode"] == "0"


async def test_something_before_cc_fs_may_answer() -> None:
    faults = ["gateway-403", "gateway-418", "gateway-429", "gateway-502", "gateway-200", "error-empty"]
    async with simulated(*[f"{each}=1" for each in faults]) as world:
        answers = [await world.post(QUERY, world.wanted()) for _ in range(7)]
        assert [each.status_code for each in answers] == [403, 418, 429, 502, 200, 500, 200]
        assert [each.headers.get("content-type") for each in answers[:6]] == ["text/html"] * 5 + [None]
        assert answers[2].headers["retry-after"] == "1"
        world.simulator.set_faults("gateway-502:download")
        assert (await world.post(QUERY, world.wanted())).status_code == 200
        assert (await world.download("x.zip")).status_code == 502


async def test_what_is_neither_call_is_a_404_and_a_get_a_405() -> None:
    async with simulated() as world:
        assert (await world.post("/CCFS/resource/ccfs/nothing", {})).status_code == 404
        assert (await world.http.get(world.simulator.base_url + QUERY)).status_code == 405


# The callback


async def test_a_callback_tells_the_name_when_the_file_is_ready() -> None:
    async with simulated() as world:
        name = await world.job()
        assert await world.code(name) == "0300011"
        world.simulator.advance(14)
        messages = await world.receiver.wait_for(1)
        job = world.simulator.jobs[0]
        assert messages == [{"responseId": job.response_id, "billFileName": name, "accountId": ACCOUNT}]
        await world.simulator.settle()
        assert [each.outcome for each in world.simulator.callbacks] == ["accepted"]
        assert job.announcement == Announcement.DONE
        assert unzipped((await world.download(name)).content)


def is_good(request: Request, host: str, path: str = "/hooks/huawei") -> bool:
    headers = {name.lower(): value for name, value in request.headers.items()}
    credential = read_authorization(headers["authorization"])
    assert credential is not None
    assert credential.access_key == ACCESS
    signed_headers = chosen({**headers, "host": host}, credential.names)
    assert signed_headers is not None
    return matches(credential, Signed("POST", path, signed_headers, request.body), SECRET)


@pytest.mark.parametrize(
    ("fault", "sent_full", "signed_full"),
    [
        ("to-bare-host", False, False),
        ("to-full-host", True, True),
        ("to-full-signed-bare", True, False),
        ("to-bare-signed-full", False, True),
    ],
)
async def test_a_callback_sends_and_signs_its_host_bare_or_with_the_port(
    fault: str, sent_full: bool, signed_full: bool
) -> None:
    async with simulated(fault, SOON) as world:
        await world.job()
        await world.receiver.wait_for(1)
        request = world.receiver.callbacks[0]
        full = world.receiver.url.partition("//")[2]
        assert request.headers["host"] == (full if sent_full else "127.0.0.1")
        assert is_good(request, full) is signed_full
        assert is_good(request, "127.0.0.1") is not signed_full


async def test_a_callback_signs_three_headers_or_host_alone_in_whole_seconds_or_milliseconds() -> None:
    async with simulated(SOON) as world:
        for faults, names, length in (
            ((), ";".join(THREE), 20),
            (("callback-host-only", "callback-millis"), "host", 24),
        ):
            world.simulator.set_faults(SOON, *faults)
            world.receiver.callbacks.clear()
            await world.job()
            await world.receiver.wait_for(1)
            parts = world.receiver.callbacks[0].headers["authorization"].split("/")
            assert (parts[3], len(parts[2])) == (names, length)
            assert is_good(world.receiver.callbacks[0], "127.0.0.1")


async def test_a_callback_can_be_old() -> None:
    async with simulated(SOON, "callback-skew=7200") as world:
        await world.job()
        await world.receiver.wait_for(1)
        stamp = world.receiver.callbacks[0].headers["authorization"].split("/")[2]
        age = datetime.now(UTC) - datetime.fromisoformat(stamp)
        assert age.total_seconds() == pytest.approx(7200, abs=30)


@pytest.mark.parametrize(
    ("faults", "url", "path"),
    [
        ((), "", "/"),
        (("path-empty",), "", ""),
        (("path-with-query",), "/hooks?a=1", "/hooks?a=1"),
    ],
)
async def test_a_callback_signs_the_path_as_the_switch_says(
    faults: tuple[str, ...], url: str, path: str
) -> None:
    async with simulated(SOON, *faults) as world:
        await world.job(callBackURL=world.receiver.url + url)
        await world.receiver.wait_for(1)
        assert is_good(world.receiver.callbacks[0], "127.0.0.1", path)


async def test_a_callback_signs_its_query_in_a_line_of_its_own() -> None:
    async with simulated(SOON) as world:
        await world.job(callBackURL=f"{world.receiver.url}/hooks?b=2&a=1")
        await world.receiver.wait_for(1)
        request = world.receiver.callbacks[0]
        headers = {name: request.headers[name] for name in THREE}
        signed = Signed("POST", "/hooks", headers, request.body, [("a", "1"), ("b", "2")])
        credential = read_authorization(request.headers["authorization"])
        assert credential is not None
        assert matches(credential, signed, SECRET)


@pytest.mark.parametrize(
    ("fault", "asked", "empty", "absent"),
    [
        ("account-absent", ACCOUNT, "", None),
        ("account-empty", ACCOUNT, "", ""),
        ("account-never", None, None, None),
    ],
)
async def test_a_callback_carries_the_account_as_the_switch_says(
    fault: str, asked: str | None, empty: str | None, absent: str | None
) -> None:
    async with simulated(SOON, fault) as world:
        for number, message in enumerate((world.wanted(), world.wanted(accountId=""), world.wanted()), 1):
            if number == 3:
                del message["accountId"]
            assert (await world.post(QUERY, message)).json()["resultCode"] == "0"
            await world.receiver.wait_for(number)
        messages = await world.receiver.wait_for(3)
        assert [each.get("accountId") for each in messages] == [asked, empty, absent]


async def test_a_callback_spells_its_fields_as_other_pages_do() -> None:
    async with simulated(SOON) as world:
        for fault, field in (("callback-billname", "billName"), ("callback-filename", "fileName")):
            world.simulator.set_faults(SOON, fault, "callback-dashed")
            world.receiver.callbacks.clear()
            name = await world.job()
            (message,) = await world.receiver.wait_for(1)
            assert message[field] == name
            assert "billFileName" not in message
            assert len(message["responseId"]) == 36


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Response(500, {}, b"{}"), "status 500"),
        (Response(302, {"Location": "/"}, b"x"), "status 302"),
        (Response(200, {}, b""), "no body"),
        (Response(204, {}, b""), "no body"),
    ],
)
async def test_a_callback_comes_again_each_ten_minutes_until_success_with_a_body(
    answer: Response, outcome: str
) -> None:
    async with simulated(SOON) as world:
        world.receiver.answer = lambda _: answer if len(world.receiver.callbacks) < 3 else ACCEPTED
        await world.job()
        for count in (1, 2):
            await world.receiver.wait_for(count)
            await logged(world, count)
            world.simulator.advance(599)
            await trio.testing.wait_all_tasks_blocked()
            assert len(world.receiver.callbacks) == count
            world.simulator.advance(2)
        await world.receiver.wait_for(3)
        await world.simulator.settle()
        assert [each.outcome for each in world.simulator.callbacks] == [outcome, outcome, "accepted"]


async def logged(world: World, count: int) -> None:
    """Wait until the simulator has read the answers to `count` callbacks."""
    while len(world.simulator.callbacks) < count:
        await trio.sleep(0.001)


async def test_a_callback_is_given_up_in_the_end_and_the_file_stays() -> None:
    async with simulated(SOON, "callback-tries=3") as world:
        world.receiver.answer = lambda _: Response(200, {}, b"")
        name = await world.job()
        for count in (1, 2, 3):
            await logged(world, count)
            world.simulator.advance(601)
        await world.simulator.settle()
        assert world.simulator.jobs[0].announcement == Announcement.GIVEN_UP
        assert await world.members(name)
        world.simulator.set_faults(SOON, "callback-any-2xx")
        await world.job()
        await world.simulator.settle()
        assert world.simulator.jobs[1].announcement == Announcement.DONE


async def test_a_callback_can_find_nobody_and_its_answer_can_get_lost() -> None:
    async with simulated(SOON, "callback-tries=1") as world:
        await world.job(callBackURL="http://127.0.0.1:1/")
        await world.simulator.settle()
        world.simulator.set_faults(SOON, "callback-answer-lost", "callback-tries=1")
        await world.job()
        await world.simulator.settle()
        outcomes = [each.outcome for each in world.simulator.callbacks]
        assert outcomes == ["unreachable", "answer lost"]
        assert len(world.receiver.callbacks) == 1


async def test_a_callback_can_be_late_repeated_or_left_out() -> None:
    async with simulated(SOON, "callback-delay=30", "callback-repeat=2") as world:
        await world.job()
        await trio.testing.wait_all_tasks_blocked()
        assert world.receiver.callbacks == []
        world.simulator.advance(30)
        messages = await world.receiver.wait_for(3)
        assert messages[0] == messages[1] == messages[2]
        await logged(world, 3)
        assert [each.kind for each in world.simulator.callbacks] == ["real", "repeat", "repeat"]
        world.simulator.set_faults(SOON, "callback-never=1")
        silent = await world.job()
        assert world.simulator.jobs[-1].announcement == Announcement.NEVER
        assert await world.members(silent)
        await world.job()
        await world.receiver.wait_for(4)


async def test_callbacks_of_two_jobs_can_change_places() -> None:
    async with simulated("callback-reversed=300", SOON) as world:
        first, second = await world.job(), ""
        await trio.testing.wait_all_tasks_blocked()
        world.simulator.set_faults(SOON)
        second = await world.job()
        messages = await world.receiver.wait_for(2)
        assert [each["billFileName"] for each in messages] == [second, first]
        world.simulator.set_faults("callback-reversed=300", SOON)
        await world.job()
        await trio.testing.wait_all_tasks_blocked()
        world.simulator.advance(301)
        await world.receiver.wait_for(3)


async def test_a_callback_can_be_answered_before_the_query_is() -> None:
    async with simulated("callback-early") as world:
        answer = await world.query()
        (message,) = [json.loads(each.body)["msgBody"] for each in world.receiver.callbacks]
        assert message["responseId"] == answer["resultData"]["responseId"]
        assert await world.members(message["billFileName"])


async def test_false_callbacks_come_before_the_real_one() -> None:
    async with simulated(SOON, "callback-forged", "callback-unknown", "callback-wrong-name") as world:
        name = await world.job()
        messages = await world.receiver.wait_for(4)
        job = world.simulator.jobs[0]
        good = [is_good(each, "127.0.0.1") for each in world.receiver.callbacks]
        assert good == [False, True, True, True]
        ids = [each["responseId"] == job.response_id for each in messages]
        assert ids == [True, False, True, True]
        assert [each["billFileName"] == name for each in messages] == [True, False, False, True]
        await world.simulator.settle()
        kinds = [each.kind for each in world.simulator.callbacks]
        assert kinds == ["forged", "unknown", "wrong-name", "real"]


async def test_anybody_can_send_a_forged_or_an_unknown_callback_at_any_time() -> None:
    async with simulated() as world:
        url = f"{world.receiver.url}/hooks/huawei"
        assert await world.simulator.forge_callback(url) == "accepted"
        assert await world.simulator.unknown_callback(url) == "accepted"
        good = [is_good(each, "127.0.0.1") for each in world.receiver.callbacks]
        assert good == [False, True]


async def test_both_sides_can_talk_tls() -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    options = HuaweiOptions(
        ssl_context=server, callback_ssl_context=client, faults=frozenset({SOON, "to-full-host"})
    )
    with trio.fail_after(10):
        async with (
            receiving(server) as receiver,
            open_huawei_simulator(options) as simulator,
            httpx.AsyncClient(verify=client, trust_env=False) as http,
        ):
            world = World(simulator, http, receiver)
            assert simulator.base_url.startswith("https://")
            await world.job()
            await receiver.wait_for(1)
            assert is_good(receiver.callbacks[0], receiver.url.partition("//")[2])
            simulator.set_faults(SOON, "callback-tries=1")
            await world.job(callBackURL=receiver.url.replace("127.0.0.1", "localhost"))
            await simulator.settle()
            assert simulator.callbacks[-1].outcome == "unreachable"  # the certificate is another's


# What a file holds


async def test_a_call_is_a_row_for_each_device_and_a_recording_for_each_agent() -> None:
    async with simulated(SOON) as world:
        call = world.simulator.call(legs=4, answered=True)
        members = await world.members(await world.job())
        (cdrs, recordings) = members
        stamp = world.simulator.jobs[0].ready_at
        assert cdrs.startswith(f"{datetime.fromtimestamp(stamp, SHANGHAI):%Y%m%d%H%M%S}")
        assert cdrs[20:] == "_call.csv"
        assert recordings[20:] == "_record.csv"
        rows = read("call", members[cdrs])
        assert [each["call_id_num"] for each in rows] == ["1", "2", "3", "-1"]
        assert [each["device_type"] for each in rows] == ["3", "1", "2", "2"]
        assert {each["call_id"] for each in rows} == {call.call_id}
        assert [len(line.split(b",")) for line in members[cdrs].splitlines()] == [29] * 4
        assert [len(line.split(b",")) for line in members[recordings].splitlines()] == [18] * 2
        queue, agent = rows[1], rows[2]
        assert queue["wait_begin"] < queue["wait_end"]
        assert queue["call_begin"] == queue["ack_begin"] == queue["agent_id"] == ""
        assert agent["agent_id"] == agent["device_no"]
        assert wall(datetime.fromtimestamp(call.begin, SHANGHAI)) == rows[0]["call_begin"]
        assert call.call_id.partition("-")[0] == str(call.begin)
        paths = [each["original_file_name"] for each in read("record", members[recordings])]
        assert len(set(paths)) == 2
        assert all(each.startswith("Y:\\record\\1\\") and each.endswith(".V3") for each in paths)


async def test_a_call_that_nobody_answers_ends_in_the_queue() -> None:
    async with simulated(SOON) as world:
        world.simulator.call(answered=False)
        rows = await world.rows("call")
        assert [(each["device_type"], each["call_id_num"]) for each in rows] == [("3", "1"), ("1", "-1")]
        assert rows[1]["leave_reason"] == "26"
        assert await world.rows("record") == []
        world.simulator.call(legs=1)
        assert [each["call_id_num"] for each in await world.rows("call")][2:] == ["-1"]


async def test_the_data_type_chooses_the_files_and_other_fields_the_rows() -> None:
    async with simulated(SOON, account_ids=(ACCOUNT, "2"), cc_ids=("1", "2")) as world:
        one = world.simulator.call(legs=3, account_id=ACCOUNT, cc_id="1")
        two = world.simulator.call(legs=3, account_id="2", cc_id="2")
        for data_type, kinds in (
            ("call", ["call"]),
            ("record", ["record"]),
            ("call_record", ["call", "record"]),
        ):
            members = await world.members(await world.job(dataType=data_type))
            assert [each[21:-4] for each in members] == kinds
        agent = str(one.rows[2].columns(one.rows[2].versions[0])["agent_id"])
        caller = str(two.rows[0].columns(two.rows[0].versions[0])["caller_no"])
        for wanted, found in (
            ({}, [one] * 3),
            ({"accountId": ""}, [one] * 3 + [two] * 3),
            ({"accountId": "2"}, [two] * 3),
            ({"accountId": "", "callId": two.call_id}, [two] * 3),
            ({"agentId": agent}, [one]),
            ({"accountId": "", "callerNo": caller}, [two] * 3),
            ({"accountId": "", "calleeNo": caller, "calleeNo2": "4001"}, [two] * 3),
            ({"calleeNo": "5"}, []),
        ):
            rows = await world.rows("call", **wanted)
            assert [each["call_id"] for each in rows] == [each.call_id for each in found]


async def test_a_call_id_is_one_calls_only_together_with_its_cc_id() -> None:
    async with simulated(cc_ids=("1", "2")) as world:
        one, two = (world.simulator.call(cc_id=each, legs=1) for each in ("1", "2"))
        assert one.call_id.partition("-")[2] == two.call_id.partition("-")[2] == "1"


async def test_a_call_can_straddle_two_windows() -> None:
    async with simulated(SOON) as world:
        call = world.simulator.call(legs=3, answered=True, ago=60)
        middle = datetime.fromtimestamp(call.rows[2].begin, SHANGHAI) - timedelta(seconds=1)
        first = await world.rows("call", endTime=wall(middle))
        second = await world.rows("call", beginTime=wall(middle + timedelta(seconds=1)))
        assert [each["call_id_num"] for each in first + second] == ["1", "2", "-1"]
        assert len(second) == 1


async def test_a_window_holds_rows_by_begin_end_or_writing_with_one_bound_or_both() -> None:
    async with simulated(SOON) as world:
        row = world.simulator.call(legs=1, answered=True, recorded=False, ago=HOUR).rows[0]
        begin, end = (datetime.fromtimestamp(each, SHANGHAI) for each in (row.begin, row.end))
        second = timedelta(seconds=1)

        async def count(first: datetime, last: datetime, *faults: str) -> int:
            world.simulator.set_faults(SOON, *faults)
            return len(await world.rows("call", beginTime=wall(first), endTime=wall(last)))

        assert await count(begin, begin) == 1
        assert await count(begin - second, begin, "bounds-begin") == 0
        assert await count(begin, begin + second, "bounds-begin") == 1
        assert await count(begin + second, end) == 0
        assert await count(begin + second, end, "filter-end") == 1
        assert await count(end + second, end + 5 * second, "filter-insert") == 1
        assert await count(end + second, end + 4 * second, "filter-insert") == 0


async def test_rows_are_written_as_legs_end_and_recordings_each_minute() -> None:
    async with simulated(SOON) as world:
        call = world.simulator.begin_call(legs=3, answered=True)
        assert await world.rows("call") == []
        for count, row in enumerate(call.rows[:3], 1):
            world.simulator.advance(max(0.0, row.end - 2 - world.simulator.now().timestamp()))
            assert await world.rows("record") == []
            world.simulator.advance(row.end + 6 - world.simulator.now().timestamp())
            assert len(await world.rows("call")) == count
        assert not world.simulator.is_settled
        world.simulator.advance(60)
        assert len(await world.rows("record")) == 1
        await world.simulator.settle()
        assert world.simulator.is_settled


async def test_all_rows_can_wait_for_the_end_of_the_call() -> None:
    async with simulated(SOON, "legs-with-the-call") as world:
        call = world.simulator.begin_call(legs=3, answered=True)
        world.simulator.advance(call.end + 4 - world.simulator.now().timestamp())
        assert await world.rows("call") == []
        world.simulator.advance(2)
        assert len(await world.rows("call")) == 3


async def test_a_leg_can_be_the_last_until_the_next_one_ends() -> None:
    async with simulated(SOON, "renumbered") as world:
        call = world.simulator.begin_call(legs=3, answered=True)
        seen = []
        for row in call.rows[:3]:
            world.simulator.advance(row.end + 6 - world.simulator.now().timestamp())
            seen.append([each["call_id_num"] for each in await world.rows("call")])
        assert seen == [["-1"], ["1", "-1"], ["1", "2", "-1"]]
        handed = world.simulator.handed()
        assert len(handed[Identity("call", "1", call.call_id, "-1")]) == 3


async def test_rows_come_late_and_change_as_the_switches_say() -> None:
    async with simulated(SOON, "late-rows=3", "changed-rows=2") as world:
        world.simulator.call(legs=3, answered=True, recorded=False)
        assert [each["call_id_num"] for each in await world.rows("call")] == ["1", "2"]
        before = world.simulator.truth()
        world.simulator.advance(2 * HOUR)
        rows = await world.rows("call", hours=4)
        assert [each["call_id_num"] for each in rows] == ["1", "2", "-1"]
        truth = world.simulator.truth()
        changed = [name.part for name in before if before[name] != truth[name]]
        assert changed == ["2"]
        assert {identify("call", each): each for each in rows} == truth
        assert len(world.simulator.handed()[world.simulator.rows[1].identity]) == 2


async def test_a_row_can_be_changed_by_hand() -> None:
    async with simulated(SOON) as world:
        call = world.simulator.call(legs=3, answered=True)
        recording = call.rows[3]
        seen = []
        for _ in range(3):
            (row,) = await world.rows("record")
            seen.append((row["task_status"], row["task_result"]))
            world.simulator.change(recording)
        assert seen == [("0", ""), ("1", "success"), ("0", "failed")]


async def test_rows_tell_the_tenants_time_or_utc() -> None:
    async with simulated(SOON, time_zone="Asia/Kathmandu") as world:
        call = world.simulator.call(legs=1)
        for fault, zone in (("rows-tenant", ZoneInfo("Asia/Kathmandu")), ("rows-utc", UTC)):
            world.simulator.set_faults(SOON, fault)
            (row,) = await world.rows("call", dataType="call")
            assert row["call_begin"] == wall(datetime.fromtimestamp(begin_of(call), zone))


def begin_of(call: Any) -> int:
    row = call.rows[0]
    return int(row.columns(row.versions[0])["call_begin"])


async def test_the_repeated_hour_is_read_as_the_switch_says() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    second_pass = datetime(2024, 10, 27, 1, 30, tzinfo=UTC).timestamp()  # 02:30 for the second time
    async with simulated(SOON, time_zone="Europe/Berlin", starts_at=second_pass + 3 * HOUR) as world:
        for ago in (4 * HOUR, 3 * HOUR):  # 02:30 summer time, 02:30 winter time
            world.simulator.call(ago=ago, legs=1, answered=True, recorded=False)
        wanted = {"beginTime": "2024-10-27 02:00:00", "endTime": "2024-10-27 02:59:59"}
        both = [each.call_id for each in world.simulator.calls]
        for fault, expected in (("first-pass", both[:1]), ("second-pass", both[1:]), ("by-the-wall", both)):
            world.simulator.set_faults(SOON, fault)
            rows = await world.rows("call", **wanted)
            assert [each["call_id"] for each in rows] == expected
            assert all(each["call_begin"].startswith("2024-10-27 02:") for each in rows)
        assert wall(world.simulator.now().astimezone(berlin)) == "2024-10-27 05:30:00"


async def test_the_day_in_a_name_is_the_tenants_or_utcs() -> None:
    async with simulated(SOON, starts_at=datetime(2024, 5, 1, 20, tzinfo=UTC).timestamp()) as world:
        assert (await world.job()).startswith("20240502_")
        world.simulator.set_faults(SOON, "day-utc")
        assert (await world.job()).startswith("20240501_")


@pytest.mark.parametrize(("fault", "cdr", "recording"), [("columns-23", 23, 18), ("columns-18", 18, 13)])
async def test_older_releases_have_fewer_columns(fault: str, cdr: int, recording: int) -> None:
    async with simulated(SOON, fault, "columns-more=2") as world:
        world.simulator.call(legs=3, answered=True)
        contents = list((await world.members(await world.job())).values())
        widths = [len(content.splitlines()[0].split(b",")) for content in contents]
        assert widths == [cdr + 2, recording + 2]
        assert contents[0].splitlines()[0].endswith(b",extra0,extra1")


async def test_files_look_as_the_switches_say() -> None:
    async with simulated(SOON, "header", "bom", "crlf", "quote-all", "no-final-newline") as world:
        world.simulator.call(legs=3, answered=True)
        cdrs, recordings = (await world.members(await world.job())).values()
        for content, kind, count in ((cdrs, "call", 3), (recordings, "record", 1)):
            assert content.startswith(b'\xef\xbb\xbf"developer","account_id"')
            assert content.count(b"\r\n") == content.count(b"\n") == count
            assert not content.endswith(b"\n")
            table = read(kind, content, "utf-8-sig")
            assert list(table[0].values()) == list(COLUMNS[kind])
        world.simulator.set_faults(SOON, "blank-lines", "shuffled", "suffix-always")
        world.simulator.history(1, 20)
        members = await world.members(await world.job(hours=2))
        assert all(name.endswith("_1.csv") for name in members)
        content = next(iter(members.values()))
        assert content.count(b"\n\n") == len(content.splitlines()) / 2
        ids = [each["call_id"] for each in read("call", content.replace(b"\n\n", b"\n"))]
        assert ids != sorted(ids)


async def test_text_can_be_chinese_in_utf_8_or_gb18030_and_need_quotes() -> None:
    for fault, charset in (("chinese", "utf-8"), ("gbk", "gb18030")):
        async with simulated(SOON, fault, "quoted-commas=2", "quoted-newlines=3") as world:
            for _ in range(3):
                world.simulator.call(legs=1, answered=True)
            cdrs, recordings = (await world.members(await world.job())).values()
            assert [each["callee_no"] for each in read("call", cdrs, charset)] == [
                "4001",
                '4001,"2"',
                "4001\n2",
            ]
            assert all(each["agent_id"].startswith("坐席") for each in read("call", cdrs, charset))
            assert all(
                "\\录音\\" in each["original_file_name"] for each in read("record", recordings, charset)
            )


async def test_a_big_export_has_several_files_of_a_kind() -> None:
    async with simulated(SOON, "file-rows=4") as world:
        for _ in range(3):
            world.simulator.call(legs=3, answered=True)
        members = await world.members(await world.job())
        assert [name[21:] for name in members] == ["call_1.csv", "call_2.csv", "call_3.csv", "record.csv"]
        assert [len(content.splitlines()) for content in members.values()] == [4, 4, 1, 3]


async def test_no_data_looks_as_the_switch_says() -> None:
    async with simulated(SOON, "header") as world:
        contents = list((await world.members(await world.job())).values())
        assert [content.splitlines() for content in contents] == [
            [",".join(COLUMNS[kind]).encode()] for kind in ("call", "record")
        ]
        world.simulator.set_faults(SOON)
        assert list((await world.members(await world.job())).values()) == [b"", b""]
        world.simulator.set_faults(SOON, "empty-no-entries")
        assert await world.members(await world.job()) == {}
        world.simulator.set_faults(SOON, "empty-download-code")
        assert await world.code(await world.job()) == "0300012"
        world.simulator.set_faults(SOON, "empty-query-code")
        assert (await world.query())["resultCode"] == "0300012"
        world.simulator.set_faults(SOON, "empty-no-callback")
        assert await world.code(await world.job()) == "0300011"
        assert world.simulator.jobs[-1].announcement == Announcement.NEVER
        world.simulator.set_faults(SOON, "empty-no-zip")
        assert await world.code(await world.job()) == "0"
        world.simulator.set_faults(SOON, "empty-no-id")
        assert await world.query() == {"resultData": {}, "resultCode": "0", "resultDesc": "success"}
        world.simulator.set_faults(SOON, "empty-no-name")
        assert await world.code(await world.job()) == "0300011"
        assert world.simulator.jobs[-1].announcement != Announcement.NEVER


async def test_rows_that_stand_for_nothing_are_counted_as_odd() -> None:
    faults = ("duplicate-rows=2", "short-rows=3", "broken-rows=3", "bad-bytes=3", "open-quote")
    async with simulated(SOON, *faults) as world:
        world.simulator.call(legs=3, answered=True)
        content = next(iter((await world.members(await world.job(dataType="call"))).values()))
        lines = content.splitlines()
        assert len(lines) == 3 + 1 + 3 + 1
        assert lines[1] == lines[2]
        assert [line.startswith(b"odd") for line in lines] == [False] * 4 + [True] * 4
        with pytest.raises(UnicodeDecodeError):
            content.decode("gb18030")
        assert world.simulator.exports[-1].odd == 4


async def test_a_date_can_be_none() -> None:
    async with simulated(SOON, "bad-dates=1") as world:
        world.simulator.call(legs=1)
        (row,) = await world.rows("call", dataType="call")
        assert row["call_begin"] == "0000-00-00 00:00:00"


# downloadBillFile


async def test_a_file_that_is_not_ready_unknown_or_gone_does_not_exist() -> None:
    async with simulated() as world:
        name = await world.job()
        for fault, code in (("no-file-11", "0300011"), ("no-file-29", "0300029")):
            world.simulator.set_faults(fault)
            assert await world.code(name) == await world.code(f"x{name}") == code
        world.simulator.advance(15)
        assert await world.members(name)
        world.simulator.advance(8 * DAY)
        assert await world.code(name) == "0300029"
        world.simulator.set_faults(SOON, "gone-after=60")
        second = await world.job()
        assert await world.members(second)
        world.simulator.advance(61)
        assert await world.code(second) == "0300011"
        world.simulator.set_faults(SOON, "never-ready=1")
        third, fourth = await world.job(), await world.job()
        assert await world.code(third) == "0300011"
        assert await world.members(fourth)
        world.simulator.expire_files()
        assert await world.code(fourth) == "0300011"


@pytest.mark.parametrize("name", ["", "a/b.zip", "../x.zip", "a b.zip", "é.zip", "x" * 50, None, 7])
async def test_a_name_that_breaks_the_rule_is_refused(name: Any) -> None:
    async with simulated() as world:
        assert (await world.post(DOWNLOAD, {"billFileName": name})).json()["resultCode"] == "0300022"


async def test_a_zip_comes_with_an_odd_content_type_and_the_simulated_date() -> None:
    async with simulated(SOON, starts_at=1_714_525_500.0) as world:
        name = await world.job()
        answer = await world.download(name)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == OCTETS
        assert answer.content[:2] == b"PK"
        assert answer.headers["date"].startswith("Wed, 01 May 2024 01:05:0")
        assert (await world.http.get(world.simulator.base_url)).headers["date"].startswith("Wed, 01 May")
        for fault, content_type in (
            ("download-type-lower", "application/octet-stream"),
            ("download-type-json", JSON),
        ):
            world.simulator.set_faults(fault)
            assert (await world.download(name)).headers["content-type"] == content_type


async def test_a_zip_can_be_spoilt_once_and_then_come_whole() -> None:
    async with simulated(SOON) as world:
        call = world.simulator.call(legs=3, answered=True)
        name = await world.job()
        world.simulator.set_faults("zip-truncated=1")
        with pytest.raises(zipfile.BadZipFile):
            await world.members(name)
        world.simulator.set_faults("zip-bad-crc=1")
        content = (await world.download(name)).content
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert archive.testzip() is not None
        world.simulator.set_faults("zip-cut=1")
        with pytest.raises(httpx.NetworkError):
            await world.download(name)
        await trio.testing.wait_all_tasks_blocked()
        assert world.simulator.handed() == {}
        assert world.simulator.never_handed() == {each.identity for each in call.rows}
        assert await world.members(name)
        exports = world.simulator.exports
        assert [each.spoilt for each in exports] == ["truncated", "bad-crc", "", ""]
        assert [each.complete for each in exports] == [True, True, False, True]
        assert world.simulator.never_handed() == set()


async def test_a_zip_can_hold_paths_strangers_and_a_bomb() -> None:
    async with simulated(SOON, "zip-paths", "zip-other-member", "zip-bomb=2", "file-rows=1") as world:
        world.simulator.call(legs=3, answered=True)
        answer = await world.download(await world.job(dataType="call"))
        assert len(answer.content) < 20_000
        members = unzipped(answer.content)
        assert [name.partition("2")[0] for name in members] == ["/", "../../", "/", "readme.txt", ""]
        assert max(map(len, members.values())) == 2 * 1024 * 1024


async def test_answers_can_be_slow() -> None:
    async with simulated(SOON, "slow-query=0.05", "slow-body=0.05") as world:
        begun = trio.current_time()
        await world.members(await world.job())
        assert trio.current_time() - begun >= 0.1


# The truth


async def test_what_zips_held_is_the_truth() -> None:
    async with simulated(SOON, starts_at=1_714_525_500.0) as world:
        world.simulator.history(24, 200)
        members = await world.members(await world.job(hours=25))
        found = {
            identify(kind, row): row
            for kind, content in zip(("call", "record"), members.values(), strict=True)
            for row in read(kind, content)
        }
        assert found == world.simulator.truth()
        assert world.simulator.handed() == {name: [row] for name, row in found.items()}
        assert world.simulator.never_handed() == set()
        (entry,) = world.simulator.exports
        assert len(entry.rows) == len(found) == len(world.simulator.rows)
        kinds = Counter(name.kind for name in found)
        assert kinds["call"] > 400
        assert kinds["record"] > 150


async def test_a_day_of_5000_calls_passes_in_windows_of_an_hour_and_nothing_is_missing() -> None:
    async with simulated(SOON, starts_at=1_714_525_500.0) as world:
        assert len(world.simulator.history(24, 5000)) == 5000
        for hour in range(25):
            await world.members(await world.job(hours_ago=hour))
        assert len(world.simulator.truth()) > 15_000
        assert world.simulator.never_handed() == set()


async def test_a_bulk_of_rows_costs_little_and_is_named() -> None:
    async with simulated(SOON) as world:
        begun = time.process_time()
        bulk = world.simulator.bulk(100_000)
        content = (await world.download(await world.job(dataType="call"))).content
        assert time.process_time() - begun < 2
        (rows,) = (read("call", each) for each in unzipped(content).values())
        assert len(rows) == bulk.rows == 100_000
        assert [identify("call", row) for row in rows] == list(bulk.identities())
        assert world.simulator.exports[0].bulk_rows == 100_000
        world.simulator.set_faults(SOON, "columns-18")
        assert await world.rows("call", hours_ago=1) == []


async def test_calls_come_by_themselves_at_a_rate() -> None:
    async with simulated(rate=200, time_scale=60) as world:
        with trio.fail_after(5):
            while len(world.simulator.rows) < 40:
                await trio.sleep(0.01)
        world.simulator.set_rate(0)
        await trio.testing.wait_all_tasks_blocked()
        count = len(world.simulator.rows)
        await trio.sleep(0.05)
        assert len(world.simulator.rows) == count


async def test_the_clock_runs_faster_and_can_be_put_forward() -> None:
    async with simulated(time_scale=3600, starts_at=1_714_525_500.0) as world:
        await world.job()
        await world.receiver.wait_for(1)  # 14 s are 4 ms
        before = world.simulator.now()
        world.simulator.advance(DAY)
        assert world.simulator.now() - before >= timedelta(days=1)


async def test_another_process_can_steer_and_judge() -> None:
    async with simulated(SOON) as world:
        base = f"{world.simulator.base_url}/_simulator"

        async def act(command: str, **arguments: Any) -> Any:
            answer = await world.http.post(f"{base}/{command}", json=arguments)
            assert answer.status_code == 200, answer.text
            return answer.json()["result"]

        async def show(what: str) -> Any:
            return (await world.http.get(f"{base}/{what}")).json()

        call = await act("call", legs=3, answered=True)
        assert [each["kind"] for each in call["rows"]] == ["call"] * 3 + ["record"]
        assert len(await act("history", hours=1, calls=3)) == 3
        assert (await act("begin-call"))["call_id"]
        assert (await act("bulk", rows=10))["rows"] == 12
        await act("change", number=3)
        await world.rows("call")
        handed = (await show("handed"))["rows"]
        assert {tuple(each["identity"]) for each in handed} == set(world.simulator.handed())
        assert len((await show("truth"))["rows"]) == len(world.simulator.truth())
        assert (await show("calls"))["next"] == 5
        assert (await show("calls?since=4"))["entries"][0]["rows"]
        assert (await show("exports"))["entries"][0]["bulk_rows"] == 12
        assert (await show("jobs"))["jobs"][0]["name"] == world.simulator.jobs[0].name
        await world.receiver.wait_for(1)
        await trio.testing.wait_all_tasks_blocked()
        assert (await show("callbacks"))["entries"][0]["kind"] == "real"
        assert [each["operation"] for each in (await show("requests"))["requests"]] == ["query", "download"]
        assert (await show("state"))["jobs"] == 1
        await act("advance", seconds=60)
        await act("rate", rate=0)
        await act("unlock")
        await act("expire-files")
        await act("faults", faults=["header"])
        assert await show("faults") == {"faults": ["header"]}
        assert (await world.http.get(f"{base}/nonsense")).status_code == 404
        assert (await world.http.post(f"{base}/nonsense")).status_code == 404
        for command, body in (("faults", {"faults": ["x"]}), ("rate", {}), ("call", {"legs": 1, "x": 2})):
            assert (await world.http.post(f"{base}/{command}", json=body)).status_code == 400


async def test_no_log_holds_a_secret() -> None:
    async with simulated(SOON) as world:
        await world.job()
        await world.receiver.wait_for(1)
        simulator = world.simulator
        everything = repr([simulator.options, simulator.requests, simulator.callbacks, simulator.jobs])
        assert SECRET not in everything
        assert "auth-v2" not in everything


async def test_the_tables_are_toml_with_the_keys_of_the_interface() -> None:
    async with simulated("rows-utc") as world:
        simulator = world.simulator
        tables = tomllib.loads(simulator.ingress_table() + simulator.connector_table("one", callback="false"))
        address = f"127.0.0.1:{simulator.ingress_port}"
        assert tables["ingress"] == {"listen": address, "public_url": f"http://{address}"}
        assert tables["connectors"]["one"] == {
            "type": "huawei_aicc",
            "base_url": simulator.base_url,
            "access_key": ACCESS,
            "secret_key": SECRET,
            "account_id": ACCOUNT,
            "data_type": "call_record",
            "request_zone": "Asia/Shanghai",
            "row_zone": "UTC",
            "callback": False,
        }
        tls = tomllib.loads(simulator.ingress_table(tls='{ certificate_file = "c.pem" }'))
        assert tls["ingress"]["public_url"].startswith("https://")


# Switches and the command line


def test_every_switch_is_used_and_described() -> None:
    sources = "".join(
        path.read_text() for path in Path(package.__path__[0]).glob("*.py") if path.name != "faults.py"
    )
    choices = {switch.name for switch in SWITCHES if switch.choice}
    made = {f"{operation}-{what}" for operation in ("query", "download") for what in ("code", "flow")}
    unused = [name for name in FAULTS if f'"{name}"' not in sources and name not in choices | made]
    assert unused == []
    assert {switch.row for switch in SWITCHES} == {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize(
    "faults",
    [
        ("nonsense",),
        ("lock-after=x",),
        ("header=1",),
        ("gateway-502:nowhere",),
        ("query-code:0300099",),
        ("rows-utc", "rows-tenant"),
    ],
)
def test_a_switch_that_cannot_be_read_is_a_config_error(faults: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        trio.run(_open_and_leave, HuaweiOptions(faults=frozenset(faults)))


async def _open_and_leave(options: HuaweiOptions) -> None:
    async with open_huawei_simulator(options):
        pass


def test_the_command_line_prints_where_it_listens_and_ends_on_a_signal() -> None:
    command = [sys.executable, "-m", "streamd.simulators.huawei_aicc", "--rate", "0", "--fault", "header"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"base_url http://127.0.0.1:")
        process.terminate()
        rest = process.stdout.read().decode()
        assert process.wait(10) == 0
    assert tomllib.loads(rest).keys() == {"ingress", "connectors"}


def test_the_command_line_ends_with_78_on_an_unknown_fault() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "streamd.simulators.huawei_aicc", "--fault", "nonsense"],
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert found.returncode == 78
    assert b"nonsense" in found.stderr


# The demo


async def test_the_demo_counts_as_sent_what_its_client_is_done_with() -> None:
    with trio.fail_after(10):
        async with (
            receiving() as receiver,
            open_demo(200) as demo,
            httpx.AsyncClient(verify=NO_TLS, trust_env=False) as http,
        ):
            table = tomllib.loads(demo.table)["connectors"]["huawei-demo"]
            assert table["callback"] is False
            simulator = demo._simulator
            world = World(simulator, http, receiver)
            while len(simulator.rows) < 20:
                await trio.sleep(0.01)
            demo.quiet()
            cdrs = await world.rows("call")
            assert demo.sent() == []
            await demo.disturb()
            for _ in range(2):
                assert (await world.post(QUERY, world.wanted())).status_code == 502
                assert (await world.download("x.zip")).status_code == 502
            recordings = await world.rows("record")
            await world.job()
            sent = Counter(each.identity for each in demo.sent())
            assert set(sent) == set(simulator.truth())
            events = [{"type": "streamd.cdr.recorded", "data": each} for each in cdrs]
            events += [{"type": "streamd.recording.available", "data": each} for each in recordings]
            assert sent == Counter(demo.identity(each) for each in events)
            assert demo.identity({"type": "streamd.call.ended", "data": cdrs[0]}) is None
            assert {each.scope for each in demo.sent()} == {"cdrs", "recordings"}
