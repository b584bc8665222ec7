"""The Oracle ISR simulator keeps to the documents by default, and to each switch that is named."""

from __future__ import annotations

import importlib
import json
import math
import pkgutil
import signal
import ssl
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import httpx
import pytest
import trio
import trustme

import streamd.simulators.oracle_isr as package
from streamd.errors import ConfigError
from streamd.simulators.oracle_isr import (
    FAULTS,
    Fate,
    OracleIsrOptions,
    OracleIsrSimulator,
    Recording,
    open_oracle_isr_simulator,
)
from streamd.simulators.oracle_isr.codes import MESSAGES
from streamd.simulators.oracle_isr.demo import open_demo
from streamd.simulators.oracle_isr.faults import SWITCHES, code_switch
from streamd.simulators.oracle_isr.times import read, spell, spell_second
from streamd.transport.server import Request, Response, serve_http

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # httpx otherwise loads the CA bundle for each client
RIGHT = {"userEmail": "stream@example.net", "password": "simulated-password"}
JSON, XML = {"Accept": "application/json"}, {"Accept": "application/xml"}
NOON = datetime(2024, 5, 1, 12, 0, 0, tzinfo=UTC).timestamp()
DAY = 86_400.0


class Receiver:
    """The client's side of notifications."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self.status = 200

    async def respond(self, request: Request) -> Response:
        self.requests.append(request)
        return Response(self.status, {}, b"<response><Code>0</Code><message>success</message></response>")

    def told(self) -> list[tuple[str, str]]:
        """Return event and ucid of each notification."""
        return [(each["event"][0], each["ucid"][0]) for each in map(self.parameters, self.requests)]

    @staticmethod
    def parameters(request: Request) -> dict[str, list[str]]:
        return parse_qs(request.query or request.body.decode())


class World:
    """A simulator, and a client of it with a token."""

    def __init__(self, simulator: OracleIsrSimulator, http: httpx.AsyncClient, receiver: Receiver) -> None:
        self.simulator, self.http, self.receiver = simulator, http, receiver
        self.token = ""

    async def log_in(self, accept: Any = JSON, **form: str) -> httpx.Response:
        return await self.http.post("/Face/login", data={**RIGHT, **form}, headers=accept)

    async def take_token(self, **form: str) -> dict[str, Any]:
        result: dict[str, Any] = (await self.log_in(**form)).json()["result"]
        self.token = result["token"]
        return result

    async def get(self, path: str = "details", accept: Any = JSON, **query: Any) -> httpx.Response:
        url = f"/Face/audioRecording/{path}"
        return await self.http.get(url, params={"token": self.token, **query}, headers=accept)

    async def found(self, path: str = "details", **query: Any) -> dict[str, Any]:
        """Return the result of a search, from JSON."""
        result: dict[str, Any] = (await self.get(path, **query)).json()["result"]
        return result

    async def ids(self, **query: Any) -> list[int]:
        """Return the ids that a search finds, sorted."""
        result = await self.found(**query)
        alone = [result["recording"]] if "recording" in result else []
        found = [*alone, *(each["match"] for each in result.get("matches", ()))]
        return sorted(each.get("recordingId") or each["tmpRecordingId"] for each in found)

    async def notified(self, count: int) -> list[tuple[str, str]]:
        await eventually(lambda: len(self.receiver.requests) >= count)
        return self.receiver.told()


@asynccontextmanager
async def simulated(*faults: str, **options: Any) -> AsyncIterator[World]:
    written = OracleIsrOptions(faults=frozenset(faults), **options)
    with trio.fail_after(30):
        async with (
            receiving() as receiver,
            open_oracle_isr_simulator(written) as simulator,
            httpx.AsyncClient(base_url=simulator.base_url, verify=NO_TLS, trust_env=False) as http,
        ):
            world = World(simulator, http, receiver)
            simulator.set_faults()
            await world.take_token()
            simulator.set_faults(*faults)
            yield world


@asynccontextmanager
async def pushing(*faults: str, **options: Any) -> AsyncIterator[World]:
    async with simulated(*faults, **options) as world:
        world.simulator.notify_to(world.receiver.url)
        yield world


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    receiver.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/isr/eventNotify"
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_http, on_error=lambda *_: None), receiver.respond, listeners)
        yield receiver
        nursery.cancel_scope.cancel()


async def eventually(condition: Callable[[], bool]) -> None:
    while not condition():
        await trio.sleep(0.005)


def second(at: float) -> str:
    return spell_second(at, UTC)


# Login


async def test_a_login_gives_a_token_and_how_long_it_lives() -> None:
    async with simulated() as world:
        result = await world.take_token(expirationSeconds="60", userEmail="Stream@Example.NET")
        assert (result["code"], result["message"], result["expiration"]) == (0, "ACK", "60seconds")
        assert (await world.found())["code"] == 19
        text = (await world.log_in(XML, expirationSeconds="60")).text
        assert text.startswith('<?xml version="1.0" encoding="UTF-16"?><result><code>0</code>')
        assert "<expiration>60seconds</expiration>" in text


@pytest.mark.parametrize(
    ("fault", "asked", "given"),
    [
        ("expiration-text", "999999", "86400seconds"),
        ("expiration-text", "", "86400seconds"),
        ("expiration-hour", "", "3600seconds"),
        ("expiration-cap=5", "60", "5seconds"),
        ("expiration-bare", "60", "60"),
        ("expiration-number", "60", 60),
        ("expiration-missing", "60", None),
    ],
)
async def test_the_reply_says_how_long_a_token_lives_whatever_was_asked(
    fault: str, asked: str, given: Any
) -> None:
    async with simulated(fault) as world:
        result = await world.take_token(**{"expirationSeconds": asked} if asked else {})
        assert result.get("expiration") == given


async def test_a_token_ends_when_its_seconds_are_over() -> None:
    async with simulated() as world:
        await world.take_token(expirationSeconds="0")
        result = await world.found()
        assert (result["code"], "token" in result["message"]) == (-1, True)
        await world.take_token()
        world.simulator.expire_tokens()
        assert (world.simulator.tokens_valid, (await world.found())["code"]) == (0, -1)


async def test_wrong_unknown_and_locked_look_the_same() -> None:
    async with simulated("lock-after=2") as world:
        answers = [await world.log_in(password="wrong"), await world.log_in(userEmail="nobody@example.net")]
        answers.append(await world.log_in())
        assert len({each.text for each in answers}) == 1
        assert answers[0].json()["result"]["code"] == -1
        assert [each.outcome for each in world.simulator.logins[1:]] == ["wrong", "wrong", "locked"]
        world.simulator.unlock()
        assert (await world.log_in()).json()["result"]["token"]


async def test_a_password_is_case_sensitive_and_can_be_changed() -> None:
    async with simulated() as world:
        assert "token" not in (await world.log_in(password="Simulated-Password")).json()["result"]
        world.simulator.change_password("other")
        assert "token" not in (await world.log_in()).json()["result"]
        assert "token" in (await world.log_in(password="other")).json()["result"]


@pytest.mark.parametrize("fault", ["password-expired", "not-api-user"])
async def test_right_credentials_that_are_not_enough_give_an_error_and_no_token(fault: str) -> None:
    async with simulated(fault) as world:
        result = (await world.log_in()).json()["result"]
        assert (result["code"], "token" in result) == (-1, False)


async def test_credentials_outside_of_a_forms_body_are_not_read() -> None:
    async with simulated() as world:
        for answer in (
            await world.http.get("/Face/login", params=RIGHT),
            await world.http.post("/Face/login", params=RIGHT),
            await world.http.post("/Face/login", json=RIGHT),
        ):
            assert "<code>-1</code>" in answer.text


@pytest.mark.parametrize("fault", ["token-malformed", "token-awkward"])
async def test_odd_tokens_work_when_they_are_sent_encoded(fault: str) -> None:
    async with simulated(fault) as world:
        await world.take_token()
        assert (await world.found())["code"] == 19


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("expired-nack", 200, -1),
        ("expired-mute", 200, -1),
        ("expired-2", 200, 2),
        ("expired-401", 401, None),
        ("expired-403", 403, None),
    ],
)
async def test_a_bad_token_is_told_in_the_form_that_holds(fault: str, status: int, code: int | None) -> None:
    async with simulated(fault) as world:
        world.token = "bad"
        answer = await world.get()
        assert answer.status_code == status
        if code is None:
            assert answer.text.startswith("<!DOCTYPE html>")
        else:
            assert answer.json()["result"]["code"] == code
        missing = await world.http.get("/Face/audioRecording/details", headers=JSON)
        assert missing.json()["result"]["code"] == 27


@pytest.mark.parametrize(("fault", "code"), [("second-login-keeps", 19), ("second-login-kills", -1)])
async def test_a_second_login_keeps_or_ends_the_first_token(fault: str, code: int) -> None:
    async with simulated(fault) as world:
        await world.log_in()
        assert (await world.found())["code"] == code


async def test_all_tokens_end_every_so_often() -> None:
    async with simulated("tokens-expire-every=0.05") as world:
        await eventually(lambda: world.simulator.tokens_valid == 0)


# Search


async def test_the_shape_of_an_answer_depends_on_how_many_match() -> None:
    async with simulated() as world:
        assert (await world.found())["code"] == 19
        first = world.simulator.recorded()
        one = await world.found()
        assert (one["code"], one["recording"]["recordingId"]) == (0, first.recording_id)
        second_one = world.simulator.recorded()
        every = await world.found(maxListLength="2")
        assert (every["code"], len(every["matches"])) == (-1, 2)
        assert every["message"].endswith("Returning all matches.")
        cut = await world.found(maxListLength="1")
        assert (cut["code"], len(cut["matches"])) == (-1, 1)
        assert "more matches than maxListLength" in cut["message"]
        assert [each.shape for each in world.simulator.replies[1:]] == ["none", "one", "all", "cut"]
        assert world.simulator.replies[-1].matches == 2
        assert (first.detailed, first.revisions_given) == (1, [0])
        assert first.listed + second_one.listed == 3


@pytest.mark.parametrize(
    ("fault", "code", "matches"),
    [("none-19", 19, None), ("none-26", 26, None), ("none-ack", 0, None), ("none-empty-list", -1, [])],
)
async def test_no_match_is_told_in_the_form_that_holds(fault: str, code: int, matches: Any) -> None:
    async with simulated(fault) as world:
        result = await world.found()
        assert (result["code"], result.get("matches")) == (code, matches)


async def test_a_list_is_cut_at_1000_unless_less_is_asked_for() -> None:
    async with simulated() as world:
        world.simulator.history(1, 1001)
        assert len((await world.found())["matches"]) == 1000
        assert len((await world.found(maxListLength="17"))["matches"]) == 17
        for bad in ("0", "1001", "-1", "x", "²", "9" * 5000):
            result = await world.found(maxListLength=bad)
            assert (result["code"], "maxListLength" in result["message"]) == (-1, True)


async def test_lists_come_in_any_order_unless_one_is_named() -> None:
    async with simulated() as world:
        world.simulator.history(1, 50)
        orders = [[each["match"]["recordingId"] for each in (await world.found())["matches"]] for _ in "ab"]
        assert sorted(orders[0]) == sorted(orders[1]) == list(range(501, 551))
        assert orders[0] != orders[1] != sorted(orders[1])
        world.simulator.set_faults("order-id")
        matches = (await world.found(maxListLength="10"))["matches"]
        assert [each["match"]["recordingId"] for each in matches] == list(range(501, 511))
        world.simulator.set_faults("order-newest", "cut-unsaid")
        result = await world.found(maxListLength="10")
        assert [each["match"]["recordingId"] for each in result["matches"]] == list(range(550, 540, -1))
        assert "maxListLength" not in result["message"]


async def test_get_and_post_find_the_same() -> None:
    async with simulated() as world:
        world.simulator.recorded()
        url, query = "/Face/audioRecording/details", {"token": world.token}
        got = await world.http.get(url, params=query, headers=JSON)
        posted = await world.http.post(url, params=query, headers=JSON)
        assert got.text == posted.text


async def test_only_finished_recordings_are_found_unless_live_ones_are_asked_for() -> None:
    async with simulated() as world:
        live, over = world.simulator.start(), world.simulator.recorded()
        assert await world.ids() == await world.ids(inProgress="false") == [over.recording_id]
        assert await world.ids(inProgress="true") == [live.tmp_id]


@pytest.mark.parametrize(
    ("bounds", "is_found"),
    [
        ({"earliestEnd": "2024-05-01 11:59:58.5"}, True),
        ({"earliestEnd": "2024-05-01 11:59:58.501"}, False),
        ({"latestEnd": "2024-05-01 11:59:58.5"}, True),
        ({"latestEnd": "2024-05-01 11:59:58"}, False),
        ({"earliestStart": "2024-05-01 11:59:28.5", "latestStart": "2024-05-01 11:59:28.5"}, True),
        ({"latestStart": "2024-05-01 11:59:28"}, False),
        ({"start": "2024-05-01 11:59:28", "end": "2024-05-01 11:59:58"}, True),
        ({"end": "2024-05-01 11:59:59"}, False),
    ],
)
async def test_bounds_are_inclusive_to_the_millisecond(bounds: dict[str, str], is_found: bool) -> None:
    async with simulated(starts_at=NOON) as world:
        exact = world.simulator.recorded(ended_ago=world.simulator.now().timestamp() - NOON + 1.5)
        exact.start, exact.end = NOON - 31.5, NOON - 1.5  # some time passes between two looks at the clock
        assert bool(await world.ids(**bounds)) is is_found


async def test_bounds_may_be_compared_by_the_second() -> None:
    async with simulated("bounds-by-second", starts_at=NOON) as world:
        exact = world.simulator.recorded(ended_ago=world.simulator.now().timestamp() - NOON + 1.5)
        exact.start, exact.end = NOON - 31.5, NOON - 1.5  # some time passes between two looks at the clock
        assert await world.ids(latestEnd="2024-05-01 11:59:58")
        assert await world.ids(earliestEnd="2024-05-01 11:59:58.9")


async def test_times_that_cannot_be_read_are_an_error() -> None:
    async with simulated("fraction-refused") as world:
        for text in ("2024-05-01T11:59:58", "2024-05-01 25:00:00", "now", "", "2024-05-01 11:59:58.5"):
            result = await world.found(earliestEnd=text)
            assert (result["code"], "earliestEnd" in result["message"]) == (-1, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("isrUcid", "x-isr-ucid-1-28001@192.0.2.8"),
        ("ingressCallId", "1-28001@192.0.2.8"),
        ("ani", "+49 30 1"),
        ("from", "+49 30 1"),
        ("dnis", "queue"),
        ("to", "queue"),
        ("filename", "queue-1-28001@192.0.2.8.seg0.rpdd"),
        ("aor", "sip:queue@192.0.2.9:5060"),
        ("recordingId", "501"),
        ("Mood", "good & <calm>"),
    ],
)
async def test_each_criterion_selects_to_the_letter(name: str, value: str) -> None:
    async with simulated() as world:
        one = world.simulator.recorded(ani="+49 30 1", dnis="queue", custom={"Mood": "good & <calm>"})
        other = world.simulator.recorded()
        assert await world.ids(**{name: value}) == [one.recording_id]
        assert await world.ids(**{name: f"{value}x"}) == []
        assert await world.ids(**{name: "9" * 5000}) == []
        assert await world.ids(unheardOf=value) == [one.recording_id, other.recording_id]


async def test_before_6_4_a_recording_id_is_no_criterion() -> None:
    async with simulated("recordingid-ignored") as world:
        world.simulator.history(1, 3)
        assert await world.ids(recordingId="501") == [501, 502, 503]


async def test_bounds_hold_for_live_recordings_unless_they_are_ignored() -> None:
    async with simulated() as world:
        live = world.simulator.start()
        later = second(live.start + 60)
        assert await world.ids(inProgress="true", latestStart=later) == [live.tmp_id]
        assert await world.ids(inProgress="true", earliestStart=later) == []
        assert await world.ids(inProgress="true", latestEnd=later) == []
        world.simulator.set_faults("live-bounds-ignored")
        assert await world.ids(inProgress="true", earliestStart=later) == [live.tmp_id]


async def test_a_recording_of_another_account_is_never_found() -> None:
    async with simulated() as world:
        world.simulator.recorded(hidden=True)
        world.simulator.start(hidden=True)
        assert await world.ids() == await world.ids(inProgress="true") == []
        assert world.simulator.truth() == {}


async def test_matches_have_whole_seconds_and_the_fields_that_hold() -> None:
    async with simulated() as world:
        one = world.simulator.recorded()
        world.simulator.recorded(ingress_call_id=one.ingress_call_id)
        match = {each["match"]["recordingId"]: each["match"] for each in (await world.found())["matches"]}
        assert match[one.recording_id] == {
            "recordingId": one.recording_id,
            "isrUcid": one.isr_ucid,
            "ingressCallId": one.ingress_call_id,
            "from": "1001",
            "to": "2002",
            "start": second(one.start),
        }
        world.simulator.set_faults("match-without-ucid", "match-filename")
        [*_, last] = (await world.found())["matches"]
        assert "isrUcid" not in last["match"]
        assert last["match"]["filename"].endswith(".rpdd")
        world.simulator.set_faults("match-without-ingress")
        [*_, last] = (await world.found())["matches"]
        assert "ingressCallId" not in last["match"]


@pytest.mark.parametrize(
    ("fault", "name"), [("live-match-tmp", "tmpRecordingId"), ("live-match-id", "recordingId")]
)
async def test_live_matches_name_their_temporary_id(fault: str, name: str) -> None:
    async with simulated(fault) as world:
        first = world.simulator.start()
        again = world.simulator.start(beside=first)
        matches = [each["match"] for each in (await world.found(inProgress="true"))["matches"]]
        assert sorted(each[name] for each in matches) == [first.tmp_id, again.tmp_id]
        assert len({each["ingressCallId"] for each in matches}) == 1
        assert await world.ids(inProgress="true", tmpRecordingId=again.tmp_id) == [again.tmp_id]
        by_other = await world.ids(inProgress="true", recordingId=again.tmp_id)
        assert by_other == ([again.tmp_id] if name == "recordingId" else [])


@pytest.mark.parametrize("at", [NOON, NOON - 120 * DAY])
async def test_times_are_in_the_users_zone_when_that_is_switched_on(at: float) -> None:
    zone = ZoneInfo("Europe/Berlin")
    async with simulated("user-zone", starts_at=at) as world:
        one = world.simulator.recorded()
        recording = (await world.found(latestEnd=spell(at + 60, zone)))["recording"]
        assert recording["startTime"] == spell(one.start, zone)
        assert await world.ids(earliestEnd=spell_second(at + 60, zone)) == []
        assert await world.ids(latestEnd=spell_second(at - 60, zone)) == []


async def test_segments_are_searched_like_recordings_by_their_own_bounds() -> None:
    async with simulated() as world:
        one = world.simulator.start()
        world.simulator.advance(10)
        world.simulator.split(one)
        world.simulator.advance(10)
        world.simulator.end(one, gap=0)
        world.simulator.advance(0.1)
        matches = [each["match"] for each in (await world.found("segment/details"))["matches"]]
        first = min(matches, key=lambda each: each["segmentId"])
        assert first == {
            "segmentId": one.segments[0].segment_id,
            "recordingId": one.recording_id,
            "filename": one.segments[0].filename,
            "start": second(one.start),
            "end": second(one.segments[0].end or 0),
            "hasVideo": False,
        }
        middle = {"latestEnd": second(one.start + 15)}
        alone = (await world.found("segment/details", **middle))["segment"]
        assert (alone["segmentId"], alone["sequence"]) == (one.segments[0].segment_id, 1)
        by_name = await world.found("segment/details", filename=one.segments[1].filename)
        assert by_name["segment"]["sequence"] == 2
        world.simulator.set_faults("segment-in-recording")
        within = (await world.found("segment/details", **middle))["recording"]
        assert [each["sequence"] for each in within["segments"]] == [1]


async def test_the_template_has_a_root_of_its_own() -> None:
    async with simulated() as world:
        world.simulator.recorded()
        answer = await world.get(format="template", formatName="verint")
        assert ElementTree.fromstring(answer.text.partition("?>")[2]).tag == "Call"


async def test_a_file_that_was_renamed_is_code_0_with_the_new_name_in_the_message() -> None:
    async with simulated() as world:
        one = world.simulator.recorded()
        old = one.segments[0].filename
        world.simulator.archive(one)
        result = await world.found(filename=old)
        assert (result["code"], "recording" in result) == (0, False)
        assert result["message"].endswith(
            f"please use the following new filename for future commands: {one.segments[0].filename}"
        )
        assert await world.ids(filename=one.segments[0].filename) == [one.recording_id]


async def test_other_commands_paths_and_the_version() -> None:
    async with simulated() as world:
        assert (await world.found("stop"))["code"] == 5
        assert (await world.http.get("/other")).status_code == 404
        version = ElementTree.fromstring((await world.http.get("/Face/version")).text.partition("?>")[2])
        assert [each.tag for each in version] == ["version"]
        told = await world.http.get("/Face/eventNotify", params={"event": "AudioRecordingStarted"})
        assert told.text.endswith("<response><Code>0</Code><message>success</message></response>")
        assert "27" in (await world.http.get("/Face/eventNotify")).text


# Encodings


async def test_json_has_the_seeds_wrappers_and_its_empty_last_segment() -> None:
    async with simulated(starts_at=NOON) as world:
        world.simulator.recorded(custom={"CustomDataField1": "“quoted” & so on"})
        recording = (await world.found())["recording"]
        [segment] = recording["segments"]
        assert list(segment)[-1] == "segment"
        assert segment["segment"] == {}
        assert recording["customDataSets"] == [
            {"customData": {"customDataId": 3, "name": "CustomDataField1", "value": "“quoted” & so on"}}
        ]
        assert (segment["dtmfDigits"], recording["agentId"]) == ([], "")
        assert (recording["account"], segment["accountId"], recording["deleteFlag"]) == ("1", 1, False)
        siprec = segment["siprecDataSets"][0]["siprecData"]
        assert siprec["session"]["startTime"] < "2024"
        assert [each["participant"]["name"] for each in siprec["participants"]] == ["1001", "2002"]
        assert siprec["streams"][0]["stream"]["participantId"].isdecimal()
        extension = siprec["session"]["extensionDataSets"][0]["extensionData"]
        assert extension == {"name": "apkt:callerOrig", "values": [{"value": "true"}]}
        assert recording["duration"] == 30_000


async def test_plain_and_wholly_wrapped_lists_and_text_instead_of_numbers() -> None:
    async with simulated("json-plain", "json-text") as world:
        one = world.simulator.recorded(custom={"A": "b"})
        recording = (await world.found())["recording"]
        assert recording["customDataSets"] == [{"customDataId": "3", "name": "A", "value": "b"}]
        assert recording["segments"][0]["recordingId"] == str(one.recording_id)
        assert recording["deleteFlag"] == "false"
        world.simulator.set_faults("json-segments-wrapped")
        [wrapped] = (await world.found())["recording"]["segments"]
        assert list(wrapped) == ["segment"]


async def test_curly_quotes_stand_where_the_seed_has_them() -> None:
    async with simulated("json-curly") as world:
        world.simulator.recorded(custom={"A": "b"})
        text = (await world.get()).text
        with pytest.raises(ValueError, match=r"Invalid|Expecting"):
            json.loads(text)
        assert text.startswith(
            '{"result”:{"code":0,"message":"ACK”,"recording”:{"recordingId":501,"ani":"1001”,'
        )
        assert '"agentId":”",' in text
        assert '"dtmfDigits":[]' in text
        assert '"session":{"startTime":"' in text
        assert json.loads(text.replace("”", '"'))["result"]["code"] == 0


@pytest.mark.parametrize(
    ("fault", "codec", "start"),
    [
        ("xml-declared-utf16", "utf-8", b'<?xml version="1.0" encoding="UTF-16"?><result>'),
        ("xml-utf8", "utf-8", b'<?xml version="1.0" encoding="UTF-8"?><result>'),
        ("xml-bare", "utf-8", b"<result>"),
        ("xml-utf16-le", "utf-16", b"\xff\xfe<\x00?\x00"),
        ("xml-utf16-be", "utf-16", b"\xfe\xff\x00<\x00?"),
        ("xml-utf16-no-bom", "utf-16-be", b"\x00<\x00?\x00x"),
    ],
)
async def test_xml_comes_in_the_encoding_that_holds(fault: str, codec: str, start: bytes) -> None:
    async with simulated(fault) as world:
        one = world.simulator.recorded(ani="王芳 <&>")
        body = (await world.get(accept={})).content
        assert body.startswith(start)
        text = body.decode(codec)
        root = ElementTree.fromstring(text.partition("?>")[2] or text)
        assert root.findtext("recording/ani") == "王芳 <&>"
        assert root.findtext("recording/segments/segment/location") == "1"
        assert root.findtext("recording/recordingId") == str(one.recording_id)
        assert root.find("recording/agentId") is not None


async def test_utf8_that_declares_utf16_cannot_be_parsed_as_it_comes() -> None:
    async with simulated() as world:
        world.simulator.recorded()
        with pytest.raises(ElementTree.ParseError):
            ElementTree.fromstring((await world.get(accept=XML)).content)


async def test_xml_may_be_spread_over_lines_that_are_no_part_of_what_it_says() -> None:
    async with simulated("xml-pretty", "xml-bare", "xml-location-id") as world:
        one = world.simulator.recorded()
        root = ElementTree.fromstring((await world.get(accept=XML)).text)
        assert root.findtext("recording/recordingId") != str(one.recording_id)
        assert (root.findtext("recording/recordingId") or "").strip() == str(one.recording_id)
        start = (root.findtext("recording/startTime") or "").split()
        assert " ".join(start) == spell(one.start, UTC)
        assert root.find("recording/segments/segment/locationId") is not None


async def test_xml_may_bring_entities() -> None:
    async with simulated("xml-dtd", "xml-bare") as world:
        text = (await world.get(accept=XML)).text
        assert text.startswith("<!DOCTYPE result [<!ENTITY a ")
        assert len(ElementTree.fromstring(text).findtext("message") or "") > 60


async def test_xml_may_come_though_json_was_asked_for() -> None:
    async with simulated("errors-xml") as world:
        assert (await world.get()).text.startswith("<?xml")
        world.simulator.recorded()
        assert (await world.get()).json()["result"]["code"] == 0
        world.simulator.set_faults("xml-only", "content-type-html")
        answer = await world.get()
        assert answer.headers["Content-Type"] == "text/html"
        assert "<location>" in answer.text
        world.simulator.set_faults("login-xml")
        assert (await world.log_in()).text.startswith("<?xml")


async def test_the_envelope_may_be_that_of_event_notify() -> None:
    async with simulated("response-envelope") as world:
        assert (await world.get()).json()["response"]["Code"] == 19


async def test_what_is_empty_has_many_faces_and_means_the_same() -> None:
    async with simulated("empty-faces") as world:
        world.simulator.recorded()
        faces = {repr((await world.found())["recording"].get("agentId", "missing")) for _ in range(30)}
        assert faces == {"''", "[]", "'missing'"}


async def test_lists_within_a_recording_may_come_in_any_order() -> None:
    async with simulated("parts-shuffled") as world:
        one = world.simulator.start(custom={"A": "1", "B": "2"})
        for _ in range(3):
            world.simulator.split(one)
        world.simulator.end(one, gap=0)
        orders = set()
        for _ in range(20):
            segments = (await world.found())["recording"]["segments"]
            orders.add(tuple(each["sequence"] for each in segments))
        assert len(orders) > 5
        assert {tuple(sorted(each)) for each in orders} == {(1, 2, 3, 4)}


async def test_fields_may_come_that_nobody_knows_and_go_that_6_4_leaves_out() -> None:
    async with simulated("extra-fields", "details-6-4") as world:
        one = world.simulator.recorded()
        world.simulator.archive(one)
        recording = (await world.found())["recording"]
        assert recording["futureField"] == recording["segments"][0]["futureField"]
        assert not {"rss", "agentId", "isrUcid"} & set(recording)
        assert "directory" not in recording["segments"][0]


# What stands in the place of an answer


@pytest.mark.parametrize("code", [each for each in MESSAGES if each != 0])
async def test_every_return_code_can_be_had(code: int) -> None:
    async with simulated(f"{code_switch(code)}:details=1") as world:
        assert (await world.found("segment/details"))["code"] == 19
        result = await world.found()
        assert (result["code"], result["message"]) == (code, MESSAGES[code])
        assert (await world.found())["code"] == 19


@pytest.mark.parametrize(
    ("fault", "status", "start"),
    [
        ("unauthorized-401", 401, b"<!DOCTYPE html>"),
        ("forbidden-403", 403, b"<!DOCTYPE html>"),
        ("error-500", 500, b"<!DOCTYPE html>"),
        ("unavailable-503", 503, b"<!DOCTYPE html>"),
        ("gateway-html", 502, b"<!DOCTYPE html>"),
        ("tomcat-200", 200, b"<!DOCTYPE html>"),
        ("empty-body", 200, b""),
    ],
)
async def test_every_page_can_be_had_for_one_operation(fault: str, status: int, start: bytes) -> None:
    async with simulated(f"{fault}:details=2", f"{fault}:login=1") as world:
        for _ in "ab":
            answer = await world.get()
            assert (answer.status_code, answer.content[:15]) == (status, start)
            assert answer.headers.get("Retry-After") == ("1" if status == 503 else None)
        assert (await world.found())["code"] == 19
        assert (await world.log_in()).status_code == status
        assert (await world.log_in()).json()["result"]["code"] == 0


async def test_connections_may_be_reset_by_number_or_by_name() -> None:
    async with simulated("reset:details=1") as world:
        world.simulator.reset_next(1)
        for _ in "ab":
            with pytest.raises(httpx.TransportError):
                await world.get()
        assert (await world.found())["code"] == 19
        assert [each.shape for each in world.simulator.replies[1:]] == ["reset", "reset", "none"]


async def test_any_bytes_can_be_put_in_the_place_of_an_answer() -> None:
    async with simulated() as world:
        world.simulator.reply_with(b"\xff\xfe{", status=201, content_type="x/y", times=2)
        for _ in "ab":
            answer = await world.get()
            assert (answer.status_code, answer.content) == (201, b"\xff\xfe{")
        assert (await world.found())["code"] == 19
        assert world.simulator.replies[1].shape == "raw"


async def test_requests_above_two_at_a_time_are_refused_when_that_is_on() -> None:
    async with simulated("slow-reply=0.2", "refuse-parallel=2") as world:
        outcomes: list[str] = []

        async def ask() -> None:
            try:
                await world.get()
            except httpx.TransportError:
                outcomes.append("refused")
            else:
                outcomes.append("answered")

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
        assert Counter(outcomes) == {"answered": 2, "refused": 1}
        assert (world.simulator.most_parallel, world.simulator.refused_parallel) == (3, 1)


async def test_answers_may_drip() -> None:
    async with simulated("drip-body=0.2") as world:
        begun = trio.current_time()
        assert (await world.found())["code"] == 19
        assert trio.current_time() - begun >= 0.2


async def test_errors_may_have_a_status_of_their_own_but_lists_have_not() -> None:
    async with simulated("error-status-400") as world:
        assert (await world.get()).status_code == 400
        world.simulator.history(1, 2)
        assert (await world.get()).status_code == 200


async def test_the_date_is_the_recorders_unless_it_is_off_or_missing() -> None:
    async with simulated(starts_at=NOON) as world:
        world.simulator.advance(3600)
        date = parsedate_to_datetime((await world.get()).headers["Date"]).timestamp()
        assert 0 <= date - NOON - 3600 < 10
        world.simulator.set_faults("clock-off=600")
        off = parsedate_to_datetime((await world.get()).headers["Date"]).timestamp()
        assert 600 <= off - date < 610
        world.simulator.set_faults("no-date")
        assert "Date" not in (await world.get()).headers


# Life


async def test_a_recording_lives_under_temporary_ids_and_is_found_again_under_new_ones() -> None:
    async with simulated() as world:
        one = world.simulator.start(agent_id="agent7")
        live = (await world.found(inProgress="true"))["recording"]
        assert live["tmpRecordingId"] == live["segments"][0]["recordingId"] == one.tmp_id
        assert "tmpSegmentId" in live["segments"][0]
        assert not {"end", "directory", "segmentId"} & set(live["segments"][0])
        assert (live["duration"], live["segments"][0]["conversionStatus"]) == (0, 1)
        assert live["segments"][0]["filename"].endswith(".rpdd")
        world.simulator.advance(30)
        world.simulator.end(one)
        assert one.fate is Fate.ENDING
        assert await world.ids() == await world.ids(inProgress="true") == []
        world.simulator.advance(2)
        over = (await world.found())["recording"]
        assert (over["recordingId"], "tmpRecordingId" in over) == (one.recording_id, False)
        assert over["ingressCallId"] == live["ingressCallId"]
        assert over["startTime"] == live["startTime"]
        assert over["duration"] == round((one.end or 0) * 1000) - round(one.start * 1000)
        assert (over["segments"][0]["archived"], over["agentId"]) == (0, "agent7")
        world.simulator.advance(60)
        archived = (await world.found())["recording"]["segments"][0]
        assert (archived["archived"], archived["filename"][-4:]) == (1, ".wav")
        assert archived["directory"] == datetime.fromtimestamp(one.start, UTC).strftime("/%Y-%m-%d/%H/%M")
        assert [each.what for each in one.revisions] == ["archived"]
        assert one.revisions_given == [0, 1]


async def test_a_recording_may_be_found_late_with_its_old_end_or_never() -> None:
    async with simulated() as world:
        late, never = world.simulator.start(), world.simulator.start()
        world.simulator.advance(5)
        world.simulator.end(late, gap=3600)
        world.simulator.end(never, gap=math.inf)
        ended = world.simulator.now().timestamp()
        world.simulator.advance(3599)
        assert await world.ids() == []
        world.simulator.advance(2)
        assert await world.ids(latestEnd=second(ended + 1)) == [late.recording_id]
        assert (never.fate, world.simulator.of_fate(Fate.LOST)) == (Fate.LOST, [never])
        world.simulator.finish(never)
        assert await world.ids() == [late.recording_id, never.recording_id]


async def test_pauses_add_up_and_a_split_begins_a_segment() -> None:
    async with simulated() as world:
        one = world.simulator.start()
        world.simulator.advance(10)
        world.simulator.pause(one)
        world.simulator.advance(5)
        world.simulator.resume(one)
        world.simulator.split(one)
        world.simulator.advance(10)
        world.simulator.end(one)
        world.simulator.advance(2)
        first, last = (await world.found())["recording"]["segments"]
        assert (first["sequence"], last["sequence"]) == (1, 2)
        assert 5000 <= first["pauseLength"] < 6000
        assert last["pauseLength"] == 0
        assert first["end"] == last["start"]
        with pytest.raises(ValueError, match="is finished"):
            world.simulator.pause(one)


async def test_a_finished_recording_goes_on_changing_until_it_is_gone() -> None:
    async with simulated() as world:
        one = world.simulator.recorded(custom={"Mood": "good"})
        world.simulator.change(one, {"Mood": "bad"}, agent_id="agent9")
        recording = (await world.found())["recording"]
        assert recording["customDataSets"][0]["customData"]["value"] == "bad"
        assert recording["agentId"] == "agent9"
        world.simulator.delete(one)
        assert (await world.found())["recording"]["deleteFlag"] is True
        world.simulator.advance(61)
        assert await world.ids() == []
        assert one.fate is Fate.DELETED
        assert one.revisions_given == [1, 2]
        assert one.recording_id in world.simulator.truth()


async def drawn(*faults: str, calls: int = 40) -> list[Recording]:
    """Let so many calls live to their end, in no time."""
    async with simulated(*faults, call_seconds=30.0, rate=1.0, calls=calls) as world:
        world.simulator.advance(2 * DAY)
        assert world.simulator.is_settled or "stuck" in faults[0]
        return list(world.simulator.recordings)


@pytest.mark.parametrize(
    ("fault", "holds"),
    [
        ("late=1", lambda each: each.finished_at - each.end >= 119),
        ("live-late=3", lambda each: each.visible_at - each.start >= 2.9),
        ("short=1", lambda each: each.end - each.start <= 2.01),
        ("split=1", lambda each: [segment.sequence for segment in each.segments] == [1, 2]),
        ("pause=1", lambda each: each.segments[0].pause_ms > 0),
        ("deleted=1", lambda each: each.fate is Fate.DELETED and each.delete_flag),
        ("moved=1", lambda each: [one.what for one in each.revisions] == ["archived"] * 2),
        ("changed=1", lambda each: "changed" in [one.what for one in each.revisions]),
        ("lost=1", lambda each: each.fate is Fate.LOST and each.recording_id == 0),
        ("stuck=1", lambda each: each.fate is Fate.LIVE),
        ("hidden=1", lambda each: each.hidden),
        ("no-ingress=1", lambda each: not each.ingress_call_id and each.isr_ucid),
        ("no-ucid=1", lambda each: each.ingress_call_id and not each.isr_ucid),
    ],
)
async def test_lives_are_drawn_as_the_switch_says(fault: str, holds: Callable[[Recording], bool]) -> None:
    recordings = await drawn(fault)
    assert len(recordings) == 40
    assert all(map(holds, recordings))


async def test_a_call_may_be_recorded_twice_under_one_call_id() -> None:
    recordings = await drawn("shared-call=1")
    assert len(recordings) == 80
    assert set(Counter(each.ingress_call_id for each in recordings).values()) == {2}
    assert set(Counter(each.isr_ucid for each in recordings).values()) == {2}
    recordings = await drawn("shared-call=1", "ucid-per-recording")
    assert set(Counter(each.isr_ucid for each in recordings).values()) == {1}


async def test_calls_may_begin_in_the_same_second() -> None:
    recordings = await drawn("same-second=1")
    assert max(Counter(int(each.start) for each in recordings).values()) >= 2


async def test_siprec_may_be_missing() -> None:
    async with simulated("no-siprec=1") as world:
        world.simulator.recorded()
        assert (await world.found())["recording"]["segments"][0]["siprecDataSets"] == []


async def test_a_day_of_5000_calls_passes_in_seconds_and_all_of_it_can_be_found() -> None:
    async with simulated("short", "split", "pause", rate=5000 / DAY, calls=5000, log=False) as world:
        world.simulator.advance(1.5 * DAY)
        await world.simulator.settle()
        truth = world.simulator.truth()
        assert len(truth) == 5000
        end = min(each.end or 0 for each in truth.values())
        found: set[int] = set()
        while len(found) < 5000:
            found |= set(await world.ids(earliestEnd=spell(end, UTC), latestEnd=spell(end + 3600, UTC)))
            end += 3600
        assert found == set(truth)


async def test_calls_begin_by_themselves_on_a_clock_that_runs_faster() -> None:
    async with simulated(rate=200.0, calls=50, time_scale=3600.0) as world:
        await world.simulator.settle()
        assert len(world.simulator.truth()) == 50
        assert all(each.fate is Fate.FINISHED for each in world.simulator.recordings)
        world.simulator.set_rate(0)


# Notifications


async def test_each_event_is_notified_with_the_sessions_ucid() -> None:
    async with pushing() as world:
        one = world.simulator.start(agent_id="agent7")
        world.simulator.pause(one)
        world.simulator.resume(one)
        world.simulator.split(one)
        world.simulator.end(one)
        told = await world.notified(8)
        names = [event.removesuffix("_EVENT") for event, _ in told]
        assert names == [
            "RECORDING_STARTED",
            "SEGMENT_STARTED",
            "RECORDING_PAUSED",
            "RECORDING_RESUMED",
            "SEGMENT_ENDED",
            "SEGMENT_STARTED",
            "SEGMENT_ENDED",
            "RECORDING_ENDED",
        ]
        assert {ucid for _, ucid in told} == {one.isr_ucid}
        request = world.receiver.requests[0]
        assert (request.method, request.path) == ("GET", "/isr/eventNotify")
        assert request.query.endswith("calledAors=sip:2002%40192.0.2.9,sip:agent7%40192.0.2.9")
        await eventually(lambda: len(world.simulator.notifications) == 8)
        entries = world.simulator.notifications
        assert {(each.number, each.status, each.outcome) for each in entries} == {(0, 200, "accepted")}
        assert entries[0].body.startswith(b"<response>")


@pytest.mark.parametrize(
    ("fault", "method", "part"),
    [
        ("notify-post", "POST", "%40192.0.2.8"),
        ("notify-post-form", "POST", ""),
        ("notify-raw-at", "GET", "@192.0.2.8"),
        ("notify-bare-ucid", "GET", "ucid=1-28001%40"),
        ("notify-face-names", "GET", "event=AudioRecordingStarted&"),
        ("notify-odd-aors", "GET", "%401.2.3.4.11"),
    ],
)
async def test_notifications_come_in_the_form_that_holds(fault: str, method: str, part: str) -> None:
    async with pushing(fault) as world:
        one = world.simulator.start()
        [(_, ucid), *_] = await world.notified(2)
        request = world.receiver.requests[0]
        assert request.method == method
        assert part in request.query
        assert bool(request.body) is (fault == "notify-post-form")
        assert ucid in (one.isr_ucid, one.call_key)


async def test_notifications_may_be_doubled_lost_late_or_out_of_order() -> None:
    async with pushing("notify-duplicate=1") as world:
        world.simulator.start()
        assert Counter(await world.notified(4)).most_common(1)[0][1] == 2
        world.simulator.set_faults("notify-lost=1")
        world.simulator.start()
        assert [each.outcome for each in world.simulator.notifications[-2:]] == ["lost", "lost"]
        world.simulator.set_faults("notify-late=60")
        late = world.simulator.start()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(world.receiver.requests) == 4
        world.simulator.advance(61)
        assert (await world.notified(6))[-1][1] == late.isr_ucid
        world.simulator.set_faults("notify-shuffled=1")
        world.simulator.start()
        told = await world.notified(8)
        assert [event[:7] for event, _ in told[-2:]] == ["SEGMENT", "RECORDI"]


async def test_one_that_was_held_back_alone_comes_all_the_same() -> None:
    async with pushing("notify-shuffled=1") as world:
        one = world.simulator.recorded()
        one.pushed = True
        world.simulator.notify_about(one, "RECORDING_ENDED_EVENT")
        world.simulator.advance(60)
        await world.simulator.settle()
        assert world.receiver.told() == [("RECORDING_ENDED_EVENT", one.isr_ucid)]


async def test_a_start_may_be_notified_before_it_can_be_found() -> None:
    async with pushing("live-late=5") as world:
        one = world.simulator.start()
        await world.notified(2)
        assert await world.ids(inProgress="true") == []
        world.simulator.advance(5)
        assert await world.ids(inProgress="true") == [one.tmp_id]


async def test_forged_notifications_come_when_asked_for_or_by_themselves() -> None:
    async with pushing("notify-forged=0.05") as world:
        world.simulator.notify("SEGMENT_ENDED_EVENT", "../x y")
        told = await world.notified(3)
        assert told[0] == ("SEGMENT_ENDED_EVENT", "../x y")
        assert {each.number for each in world.simulator.notifications} == {-1}
        assert world.simulator.recordings == []


async def test_what_is_refused_is_tried_again_as_often_as_the_switch_says() -> None:
    async with pushing("notify-retries=2") as world:
        world.receiver.status = 503
        world.simulator.notify()
        await world.simulator.settle()
        assert [(each.attempt, each.outcome) for each in world.simulator.notifications] == [
            (1, "refused"),
            (2, "refused"),
            (3, "refused"),
        ]


async def test_a_client_that_is_not_there_stops_nothing() -> None:
    async with simulated() as world:
        world.simulator.notify_to("http://127.0.0.1:9/gone")
        world.simulator.start()
        await eventually(lambda: len(world.simulator.notifications) == 2)
        assert {each.outcome for each in world.simulator.notifications} == {"unanswered"}


# Outside of the protocol


async def test_it_can_be_steered_and_read_from_another_process() -> None:
    async with simulated() as world:

        async def post(command: str, **arguments: Any) -> Any:
            return (await world.http.post(f"/_simulator/{command}", json=arguments)).json()

        async def get(what: str) -> Any:
            return (await world.http.get(f"/_simulator/{what}")).json()

        number = (await post("start", ani="7", custom={"A": "b"}))["result"]["number"]
        await post("pause", number=number)
        await post("advance", seconds=10)
        await post("end", number=number, gap=1)
        await post("advance", seconds=10)
        await post("change", number=number, custom={"A": "c"})
        await post("history", hours=1, calls=2)
        await post("faults", faults=["none-26"])
        assert (await get("faults"))["faults"] == ["none-26"]
        await world.get(recordingId="501")
        entries = (await get("recordings?limit=1"))["entries"]
        assert (entries[0]["ani"], entries[0]["fate"], entries[0]["revisions_given"]) == (
            "7",
            "finished",
            [1],
        )
        assert entries[0]["call_key"] == "1-28001@192.0.2.8"
        replies = await get("replies?since=1")
        assert (replies["entries"][0]["ids"], replies["next"]) == ([501], 2)
        assert (await get("state"))["fates"] == {"finished": 3}
        assert (await get("notifications"))["entries"] == []
        assert (await get("logins"))["logins"][0]["outcome"] == "token"
        for command, arguments in (
            ("notify-to", {"url": ""}),
            ("password", {"password": "x"}),
            ("reset", {"requests": 0}),
            ("rate", {"rate": 0}),
            ("unlock", {}),
            ("expire-tokens", {}),
            ("call", {}),
            ("notify", {}),
        ):
            assert "result" in await post(command, **arguments)
        impossible: list[tuple[str, Any]] = [
            ("pause", {"number": 0}),
            ("pause", {"number": 99}),
            ("faults", {"faults": ["no-such"]}),
            ("rate", {}),
        ]
        for command, arguments in impossible:
            assert (await world.http.post(f"/_simulator/{command}", json=arguments)).status_code == 400
        assert (await world.http.post("/_simulator/other", json={})).status_code == 404
        assert (await world.http.get("/_simulator/other")).status_code == 404


async def test_nothing_secret_is_in_its_records() -> None:
    async with simulated() as world:
        await world.get()
        shown = repr((world.simulator.replies, world.simulator.logins, world.simulator.options))
        assert world.token not in shown
        assert "simulated-password" not in shown


async def test_it_talks_tls() -> None:
    authority, trusted = trustme.CA(), ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(trusted)
    options = OracleIsrOptions(ssl_context=context)
    async with (
        open_oracle_isr_simulator(options) as simulator,
        httpx.AsyncClient(verify=trusted, trust_env=False) as http,
    ):
        assert simulator.base_url.startswith("https://")
        assert (await http.get(f"{simulator.base_url}/Face/version")).status_code == 200


@pytest.mark.parametrize(
    "faults", [["no-such"], ["late=x"], ["none-19:login"], ["none-26", "none-ack"], ["user-zone=1"]]
)
async def test_switches_that_cannot_be_used_are_named(faults: Sequence[str]) -> None:
    with pytest.raises(ConfigError, match=faults[0].partition("=")[0][:4]):
        async with open_oracle_isr_simulator(OracleIsrOptions(faults=frozenset(faults))):
            raise AssertionError("it opened")


def test_every_switch_is_named_once_and_read_somewhere() -> None:
    names = [each.name for each in SWITCHES]
    assert len(names) == len(set(names)) == len(FAULTS)
    modules = [
        importlib.import_module(f"{package.__name__}.{each.name}")
        for each in pkgutil.iter_modules(package.__path__)
        if each.name not in ("faults", "__main__")
    ]
    text = "".join(Path(each.__file__ or "").read_text() for each in modules)
    implied = {each.name for each in SWITCHES if each.default} | {code_switch(code) for code in MESSAGES}
    others = {"expiration-hour", "order-id", "notify-post", *implied}  # what holds when no other answer does
    assert [name for name in names if f'"{name}"' not in text and name not in others] == []


def test_the_tables_it_prints_are_a_configuration_and_signals_end_it_with_0() -> None:
    command = [sys.executable, "-m", "streamd", "simulate", "oracle_isr", "--fault", "xml-only"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(12)]
        process.send_signal(signal.SIGTERM)
        _, complaints = process.communicate(timeout=20)
    assert (process.returncode, complaints) == (0, "")
    assert lines[0].startswith("base_url http://127.0.0.1:")
    tables = tomllib.loads("".join(lines[1:]))
    connector = tables["connectors"]["isr-sim"]
    assert connector["base_url"] in lines[0]
    assert (connector["type"], "listen" in tables["ingress"]) == ("oracle_isr", True)


def test_its_own_command_line_explains_itself_and_what_it_cannot_use(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli = importlib.import_module(f"{package.__name__}.cli")
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in FAULTS)
    assert cli.main(["--fault", "no-such"]) == 78
    assert "no-such" in capsys.readouterr().err


async def test_the_demo_counts_what_was_shown_in_full_once_however_often_it_was_asked_for() -> None:
    async with open_demo(100.0) as source:
        simulator = source._simulator
        one = simulator.recorded()
        async with httpx.AsyncClient(base_url=simulator.base_url, verify=NO_TLS, trust_env=False) as http:
            password = {**RIGHT, "password": simulator.options.password}
            answer = await http.post("/Face/login", data=password, headers=JSON)
            query = {"token": answer.json()["result"]["token"], "recordingId": one.recording_id}
            for _ in range(2):
                await http.get("/Face/audioRecording/details", params=query)
        [sent] = source.sent()
        event = {"type": "streamd.recording.ended", "data": {"recording_id": str(one.recording_id)}}
        assert source.identity(event) == sent.identity == one.recording_id
        assert source.identity({"type": "streamd.recording.started", "data": {}}) is None
        source.quiet()
        assert "notification_path_secret" not in source.table


def test_times_are_read_as_they_are_written() -> None:
    for at in (NOON, NOON + 0.21, NOON + 0.923, NOON + 0.07):
        assert read(spell(at, UTC), UTC) == at
    assert [spell(NOON + each, UTC)[-3:] for each in (0.0, 0.21, 0.923)] == ["0.0", ".21", "923"]
