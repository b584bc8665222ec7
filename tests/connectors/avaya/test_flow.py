"""From frames to what is published: any bytes give events or dead letters, in order, and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streamd.clock import SystemClock
from streamd.connectors.avaya.config import AvayaPrivacy
from streamd.connectors.avaya.discretion import Discretion
from streamd.connectors.avaya.flow import Batch, Flow
from streamd.connectors.avaya.measures import MergedMeasures
from streamd.connectors.avaya.snapshot import Rules, Snapshot
from streamd.dead_letters import undecodable
from streamd.errors import BadRecord
from streamd.model import DEAD_LETTER, Event, State
from streamd.privacy import Privacy

RECEIVED = datetime(2026, 1, 2, tzinfo=UTC)
QUEUE, CONTACTS = "Queue_itd_1.0.0", "DialogDetail_cdr_1.0.0"


def flow(measures: MergedMeasures | None, **privacy: Any) -> Flow:
    def letter(bad: BadRecord) -> Event:
        return undecodable(bad, SystemClock().now(), withheld=False)

    return Flow(QUEUE, measures, Discretion(Privacy(AvayaPrivacy(**privacy))), letter)


def read(on: Flow, *frames: bytes) -> Batch:
    return on.read(frames, RECEIVED, Snapshot(Rules(), 0.0), 0.0)


def frame(payload_type: str = "LIVE", **measures: str) -> bytes:
    return json.dumps(
        {
            "accountId": "ABCDEF",
            "payloadType": payload_type,
            "eventAction": "UPSERT",
            "keys": {"queueId": "q"},
            "measures": measures,
        }
    ).encode()


def test_a_state_stands_right_behind_the_event_that_was_merged_into_it() -> None:
    batch = read(flow(MergedMeasures(QUEUE, {})), frame(Offered="1"), b"junk", frame(Offered="2"))
    kinds = [(type(item).__name__, item.stream.name) for item in batch.items]
    assert kinds == [
        ("Event", "measures"),
        ("State", "measures.state"),
        ("Event", "dead-letter"),
        ("Event", "measures"),
        ("State", "measures.state"),
    ]
    assert len(batch.changes) == 1


def test_a_producer_of_contacts_gives_events_and_no_state() -> None:
    batch = read(flow(None), frame(Offered="1"), frame(Offered="2"))
    assert [type(item) for item in batch.items] == [Event, Event]
    assert batch.changes == {}


def test_an_authentication_response_is_handed_on_and_not_published() -> None:
    batch = read(flow(None), b'{"event":"AUTHENTICATION_RESPONSE","status":"CONNECTION_CONFIRMED"}')
    assert batch.items == []
    assert batch.answers == ["CONNECTION_CONFIRMED"]


def test_privacy_rules_apply_to_unknown_fields_and_keys_too() -> None:
    on = flow(None, drop=["site.name", "measures.deep"], hash=["keys.queueId"], hash_key=None)
    odd = json.loads(frame(Offered="1"))
    odd |= {"site": {"name": "Zürich", "floor": 3}, "measures": {"Offered": "1", "deep": {"a": 1}}}
    [event] = read(on, json.dumps(odd).encode()).items
    assert event.data.extra == {"site": {"floor": 3}, "measures": {}}
    assert event.data.keys["queueId"] != "q"
    assert event.data.keys["queueId"] in event.key


def test_agents_names_are_masked_where_the_defaults_are_asked_for() -> None:
    names = {"agentFirstName": "Ann", "agentLastName": "Lee", "agentDisplayName": "Ann Lee", "Offered": "1"}
    [event] = read(flow(None), frame(**names)).items
    assert event.data.measures == names
    [event] = read(flow(None, defaults=True, drop=["measures.agentLastName"]), frame(**names)).items
    assert event.data.measures == {"agentFirstName": "***", "agentDisplayName": "***", "Offered": "1"}


@given(st.lists(st.binary(max_size=60) | st.sampled_from([frame(), frame("INITIALIZING", Offered="1")])))
def test_any_frames_give_events_states_or_dead_letters_that_can_be_written(frames: list[bytes]) -> None:
    batch = read(flow(MergedMeasures(QUEUE, {})), *frames)
    events = [item for item in batch.items if isinstance(item, Event)]
    assert len(events) == len(frames)
    for item in batch.items:
        assert isinstance(item, (Event, State))
        msgspec.json.encode(item.data)
    junk = sum(item.stream == DEAD_LETTER for item in events)
    assert junk == sum(one not in (frame(), frame("INITIALIZING", Offered="1")) for one in frames)
