"""Any bytes as a line give events or a BadRecord, and lose nothing."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.connectors.o2g.administration import ChannelInformation, Unknown
from streamd.connectors.o2g.catalogue import KINDS
from streamd.connectors.o2g.telephony import CallCreated, CallModified, UserSnapshot
from streamd.connectors.o2g.wire import decode_message, objects, unusual, usual
from streamd.errors import BadRecord
from streamd.lenient import Entity
from streamd.transport.lines import TooLong

RINGING: dict[str, Any] = {
    "eventName": "OnCallCreated",
    "loginName": "oxe1002",
    "callRef": "b74ca96573000100",
    "callData": {
        "initialCalled": {"id": {"phoneNumber": "1002"}},
        "state": "RINGING_INCOMING",
        "tags": [],
        "capabilities": {"addMedias": [], "redirect": True, "pickedUp": True, "terminate": True},
    },
    "legs": [
        {"deviceId": "1002", "media": "AUDIO", "state": "RINGING_INCOMING", "capabilities": {"answer": True}}
    ],
    "participants": [
        {
            "participantId": "1001",
            "identity": {
                "id": {"loginName": "oxe1001", "phoneNumber": "1001"},
                "firstName": "A",
                "lastName": "B",
                "type": {"main": "USER"},
            },
            "medias": [],
            "mediaCapabilities": [{"type": "AUDIO"}],
        }
    ],
    "deviceCapabilities": [{"deviceId": "1002", "makeCall": True, "unParkCall": True}],
}


def read(line: bytes | dict[str, Any]) -> list[Any]:
    written = line if isinstance(line, bytes) else json.dumps(line).encode()
    event = usual(written)
    return [event] if event is not None else unusual(written, "test")


def one(line: bytes | dict[str, Any]) -> Any:
    [event] = read(line)
    return event


def published(event: Entity) -> Any:
    return json.loads(msgspec.json.encode(event))


def test_the_screenshots_call_is_published_in_snake_case_at_the_same_depth() -> None:
    event = one(RINGING)
    assert isinstance(event, CallCreated)
    assert published(event) == {
        "event_name": "OnCallCreated",
        "login_name": "oxe1002",
        "call_ref": "b74ca96573000100",
        "call_state": "unknown",
        "call_data": {
            "initial_called": {"id": {"phone_number": "1002"}},
            "state": "RINGING_INCOMING",
            "tags": [],
            "capabilities": {"add_medias": [], "redirect": True, "picked_up": True, "terminate": True},
        },
        "legs": [
            {
                "device_id": "1002",
                "media": "AUDIO",
                "state": "RINGING_INCOMING",
                "capabilities": {"answer": True},
            }
        ],
        "participants": [
            {
                "participant_id": "1001",
                "identity": {
                    "id": {"login_name": "oxe1001", "phone_number": "1001"},
                    "first_name": "A",
                    "last_name": "B",
                    "type": {"main": "USER"},
                },
                "medias": [],
                "media_capabilities": [{"type": "AUDIO"}],
            }
        ],
        "device_capabilities": [{"device_id": "1002", "make_call": True, "un_park_call": True}],
    }


def test_what_nobody_knows_yet_is_kept_where_it_stood_and_the_rest_is_typed_all_the_same() -> None:
    odd = json.loads(json.dumps(RINGING))
    odd["callData"]["capabilities"]["levitate"] = True
    odd["callData"]["tags"] = None
    odd["legs"][0]["state"] = 7
    odd["moon"] = {"phase": "FULL"}
    event = one(odd)
    assert event.extra == {"moon": {"phase": "FULL"}}
    assert event.call_data.capabilities.extra == {"levitate": True}
    assert event.call_data.capabilities.redirect
    assert event.call_data.tags is None
    assert event.legs[0].extra == {"state": 7}
    assert event.participants == one(RINGING).participants


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_documented_event_is_read_usual_or_odd(name: str) -> None:
    usual = {"eventName": name, "loginName": "oxe1001", "callRef": "1"}
    entity = KINDS[name].entity
    assert isinstance(one({each: usual[each] for each in usual}), entity)
    event = one({**usual, "unheardOf": [1]})
    assert isinstance(event, entity)
    assert event.event_name == name  # type: ignore[attr-defined]
    assert event.extra
    assert event.extra["unheardOf"] == [1]


@pytest.mark.parametrize(
    "event",
    [
        {"eventName": "OnMoonPhaseChanged", "loginName": "x", "phase": "FULL"},
        {"loginName": "x"},
        {"eventName": None},
        {"eventName": 7, "a": {}},
        {},
    ],
)
def test_an_event_of_no_known_name_is_passed_through_whole(event: dict[str, Any]) -> None:
    found = one(event)
    assert isinstance(found, Unknown)
    named = {"eventName": found.event_name, "loginName": found.login_name}
    kept = {**(found.extra or {}), **{name: each for name, each in named.items() if each is not None}}
    assert kept == {name: each for name, each in event.items() if each is not None}


def test_shapes_in_which_sdks_differ_come_out_as_one() -> None:
    states = [{"deviceId": "1001", "state": "IN_SERVICE"}]
    snapshots = [
        one({"eventName": "OnTelephonyState", "loginName": "x", "state": {"calls": [], "deviceStates": each}})
        for each in (states, {"deviceStates": states})
    ]
    assert snapshots[0] == snapshots[1]
    assert snapshots[0].state.device_states[0].device_id == "1001"
    skills = [
        one({"eventName": "OnAgentSkillChanged", "loginName": "x", "skills": each})
        for each in ([{"number": 1}], {"skills": [{"number": 1}]})
    ]
    assert skills[0] == skills[1]
    agents = [
        one(
            {
                "eventName": "OnAgentStateChanged",
                "loginName": "x",
                "state": {"mainState": "LOG_ON", each: True},
            }
        )
        for each in ("withdraw", "withdrawn")
    ]
    assert agents[0] == agents[1]
    assert agents[0].state.withdrawn
    groups = [
        one({**RINGING, "callData": {"acdCallData": {"callInfo": {"agentGroup": each}}}})
        for each in (17, "17")
    ]
    assert groups[0] == groups[1]
    assert groups[0].call_data.acd_call_data.call_info.agent_group == "17"


def test_acronyms_are_found_under_their_snake_case_names() -> None:
    event = one(
        {"eventName": "OnAgentRtiChanged", "number": "3201", "nbOfServedACDCalls": 4, "currentPG": "1"}
    )
    assert (event.nb_of_served_acd_calls, event.current_pg, event.extra) == (4, "1", None)
    report = one({"eventName": "OnAcdStatsProgress", "xlsfullResPath": "/r.xls"})
    assert report.xlsfull_res_path == "/r.xls"


def test_a_snapshot_without_calls_says_nothing_about_them() -> None:
    event = one({"eventName": "OnTelephonyState", "loginName": "x", "state": {"userState": "FREE"}})
    assert isinstance(event, UserSnapshot)
    assert event.calls is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_name", "OnCallCreated"),
        (" event_name", "OnCallCreated"),
        (" synthetic", True),
        ("synthetic", True),
        (" extra", {}),
        ("extra", None),
    ],
)
def test_what_we_say_ourselves_cannot_be_sent(field: str, value: Any) -> None:
    removed = one({"eventName": "OnCallRemoved", "loginName": "x", "callRef": "1", field: value})
    assert (removed.event_name, removed.synthetic) == ("OnCallRemoved", False)
    assert removed.extra == {field: value}


def test_several_objects_on_a_line_are_several_events() -> None:
    line = b'{"eventName":"OnChannelInformation","text":"keepalive"} ' + json.dumps(RINGING).encode()
    heartbeat, call = read(line)
    assert heartbeat == ChannelInformation(event_name="OnChannelInformation", text="keepalive")
    assert call == one(RINGING)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"hello", "neither a JSON object nor several"),
        (b"\xff\xfe", "neither a JSON object nor several"),
        (json.dumps(RINGING).encode().replace(b'"A"', b'"A\xff"'), "neither a JSON object nor several"),
        (b'["OnCallCreated"]', "neither a JSON object nor several"),
        (b"{" * 100_000, "neither a JSON object nor several"),
        (b'{"a":' * 100_000, "neither a JSON object nor several"),
        (b'{"a":NaN}', "neither a JSON object nor several"),
        (b'{"eventName":"OnCallCreated","callRef":"1"}', "a call without loginName or callRef"),
        (b'{"eventName":"OnCallRemoved","loginName":"x","callRef":7}', "a call without loginName or callRef"),
    ],
)
def test_what_cannot_be_understood_is_a_bad_record_with_its_bytes(line: bytes, reason: str) -> None:
    bad = one(line)
    assert isinstance(bad, BadRecord)
    assert (bad.reason, bad.payload) == (reason, line)


def test_half_of_a_character_costs_no_more_than_itself() -> None:
    line = rb'{"eventName":"OnCallRemoved","loginName":"x","callRef":"1","cut":["Zo\ud83d",{"\ude00":1}]}'
    [removed] = read(line)
    assert removed.call_ref == "1"
    assert removed.extra == {"cut": ["Zo?", {"?": 1}]}
    assert objects(line + b"{}") is not None
    assert msgspec.json.encode(objects(line))


def test_a_line_that_is_too_long_is_a_bad_record_with_its_beginning() -> None:
    line = TooLong(b'{"event', 17_000_000)
    assert usual(line) is None
    [bad] = unusual(line, "test")
    assert isinstance(bad, BadRecord)
    assert (bad.reason, bad.payload) == ("a line of 17000000 bytes", b'{"event')


def check_decoded(line: bytes) -> None:
    found = read(line)
    assert found
    for event in found:
        assert isinstance(event, Entity | BadRecord)
        if isinstance(event, Entity):
            published(event)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
odd_events = st.fixed_dictionaries(
    {"eventName": st.sampled_from(sorted(KINDS)) | json_values},
    optional={
        "loginName": st.text(max_size=4) | json_values,
        "callRef": st.text(max_size=4) | json_values,
        "state": json_values
        | st.dictionaries(st.sampled_from(["calls", "deviceStates", "mainState", "withdraw"]), json_values),
        "callData": json_values
        | st.dictionaries(st.sampled_from(["state", "tags", "acdCallData"]), json_values),
        "legs": st.lists(json_values, max_size=2),
        "skills": json_values,
        "record": json_values,
        "user": json_values,
        "other": json_values,
    },
)


@given(st.binary(max_size=200))
def test_any_bytes_give_an_event_or_a_bad_record(line: bytes) -> None:
    check_decoded(line)


@given(odd_events)
def test_any_json_gives_an_event_or_a_bad_record(event: dict[str, Any]) -> None:
    check_decoded(json.dumps(event).encode())


@given(odd_events)
def test_what_privacy_rules_leave_is_read_like_a_line(event: dict[str, Any]) -> None:
    found = decode_message(json.loads(json.dumps(event)), "test")
    assert isinstance(found, Entity | BadRecord)


@given(st.data())
def test_a_damaged_line_gives_an_event_or_a_bad_record(data: st.DataObject) -> None:
    line = bytearray(json.dumps(RINGING).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        line[data.draw(st.integers(0, len(line) - 1))] = data.draw(st.integers(0, 255))
    check_decoded(bytes(line[: data.draw(st.integers(0, len(line)))]))


def test_nothing_of_an_event_is_lost_whatever_is_odd_in_it() -> None:
    event = one({**RINGING, "eventName": "OnCallModified", "modifiedLegs": {"a": 1}, "previousCallRef": 5})
    assert isinstance(event, CallModified)
    assert event.extra is not None
    assert event.extra["modifiedLegs"] == {"a": 1}
    assert event.extra["previousCallRef"] == 5
    assert event.extra["legs"] == RINGING["legs"]
