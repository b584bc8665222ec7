"""Write a tree as JSON or XML, right or as odd as the switches ask for (vendors/oracle_isr.md section 7)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

import msgspec

from streamd.simulators.oracle_isr.details import Items
from streamd.simulators.switches import Switches

_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"(?=(.{0,3}))', re.DOTALL)
_STRAIGHT = ('"session"', '"segment"')  # keys of containers that end right in the seed
_WRAPPING = ("message", "start", "end", "startTime")
_DTD = '<!DOCTYPE result [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>'


def encode_json(root: str, tree: Mapping[str, Any], faults: Switches) -> bytes:
    """Return `tree` below `root`, compact, as UTF-8."""
    text = msgspec.json.encode({root: _plain(tree, faults)}).decode("utf-8")
    if faults.has("json-curly"):
        text = _JSON_STRING.sub(_curled, text)
    return text.encode("utf-8")


def _plain(value: Any, faults: Switches) -> Any:
    """Return what JSON can say: wrapped lists, and the seed's empty last key in segments."""
    if isinstance(value, Items):
        return [_item(value.name, each, faults) for each in value.items]
    if isinstance(value, dict):
        return {name: _plain(each, faults) for name, each in value.items()}
    if faults.has("json-text"):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value


def _item(name: str, item: Any, faults: Switches) -> Any:
    plain = _plain(item, faults)
    if faults.has("json-plain"):
        return plain
    if name == "segment" and not faults.has("json-segments-wrapped"):
        return {**plain, "segment": {}}
    return {name: plain}


def _curled(found: re.Match[str]) -> str:
    """Spoil a string's last quote where the seed's sample does: before a comma, and of keys of containers."""
    text, following = found.group(), found.group(1)
    if text == '""':
        return '”"'
    opens = following[:2] in (":{", ":[") and following != ":[]" and text not in _STRAIGHT
    return f"{text[:-1]}”" if opens or following[:1] == "," else text


def encode_xml(root: str, tree: Mapping[str, Any], faults: Switches) -> bytes:
    """Return `tree` below `root` in the encoding, and with the declaration, that holds."""
    between = "\n" if faults.has("xml-pretty") else ""
    document = between.join(_element(root, tree, bool(between)))
    if faults.has("xml-dtd"):
        document = _DTD + document.replace("<message>", "<message>&c;", 1)
    declared, codec, mark = next(form for name, form in _FORMS.items() if faults.has(name))
    declaration = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    return f"{mark}{declaration}{between}{document}".encode(codec)


# The encoding that is declared, the real one, and what stands before.
_FORMS: Mapping[str, tuple[str, str, str]] = {
    "xml-declared-utf16": ("UTF-16", "utf-8", ""),
    "xml-utf8": ("UTF-8", "utf-8", ""),
    "xml-bare": ("", "utf-8", ""),
    "xml-utf16-le": ("UTF-16", "utf-16-le", "\ufeff"),
    "xml-utf16-be": ("UTF-16", "utf-16-be", "\ufeff"),
    "xml-utf16-no-bom": ("UTF-16", "utf-16-be", ""),
}


def _element(name: str, value: Any, pretty: bool) -> Iterator[str]:
    """Write one element, a piece a line where it is to be `pretty`."""
    content = list(_content(name, value, pretty))
    if content == [""] or not content:
        yield f"<{name}/>"
    elif len(content) == 1 and not isinstance(value, (dict, Items)):
        yield f"<{name}>{content[0]}</{name}>"
    else:
        yield f"<{name}>"
        yield from content
        yield f"</{name}>"


def _content(name: str, value: Any, pretty: bool) -> Iterator[str]:
    if isinstance(value, Items):
        for each in value.items:
            yield from _element(value.name, each, pretty)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _element(key, each, pretty)
    else:
        text = escape(str(value).lower() if isinstance(value, bool) else str(value))
        if pretty and name in _WRAPPING:
            text = text.replace(" ", "\n      ")
        yield f"\n      {text}\n" if pretty and text else text
