"""The faults of the simulator: what a recording is told as is the same, or the link says why it waits."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio

from streamd.config import Secret
from streamd.redaction import redact
from streamd.simulators.http import Request, Response, ok

# Whatever form replies have, and whatever goes wrong for a while, a recording is told whole.
HARMLESS = [
    *("code-10:details=2", "code-15:details=2", "code-20:details=2", "code-16:details=2", "nack:details=2"),
    *("code-11:details=1", "code-23:details=1", "code-24:details=1", "code-25:details=1"),
    *("error-500:details=2", "unavailable-503:details=2", "gateway-html:details=2", "tomcat-200:details=2"),
    *("empty-body:details=2", "reset:details=3", "error-status-400", "refuse-parallel=2"),
    *("unauthorized-401:details=1", "forbidden-403:details=1"),
    *("expiration-bare", "expiration-number", "expiration-missing", "expiration-hour", "token-malformed"),
    *("token-awkward", "login-xml", "expiration-cap=1"),
    *("none-26", "none-empty-list", "none-ack", "order-id", "order-newest"),
    *("recordingid-ignored", "recordingid-refused", "live-bounds-ignored", "live-match-id"),
    *("match-without-ucid", "match-without-ingress", "match-filename", "bounds-by-second"),
    "fraction-refused",
    *("xml-only", "xml-utf8", "xml-utf16-le", "xml-utf16-be", "xml-utf16-no-bom", "xml-pretty"),
    *("json-plain", "json-segments-wrapped", "json-text", "response-envelope", "errors-xml", "empty-faces"),
    *("slow-reply=0.05", "drip-body=0.05", "second-login-kills", "lock-after=5", "live-late=4", "moved=1"),
    *("changed=1", "deleted=1", "late=1", "late-seconds=20"),
    *("extra-fields", "content-type-html", "no-ingress=1", "no-ucid=1", "same-second", "split=1", "pause=1"),
]


# A second of the recorder's, which is how exactly lists tell time, is a moment of ours.
QUICK = {"time_scale": 20.0, "gap_seconds": 2.0}


async def whole_life(simulator: Any, running: Any, **how: Any) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Let somebody call, and wait until both ends are told."""
    recording = simulator.start(ani="1001", dnis="2002")
    await running.until(lambda: running.recordings("started"))
    simulator.end(recording)
    await running.until(lambda: running.recordings("ended"))
    [started], [ended] = running.recordings("started"), running.recordings("ended")
    return recording, started, ended


@pytest.mark.parametrize("fault", HARMLESS)
async def test_a_fault_changes_nothing_of_what_is_told(fault: str, system: Any) -> None:
    async with system(fault, options=QUICK) as (simulator, running):
        recording, started, ended = await whole_life(simulator, running)
        assert started["data"]["call_id"] == ended["data"]["call_id"] == recording.call_key
        assert ended["data"]["recording_id"] == str(recording.recording_id)
        assert ended["data"]["ani"] == "1001"
        assert not running.twice()
        assert not running.gaps()
        assert running.recordings("lost") == []
        assert not [event for event in running.events() if "dead_letter" in event["type"]]


async def test_a_list_without_any_call_id_is_asked_for_it_once_a_recording(system: Any) -> None:
    async with system("match-without-ucid", "match-without-ingress") as (simulator, running):
        await running.until_state("live")
        recordings = [simulator.start(), simulator.start()]
        await running.until(lambda: len(running.recordings("started")) == 2)
        await trio.sleep(0.5)
        asked = [each for each in simulator.replies if each.query.get("tmpRecordingId")]
        assert len(asked) == 2
        for each in recordings:
            simulator.end(each)
        await running.until(lambda: len(running.recordings("ended")) == 2)
        wanted = {each.call_key for each in recordings}
        assert set(running.calls("started")) == set(running.calls("ended")) == wanted
        assert not running.twice()


async def test_the_curly_quotes_of_some_json_are_read_when_that_is_allowed(system: Any) -> None:
    async with system("json-curly", repair_quotes=True) as (simulator, running):
        await whole_life(simulator, running)


@pytest.mark.parametrize("faults", [("json-curly",), ("xml-only", "xml-dtd")])
async def test_what_cannot_be_read_is_a_lost_link_and_nothing_else(
    faults: tuple[str, ...], system: Any
) -> None:
    async with system() as (simulator, running):
        await running.until_state("live")
        simulator.set_faults(*faults)
        simulator.start()
        await running.until_state("lost")
        simulator.set_faults()
        await running.until_state("live")
        await running.until(lambda: running.recordings("started"))
        assert not running.gaps()


REFUSED = [1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 18, 27]


@pytest.mark.parametrize("code", REFUSED)
async def test_a_code_that_says_to_give_up_is_refused_and_not_retried(code: int, system: Any) -> None:
    async with system() as (simulator, running):
        await running.until_state("live")
        simulator.set_faults(f"code-{code}:details")
        await running.until_state("refused")
        assert f"code {code}" in running.reason
        asked = len(simulator.replies)
        await trio.sleep(0.25)  # more than two retries would take
        assert len(simulator.replies) == asked
        assert not running.gaps()


@pytest.mark.parametrize("code", [19, 26])
async def test_a_code_that_says_nothing_was_found_is_no_error(code: int, system: Any) -> None:
    async with system(f"code-{code}:details=5", options=QUICK) as (simulator, running):
        await whole_life(simulator, running)
        assert running.tally["face_errors"] == 0


@pytest.mark.parametrize("code", [-1, 10, 11, 12, 13, 15, 16, 17, 20, 21, 22, 23, 24, 25, 99])
async def test_a_code_that_says_to_retry_costs_the_link_in_the_end_and_then_recovers(
    code: int, system: Any
) -> None:
    fault = "nack" if code < 0 else f"code-{code}"
    async with system(options=QUICK) as (simulator, running):
        await running.until_state("live")
        if code == 99:
            simulator.reply_with(b'{"result":{"code":99,"message":"new"}}', times=30)
        else:
            simulator.set_faults(f"{fault}:details")
        await running.until_state("lost")
        simulator.set_faults()
        await running.until_state("live")
        await whole_life(simulator, running)


def is_window(query: Mapping[str, str]) -> bool:
    return query.get("inProgress") == "false" and "recordingId" not in query


@pytest.mark.parametrize("refused", ["all", "what runs", "what has ended"])
async def test_a_link_is_told_once_it_has_searched_and_not_at_each_try(
    refused: str, scripted: Any, bench: Any
) -> None:
    asked, well = 0, False

    async def respond(request: Request) -> Response:
        nonlocal asked
        if request.path.endswith("/login"):
            return LOGIN
        asked += 1
        concerned = {"all": True, "what runs": not is_window(request.query)}
        if concerned.get(refused, is_window(request.query)) and not well:
            return ok({"result": {"code": 10, "message": "no database"}})
        return NOTHING

    start = datetime.now(UTC) - timedelta(hours=1)
    async with scripted(respond, start_from=start) as config, bench(config) as running:
        await running.until(lambda: asked > 30)
        assert running.moments() == ["lost"]
        well = True
        await running.until_state("live")
        await running.until(lambda: "live" in running.moments())
        assert running.moments() == ["lost", "connected", "recovered", "live"]


# -- the login


async def test_a_wrong_password_is_refused_from_the_first_and_not_tried_again(system: Any) -> None:
    async with system(password=Secret("wrong-password")) as (simulator, running):
        await running.until_state("refused")
        assert "login" in running.reason
        await trio.sleep(0.5)
        assert len(simulator.logins) == 1


async def test_an_expired_password_is_refused(system: Any) -> None:
    async with system("password-expired") as (simulator, running):
        await running.until_state("refused")
        assert len(simulator.logins) == 1


async def test_a_password_that_changes_is_refused_when_the_token_is_renewed(system: Any) -> None:
    async with system("expiration-cap=1") as (simulator, running):
        await running.until_state("live")
        simulator.change_password("another-password")
        await running.until_state("refused")
        before = len(simulator.logins)
        await trio.sleep(0.5)
        assert len(simulator.logins) == before


@pytest.mark.parametrize("fault", ["", "expired-2", "expired-401", "expired-403", "expired-mute"])
async def test_a_token_that_is_refused_is_replaced_once_whichever_way_it_is_said(
    fault: str, system: Any
) -> None:
    async with system(*([fault] if fault else []), options=QUICK) as (simulator, running):
        await running.until_state("live")
        await trio.sleep(0.3)  # as old as a token must be to be replaced
        simulator.expire_tokens()
        await whole_life(simulator, running)
        assert len(simulator.logins) == 2
        assert running.moments().count("lost") == 0


async def test_a_token_that_is_always_refused_is_replaced_once_a_minute_at_most(system: Any) -> None:
    async with system("unauthorized-401:details", relogin_seconds=60.0) as (simulator, running):
        await running.until_state("lost")
        await trio.sleep(0.5)
        assert len(simulator.logins) == 1


async def test_a_token_is_renewed_at_four_fifths_of_the_replys_own_expiry(system: Any) -> None:
    async with system("expiration-cap=4") as (simulator, running):
        await running.until_state("live")
        await running.until(lambda: len(simulator.logins) >= 2)
        first, second = [entry.at for entry in simulator.logins][:2]
        assert 2.7 <= second - first < 4.0
        assert running.moments().count("lost") == 0


# -- single recordings


def listed(*numbers: int) -> Response:
    matches = [
        {"match": {"recordingId": each, "ingressCallId": f"call-{each}", "start": "2024-05-01 06:00:00"}}
        for each in numbers
    ]
    return ok({"result": {"code": -1, "message": "all of them", "matches": matches}})


def in_full(number: int) -> Response:
    segments = [{"segmentId": 1, "end": "2024-05-01 06:00:30.0"}]
    recording = {"recordingId": number, "ingressCallId": f"call-{number}", "segments": segments}
    started = {"startTime": "2024-05-01 06:00:00.0"}
    return ok({"result": {"code": 0, "message": "ACK", "recording": recording | started}})


TOKEN = "t0ken-of-the-scripted-server"
LOGIN = ok({"result": {"code": 0, "message": "ACK", "token": TOKEN, "expiration": "3600seconds"}})
NOTHING = ok({"result": {"code": 19, "message": "nothing"}})


@pytest.mark.parametrize(
    "answer",
    [
        ok({"result": {"code": 11, "message": "error retrieving file info"}}),
        NOTHING,
        Response(200, b"\x00 neither nor"),
    ],
)
async def test_a_recording_that_cannot_be_read_is_dead_lettered_and_the_others_go_on(
    answer: Response, scripted: Any, bench: Any
) -> None:
    async def respond(request: Request) -> Response:
        match request.query:
            case _ if request.path.endswith("/login"):
                return LOGIN
            case {"inProgress": "true"}:
                return NOTHING
            case {"recordingId": "7"}:
                return answer
            case {"recordingId": number}:
                return in_full(int(number))
        return listed(6, 7, 8)

    async with scripted(respond) as config, bench(config) as running:
        await running.until(lambda: len(running.recordings("ended")) == 2)
        await running.until(lambda: running.events("dead_letter.written"))
        before = running.proof()
        await running.until(lambda: running.proof() > before)
        [letter] = running.events("dead_letter.written")
        assert sorted(running.ids("ended")) == ["6", "8"]
        assert not running.gaps()
        assert letter["data"]["payload_bytes"] > 0


async def test_a_match_without_an_id_is_dead_lettered_once(scripted: Any, bench: Any) -> None:
    async def respond(request: Request) -> Response:
        if request.path.endswith("/login"):
            return LOGIN
        if request.query.get("inProgress") == "true":
            return NOTHING
        return ok({"result": {"code": -1, "matches": [{"match": {"from": "1"}}, {"match": {"from": "2"}}]}})

    async with scripted(respond) as config, bench(config) as running:
        await running.until(lambda: len(running.events("dead_letter.written")) == 2)
        await trio.sleep(0.5)
        assert len(running.events("dead_letter.written")) == 2


async def test_the_token_and_the_password_are_in_nothing_that_is_written(
    scripted: Any, bench: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    redact("p4ssword-of-the-scripted-server")  # as the daemon does with all that is configured
    asked = 0

    async def respond(request: Request) -> Response:
        nonlocal asked
        asked += 1
        if request.path.endswith("/login"):
            return (
                LOGIN
                if asked > 1
                else ok({"result": {"code": -1, "message": f"no {request.body.decode()}"}}, 500)
            )
        heard = f"GET /Face/audioRecording/details?token={TOKEN} {request.query}"
        said = [
            ok({"result": {"code": -1, "message": heard}}),
            Response(502, heard.encode()),
            Response(200, heard.encode()),
            ok({"result": {"code": 0, "recording": {"recordingId": 1, "agentId": "x"}}}),
        ]
        if request.query.get("recordingId") == "7":
            return Response(200, heard.encode())
        if request.query.get("inProgress") == "false":
            return listed(7, 8)
        return said[asked % 3] if asked < 40 else NOTHING

    async with scripted(respond) as config, bench(config) as running:
        await running.until(lambda: "lost" in running.moments())
        await running.until(lambda: running.events("dead_letter.written"))
        written = b"".join(record.value or b"" for _, record in running.records())
        written += "".join(
            base64.b64decode(event["data"].get("payload_base64") or "").decode()
            for event in running.events("dead_letter.written")
        ).encode()
        shown = repr(running.runtime.config) + repr(running.runtime.progress()) + running.reason
    output = capfd.readouterr()
    for secret in (TOKEN, "p4ssword-of-the-scripted-server"):
        assert secret.encode() not in written
        assert secret not in shown + output.out + output.err


async def test_a_deleted_recording_is_no_loss(system: Any) -> None:
    async with system(options={"time_scale": 600.0, "gap_seconds": 60.0}) as (simulator, running):
        await running.until_state("live")
        recording = simulator.recorded()
        await running.until(lambda: running.recordings("ended"))
        simulator.remove(recording)
        await running.until(lambda: running.tally["recordings_gone"])
        await trio.sleep(1)
        assert running.recordings("lost") == running.recordings("updated") == []


NASTY = [
    b"\x00\x01\x02\xff",
    b"{" * 5000,
    b'{"result":{"code":-1,"matches":[{"match":{"recordingId":{"a":1}}}]}}',
    b'{"result":{"code":0,"recording":{"recordingId":7,"startTime":"never","segments":[1,"x",{"end":[]}]}}}',
    b'{"result":{"code":-1,"matches":[1,"x",null,{"match":{}},{"match":{"start":7}}]}}',
    b"<result><code>0</code><recording>text</recording></result>",
    b"<result><code>-1</code><matches><match><recordingId>9</recordingId></match></matches></result>",
    b'{"result":{"code":0,"recording":{"recordingId":"' + b"9" * 100_000 + b'"}}}',
]


@pytest.mark.parametrize("body", NASTY, ids=range(len(NASTY)))
async def test_whatever_a_reply_holds_the_connector_goes_on(body: bytes, system: Any) -> None:
    async with system(options=QUICK) as (simulator, running):
        await running.until_state("live")
        simulator.reply_with(body, times=4)
        await trio.sleep(0.3)
        recording = simulator.start()
        await running.until(lambda: recording.call_key in running.calls("started"))
        simulator.end(recording)
        await running.until(lambda: str(recording.recording_id) in running.ids("ended"))
        assert "crashed" not in running.reason
        assert running.tally["crashes"] == 0
