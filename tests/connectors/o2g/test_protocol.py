"""What statuses, silences and servers mean, without any I/O; and one recorded channel cut everywhere."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from streamd.connectors.o2g.agents import Agents
from streamd.connectors.o2g.calls import Calls
from streamd.connectors.o2g.config import O2gPrivacy
from streamd.connectors.o2g.flow import Flow
from streamd.connectors.o2g.hosts import Hosts
from streamd.connectors.o2g.login import chosen
from streamd.connectors.o2g.protocol import Silence, Verdict, judge, keepalive_seconds
from streamd.connectors.o2g.rest import (
    Cookies,
    Pair,
    Root,
    ServiceEntry,
    SessionInfo,
    Version,
    error_text,
    read_numbers,
)
from streamd.connectors.o2g.resync import Resync
from streamd.errors import Rejected
from streamd.model import Event
from streamd.transport.endless import ChunkedBody
from streamd.transport.lines import Lines

NOW = datetime(2026, 1, 2, tzinfo=UTC)
RECORDED = "\n".join(
    [
        '{"eventName":"OnChannelInformation","text":"Chunk started"}',
        '{"eventName":"OnCallCreated","loginName":"oxe1002","callRef":"b7","callData":{"state":"RINGING_INCOMING"},'
        '"participants":[{"participantId":"1001","identity":{"firstName":"Zoë","lastName":"山田 \u2028"}}]}',
        "",
        '{"eventName":"OnCallModified","loginName":"oxe1002","callRef":"b7","callData":{"state":"ACTIVE"}}\r',
        '{"eventName":"OnMoonPhaseChanged","phase":"FULL"}',
        "no JSON",
        '{"eventName":"OnCallRemoved","loginName":"oxe1002","callRef":"b7"}',
        "",
    ]
).encode()


def make_flow(privacy: O2gPrivacy | None = None) -> Flow:
    return Flow(
        ["telephony"],
        Calls({}),
        Agents({}),
        privacy or O2gPrivacy(),
        lambda bad: Event(None, "", "dead", bad.payload, NOW),  # type: ignore[arg-type]
        "test",
    )


@pytest.mark.parametrize(
    ("privacy", "digits"),
    [
        (O2gPrivacy(), "***"),
        (O2gPrivacy(drop=["rsiPoint"]), "***"),
        (O2gPrivacy(defaults=False), "4711"),
        (O2gPrivacy(drop=["dataCollected.digits"]), None),
    ],
)
def test_digits_that_a_caller_dialled_are_masked_unless_the_configuration_says_otherwise(
    privacy: O2gPrivacy, digits: str | None
) -> None:
    collected = b'{"collCrid":1,"digits":"4711"}'
    line = b'{"eventName":"OnDigitCollected","rsiPoint":"5","dataCollected":%b}' % collected
    usual, odd = make_flow(privacy).read([line, line.replace(b"}}", b'},"new":1}')], NOW).items
    assert isinstance(usual, Event)
    assert isinstance(odd, Event)
    assert usual.data.data_collected.digits == odd.data.data_collected.digits == digits
    assert odd.data.extra == {"new": 1}


def test_a_rule_of_the_operators_is_applied_to_what_is_usual_too() -> None:
    line = b'{"eventName":"OnCallRemoved","loginName":"oxe1","callRef":"b7","cause":"c"}'
    removed, _ = make_flow(O2gPrivacy(mask=["cause"])).read([line], NOW).items
    assert isinstance(removed, Event)
    assert (removed.data.call_ref, removed.data.cause) == ("b7", "***")


def test_a_communication_is_of_the_time_of_its_latest_step_that_is_told_with_its_zone() -> None:
    record = {"beginDate": "2026-01-02T03:04:05Z", "endDate": "yesterday"}
    line = json.dumps({"eventName": "OnComRecordCreated", "loginName": "oxe1", "record": record}).encode()
    [item] = make_flow().read([line], NOW).items
    assert isinstance(item, Event)
    assert item.time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("whose", "key"),
    [
        ({"loginName": "oxe1"}, "oxe1"),
        ({"pilot": "8001"}, "8001"),
        ({"number": "3201"}, "3201"),
        ({}, "unknown"),
    ],
)
def test_an_event_nobody_documented_is_keyed_by_whom_it_names_as_any_other(
    whose: dict[str, str], key: str
) -> None:
    line = json.dumps({"eventName": "OnMoonPhaseChanged", "moonPhase": "FULL", **whose}).encode()
    [item] = make_flow().read([line], NOW).items
    assert isinstance(item, Event)
    assert (item.stream.topic, item.key, item.data.extra) == ("o2g.unknown", key, {"moonPhase": "FULL"})


def published(body: ChunkedBody, *pieces: bytes) -> list[Any]:
    flow, lines = make_flow(), Lines(10_000)
    batches = [flow.read(lines.feed(body.feed(piece)), NOW) for piece in pieces]
    return [(type(item), item.type, item.data) for batch in batches for item in batch.items]


def test_a_recorded_channel_gives_the_same_events_wherever_it_is_cut() -> None:
    half = len(RECORDED) // 2
    wire = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in (RECORDED[:half], RECORDED[half:]))
    whole = published(ChunkedBody(), wire)
    assert [name.rpartition(".")[2] for _, name, _ in whole] == [
        "created", "state", "modified", "state", "unknown", "dead", "removed", "state",
    ]  # fmt: skip
    for place in range(len(wire)):
        assert published(ChunkedBody(), wire[:place], wire[place:]) == whole


@pytest.mark.parametrize(
    ("life", "period"), [(1800, 600.0), (None, 600.0), (86_400, 600.0), (300, 100.0), (2, 2 / 3), (0.1, 0.2)]
)
def test_a_keepalive_is_sent_every_third_of_a_life_of_at_most_thirty_minutes(
    life: float | None, period: float
) -> None:
    assert keepalive_seconds(life) == period


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ((200, 201, 204), Verdict.OK),
        ((401, 403), Verdict.DENIED),
        ((404, 410), Verdict.GONE),
        ((429,), Verdict.SLOW_DOWN),
        ((302, 408, 425, 500, 502, 503), Verdict.AGAIN),
        ((400, 405, 409, 422), Verdict.REFUSED),
    ],
)
def test_statuses_are_judged(statuses: tuple[int, ...], verdict: Verdict) -> None:
    assert {judge(status) for status in statuses} == {verdict}


def test_the_silence_that_is_borne_is_configured_or_the_servers_timeout_or_learnt() -> None:
    assert Silence(7.0, 10).seconds == 7.0
    assert Silence(None, 10).seconds == 630.0
    learning = Silence(None, 0)
    assert learning.seconds == 300.0
    for now in (0.0, 30.0, 30.1, 60.0):
        learning.on_heartbeat(now)
    assert learning.seconds == 90.0


def test_servers_alternate_and_the_first_is_used_again_once_it_was_well_for_long_enough() -> None:
    hosts = Hosts(2, 60.0)
    hosts.failed(0.0)
    assert not hosts.is_first
    assert not hosts.observed(True, 10.0)
    assert not hosts.observed(False, 50.0)
    assert not hosts.observed(True, 60.0)
    assert not hosts.observed(True, 119.0)
    assert hosts.observed(True, 120.0)
    hosts.went_back(121.0)
    assert hosts.is_first
    hosts.failed(130.0)
    assert hosts.wait == 120.0, "it did not last"
    hosts.went_back(300.0)
    hosts.failed(1000.0)
    assert hosts.wait == 60.0
    hosts.failed(1001.0)
    assert hosts.is_first


def test_one_server_stays_the_one() -> None:
    hosts = Hosts(1, 60.0)
    hosts.failed(0.0)
    assert hosts.is_first


def test_a_snapshot_is_whole_once_everybody_was_seen_or_excused() -> None:
    resync = Resync({"telephony": frozenset("ab"), "agent": frozenset("a")})
    resync.begin()
    assert resync.seen("telephony", "a")
    assert not resync.seen("telephony", "a")
    assert not resync.seen("telephony", "z")
    assert not resync.seen("rti", "a")
    assert resync.seen("agent", "a")
    assert resync.missing("telephony") == ["b"]
    resync.excuse("telephony", ["b"])
    assert resync.is_complete
    resync.begin()
    assert not resync.is_complete


def test_the_version_that_we_speak_is_chosen_else_the_current_one() -> None:
    old, ours, new = Version("0.9", "DEPRECATED"), Version("1.0", "SUPPORTED"), Version("2.0", "CURRENT")
    assert Root([old, new, ours]).chosen() is ours
    assert Root([old, new]).chosen() is new
    assert Root([old]).chosen() is None


def test_services_are_found_by_name_in_any_case_and_the_shortest_path_is_theirs() -> None:
    info = SessionInfo(
        services=[
            ServiceEntry("Telephony", "/telephony/calls"),
            ServiceEntry("TELEPHONY", "/telephony"),
            ServiceEntry("Acd Statistics", "/acd/stats"),
        ]
    )
    assert info.relative_url("telephony") == "/telephony"
    assert info.relative_url("acdstatistics") == "/acd/stats"
    assert info.relative_url("routing") is None


def test_cookies_are_kept_from_headers_and_body_and_shown_nowhere() -> None:
    jar = Cookies()
    jar.take_token("token-of-the-body")
    jar.take(
        {"set-cookie": "JSESSIONID=abcdef; Path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT, route=r1; Secure"}
    )
    assert jar.header == "AlcUserId=token-of-the-body; JSESSIONID=abcdef; route=r1"
    jar.take({"set-cookie": "route=; Max-Age=0"})
    assert jar.header == "AlcUserId=token-of-the-body; JSESSIONID=abcdef"
    assert "token" not in repr(jar)


@pytest.mark.parametrize(
    ("address", "private", "public", "url"),
    [
        (None, "https://lan/x", "https://pub/x", "https://lan/x"),
        (None, "https://lan/x", "https://asked/x", "https://asked/x"),
        (None, "http://asked:80/x", "https://asked/x", "https://asked/x"),
        ("private", "https://lan/x", "https://asked/x", "https://lan/x"),
        ("public", "https://asked/x", "https://pub/x", "https://pub/x"),
        ("public", "https://lan/x", None, "https://lan/x"),
        (None, "http://127.0.0.1:80/x", None, "http://127.0.0.1:80/x"),
    ],
)
def test_of_two_urls_the_configured_or_the_likely_one_is_taken(
    quick: Any, address: Any, private: str | None, public: str | None, url: str
) -> None:
    config = quick("https://asked", address=address)
    assert chosen(config, Pair(private, public), "https://asked/api/rest", "base") == url


@pytest.mark.parametrize("url", ["http://lan/x", "ftp://lan/x", "http://[", "", None])
def test_a_url_that_would_show_secrets_or_is_none_is_refused(quick: Any, url: str | None) -> None:
    with pytest.raises(Rejected):
        chosen(quick("https://asked"), Pair(url, None), "https://asked", "base")
    if url == "http://lan/x":
        assert chosen(quick("https://asked", insecure=True), Pair(url, None), "https://asked", "base") == url


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", ""),
        (b"<html>no</html>", ""),
        (b"[1]", ""),
        (b'{"helpMessage":"no rights","code":6}', "no rights"),
        (b'{"telephony":{"errorType":"UNAUTHORIZED","message":"no"},"helpMessage":7}', "UNAUTHORIZED: no"),
        (b'{"message":"old","comment":"form"}', "old: form"),
    ],
)
def test_an_errors_body_says_what_it_can(body: bytes, text: str) -> None:
    assert error_text(body) == text


@pytest.mark.parametrize(
    ("body", "numbers"),
    [
        (b'["1","2"]', ["1", "2"]),
        (b'{"agents":["1"]}', ["1"]),
        (b'{"a":{"b":[{"number":"1","name":"x"},{"name":"y"},7]}}', ["1"]),
        (b"{}", []),
    ],
)
def test_lists_of_numbers_are_read_in_any_envelope(body: bytes, numbers: list[str]) -> None:
    assert list(read_numbers(body, "the list")) == numbers
