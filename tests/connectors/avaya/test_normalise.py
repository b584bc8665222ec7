"""What becomes of a message: its key, its event, its typed copy."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.connectors.avaya.measure_types import Typing, read_producer
from streamd.connectors.avaya.normalise import (
    ABSENT_FROM_SNAPSHOT,
    Identity,
    KeyTexts,
    absent,
    identity_of,
    is_stateful,
    merged_state,
    normalise,
    tombstone,
)
from streamd.connectors.avaya.wire import MeasureMessage, OddMessage

RECEIVED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CATALOGUE = b"""{"measureProducerId":"Agent_itd_1.0.0","measureProducerName":"Agent","processorType":"ITD",
"measureSets":[{"keys":["agentId"],"measures":[
 {"name":"Offered","type":"NUMBER","active":true},{"name":"rate","type":"NUMBER"},
 {"name":"timeInState","type":"TIME_IN_STATE"},{"name":"timeOnHold","type":"TIME_IN_STATE"},
 {"name":"activeDuration","type":"DURATION"},{"name":"acwEnd","type":"DATE"},{"name":"queueName","type":"STRING"},
 {"name":"new","type":"SOMETHING_NEW"}]}]}"""
TYPING = Typing(read_producer(CATALOGUE).measure_sets)


def message(**changes: object) -> MeasureMessage:
    fields: dict[str, object] = {
        "keys": {"queueId": "q-17", "channelId": "VOICE"},
        "payload_type": "LIVE",
        "event_action": "UPSERT",
        "account_id": "ABCDEF",
        "event_source_id": "IXCC_1.0.0",
        "measure_producer_id": "QueueByChannel_itd_1.0.0",
        "measures": {"Offered": "42"},
    }
    return MeasureMessage(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_key_is_the_contracts_canonical_text() -> None:
    expected = "ABCDEF|IXCC_1.0.0|QueueByChannel_itd_1.0.0|channelId=VOICE&queueId=q-17"
    assert KeyTexts().of(message()) == expected


def test_a_missing_part_of_the_key_is_empty() -> None:
    one = message(account_id=None, event_source_id=None, measure_producer_id=None)
    assert KeyTexts().of(one) == "|||channelId=VOICE&queueId=q-17"


def test_the_order_of_the_keys_on_the_wire_does_not_matter() -> None:
    texts = KeyTexts()
    assert texts.of(message()) == texts.of(message(keys={"channelId": "VOICE", "queueId": "q-17"}))


def test_the_remembered_texts_are_bounded_and_stay_right() -> None:
    texts = KeyTexts(limit=3)
    for number in [*range(10), *range(10)]:
        assert texts.of(message(keys={"queueId": str(number)})).endswith(f"|queueId={number}")


parts = st.text(alphabet="|&=%/ a\u00fc\U0001f600", max_size=4)
identities = st.tuples(parts, parts, parts, st.dictionaries(parts, parts, min_size=1, max_size=3))


@given(identities, identities)
def test_no_two_key_sets_share_a_text_and_each_is_read_back(one: tuple, other: tuple) -> None:  # type: ignore[type-arg]
    texts = [
        KeyTexts().of(message(account_id=a, event_source_id=s, measure_producer_id=p, keys=keys))
        for a, s, p, keys in (one, other)
    ]
    assert (texts[0] == texts[1]) == (one == other)
    account, source, producer, keys = one
    assert identity_of(texts[0]) == Identity(account or None, source or None, producer or None, keys)


@pytest.mark.parametrize(("payload_type", "phase"), [("INITIALIZING", "snapshot"), ("LIVE", "live")])
@pytest.mark.parametrize(
    ("action", "type_"), [("UPSERT", "streamd.measure.upserted"), ("DELETE", "streamd.measure.deleted")]
)
def test_an_event_says_what_happened_to_which_row(
    payload_type: str, phase: str, action: str, type_: str
) -> None:
    event = normalise(message(payload_type=payload_type, event_action=action), "the|key", RECEIVED, Typing())
    assert (event.stream.topic, event.key, event.subject) == ("avaya.measures", "the|key", "the|key")
    assert (event.type, event.phase, event.tenant) == (type_, phase, "ABCDEF")
    assert (event.received, event.time, event.id) == (RECEIVED, None, None)
    assert msgspec.to_builtins(event.data) == {
        "account_id": "ABCDEF",
        "event_source_id": "IXCC_1.0.0",
        "measure_producer_id": "QueueByChannel_itd_1.0.0",
        "payload_type": payload_type,
        "event_action": action,
        "keys": {"queueId": "q-17", "channelId": "VOICE"},
        "measures": {"Offered": "42"},
        "measures_typed": {},
    }


def test_unknown_fields_are_published_under_extra() -> None:
    odd = OddMessage(**msgspec.structs.asdict(message()), unknown={"site": "Zürich"})
    assert normalise(odd, "k", RECEIVED, Typing()).data.extra == {"site": "Zürich"}


def test_the_typed_copy_has_numbers_and_instants_and_leaves_the_raw_text_alone() -> None:
    measures = {
        "Offered": "42",
        "rate": "0.5",
        "timeInState": "1643645393849",
        "timeOnHold": "0",
        "activeDuration": "922",
        "acwEnd": "2022-01-31",
        "queueName": "Natella",
        "new": "1",
        "unlisted": "1",
    }
    data = normalise(message(measures=measures), "k", RECEIVED, TYPING).data
    assert data.measures == measures
    assert data.measures_typed == {
        "Offered": 42,
        "rate": 0.5,
        "timeInState": "2022-01-31T16:09:53.849Z",
        "timeOnHold": None,
    }


@pytest.mark.parametrize("text", ["N/A", "", " 1", "1_000", "nan", "inf", "1e999", "٣", "9" * 5000])
def test_a_text_that_is_no_number_is_left_out_of_the_typed_copy(text: str) -> None:
    assert TYPING.typed({"Offered": text}) == {}


@pytest.mark.parametrize("text", ["N/A", "", "-5", "1.5", "9" * 30, "9" * 5000])
def test_a_text_that_is_no_epoch_is_left_out_of_the_typed_copy(text: str) -> None:
    assert TYPING.typed({"timeInState": text}) == {}


@given(st.text())
def test_any_text_converts_to_something_that_can_be_published_or_to_nothing(text: str) -> None:
    msgspec.json.encode(TYPING.typed({"Offered": text, "rate": text, "timeInState": text}))


@pytest.mark.parametrize(
    ("producer", "stateful"),
    [
        ("Agent_itd_1.0.0", True),
        ("Agent_ITD_1.0.0", True),
        ("My_Own_Agent_itd_1.0.0", True),
        ("Skill_adm_2.0.0", True),
        ("DialogDetail_cdr_1.0.0", False),
        ("Contact_jrnl_1.0.0", False),
        ("nothing like it", False),
        ("itd", False),
    ],
)
def test_only_interval_to_date_and_admin_producers_have_a_state(producer: str, stateful: bool) -> None:
    assert is_stateful(producer) is stateful


def test_a_key_that_the_snapshot_lacks_is_deleted_with_the_reason() -> None:
    identity = Identity("ABCDEF", "IXCC_1.0.0", "Agent_itd_1.0.0", {"agentId": "a"})
    event = absent(identity, "k", RECEIVED)
    assert event.type == "streamd.measure.deleted"
    assert event.phase == "snapshot"
    assert event.data.reason == ABSENT_FROM_SNAPSHOT == "absent_from_snapshot"
    assert event.data.keys == {"agentId": "a"}
    assert event.data.payload_type is None
    gone = tombstone("k", RECEIVED, "ABCDEF")
    assert gone.data is None
    assert gone.stream.topic == "avaya.measures.state"


def test_a_state_has_all_that_is_known_of_the_row() -> None:
    identity = Identity("ABCDEF", "IXCC_1.0.0", "Agent_itd_1.0.0", {"agentId": "a"})
    state = merged_state(identity, {"Offered": "42"}, {"Offered": 42}, "k", RECEIVED)
    assert (state.type, state.of.topic) == ("streamd.measure.state", "avaya.measures")
    assert msgspec.to_builtins(state.data) == {
        "account_id": "ABCDEF",
        "event_source_id": "IXCC_1.0.0",
        "measure_producer_id": "Agent_itd_1.0.0",
        "keys": {"agentId": "a"},
        "measures": {"Offered": "42"},
        "measures_typed": {"Offered": 42},
    }
