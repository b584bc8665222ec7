"""Tell words that stand for "no value" from values (vendors/omilia.md, section 5, "normaliser facts")."""

from __future__ import annotations

from typing import Any

WORDS = frozenset({"undefined", "null", "[hup]", "[noinput]", ""})
_LONGEST = max(map(len, WORDS))
_NAMES = frozenset({"message_type", "id", "group", "key"})
"""Fields that name something: their text is what it is."""

Path = tuple["Path", str | int] | None
"""Where a table or list stands; spelled out only where there is something to tell of it."""


def clear(record: dict[str, Any]) -> dict[str, str] | None:
    """Put None in the place of each such word, and give them by their path (`nlu.items[0].name`)."""
    found: dict[str, str] = {}
    _clear_table(record, None, found)
    return found or None


def _clear_table(table: dict[str, Any], path: Path, found: dict[str, str]) -> None:
    for name, value in table.items():
        kind = type(value)
        if kind is str:
            if len(value) <= _LONGEST and value in WORDS and name not in _NAMES:
                found[_written(path) + name] = value
                table[name] = None
        elif kind is dict:
            _clear_table(value, (path, name), found)
        elif kind is list:
            _clear_list(value, (path, name), found)


def _clear_list(items: list[Any], path: Path, found: dict[str, str]) -> None:
    for index, item in enumerate(items):
        kind = type(item)
        if kind is dict:
            _clear_table(item, (path, index), found)
        elif kind is list:
            _clear_list(item, (path, index), found)


def _written(path: Path) -> str:
    """Spell a table's path, with a dot behind it."""
    text = "."
    while path is not None:
        path, step = path
        text = f"[{step}]{text}" if isinstance(step, int) else f".{step}{text}"
    return text.removeprefix(".")
