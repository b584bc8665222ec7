"""An AsyncAPI 3 document of the topics: channels, messages and their Kafka bindings."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import fields

from streamd import __version__
from streamd.config import KafkaConfig
from streamd.model import CORE_STREAMS, Stream
from streamd.schema import EventType, components, envelope, event_types, schema_id

_ENVELOPE: Final = "CloudEvent"
_TOMBSTONE: Final = "tombstone"
_BINDING: Final = "0.5.0"
_DESCRIPTION: Final = (
    "Each record's value is one CloudEvents 1.0 event in structured JSON mode. With cloudevents_mode = "
    '"binary" the attributes are ce_ headers instead and the value is the event\'s data alone. Every key '
    "begins with <connector>|. Topics whose name ends in .state are compacted: a null value says that the "
    "key is gone."
)
_KEY: Final = {
    "type": "string",
    "pattern": "^[a-z0-9-]{1,40}\\|",
    "description": "<connector>|, then what order is promised for",
}
_POSITION: Final = {
    "epoch": {"type": "string", "description": "epoch of the last event merged into this state"},
    "sequence": {"type": "string", "pattern": "^[0-9]{20}$", "description": "sequence of that event"},
}
_CONTENT_TYPE: Final = "application/cloudevents+json"


def document() -> dict[str, Any]:
    """Give the document. Channels are named by the topic without its prefix."""
    types = event_types()
    refs, parts = components([each.data for each in types], "#/components/schemas/{name}")
    streams = sorted({*CORE_STREAMS, *(stream for each in types for stream in each.streams)}, key=_topic)
    messages = {_TOMBSTONE: _tombstone()}
    for each, ref in zip(types, refs, strict=True):
        messages |= {_message_name(each, stream): _message(each, stream, ref) for stream in each.streams}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "streamd", "version": __version__, "description": _DESCRIPTION},
        "defaultContentType": _CONTENT_TYPE,
        "channels": {stream.topic: _channel(stream, types) for stream in streams},
        "operations": {f"publish.{stream.topic}": _operation(stream) for stream in streams},
        "components": {"schemas": {_ENVELOPE: envelope(), **parts}, "messages": messages},
    }


def _topic(stream: Stream) -> str:
    return stream.topic


def _is_state(stream: Stream) -> bool:
    return stream.name.endswith(".state")


def _message_name(each: EventType, stream: Stream) -> str:
    """Name a message: the same event type has other headers on a state topic."""
    return f"{each.name}.state" if _is_state(stream) and not each.name.endswith(".state") else each.name


def _channel(stream: Stream, types: list[EventType]) -> dict[str, Any]:
    names = [_message_name(each, stream) for each in types if stream in each.streams]
    names += [_TOMBSTONE] if _is_state(stream) else []
    return {
        "address": f"{{prefix}}.{stream.topic}",
        "parameters": {
            "prefix": {"description": "topic_prefix of the configuration", "default": _default_prefix()}
        },
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "kafka": {"topicConfiguration": {"cleanup.policy": [stream.cleanup]}, "bindingVersion": _BINDING}
        },
    }


def _default_prefix() -> str:
    return next(str(field.default) for field in fields(KafkaConfig) if field.name == "topic_prefix")


def _operation(stream: Stream) -> dict[str, Any]:
    return {"action": "send", "channel": {"$ref": f"#/channels/{stream.topic}"}}


def _message(each: EventType, stream: Stream, data: dict[str, Any]) -> dict[str, Any]:
    particular = {"type": {"const": each.name}, "dataschema": {"const": schema_id(each.name)}, "data": data}
    state = _is_state(stream)
    return {
        "name": each.name,
        "contentType": _CONTENT_TYPE,
        "headers": {
            "type": "object",
            "properties": {"content-type": {"const": _CONTENT_TYPE}, **(_POSITION if state else {})},
            "required": ["content-type", *(_POSITION if state else ())],
        },
        "payload": {
            "allOf": [
                {"$ref": f"#/components/schemas/{_ENVELOPE}"},
                {"type": "object", "properties": particular},
            ]
        },
        "bindings": _bindings(),
    }


def _tombstone() -> dict[str, Any]:
    return {
        "name": _TOMBSTONE,
        "summary": "The key is gone.",
        "headers": {"type": "object", "properties": _POSITION, "required": list(_POSITION)},
        "payload": {"type": "null"},
        "bindings": _bindings(),
    }


def _bindings() -> dict[str, Any]:
    return {"kafka": {"key": _KEY, "bindingVersion": _BINDING}}
