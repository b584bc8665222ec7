"""What is promised of paths: who answers when, and what those get whom nobody answers."""

from __future__ import annotations

import itertools
import json
from contextvars import ContextVar
from http import HTTPStatus

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from streamd.errors import Transient
from streamd.spool.spool import SpoolClosed
from streamd.transport.exchange import Request, Response
from tests.ingress.conftest import Served, configured, echo, until_closed

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


def refused(answer: bytes, status: int) -> dict[str, str]:
    """Check that this is a refusal of the ingress itself; give its headers in lower case."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert first.startswith(f"HTTP/1.1 {status}")
    assert json.loads(body) == {"status": "error", "error": HTTPStatus(status).phrase}
    headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}
    assert headers["content-type"] == "application/json"
    assert "server" not in headers
    return headers


async def test_a_claimed_path_is_answered_with_the_whole_request(start):
    served: Served = await start()
    seen: list[Request] = []

    async def handle(request: Request) -> Response:
        seen.append(request)
        return await echo(request)

    async with served.desk.claim("/a", handle):
        assert (await served.post(b"hello", path="/a?x=%31")).endswith(b'{"bytes":5}')
    (request,) = seen
    assert (request.method, request.path, request.query, request.body) == ("POST", "/a", "x=%31", b"hello")
    assert request.peer == "127.0.0.1"
    assert served.counts == {"requests_200": 1}


async def test_a_request_is_admitted_handled_and_told_of_in_one_task(start):
    served: Served = await start()
    number: ContextVar[int] = ContextVar("number", default=0)
    admitted = itertools.count(1)
    handled: list[int] = []
    failed: list[int] = []

    async def admit(request: Request) -> None:
        number.set(next(admitted))

    async def handle(request: Request) -> Response:
        handled.append(number.get())
        return Response(503)

    async with (
        served.desk.claim("/a", handle, admit=admit, failed=lambda status: failed.append(number.get())),
        trio.open_nursery() as nursery,
    ):
        for _ in range(3):
            nursery.start_soon(served.post, b"x")
    assert sorted(handled) == sorted(failed) == [1, 2, 3]


async def test_a_path_of_a_connector_that_is_down_asks_to_come_again(start):
    served: Served = await start()
    assert refused(await served.post(b"x"), 503)["retry-after"] == "5"
    async with served.desk.claim("/a", echo):
        assert b" 200 " in await served.post(b"x")
    assert refused(await served.post(b"x"), 503)["retry-after"] == "5"
    assert served.counts == {"requests_503": 2, "requests_200": 1}


async def test_an_unknown_path_is_a_404_that_is_logged_without_it(start):
    served: Served = await start()
    with capture_logs() as logs:
        refused(await served.post(b"x", path="/a/s3cret"), 404)
    (line,) = logs
    assert (line["event"], line["peer"]) == ("ingress_refused", "127.0.0.1")
    assert "s3cret" not in repr(logs)
    assert served.counts == {}


async def test_only_the_declared_owner_can_claim_a_path_and_only_once(start):
    served: Served = await start(paths={"bell-a": "/a", "bell-b": "/b"})
    for path in ("/b", "/c"):
        with pytest.raises(ValueError, match="bell-a claims is not declared"):
            async with served.desk.claim(path, echo):
                pass
    async with served.desk.claim("/a", echo):
        with pytest.raises(ValueError, match="claimed twice"):
            async with served.desk.claim("/a", echo):
                pass
        assert b" 200 " in await served.post(b"x")


async def test_a_reload_makes_paths_known_and_unknown(start, bell):
    served: Served = await start()
    served.listener.reload(configured(paths={"bell-b": "/b"}))
    refused(await served.post(path="/a"), 404)
    refused(await served.post(path="/b"), 503)


async def test_while_draining_new_requests_are_turned_away_and_those_in_flight_go_on(start):
    served: Served = await start()
    began, go_on = trio.Event(), trio.Event()

    async def wait(request: Request) -> Response:
        began.set()
        await go_on.wait()
        return await echo(request)

    async with served.desk.claim("/a", wait), await served.connect() as stream:
        await stream.send_all(GET)
        await began.wait()
        served.listener.drain()
        headers = refused(await served.ask(GET), 503)  # the server closes, although the client did not ask
        assert (headers["retry-after"], headers["connection"]) == ("5", "close")
        go_on.set()
        assert b" 200 " in await stream.receive_some()


async def test_the_end_of_a_claim_waits_for_requests_in_flight(start):
    served: Served = await start()
    began, ending = trio.Event(), trio.Event()

    async def wait(request: Request) -> Response:
        began.set()
        await ending.wait()
        return await echo(request)

    async with await served.connect() as stream:
        async with trio.open_nursery() as nursery, served.desk.claim("/a", wait):
            await stream.send_all(GET)
            await began.wait()
            nursery.start_soon(_after_a_turn, ending)
        assert b" 200 " in await stream.receive_some()


async def _after_a_turn(event: trio.Event) -> None:
    await trio.testing.wait_all_tasks_blocked(0.01)
    event.set()


async def test_the_end_of_a_claim_cuts_short_what_does_not_end(start, monkeypatch):
    monkeypatch.setattr("streamd.ingress.claim.GRACE_SECONDS", 0.05)
    served: Served = await start()
    began = trio.Event()

    async def hang(request: Request) -> Response:
        began.set()
        await trio.sleep_forever()
        raise AssertionError

    async with await served.connect() as stream:
        async with served.desk.claim("/a", hang):
            await stream.send_all(GET)
            await began.wait()
        answer = await stream.receive_some()
        assert refused(answer, 503)["retry-after"] == "5"


async def test_a_handler_that_is_not_done_by_the_deadline_is_a_503_and_its_connector_is_told(start):
    served: Served = await start(request_timeout_seconds=0.2)

    async def hang(request: Request) -> Response:
        await trio.sleep_forever()
        raise AssertionError

    async with served.desk.claim("/a", hang, failed=served.failed.append):
        assert refused(await served.post(b"x"), 503)["retry-after"] == "5"
    assert served.failed == [503]


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (Transient("the keys of the provider cannot be had", retry_after=17), 503, "17"),
        (Transient("s3cret"), 503, "5"),
        (SpoolClosed("s3cret"), 503, "5"),
        (LookupError("s3cret"), 500, None),
        (ExceptionGroup("s3cret", [ValueError("s3cret")]), 500, None),
    ],
    ids=repr,
)
@pytest.mark.parametrize("where", ["admit", "handler"])
async def test_what_a_handler_raises_is_a_status_without_details(start, error, status, retry_after, where):
    served: Served = await start()

    async def fail(request: Request) -> Response:
        raise error

    functions = {"handler": echo, where: fail}
    with capture_logs() as logs:
        async with served.desk.claim("/a", failed=served.failed.append, **functions):
            assert refused(await served.post(b"x"), status).get("retry-after") == retry_after
    assert served.failed == [status]
    assert [line["event"] for line in logs if line["log_level"] == "error"] == (
        ["ingress_handler_crashed"] if status == 500 else []
    )


async def test_a_bug_in_the_connectors_own_account_or_answer_disturbs_nobody(start):
    served: Served = await start()

    async def wrong(request: Request) -> Response:
        return Response(200, {"X": "naïve"}) if request.method == "POST" else None

    with capture_logs() as logs:
        async with served.desk.claim("/a", wrong, failed=lambda status: 1 / 0):
            assert await served.post(b"x") == b""
            assert await served.ask(GET) == b""
        refused(await served.post(b"x", path="/z"), 404)
    crashed = [line["error"] for line in logs if line["event"] == "ingress_handler_crashed"]
    assert crashed == ["UnicodeEncodeError", "ZeroDivisionError", "AttributeError"]


async def test_who_is_not_admitted_is_answered_before_the_body_is_read(start):
    served: Served = await start()
    handled: list[Request] = []

    async def admit(request: Request) -> Response | None:
        return None if request.headers.get("authorization") == "Bearer good" else Response(401, {}, b"{}")

    async def handle(request: Request) -> Response:
        handled.append(request)
        return await echo(request)

    async with served.desk.claim("/a", handle, admit=admit, failed=served.failed.append):
        async with await served.connect() as stream:
            await stream.send_all(
                b"POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n\r\n"
            )
            answer = await until_closed(stream)
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"Connection: close" in answer
        assert handled == []
        assert b" 200 " in await served.post(b"hello", Authorization="Bearer good")
    assert [request.body for request in handled] == [b"hello"]
    assert served.failed == [401]


async def test_a_refused_request_that_is_whole_leaves_its_connection_open(start):
    served: Served = await start()
    async with await served.connect() as stream:
        for path in (b"/x", b"/y"):
            await stream.send_all(b"POST " + path + b" HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 404 ")


async def test_a_client_that_leaves_before_its_answer_is_told_to_the_connector(start):
    served: Served = await start()
    left = trio.Event()

    def failed(status: int) -> None:
        served.failed.append(status)
        left.set()

    async with served.desk.claim("/a", echo, failed=failed):
        async with await served.connect() as stream:
            await stream.send_all(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf")
        with trio.fail_after(30):
            await left.wait()
    assert served.failed == [499]
    assert served.counts == {"requests_499": 1}


async def test_a_connector_whose_requests_hang_leaves_connections_to_the_others(start, monkeypatch):
    monkeypatch.setattr("streamd.ingress.claim.GRACE_SECONDS", 0.05)
    served: Served = await start(paths={"bell-a": "/a", "bell-b": "/b"}, max_connections=9)
    hanging = 0
    enough = trio.Event()

    async def hang(request: Request) -> Response:
        nonlocal hanging
        hanging += 1
        if hanging == 3:
            enough.set()
        await trio.sleep_forever()
        raise AssertionError

    async def hold() -> None:
        async with await served.connect() as stream:
            await stream.send_all(GET)
            await stream.receive_some()

    async with (
        served.desk.claim("/a", hang),
        served.desk_of("bell-b").claim("/b", echo),
        trio.open_nursery() as nursery,
    ):
        for _ in range(3):  # a third of 9: two connectors, and one part for others
            nursery.start_soon(hold)
        with trio.fail_after(30):
            await enough.wait()
        refused(await served.post(b"x"), 503)
        assert b" 200 " in await served.post(b"x", path="/b")
        nursery.cancel_scope.cancel()


async def test_the_same_refusal_is_logged_once_a_minute_and_counted(start):
    served: Served = await start()
    with capture_logs() as logs:
        for _ in range(5):
            await served.post(b"x")
    assert [line["event"] for line in logs] == ["ingress_request_failed"]
    assert served.counts == {"requests_503": 5}
