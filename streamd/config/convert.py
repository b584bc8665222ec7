"""Turn TOML tables into the Structs of `config/__init__.py` and of the vendors, collecting every mistake.

`msgspec.convert` stops at its first error, so the tables are walked here along the types' own fields and
msgspec judges one leaf at a time. A leaf that is wrong is replaced by its default, and one without by what
stands in for its type, so that the checks which need more than one key can still run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, time
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import fields

from streamd.config import Secret, tomlpath
from streamd.config.allowed import bare, described, members, shown, unknown
from streamd.config.secret_tables import FORM, Unresolved, is_secret_table, resolve
from streamd.config.standin import stand_in
from streamd.errors import Problem

S = TypeVar("S", bound=Struct)
TABLES = ("kafka", "spool", "ingress", "admin", "connectors")
_COLLECTIONS = (list, tuple, set, frozenset)


class Conversion:
    """What was found on the way: mistakes, warnings, and the texts of the secrets that were resolved.

    `needed` names the tables whose secrets have to be there; what stands in for another is not looked at.
    """

    def __init__(self, needed: Collection[str] = TABLES) -> None:
        self._needed = needed
        self._unlooked: set[str] = set()
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.secrets: list[Secret] = []

    def is_wrong(self, path: str) -> bool:
        """Tell whether a mistake is known at this path, or below it."""
        inside = (f"{path}.", f"{path}[")
        return any(problem.path == path or problem.path.startswith(inside) for problem in self.problems)

    def add(self, found: list[Problem]) -> None:
        """Add mistakes that a check found, but none at a path where something stands in."""
        known = {problem.path for problem in self.problems} | self._unlooked
        self.problems += [problem for problem in found if problem.path not in known]

    def struct(self, value: object, cls: type[S], path: str) -> S | None:
        """Convert a table, None where it is none."""
        if not isinstance(value, dict):
            self.problems.append(Problem(path, f"must be a table, not {shown(value)}"))
            return None
        known = {field.encode_name: field for field in fields(cls)}
        for name in value.keys() - known.keys():
            self.problems.append(Problem(tomlpath.key(path, name), unknown("key", name, known)))
        values: dict[str, Any] = {}
        for name, field in known.items():
            place = tomlpath.key(path, name)
            if name in value:
                converted = self.value(value[name], field.type, place)
                if converted is not None:
                    values[field.name] = converted
            elif field.required:
                self.problems.append(Problem(place, f"is missing: {described(field.type)}"))
            if field.required and field.name not in values:
                values[field.name] = stand_in(field.type)
        return cls(**values)

    def value(self, value: object, wanted: Any, path: str) -> Any | None:
        """Convert what stands at `path`; None when it, or something in it, is wrong."""
        choices = [(*bare(member), member) for member in members(wanted)]
        if is_secret_table(value) and any(_takes_text(inner) for inner, _, _ in choices):
            return self._secret(cast("dict[str, Any]", value), wanted, path)
        for inner, notes, member in choices:
            origin = get_origin(inner) or inner
            if inner is Secret and isinstance(value, str):
                self.warnings.append(Problem(path, f"is a secret written plainly; better {FORM}"))
                return self._remember(value)
            if isinstance(value, dict) and _is_struct(inner):
                return self.struct(value, inner, path)
            if isinstance(value, dict) and origin is dict and get_args(inner):
                return self._table(value, inner, notes, path)
            if isinstance(value, list) and origin in _COLLECTIONS and _is_uniform(inner):
                return self._list(value, inner, notes, path)
            if len(choices) > 1 and _fits(value, member):
                return msgspec.convert(value, member)
        return self._leaf(value, wanted, path)

    def _secret(self, table: Mapping[str, Any], wanted: Any, path: str) -> Any | None:
        try:
            text = resolve(table)
        except Unresolved as error:
            if path.partition(".")[0] not in self._needed:
                self._unlooked.add(path)
                return stand_in(wanted)
            self.problems.append(Problem(path, str(error)))
            return None
        secret = self._remember(text)
        if any(bare(member)[0] is Secret for member in members(wanted)):
            return secret
        return self._leaf(text, wanted, path, hidden=True)

    def _remember(self, text: str) -> Secret:
        self.secrets.append(Secret(text))
        return self.secrets[-1]

    def _table(self, value: dict[str, Any], inner: Any, notes: Sequence[Meta], path: str) -> Any | None:
        names, values = get_args(inner)
        places = {name: tomlpath.key(path, name) for name in value}
        pairs = [
            (self._leaf(name, names, places[name]), self.value(each, values, places[name]))
            for name, each in value.items()
        ]
        whole = self._leaf(value, _sized(dict, notes), path) is not None
        return {name: each for name, each in pairs if None not in (name, each)} if whole else None

    def _list(self, value: list[Any], inner: Any, notes: Sequence[Meta], path: str) -> Any | None:
        wanted = get_args(inner)[0]
        items = [self.value(each, wanted, tomlpath.item(path, index)) for index, each in enumerate(value)]
        whole = self._leaf(value, _sized(list, notes), path) is not None
        collection = get_origin(inner)
        if not whole or collection is None:
            return None
        return collection(stand_in(wanted) if each is None else each for each in items)

    def _leaf(self, value: object, wanted: Any, path: str, *, hidden: bool = False) -> Any | None:
        try:
            return msgspec.convert(value, wanted)
        except msgspec.ValidationError:
            given = "what it is given" if hidden else shown(value)
        self.problems.append(Problem(path, f"must be {described(wanted)}, not {given}"))
        return None


def _takes_text(inner: Any) -> bool:
    """Tell whether a string may stand where `inner` is wanted."""
    return (
        inner is Secret or _fits("", inner) or get_origin(inner) is Literal or inner in (datetime, date, time)
    )


def _fits(value: object, wanted: Any) -> bool:
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError:
        return False
    return True


def _is_struct(inner: Any) -> bool:
    return isinstance(inner, type) and issubclass(inner, Struct) and inner is not Secret


def _is_uniform(inner: Any) -> bool:
    """Tell lists of one type, which are walked, from tuples of fixed shape, which msgspec converts whole."""
    arguments = get_args(inner)
    return bool(arguments) and (get_origin(inner) is not tuple or arguments[1:] == (...,))


def _sized(kind: type, notes: Sequence[Meta]) -> Any:
    """Give the type that has a collection's own bounds (its length) and none for what is in it."""
    return Annotated[kind, *notes] if notes else kind
