"""JSON Schema (2020-12) of each event type's `data` and of the envelope, made from the code's own types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from streamd import events
from streamd.cloudevents import CloudEvent
from streamd.model import Stream
from streamd.registry import all_types

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
ENVELOPE: Final = "streamd.envelope"
MAJOR: Final = 1

# What the CloudEvent Struct leaves open and INTERFACE.md ("Events") does not.
_ATTRIBUTES: Mapping[str, Mapping[str, Any]] = {
    "specversion": {"const": "1.0"},
    "datacontenttype": {"const": "application/json"},
    "id": {"minLength": 1},
    "source": {"pattern": "^/[^/]+/[^/]+/[^/]+$"},
    "type": {"pattern": "^streamd\\."},
    "time": {"format": "date-time"},
    "receivedtime": {"format": "date-time"},
    "dataschema": {"pattern": "^urn:streamd:schema:.+:[0-9]+$"},
    "phase": {"enum": ["snapshot", "live", "backfill"]},
    "sequence": {"pattern": "^[0-9]{20}$"},
}


class EventType(Struct, frozen=True):
    """One event type: the type of its `data`, and the streams that carry it."""

    name: str
    data: Any
    streams: Sequence[Stream]

    @property
    def schema_id(self) -> str:
        """Give the `dataschema` of its events."""
        return schema_id(self.name)


def schema_id(name: str) -> str:
    """Give the `$id` of the schema of one event type."""
    return f"urn:streamd:schema:{name}:{MAJOR}"


def event_types() -> list[EventType]:
    """List every event type, the core's own first, then each vendor's."""
    core = [EventType(name, data, events.STREAMS_OF[name]) for name, data in events.SCHEMAS.items()]
    vendors = [
        EventType(name, data, [vendor.stream_of[name]] if name in vendor.stream_of else [])
        for vendor in all_types().values()
        for name, data in vendor.schemas.items()
    ]
    return core + vendors


def schemas() -> dict[str, dict[str, Any]]:
    """Give each schema by its event type, and the envelope's as `streamd.envelope`."""
    return {
        ENVELOPE: {"$schema": DIALECT, "$id": schema_id(ENVELOPE), **envelope()},
        **{each.name: _data_schema(each) for each in event_types()},
    }


def envelope() -> dict[str, Any]:
    """Give the schema of the CloudEvents attributes, in structured mode."""
    _, parts = components([CloudEvent], "{name}")
    whole = parts[CloudEvent.__name__]
    properties = whole["properties"]
    for name, more in _ATTRIBUTES.items():
        properties[name] = {**properties[name], **more}
    return {
        **whole,
        "title": "CloudEvents 1.0 event",
        "description": "The attributes of every event. State records carry epoch and sequence as headers.",
        "required": [*whole["required"], "data"],
    }


def components(types: Sequence[Any], ref_template: str) -> tuple[Sequence[dict[str, Any]], dict[str, Any]]:
    """Give a reference for each type, and the schemas that they refer to, descriptions on one line."""
    refs, parts = msgspec.json.schema_components(types, ref_template=ref_template)
    for part in parts.values():
        if "description" in part:
            part["description"] = " ".join(part["description"].split())
    return refs, parts


def _data_schema(each: EventType) -> dict[str, Any]:
    """Give a schema that stands alone: what it refers to is in its own `$defs`."""
    (schema,), parts = components([each.data], "#/$defs/{name}")
    return {"$schema": DIALECT, "$id": each.schema_id, "title": each.name, **schema, "$defs": parts}
