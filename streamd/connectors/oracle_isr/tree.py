"""A reply's bytes as one plain tree, whichever format and spelling it came in (section 7).

JSON and XML give the same tree: tables by field name, lists without the wrapper of each item, texts trimmed.
What is empty (`<agentId/>`, `""`, `[]`, null, `{}`) is absent. XML gives texts only: what a value means is
the reader's to say. Hostile XML is refused: no DTD, no entity, bounded depth, nothing fetched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from lxml import etree  # type: ignore[import-untyped]

from streamd.errors import ProtocolViolation
from streamd.lenient import writable

# List -> what each of its items is called.
ITEMS: Mapping[str, str] = {
    "matches": "match",
    "segments": "segment",
    "customDataSets": "customData",
    "siprecDataSets": "siprecData",
    "participants": "participant",
    "streams": "stream",
    "extensionDataSets": "extensionData",
    "values": "value",
    "dtmfDigits": "dtmfDigit",
    "supplementalFiles": "supplementalFile",
}
DEEPEST = 64
_LEAST, _MOST = -(2**63), 2**63 - 1  # of a number that can be published as one
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?")
_HTML = re.compile(r"<(!doctype\s+)?html\b", re.IGNORECASE)
_DECLARATION = re.compile(r"\s*<\?xml[^>]*\?>")
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_CURLY, _STRAIGHT = "\u201d", '"'


def read_tree(body: bytes, *, repair_quotes: bool = False) -> tuple[str, Any]:
    """Give the root's name and what is in it. Raises ProtocolViolation, never with what the body says.

    The first character decides, for errors may come as XML whatever was asked for (section 7, 13).
    `repair_quotes`: where JSON cannot be read, try again with straight quotes (section 7, 1).
    """
    text = _decoded(body).strip()
    if text.startswith("{"):
        return _from_json(text, repair_quotes=repair_quotes)
    if _HTML.match(text):
        raise ProtocolViolation("a page of HTML")
    if text.startswith("<"):
        return _from_xml(text)
    raise ProtocolViolation("an empty reply" if not text else "a reply that is neither JSON nor XML")


def _decoded(body: bytes) -> str:
    """Decode by BOM, else NUL bytes at the beginning, else as UTF-8: declarations lie (section 7, 10)."""
    encoding = "utf-8"
    for bom, named in _BOMS:
        if body.startswith(bom):
            body, encoding = body[len(bom) :], named
            break
    else:
        if 0 in body[:4]:
            encoding = "utf-16-be" if body[0] == 0 else "utf-16-le"
    try:
        return body.decode(encoding)
    except UnicodeDecodeError:
        raise ProtocolViolation(f"a reply that is not {encoding.upper()}") from None


# -- JSON


def _from_json(text: str, *, repair_quotes: bool) -> tuple[str, Any]:
    try:
        found = _loaded(text)
    except (ValueError, RecursionError):
        if not repair_quotes or _CURLY not in text:
            raise ProtocolViolation("a reply that is no JSON") from None
        return _from_json(text.replace(_CURLY, _STRAIGHT), repair_quotes=False)
    # An envelope is named as XML's root is; without one the object is what would be in it.
    if len(found) == 1:
        [(name, inner)] = found.items()
        if isinstance(inner, dict):
            return name, plain(inner)
    return "result", plain(found)


def _loaded(text: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.json.decode(text)
    except msgspec.DecodeError:
        found = _SLOW_DECODER.decode(text)
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(constant)  # NaN and Infinity are no JSON


# For what msgspec refuses and others write: half of a character, a number that no float holds.
_SLOW_DECODER = json.JSONDecoder(parse_constant=_refuse)


def plain(value: Any, name: str = "", depth: int = 0) -> Any:
    """Give a decoded JSON value without wrappers, blanks and what is empty; None: it is absent.

    `matches` alone may be an empty list, which says that nothing was found.
    """
    if depth > DEEPEST:
        raise ProtocolViolation("a reply that is nested too deeply")
    if isinstance(value, str):
        return writable(value).strip() or None
    if isinstance(value, dict | list):
        return _plain_list(value, name, depth) if name in ITEMS else _plain_inside(value, depth)
    if isinstance(value, int | float) and not _LEAST <= value <= _MOST:
        return str(value)  # NaN is refused before
    return value


def _plain_list(value: dict[str, Any] | list[Any], name: str, depth: int) -> list[Any] | None:
    item = ITEMS[name]
    items = [plain(_unwrapped(each, item), "", depth + 1) for each in _items(value, item)]
    kept = [each for each in items if each is not None]
    return kept if kept or name == "matches" else None


def _plain_inside(value: dict[str, Any] | list[Any], depth: int) -> dict[str, Any] | list[Any] | None:
    if isinstance(value, list):
        return [found for each in value if (found := plain(each, "", depth + 1)) is not None] or None
    table = {}
    for key, each in value.items():
        found = plain(each, key, depth + 1)
        if found is not None:
            table[writable(key)] = found
    return table or None


def _items(value: dict[str, Any] | list[Any], item: str) -> list[Any]:
    """Give the items of a list, also where a converter made a table of it: `{"segment": [...]}`."""
    if isinstance(value, list):
        return value
    if value.keys() == {item}:
        inner = value[item]
        return inner if isinstance(inner, list) else [inner]
    return [value] if value else []


def _unwrapped(value: Any, item: str) -> Any:
    """Take an item out of its wrapper, or the empty wrapper out of an item (segments: section 7, 3)."""
    if isinstance(value, dict) and item in value:
        if len(value) == 1:
            return value[item]
        if value[item] in ({}, "", None, []):
            return {key: each for key, each in value.items() if key != item}
    return value


# -- XML


class _Builder:
    """Builds the tree while lxml reads; a DTD ends it at once."""

    def __init__(self) -> None:
        self._open: list[tuple[str, list[tuple[str, Any]], list[str]]] = [("", [], [])]

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if len(self._open) > DEEPEST:
            raise ProtocolViolation("a reply that is nested too deeply")
        self._open.append((tag.rpartition("}")[2], [], []))

    def data(self, text: str) -> None:
        self._open[-1][2].append(text)

    def end(self, tag: str) -> None:
        name, children, texts = self._open.pop()
        self._open[-1][1].append((name, _element(name, children, _trimmed("".join(texts)))))

    def doctype(self, *declared: Any) -> None:
        raise ProtocolViolation("a reply with a DTD")

    def close(self) -> list[tuple[str, Any]]:
        return self._open[0][1]


def _trimmed(text: str) -> str:
    """Take blanks off the ends, and line breaks out of a time (Oracle's own sample has one there)."""
    folded = " ".join(text.split())
    return folded if _TIME.fullmatch(folded) else text.strip()


def _element(name: str, children: list[tuple[str, Any]], text: str) -> Any:
    if name in ITEMS:
        found = [each for _, each in children if each is not None]
        return found if found or name == "matches" else None
    if not children:
        return text or None
    table: dict[str, Any] = {}
    for child, value in children:
        if value is None:
            continue
        if child in table and child not in ITEMS:  # repeated without a list around it
            before = table[child]
            table[child] = [*before, value] if isinstance(before, list) else [before, value]
        else:
            table[child] = value
    return table or None


def _from_xml(text: str) -> tuple[str, Any]:
    parser = etree.XMLParser(
        target=_Builder(), resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False
    )
    try:
        # As text without its declaration: the encoding there is wrong (section 7, 10).
        [(name, inner)] = _fed(parser, _DECLARATION.sub("", text, count=1))
    except (etree.XMLSyntaxError, ValueError):
        raise ProtocolViolation("a reply that is no XML") from None
    return name, inner


def _fed(parser: Any, text: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = etree.fromstring(text, parser)
    return found
