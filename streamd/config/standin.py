"""Give what stands in for a value that is missing or wrong while the rest is checked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal, get_args, get_origin

from msgspec import Struct
from msgspec.structs import fields

from streamd.config import Secret
from streamd.config.allowed import bare, members

_PLAIN: dict[Any, Any] = {
    str: "",
    bool: False,
    int: 0,
    float: 0.0,
    Secret: Secret(""),
    datetime: datetime.fromtimestamp(0, UTC),
}


def stand_in(wanted: Any) -> Any:
    """Give a value of the first type that may stand there, as empty as can be; its bounds do not count."""
    inner, _ = bare(members(wanted)[0])
    origin = get_origin(inner) or inner
    if origin is Literal:
        return get_args(inner)[0]
    if inner in _PLAIN:
        return _PLAIN[inner]
    if isinstance(origin, type) and issubclass(origin, Struct):
        needed = (field for field in fields(origin) if field.required)
        return origin(**{field.name: stand_in(field.type) for field in needed})
    return origin()
