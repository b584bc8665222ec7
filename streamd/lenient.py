"""Read a vendor's JSON objects into snake_case Structs, and lose nothing of what is not known of them.

An `Entity` is declared once, with the names and types that are published. Its twin, made here, is the same
but for the vendor's spelling: a usual message takes one typed decode, in C, and each object in it becomes the
entity where it stands. What the decode refuses (a field nobody knows, a value of another type) is read
field by field instead: `extra` keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import UnionType
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo, fields

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Entity(Struct, omit_defaults=True, kw_only=True, gc=False):
    """A vendor's object as it is published. Every field has a default: null and absent are the same.

    A field at its default is left out, unless that comes from a factory. `extra` has, in the vendor's
    spelling, what is not known or not of the known type. `own` names the fields that the vendor does not
    send, `required` the texts without which a message is no usual one. What was JSON has no cycles, so the
    garbage collector is spared it: that is half of the cost.
    """

    own: ClassVar[frozenset[str]] = frozenset({"extra"})
    required: ClassVar[frozenset[str]] = frozenset()

    extra: dict[str, Any] | None = None


E = TypeVar("E", bound=Entity)


def snake(name: str) -> str:
    """Give a name in snake_case: `nbOfACDCalls` is `nb_of_acd_calls`."""
    return _BOUNDARY.sub("_", name).lower()


def camel(name: str) -> str:
    """Give a name in camelCase: `call_ref` is `callRef`."""
    first, *others = name.split("_")
    return first + "".join(each.capitalize() for each in others)


def writable(text: str) -> str:
    """Give text that UTF-8 has, with a question mark for half of a character: JSON may spell one (a lone
    surrogate), as who cuts a name by UTF-16 units does."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


Fit = Callable[[Any], Any]
"""Give a value as its field takes it; raises Unfit."""


class Unfit(Exception):
    """The value is of another type; never leaves this module."""


class _Place(NamedTuple):
    """Where a vendor's field goes, and how."""

    name: str
    fit: Fit


class Reader:
    """Reads the entities of one vendor.

    `unusual` are the field names that are not plain camelCase, as the vendor spells them: `callUUID`.
    """

    def __init__(self, unusual: Iterable[str] = ()) -> None:
        self._unusual = {snake(name): name for name in unusual}
        self._twins: dict[type, Any] = {}
        self._places: dict[type, Mapping[str, _Place]] = {}

    def twin(self, entity: type[Entity], tag_field: str | None = None, tag: str | None = None) -> Any:
        """Make the Struct that reads `entity` as the vendor spells it, and nothing else.

        What is decoded as it is `entity` itself. With `tag_field` it is told by that field, which has `tag`.

        A twin adds nothing to what it inherits, so that Python lets it change its class. To copy it costs
        three times as much.
        """
        sent = self._sent(entity)
        told, _ = sent.get(tag_field or "", (None, None))
        spelling = {name: vendor for vendor, (name, _) in sent.items() if name != told}
        return msgspec.defstruct(
            entity.__name__,
            [
                (each.name, _TEXT)
                if each.name in entity.required
                else (each.name, self._mirrored(each.type), _default(each))
                if each.name in spelling
                else (each.name, _NOTHING, tag if each.name == told else _default(each))
                for each in fields(entity)
            ],
            bases=(entity,),
            namespace={"__post_init__": _becoming(entity)},
            kw_only=True,
            gc=False,
            rename=spelling.get,
            forbid_unknown_fields=True,
            tag_field=tag_field,
            tag=tag,
        )

    def read(self, entity: type[E], value: Mapping[str, Any]) -> E:
        """Read a decoded object, whatever is in it."""
        taken: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        places = self._places.get(entity)
        if places is None:
            places = self._places[entity] = self._places_of(entity)
        for vendor, each in value.items():
            place = places.get(vendor)
            if place is None:
                extra[vendor] = each
            elif each is not None:
                try:
                    taken[place.name] = place.fit(each)
                except Unfit:
                    extra[vendor] = each
        return entity(**taken, extra=extra or None)

    def _sent(self, entity: type[Entity]) -> Mapping[str, tuple[str, Any]]:
        """Give vendor name -> name and type of what the vendor sends."""
        sent = [each for each in fields(entity) if each.name not in entity.own]
        return {self._unusual.get(each.name) or camel(each.name): (each.name, each.type) for each in sent}

    def _places_of(self, entity: type[Entity]) -> Mapping[str, _Place]:
        sent = self._sent(entity).items()
        return {vendor: _Place(name, self._fit_for(wanted)) for vendor, (name, wanted) in sent}

    def _mirrored(self, wanted: Any) -> Any:
        """Give a type with each entity in it replaced by its twin."""
        origin, inner = get_origin(wanted), get_args(wanted)
        if origin in (Union, UnionType):
            return Union[tuple(self._mirrored(each) for each in inner)]  # noqa: UP007 - made at run time
        if origin is list:
            return list[self._mirrored(inner[0])]  # type: ignore[misc]
        if _is_entity(wanted):
            if wanted not in self._twins:
                self._twins[wanted] = self.twin(wanted)
            return self._twins[wanted]
        return wanted

    def _fit_for(self, wanted: Any) -> Fit:
        """Compile the way of a value into its field."""
        members = _members(wanted)
        plain = _PLAIN.intersection(map(_bare, members))
        if Any in members:
            return lambda value: value
        entity = next((each for each in members if _is_entity(each)), None)
        listed = next((get_args(each)[0] for each in members if get_origin(each) is list), None)
        item = None if listed is None else self._fit_for(listed)

        def fit(value: Any) -> Any:
            kind = type(value)
            if kind in plain:
                return value
            if entity is not None and kind is dict:
                return self.read(entity, value)
            if item is not None and kind is list:
                return [item(each) for each in value]
            raise Unfit

        return fit


def _becoming(entity: type[Entity]) -> Callable[[Any], None]:
    """Give what makes a twin of `entity` the entity itself, as soon as it is decoded."""
    finish = getattr(entity, "__post_init__", None)

    def become(twin: Any) -> None:
        twin.__class__ = entity
        if finish is not None:
            finish(twin)

    return become


def _default(place: FieldInfo) -> Any:
    """Give a field's default; from a factory only that it is published, and a twin is not."""
    return place.default if place.default is not msgspec.NODEFAULT else place.default_factory()


_TEXT = Annotated[str, msgspec.Meta(min_length=1)]
# Of what the vendor does not send: whatever comes under its name is odd.
_NOTHING = Annotated[str, msgspec.Meta(min_length=1, max_length=0)]
_PLAIN = frozenset((str, int, float, bool, dict, datetime))


def _members(wanted: Any) -> tuple[Any, ...]:
    return get_args(wanted) if get_origin(wanted) in (Union, UnionType) else (wanted,)


def _bare(wanted: Any) -> Any:
    """Give `datetime` for an annotated one, `dict` for `dict[str, Any]`."""
    origin = get_origin(wanted)
    return _bare(get_args(wanted)[0]) if origin is Annotated else origin if origin is dict else wanted


def _is_entity(wanted: Any) -> bool:
    return isinstance(wanted, type) and issubclass(wanted, Entity)
