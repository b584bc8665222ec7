"""Read a reply's tree into the published Structs, leniently: XML has texts only, JSON mixes (section 7, 5).

What is unknown, or not of the known type in any spelling, is kept under `extra` as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from msgspec.structs import fields

from streamd.connectors.oracle_isr.zone import Zone
from streamd.lenient import Entity, camel

E = TypeVar("E", bound=Entity)
Read = Callable[[Any, Zone, datetime], Any]
"""Give a value as its field takes it, or `_UNFIT`."""

_UNFIT: Any = object()
_TRUTH: Mapping[Any, bool] = {"true": True, "1": True, "false": False, "0": False}


def read(entity: type[E], tree: Mapping[str, Any], zone: Zone, latest: datetime) -> E:
    """Read a tree, whatever is in it. No time in it is well after `latest`, where a zone leaves that open."""
    places = _places(entity)
    taken: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for vendor, value in tree.items():
        name, fit = places.get(vendor, ("", None))
        found = fit(value, zone, latest) if fit is not None else _UNFIT
        if found is _UNFIT:
            extra[vendor] = value
        else:
            taken[name] = found
    return entity(**taken, extra=extra or None)


@cache
def _places(entity: type[Entity]) -> Mapping[str, tuple[str, Read]]:
    """Give vendor name -> name, and how to read it."""
    sent = [each for each in fields(entity) if each.name not in entity.own]
    return {camel(each.name): (each.name, _reader(each.type)) for each in sent}


def _reader(wanted: Any) -> Read:
    members = get_args(wanted) if get_origin(wanted) in (Union, UnionType) else (wanted,)
    [inner] = [each for each in members if each is not type(None)]
    if get_origin(inner) is Annotated:
        inner = get_args(inner)[0]
    if get_origin(inner) is list:
        return _list_reader(get_args(inner)[0])
    if isinstance(inner, type) and issubclass(inner, Entity):
        entity = inner
        return lambda value, zone, latest: (
            read(entity, value, zone, latest) if isinstance(value, dict) else _UNFIT
        )
    return _PLAIN[inner]


def _list_reader(item: Any) -> Read:
    if item is Any:
        return lambda value, zone, latest: value if isinstance(value, list) else _UNFIT
    fit = _reader(item)

    def read_list(value: Any, zone: Zone, latest: datetime) -> Any:
        if not isinstance(value, list):
            return _UNFIT
        found = [fit(each, zone, latest) for each in value]
        return _UNFIT if any(each is _UNFIT for each in found) else found

    return read_list


def _text(value: Any, zone: Zone, latest: datetime) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else _UNFIT


def _whole(value: Any, zone: Zone, latest: datetime) -> Any:
    if isinstance(value, str):
        digits = value.removeprefix("-")
        return int(value) if digits.isascii() and digits.isdigit() and len(digits) < 16 else _UNFIT
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 else _UNFIT


def _truth(value: Any, zone: Zone, latest: datetime) -> Any:
    if isinstance(value, bool):
        return value
    return _TRUTH.get(str(value).lower(), _UNFIT) if isinstance(value, str | int) else _UNFIT


def _time(value: Any, zone: Zone, latest: datetime) -> Any:
    found = zone.read(value, latest) if isinstance(value, str) else None
    return _UNFIT if found is None else found


_PLAIN: Mapping[Any, Read] = {str: _text, int: _whole, bool: _truth, datetime: _time}
