"""Records as the CloudEvents Kafka binding and INTERFACE.md want them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.cloudevents import CloudEvent, Envelope, Mode, Source
from streamd.model import Event, Origin, Phase, Record, State, Stream

EPOCH = "20260102T030405678901Z"
ORIGIN = Origin("avaya-emea", "avaya")
MEASURES = Stream("avaya", "measures")
MEASURES_STATE = Stream("avaya", "measures.state", "compact")
RECEIVED = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
HAPPENED = datetime(2026, 1, 2, 3, 4, 4, tzinfo=UTC)
WHOLE = Event(
    MEASURES,
    "acc|Agent|é",
    "streamd.measure.upserted",
    {"keys": {"agentId": "7"}},
    RECEIVED,
    subject='a "quoted" é',
    time=HAPPENED,
    phase="live",
    tenant="acc",
    id='vendor-"1"',
    major=2,
)
BARE = Event(MEASURES, "k", "streamd.measure.upserted", None, RECEIVED)
STATE = State(MEASURES_STATE, MEASURES, "k", "streamd.measure.state", {"a": 1}, RECEIVED, "s", "acc")


def measures(mode: Mode) -> Source:
    return Source(Envelope(EPOCH, mode), ORIGIN, MEASURES)


def states(mode: Mode) -> Source:
    return Source(Envelope(EPOCH, mode), ORIGIN, MEASURES_STATE)


def attributes(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(record.value or b"")
    return found


def test_a_structured_event_is_one_json_object_with_every_attribute() -> None:
    record = measures("structured").event(WHOLE, 12)
    assert record.key == "avaya-emea|acc|Agent|é".encode()
    assert record.headers == (("content-type", b"application/cloudevents+json"),)
    assert record.timestamp == 1767323045678
    assert attributes(record) == {
        "specversion": "1.0",
        "id": 'vendor-"1"',
        "source": "/avaya/avaya-emea/measures",
        "type": "streamd.measure.upserted",
        "subject": 'a "quoted" é',
        "time": "2026-01-02T03:04:04Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:streamd:schema:streamd.measure.upserted:2",
        "vendor": "avaya",
        "connector": "avaya-emea",
        "tenant": "acc",
        "phase": "live",
        "receivedtime": "2026-01-02T03:04:05.678901Z",
        "epoch": EPOCH,
        "sequence": "00000000000000000012",
        "data": {"keys": {"agentId": "7"}},
    }


def test_a_binary_event_has_its_attributes_as_headers_and_its_data_as_value() -> None:
    record = measures("binary").event(WHOLE, 12)
    assert dict(record.headers) == {
        "content-type": b"application/json",
        "ce_specversion": b"1.0",
        "ce_id": b'vendor-"1"',
        "ce_source": b"/avaya/avaya-emea/measures",
        "ce_type": b"streamd.measure.upserted",
        "ce_subject": 'a "quoted" é'.encode(),
        "ce_time": b"2026-01-02T03:04:04Z",
        "ce_dataschema": b"urn:streamd:schema:streamd.measure.upserted:2",
        "ce_vendor": b"avaya",
        "ce_connector": b"avaya-emea",
        "ce_tenant": b"acc",
        "ce_phase": b"live",
        "ce_receivedtime": b"2026-01-02T03:04:05.678901Z",
        "ce_epoch": EPOCH.encode(),
        "ce_sequence": b"00000000000000000012",
    }
    assert len(dict(record.headers)) == len(record.headers)
    assert record.value == b'{"keys":{"agentId":"7"}}'


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_attributes_without_a_value_are_left_out_and_time_and_id_are_given(mode: Mode) -> None:
    record = measures(mode).event(BARE, 3)
    if mode == "structured":
        found = attributes(record)
    else:
        found = {name.removeprefix("ce_"): value.decode() for name, value in record.headers}
        assert record.value == b"null"
    assert not found.keys() & {"subject", "tenant", "phase"}
    assert found["id"] == f"{EPOCH}-00000000000000000003"
    assert found["time"] == found["receivedtime"] == "2026-01-02T03:04:05.678901Z"


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_data_that_is_json_already_is_written_as_it_is(mode: Mode) -> None:
    event = msgspec.structs.replace(WHOLE, data=msgspec.Raw(msgspec.json.encode(WHOLE.data)))
    assert measures(mode).event(event, 12) == measures(mode).event(WHOLE, 12)


def test_an_empty_text_is_no_value() -> None:
    event = msgspec.structs.replace(BARE, subject="", tenant="", id="")
    found = attributes(measures("structured").event(event, 3))
    assert not found.keys() & {"subject", "tenant"}
    assert found["id"].startswith(EPOCH)


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_a_state_carries_the_last_event_merged_as_headers_and_counts_for_itself(mode: Mode) -> None:
    record = states(mode).state(STATE, 4, 12)
    headers = dict(record.headers)
    assert headers["epoch"] == EPOCH.encode()
    assert headers["sequence"] == b"00000000000000000012"
    if mode == "structured":
        assert headers["content-type"] == b"application/cloudevents+json"
        found = attributes(record)
        assert found["id"] == f"{EPOCH}-00000000000000000004"
        assert found["source"] == "/avaya/avaya-emea/measures.state"
        assert found["data"] == {"a": 1}
        assert not found.keys() & {"epoch", "sequence"}
    else:
        assert headers["content-type"] == b"application/json"
        assert headers["ce_id"] == f"{EPOCH}-00000000000000000004".encode()
        assert not headers.keys() & {"ce_epoch", "ce_sequence"}
        assert record.value == b'{"a":1}'


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_a_tombstone_carries_nothing_but_the_last_event_merged(mode: Mode) -> None:
    gone = msgspec.structs.replace(STATE, data=None)
    record = states(mode).state(gone, 4, 12)
    assert record.value is None
    assert record.headers == (("epoch", EPOCH.encode()), ("sequence", b"00000000000000000012"))
    assert record.key == b"avaya-emea|k"


def test_times_are_utc_and_one_without_a_zone_is_refused() -> None:
    berlin = timezone(timedelta(hours=2))
    event = msgspec.structs.replace(WHOLE, time=datetime(2026, 1, 2, 5, 4, 4, tzinfo=berlin))
    assert attributes(measures("structured").event(event, 1))["time"] == "2026-01-02T03:04:04Z"
    naive = msgspec.structs.replace(WHOLE, time=datetime(2026, 1, 2))  # noqa: DTZ001 - the point
    with pytest.raises(ValueError, match="zone"):
        measures("structured").event(naive, 1)


def test_types_sources_and_majors_that_take_turns_are_never_mixed_up() -> None:
    envelope = Envelope(EPOCH, "structured")
    origins, streams = (ORIGIN, Origin("paris", "o2g")), (MEASURES, Stream("streamd", "connectors"))
    sources = {each: Source(envelope, *each) for each in product(origins, streams)}
    for _ in range(2):
        for (origin, stream), source in sources.items():
            for type_ in ("a.b", "c.d"):
                for major in (1, 2):
                    event = Event(stream, "k", type_, 1, RECEIVED, major=major)
                    found = attributes(source.event(event, 1))
                    assert found["source"] == origin.source(stream)
                    assert (found["type"], found["dataschema"]) == (
                        type_,
                        f"urn:streamd:schema:{type_}:{major}",
                    )
                    assert (found["vendor"], found["connector"]) == (origin.vendor, origin.connector)
                    state = State(stream, MEASURES, "k", type_, 1, RECEIVED, major=major)
                    assert "epoch" not in attributes(source.state(state, 1, 1))


def test_timestamps_follow_the_time_of_receipt() -> None:
    source = measures("structured")
    for second in (0, 0, 1, 0):
        received = RECEIVED + timedelta(seconds=second)
        event = msgspec.structs.replace(BARE, received=received)
        assert source.event(event, 1).timestamp == int(received.timestamp() * 1000)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    TEXT,
    st.none() | TEXT,
    st.none() | TEXT,
    st.none() | TEXT,
    st.sampled_from([None, "live"]),
    st.integers(1),
)
def test_any_text_survives_in_both_modes_and_fits_the_published_schema(
    key: str, id_: str | None, subject: str | None, tenant: str | None, phase: Phase | None, number: int
) -> None:
    event = Event(
        MEASURES, key, "a.b", {"text": key}, RECEIVED, subject=subject, phase=phase, tenant=tenant, id=id_
    )
    structured = measures("structured").event(event, number)
    binary = measures("binary").event(event, number)
    as_schema = msgspec.to_builtins(msgspec.json.decode(structured.value or b"", type=CloudEvent))
    assert as_schema == attributes(structured)
    headers = {name: value.decode() for name, value in binary.headers}
    rebuilt = {name.removeprefix("ce_"): value for name, value in headers.items() if name != "content-type"}
    rebuilt |= {"datacontenttype": headers["content-type"], "data": attributes(binary)}
    assert rebuilt == attributes(structured)
    assert structured.key == binary.key == f"avaya-emea|{key}".encode()
