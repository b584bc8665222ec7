"""Say in words what a type of the configuration allows: `must be a whole number ≥ 1, not "six"`."""

from __future__ import annotations

import difflib
import enum
import json
import types
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import Meta, Struct

from streamd.config import Secret
from streamd.config.secret_tables import FORM

_PLAIN: dict[Any, str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "a table",
    list: "a list",
    datetime: "a time in RFC 3339 form",
    date: "a date",
    time: "a time of day",
    Secret: f"a string, better {FORM}",
    Any: "anything",
}
_BOUNDS = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"), ("multiple_of", "a multiple of"))
_LENGTHS = (("min_length", "at least"), ("max_length", "at most"))


def members(wanted: Any) -> Sequence[Any]:
    """Give what a union may be, without None, which TOML cannot say; anything else is its only member."""
    if get_origin(wanted) in (Union, types.UnionType):
        return [member for member in get_args(wanted) if member is not type(None)]
    return [wanted]


def bare(wanted: Any) -> tuple[Any, Sequence[Meta]]:
    """Take the bounds off a type: `Annotated[int, Meta(ge=1)]` gives `int` and the bounds."""
    if get_origin(wanted) is Annotated:
        inner, *notes = get_args(wanted)
        return inner, [note for note in notes if isinstance(note, Meta)]
    return wanted, ()


def described(wanted: Any) -> str:
    """Say what may stand there, with bounds and literal values."""
    return " or ".join(_described(member) for member in members(wanted))


def shown(value: object) -> str:
    """Show a wrong value of the operator, cut short. Never call it with a secret."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that a name is not known, with the closest that is, else all of them."""
    names = list(known)
    likeness = {_plainly(each): each for each in names}
    close = difflib.get_close_matches(_plainly(name), likeness, n=1, cutoff=0.6)
    if close:
        return f'unknown {kind}; did you mean "{likeness[close[0]]}"?'
    return f"unknown {kind}; known: {', '.join(names) or 'none'}"


def _plainly(name: str) -> str:
    return name.lower().replace("-", "_")


def _described(wanted: Any) -> str:
    inner, notes = bare(wanted)
    for note in notes:
        if note.description:
            return note.description
    return _kind(inner) + "".join(f" {bound}" for note in notes for bound in _bounds(note, inner))


def _kind(inner: Any) -> str:
    origin, arguments = get_origin(inner), get_args(inner)
    if origin is Literal:
        values = ", ".join(map(shown, arguments))
        return f"one of {values}" if len(arguments) > 1 else values
    if origin in (list, tuple, set, frozenset):
        return f"a list, each item {described(arguments[0])}" if arguments else "a list"
    if origin is dict:
        return f"a table, each value {described(arguments[1])}"
    if isinstance(inner, type) and issubclass(inner, enum.Enum):
        return f"one of {', '.join(shown(member.value) for member in inner)}"
    if inner in _PLAIN:
        return _PLAIN[inner]
    if isinstance(inner, type) and issubclass(inner, Struct):
        return "a table"
    return str(getattr(inner, "__name__", inner))


def _bounds(note: Meta, inner: Any) -> Iterable[str]:
    for name, sign in _BOUNDS:
        if getattr(note, name) is not None:
            yield f"{sign} {getattr(note, name):g}"
    for name, words in _LENGTHS:
        if getattr(note, name) is not None:
            yield f"of {words} {getattr(note, name)} {'characters' if inner is str else 'items'}"
    if note.pattern is not None:
        yield f"like {note.pattern}"
    if note.tz:
        yield "with its zone"
