"""A record becomes its event: typed, with its own id by every way, and without what may not leave."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.config import Secret
from streamd.connectors.omilia.config import OmiliaConfig, OmiliaPrivacy
from streamd.connectors.omilia.normalise import Normaliser
from streamd.connectors.omilia.remembered import Remembered
from streamd.errors import BadRecord
from streamd.model import Event
from streamd.privacy import MASK

NOW = datetime(2026, 1, 1, 10, tzinfo=UTC)
OPEN = OmiliaPrivacy(defaults=False)
END = json.loads("""
{"message_type":"dialog_end","id":"d1","group":"d1","session_id":"5b7e",
 "time":1767261600123,
 "duration":48211,"channel":"omIVR","test_flag":false,"end_type":"TRANSFER",
 "events":"Locale:en-GB,globalResult:success,TRANSFER:queue7",
 "kvps":[{"key":"AccountRef","value":"90210","step":3}],
 "app":{"name":"acct.Main","version":12},"diamant":{"id":"n1","region":"eu","version":"10.39.0"},
 "flow":{"name":"Main","type":"Flow","parent_step":0,"root_step":0,"reportable":true,"organization":"Acme"}}""")
STEP = json.loads("""
{"message_type":"dialog_step","id":"d2","group":"d1","session_id":"5b7e",
 "time":1767261609500,
 "locale":"en-GB","input_modality":"speech","original_utterance":"my balance","transcription":"my balance",
 "nlu":{"result_type":"RECOGNITION","result_count":1,"semantic_interpretation":[{"utterance":"my balance",
  "confidence":93.0,"intent":{"name":"Balance","status":"Final","confidence":93.0},"entities":[]}]},
 "action":{"name":"Get_Intent","type":"ASK","prompt":"How can I help?","timeout":5000,
  "prompt_duration":1800},
 "events":[{"index":1,"active_intent":"undefined","log":{"event":"Get_Intent:InformationAsked"}}],
 "flow":{"name":"GetIntent","type":"Banking2","parent_step":1,"root_step":1},"test_flag":false}""")
START = {
    "message_type": "dialog_start",
    "id": "d1",
    "group": "d1",
    "time": 1767261600123,
    "origin_uri": "+441632960123",
    "destination_uri": "+448081570000",
    "hashed_origin_uri": "0a1b",
    "direction": "inbound",
    "incoming_attached_data": {"CustomerNumber": "90210", "Language": "en-GB", "Queue": "undefined"},
}


def config(privacy: OmiliaPrivacy) -> OmiliaConfig:
    return OmiliaConfig(
        type="omilia",
        exports_url="",
        iam_url="",
        group="acme",
        data_types=["dialog_start"],
        auth_id="a",
        auth_secret=Secret("s"),
        privacy=privacy,
    )


def event(record: Any, privacy: OmiliaPrivacy = OPEN) -> Event:
    raw = record if isinstance(record, bytes) else json.dumps(record).encode()
    return Normaliser(config(privacy)).normalise(raw, origin="test", received=NOW, phase="live")[1]


def data(record: Any, privacy: OmiliaPrivacy = OPEN) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(event(record, privacy).data)
    return found


def test_an_end_has_its_true_time_and_all_that_was_sent() -> None:
    found = event(END)
    assert (found.type, found.key, found.subject, found.tenant) == (
        "streamd.dialog.ended",
        "d1",
        "d1",
        "acme",
    )
    assert found.time == datetime(2026, 1, 1, 10, 0, 48, 334000, tzinfo=UTC)
    told = data(END)
    assert (told["time"], told["ended_at"]) == ("2026-01-01T10:00:00.123000Z", "2026-01-01T10:00:48.334000Z")
    assert told["is_root"] is True
    own = {"dedup_basis", "conversation_id", "dialog_id", "is_root", "ended_at"}
    assert {name: each for name, each in told.items() if name not in own | {"time"}} == {
        name: each for name, each in END.items() if name != "time"
    }


def test_a_step_of_a_mini_app_is_no_root_and_its_sentinels_are_null_and_named() -> None:
    told = data(STEP)
    assert (told["is_root"], told["conversation_id"], told["dialog_id"]) == (False, "d1", "d2")
    assert told["sentinels"] == {"events[0].active_intent": "undefined"}
    assert told["events"][0]["active_intent"] is None
    assert data({**STEP, "transcription": "[noinput]", "locale": ""})["sentinels"] == {
        "transcription": "[noinput]",
        "locale": "",
        "events[0].active_intent": "undefined",
    }


def test_what_nobody_documented_and_what_is_of_another_type_is_kept_as_extra() -> None:
    told = data({**END, "moon": {"phase": 1}, "test_flag": "false", "flow": {**END["flow"], "tide": 2}})
    assert told["extra"] == {"moon": {"phase": 1}, "test_flag": "false"}
    assert told["flow"]["extra"] == {"tide": 2}
    assert (told["duration"], told["kvps"]) == (END["duration"], END["kvps"])
    assert data({**START, "is_root": "x", "extra": 1})["extra"] == {"is_root": "x", "extra": 1}


@pytest.mark.parametrize("time", [None, "soon", 1, -1, 1767261600, 10**30, 1.5, True, [], "x" * 13])
def test_a_time_that_is_none_is_kept_as_it_is_and_the_event_has_none(time: Any) -> None:
    found = event({**START, "time": time})
    assert found.time is None
    assert found.data.time is None
    assert (found.data.extra or {}).get("time") == time


def test_a_time_may_be_text_or_have_a_point() -> None:
    assert {
        event({**START, "time": time}).time for time in (1767261600123, "1767261600123", 1767261600123.0)
    } == {datetime(2026, 1, 1, 10, 0, 0, 123000, tzinfo=UTC)}


# -- ids


def respelt(value: Any, dice: random.Random) -> Any:
    """Shuffle the names of every table."""
    if isinstance(value, dict):
        names = list(value)
        dice.shuffle(names)
        return {name: respelt(value[name], dice) for name in names}
    return [respelt(each, dice) for each in value] if isinstance(value, list) else value


@given(st.integers(0, 2**32))
def test_an_id_is_the_same_in_whatever_order_and_spelling_the_record_comes(seed: int) -> None:
    usual = event(STEP).id
    other = (
        json.dumps(respelt(STEP, random.Random(seed)), indent=1)
        .replace("93.0", "93")
        .replace("5000", "5.0e3")
    )
    assert event(other.encode()).id == usual
    assert event(other.replace("my balance", "m\\u0079 balance").encode()).id == usual


def test_an_id_follows_from_the_record_as_it_came_whatever_privacy_does() -> None:
    hidden = OmiliaPrivacy(drop=["transcription"], hash=["id"], hash_key=Secret("k"))
    for record in (START, STEP, END):
        assert event(record, hidden).id == event(record).id == event(record, OmiliaPrivacy()).id


def test_an_id_is_made_of_what_tells_the_record_from_others_and_says_of_what() -> None:
    enrolment = {
        "message_type": "vb_enrolment",
        "dialog_id": "d",
        "session_id": "s",
        "profile_id": "p",
        "voiceprint": {"voiceprint_id": "v"},
    }
    cases: list[tuple[Any, Any, str, bool]] = [
        (START, {**START, "channel": "other"}, "id", True),
        (START, {**START, "id": "d9"}, "id", False),
        (START, {**START, "message_type": "dialog_end"}, "id", False),
        ({**STEP, "step": 3}, {**STEP, "step": "3", "time": 1767261609501}, "step", True),
        ({**STEP, "step": 3}, {**STEP, "step": 4}, "step", False),
        (STEP, {**STEP, "transcription": "my balances"}, "content", False),
        (enrolment, {**enrolment, "region": "us"}, "voiceprint", True),
        (enrolment, {**enrolment, "profile_id": "q"}, "voiceprint", False),
        (
            {**enrolment, "message_type": "vb_verification"},
            {**enrolment, "message_type": "x"},
            "content",
            False,
        ),
        (
            {"message_type": "audit_events", "a": 1},
            {"message_type": "audit_events", "a": 2},
            "content",
            False,
        ),
        ({**START, "id": None}, {**START, "id": None, "time": 1767261600124}, "content", False),
    ]
    for one, other, basis, same in cases:
        assert event(one).data.dedup_basis == basis
        assert (event(one).id == event(other).id) is same, (one, other)


# -- privacy


def test_by_default_what_is_personal_stays_here() -> None:
    told = data(START, OmiliaPrivacy())
    assert told["origin_uri"] == "+441***"
    assert "hashed_origin_uri" not in told
    assert told["destination_uri"] == START["destination_uri"]
    assert told["incoming_attached_data"] == {"CustomerNumber": MASK, "Language": MASK, "Queue": None}
    step = {**STEP, "bio": {"search_result": "Jane"}}
    said = step["nlu"]["semantic_interpretation"][0]
    said["entities"] = [
        {"name": "Card", "sensitivity_level": "PCI", "instances": [{"value": "4417", "begin": 0}]},
        {"name": "City", "sensitivity_level": "None", "instances": [{"value": "Kraków"}]},
    ]
    told = data(step, OmiliaPrivacy())
    assert (told["original_utterance"], told["transcription"]) == (MASK, MASK)
    meaning = told["nlu"]["semantic_interpretation"][0]
    assert meaning["utterance"] == MASK
    assert [each["instances"][0]["value"] for each in meaning["entities"]] == [MASK, "Kraków"]
    assert told["events"][0]["log"]["event"] == f"Get_Intent:{MASK}"
    assert "bio" not in told
    assert data({**START, "direction": "OUTBOUND"}, OmiliaPrivacy())["destination_uri"] == "+448***"


def test_key_value_pairs_leave_only_under_keys_that_are_allowed_wherever_they_stand() -> None:
    allowing = OmiliaPrivacy(allow_kvps=["Locale"], allow_attached_data=["Language"])
    record = {
        **END,
        "events": "Locale:en-GB,Note:a,b:c,d,Locale:pl",
        "kvps": [*END["kvps"], {"key": "Locale", "value": "x"}],
    }
    told = data(record, allowing)
    assert told["events"] == f"Locale:en-GB,Note:{MASK},b:{MASK},Locale:pl"
    assert [pair["value"] for pair in told["kvps"]] == [MASK, "x"]
    assert data(START, allowing)["incoming_attached_data"]["Language"] == "en-GB"
    assert data(END, OmiliaPrivacy(allow_kvps=["*"]))["events"] == END["events"]


def test_what_was_said_before_a_colon_is_no_key() -> None:
    told = data({**END, "events": "Note:call me, my phone 5551234567: yes,Locale:en"}, OmiliaPrivacy())
    assert told["events"] == f"Note:{MASK},Locale:{MASK}"


def test_a_type_that_nobody_documented_lets_no_more_out_than_a_dialog() -> None:
    told = json.dumps(
        data({**START, "message_type": "dialog_transfer", "kvps": END["kvps"]}, OmiliaPrivacy())
    )
    assert START["origin_uri"] not in told
    assert END["kvps"][0]["value"] not in told


def test_with_a_key_numbers_are_hashed_and_hashes_hashed_again() -> None:
    told = data(START, OmiliaPrivacy(hash_key=Secret("k")))
    assert len(told["origin_uri"]) == len(told["hashed_origin_uri"]) == 32
    other = data(START, OmiliaPrivacy(hash_key=Secret("l")))
    assert told["origin_uri"] != other["origin_uri"]


def test_the_operators_own_rules_take_the_place_of_the_defaults() -> None:
    own = OmiliaPrivacy(keep=["transcription"], drop=["original_utterance"], mask=["origin_uri"])
    assert data(STEP, own)["transcription"] == "my balance"
    assert "original_utterance" not in data(STEP, own)
    assert data(START, own)["origin_uri"] == MASK


def test_of_voice_biometrics_nothing_leaves_but_where_it_belongs_unless_it_is_allowed() -> None:
    record = {
        "message_type": "vb_enrolment",
        "dialog_id": "d",
        "origin": "+44",
        "biokeys": [{"key": "a", "value": "b"}],
    }
    told = data(record, OmiliaPrivacy())
    assert (told["dialog_id"], told["extra"]) == ("d", {"origin": MASK, "biokeys": MASK})
    assert data(record, OmiliaPrivacy(biometrics=True))["extra"]["origin"] == "+44"


SECRET = "S3CRET"


@given(
    st.sampled_from(["dialog_start", "dialog_step", "dialog_end"]),
    st.sampled_from(
        [
            "origin_uri",
            "hashed_origin_uri",
            "original_utterance",
            "transcription",
            "nlu",
            "incoming_attached_data",
            "kvps",
            "events",
            "bio",
        ]
    ),
    st.recursive(
        st.just(f"long enough {SECRET}") | st.just(f"a:{SECRET}") | st.just(f"{SECRET},{SECRET}"),
        lambda inner: (
            st.lists(inner, min_size=1, max_size=2)
            | st.dictionaries(
                st.sampled_from(
                    ["value", "utterance", "event", "instances", "entities", "semantic_interpretation"]
                ),
                inner,
                min_size=1,
                max_size=2,
            )
        ),
        max_leaves=4,
    ),
)
def test_a_personal_field_of_whatever_shape_lets_nothing_out_in_its_place(
    kind: str, name: str, value: Any
) -> None:
    told = data({"message_type": kind, "id": "d", name: value}, OmiliaPrivacy())
    if isinstance(value, str) or name not in ("nlu", "events", "kvps"):
        assert SECRET not in json.dumps(told)


# -- any bytes


@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([*STEP, *END, *START, "log", "event", "key", "value"]), inner, max_size=4
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_are_an_event_or_a_bad_record(content: bytes) -> None:
    for privacy in (OPEN, OmiliaPrivacy()):
        try:
            found = event(content, privacy)
        except BadRecord:
            continue
        msgspec.json.encode(found.data)


@pytest.mark.parametrize(
    "content",
    [
        b'{"message_type":"dialog_start","id":"' + rb"\ud800" + b'"}',
        b'{"message_type":"dialog_start","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"message_type":"dialog_start","x":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}",
        b'{"message_type":"dialog_step","x":1e400}',
        b'{"message_type":"dialog_step","x":' + b"9" * 5000 + b"}",
        b'{"message_type":"dialog_end","time":1767261600123,"duration":1e300}',
        b'{"message_type":"dialog_end","time":1767261600123,"duration":-1e15}',
        b'{"message_type":"dialog_start"}trailing',
    ],
)
def test_monstrous_records_are_an_event_or_a_bad_record(content: bytes) -> None:
    test_any_bytes_are_an_event_or_a_bad_record.hypothesis.inner_test(content)  # type: ignore[attr-defined]


# -- the window


@given(st.integers(1, 50), st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 200), max_size=200))
def test_the_latest_ids_are_remembered_and_none_that_did_not_come(most: int, keys: list[int]) -> None:
    window = Remembered(most)
    for key in keys:
        window.add([key])
    distinct = list(dict.fromkeys(reversed([key or 1 for key in keys])))
    assert all(key in window for key in distinct[:most])
    assert all((key in window) <= (key in distinct or key == 0) for key in range(300))
