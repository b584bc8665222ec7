"""The published schemas are valid, complete and what the events are made of."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from jsonschema import Draft202012Validator

from streamd import events
from streamd.__main__ import main
from streamd.asyncapi import document
from streamd.cloudevents import Envelope, Source
from streamd.events import GapData, LifeCycleData, Position, ProgressData
from streamd.model import CONNECTORS, CONNECTORS_STATE, GAPS, Event, Origin, State
from streamd.registry import all_types
from streamd.schema import ENVELOPE, event_types, schema_id, schemas

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROGRESS = ProgressData(
    state="live",
    reason=None,
    complete_through=NOW,
    last={"measures": Position("e", "0" * 20)},
    open_gaps=0,
    sessions={},
)
GAP = GapData("g", ["*"], None, NOW, "new_spool", "lost", None, None, None)
SAMPLES = [
    Event(CONNECTORS, "", "streamd.connector.live", LifeCycleData("live", "Agent"), NOW),
    Event(CONNECTORS, "", "streamd.connector.progress", PROGRESS, NOW, subject="paris"),
    Event(GAPS, "g", "streamd.gap.closed", GAP, NOW, phase="live"),
]


def value_of(event: Event) -> dict[str, Any]:
    record = Source(Envelope("e", "structured"), Origin("paris", "avaya"), event.stream).event(event, 1)
    assert record.value is not None
    whole: dict[str, Any] = json.loads(record.value)
    return whole


def resolved(ref: str, whole: dict[str, Any]) -> Any:
    node: Any = whole
    for step in ref.removeprefix("#/").split("/"):
        node = node[step]
    return node


def refs(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for each in node.values() for ref in refs(each)]
    return [ref for each in node for ref in refs(each)] if isinstance(node, list) else []


@pytest.mark.parametrize("name", sorted(schemas()))
def test_each_schema_is_2020_12_and_stands_alone_under_its_dataschema(name: str) -> None:
    schema = schemas()[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:streamd:schema:{name}:1" == schema_id(name)
    assert all(resolved(ref, schema) for ref in refs(schema))


def test_there_is_a_schema_for_every_event_type_of_the_core_and_of_each_vendor() -> None:
    types = {name for vendor in all_types().values() for name in vendor.schemas} | events.SCHEMAS.keys()
    assert schemas().keys() == types | {ENVELOPE}


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: event.type)
def test_an_event_adheres_to_the_envelope_and_its_data_to_its_dataschema(event: Event) -> None:
    value = value_of(event)
    by_id = {schema["$id"]: schema for schema in schemas().values()}
    Draft202012Validator(schemas()[ENVELOPE]).validate(value)
    Draft202012Validator(by_id[value["dataschema"]]).validate(value["data"])


def test_an_event_without_its_attributes_does_not_adhere() -> None:
    value = value_of(SAMPLES[0])
    for name in ("id", "source", "data", "specversion"):
        broken = {key: each for key, each in value.items() if key != name}
        with pytest.raises(jsonschema.ValidationError):
            Draft202012Validator(schemas()[ENVELOPE]).validate(broken)


def test_the_asyncapi_document_has_a_channel_for_each_stream_and_a_message_for_each_type() -> None:
    whole = document()
    assert whole["asyncapi"] == "3.0.0"
    assert all(resolved(ref, whole) for ref in refs(whole)), "every reference leads somewhere"
    streams = {stream.topic for each in event_types() for stream in each.streams}
    assert whole["channels"].keys() == streams
    for topic, channel in whole["channels"].items():
        assert channel["address"] == f"{{prefix}}.{topic}"
        assert set(re.findall(r"{(\w+)}", channel["address"])) == channel["parameters"].keys()
        assert channel["messages"]
        assert ("tombstone" in channel["messages"]) is topic.endswith(".state")
    named = {ref for channel in whole["channels"].values() for ref in refs(channel["messages"])}
    assert named == {f"#/components/messages/{name}" for name in whole["components"]["messages"]}
    for operation in whole["operations"].values():
        assert operation["action"] == "send"
    for message in whole["components"]["messages"].values():
        assert message["bindings"]["kafka"]["key"]["type"] == "string"
        assert all(re.fullmatch(r"[\w.-]+", name) for name in whole["components"]["messages"])


def test_an_event_adheres_to_the_message_of_its_channel() -> None:
    whole = document()
    for event in SAMPLES:
        channel = whole["channels"][event.stream.topic]
        payload = resolved(channel["messages"][event.type]["$ref"], whole)["payload"]
        Draft202012Validator({**payload, "components": whole["components"]}).validate(value_of(event))


def test_a_state_adheres_to_the_message_of_its_channel_headers_included() -> None:
    state = State(CONNECTORS_STATE, CONNECTORS, "", "streamd.connector.progress", PROGRESS, NOW)
    record = Source(Envelope("e", "structured"), Origin("paris", "avaya"), state.stream).state(state, 1, 7)
    message = document()["components"]["messages"]["streamd.connector.progress.state"]
    headers = {name: text.decode() for name, text in record.headers}
    Draft202012Validator(message["headers"]).validate(headers)


def test_the_command_writes_one_file_a_type_and_the_document(tmp_path: Path) -> None:
    assert main(["schema", "--out", str(tmp_path / "new")]) == 0
    written = {file.name: json.loads(file.read_text()) for file in (tmp_path / "new").iterdir()}
    assert written.keys() == {f"{name}.json" for name in [*schemas(), "asyncapi"]}
    assert written["streamd.gap.opened.json"]["$id"] == "urn:streamd:schema:streamd.gap.opened:1"


def test_without_a_directory_all_of_it_is_one_document_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert whole == msgspec.to_builtins({"schemas": schemas(), "asyncapi": document()})


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["schema", "--out", str(tmp_path / "file")]) == 1
    assert "cannot be written to" in capsys.readouterr().err
