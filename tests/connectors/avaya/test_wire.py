"""Any bytes as a frame give messages or a BadRecord, and lose nothing."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.connectors.avaya.protocol import Standing
from streamd.connectors.avaya.wire import (
    AuthenticationResponse,
    MeasureMessage,
    authentication,
    decode,
)
from streamd.errors import BadRecord
from streamd.redaction import redact

USUAL = {
    "accountId": "ABCDEF",
    "eventSourceId": "IXCC_1.0.0",
    "measureProducerId": "QueueByChannel_itd_1.0.0",
    "payloadType": "INITIALIZING",
    "eventAction": "UPSERT",
    "keys": {"queueId": "q-17", "channelId": "VOICE"},
    "measures": {"contactsQueueing": "3", "Offered": "41"},
}


def one(frame: bytes | dict[str, Any]) -> Any:
    [message] = decode(frame if isinstance(frame, bytes) else json.dumps(frame).encode(), "test")
    return message


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in USUAL.items() if name not in names}


def test_the_documents_message_is_read_whole() -> None:
    message = one(USUAL)
    assert message == MeasureMessage(
        keys={"queueId": "q-17", "channelId": "VOICE"},
        payload_type="INITIALIZING",
        event_action="UPSERT",
        account_id="ABCDEF",
        event_source_id="IXCC_1.0.0",
        measure_producer_id="QueueByChannel_itd_1.0.0",
        measures={"contactsQueueing": "3", "Offered": "41"},
    )
    assert message.extra is None


@pytest.mark.parametrize("missing", ["accountId", "eventSourceId", "measureProducerId", "measures"])
def test_what_avaya_does_not_require_may_be_missing_or_null(missing: str) -> None:
    assert isinstance(one(without(missing)), MeasureMessage)
    message = one({**USUAL, missing: None})
    assert isinstance(message, MeasureMessage)
    assert message.extra is None


def test_unknown_fields_are_kept() -> None:
    message = one({**USUAL, "site": {"name": "Zürich"}, "event": "measure"})
    assert message.extra == {"site": {"name": "Zürich"}, "event": "measure"}
    assert message.measures == USUAL["measures"]


def test_numbers_and_booleans_stand_as_the_text_that_was_sent() -> None:
    message = one(json.dumps(USUAL).encode().replace(b'"41"', b"7.50").replace(b'"3"', b"true"))
    assert message.measures == {"contactsQueueing": "true", "Offered": "7.50"}
    assert message.extra is None
    assert one({**USUAL, "keys": {"queueId": 17}}).keys == {"queueId": "17"}


def test_measures_without_a_text_are_kept_beside_the_others() -> None:
    message = one({**USUAL, "measures": {"Offered": None, "deep": [1], "Answered": "4"}})
    assert message.measures == {"Answered": "4"}
    assert message.extra == {"measures": {"Offered": None, "deep": [1]}}


@pytest.mark.parametrize("event", ["authenticationResponse", "AUTHENTICATION_RESPONSE"])
def test_both_spellings_of_the_authentication_response_are_understood(event: str) -> None:
    answer = one({"event": event, "status": "CONNECTION_CONFIRMED"})
    assert answer == AuthenticationResponse("CONNECTION_CONFIRMED")


def test_an_array_of_objects_is_read_item_by_item() -> None:
    messages = decode(json.dumps([USUAL, 7, USUAL]).encode(), "test")
    assert [isinstance(message, BadRecord) for message in messages] == [False, True, False]
    assert isinstance(messages[1], BadRecord)
    assert messages[1].payload == b"7"


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "not a JSON object"),
        (b"hello", "not a JSON object"),
        (b"\xff\xfe", "not UTF-8"),
        (json.dumps(USUAL).encode().replace(b"VOICE", b"V\xffE"), "not UTF-8"),
        (b"[]", "not a JSON object"),
        (b"[" * 100_000, "not a JSON object"),
        (b'{"a":' * 100_000, "not a JSON object"),
        (without("keys"), "no keys"),
        ({**USUAL, "keys": {}}, "no keys"),
        ({**USUAL, "keys": []}, "keys is not an object"),
        ({**USUAL, "keys": {"queueId": None}}, "key 'queueId' is no text"),
        ({**USUAL, "measures": [1]}, "measures is not an object"),
        ({**USUAL, "payloadType": "REPLAY"}, "unknown payloadType 'REPLAY'"),
        (without("payloadType"), "no payloadType"),
        ({**USUAL, "eventAction": "PATCH"}, "unknown eventAction 'PATCH'"),
        ({**USUAL, "accountId": 7}, "accountId is no text"),
        ({"event": "goodbye"}, "unknown event 'goodbye'"),
        ({"event": ["authenticationResponse"]}, "event is no text"),
    ],
)
def test_what_cannot_be_understood_is_a_bad_record_with_its_bytes(frame: Any, reason: str) -> None:
    sent = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
    bad = one(sent)
    assert isinstance(bad, BadRecord)
    assert bad.reason == reason
    assert bad.payload == sent


@pytest.mark.parametrize("place", ["event", "payloadType", "eventAction"])
def test_a_token_that_is_sent_back_stands_in_no_reason_not_even_its_beginning(place: str) -> None:
    token = "eyJhbGciOiJSUzI1NiJ9." + "a" * 200
    redact(token, passing=True)
    bad = one(json.dumps({**({} if place == "event" else USUAL), place: f"of {token}"}).encode())
    assert isinstance(bad, BadRecord)
    assert "eyJ" not in bad.reason
    loss = Standing().on_authentication(f"NOT_{token}", 0.0)
    assert loss is not None
    assert "eyJ" not in loss.reason


def test_the_first_frame_carries_subscription_and_token() -> None:
    assert json.loads(authentication("id", "token")) == {
        "event": "authentication",
        "subscriptionId": "id",
        "token": "token",
    }


def check_decoded(frame: bytes) -> None:
    messages = decode(frame, "test")
    assert messages
    for message in messages:
        assert isinstance(message, (MeasureMessage, AuthenticationResponse, BadRecord))
        if isinstance(message, MeasureMessage):
            msgspec.json.encode({"message": message, "extra": message.extra})


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_or_a_bad_record(frame: bytes) -> None:
    check_decoded(frame)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
odd_messages = st.fixed_dictionaries(
    {},
    optional={
        "accountId": json_values,
        "measureProducerId": json_values,
        "payloadType": st.sampled_from(["INITIALIZING", "LIVE", "OTHER"]) | json_values,
        "eventAction": st.sampled_from(["UPSERT", "DELETE"]) | json_values,
        "keys": st.dictionaries(st.text(max_size=4), st.text(max_size=4) | json_values, max_size=3)
        | json_values,
        "measures": st.dictionaries(st.text(max_size=4), json_values, max_size=3) | json_values,
        "event": json_values,
        "unknown": json_values,
    },
)


@given(odd_messages | st.lists(odd_messages, max_size=3))
def test_any_json_gives_a_message_or_a_bad_record(value: Any) -> None:
    check_decoded(json.dumps(value).encode())


@given(st.data())
def test_a_damaged_message_gives_a_message_or_a_bad_record(data: st.DataObject) -> None:
    frame = bytearray(json.dumps(USUAL).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    check_decoded(bytes(frame[: data.draw(st.integers(0, len(frame)))]))
