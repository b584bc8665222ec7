"""Tell the borders of the records in a body that is no JSON because of one of them. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

# What stands between two brackets, with whole strings, or a bracket. A lone quote is a string without an end.
_TOKEN = re.compile(rb'(?:"(?:[^"\\]++|\\.)*+"|[^"\[\]{}])++|["\[\]{}]', re.DOTALL)
_KEY = re.compile(rb'(?<!\\)"messages"\s*:\s*\Z')
_OPENS = {b"]": b"[", b"}": b"{"}


class Cut(NamedTuple):
    """What each item of an array holds as it came, and the text around the array with it empty."""

    records: list[bytes]
    frame: bytes


def cut_messages(body: bytes) -> Cut | None:
    """Cut `messages` out of an envelope; None where borders cannot be told."""
    depth, before = 0, b""
    for token in _TOKEN.finditer(body):
        text = token[0]
        if text == b"[" and depth == 1 and _KEY.search(before):
            return cut_array(body, token.start())
        depth += (text in (b"[", b"{")) - (text in _OPENS)
        before = text
    return None


def cut_array(body: bytes, begin: int) -> Cut | None:
    """Cut the array whose bracket is at `begin`; None where an item has two objects, or not all is closed."""
    records: list[bytes] = []
    opened: list[bytes] = []
    objects, after = 0, begin + 1
    for token in _TOKEN.finditer(body, begin):
        text = token[0]
        ends: list[int] = []
        if text in (b"[", b"{"):
            objects += len(opened) == 1
            opened.append(text)
        elif text in _OPENS:
            if opened.pop() != _OPENS[text]:
                return None
            if not opened and (records or body[after : token.start()].strip()):
                ends = [token.start()]
        elif text == b'"' or (len(opened) == 1 and b'"' in text):
            return None
        elif len(opened) == 1:
            ends = [token.start() + comma.start() for comma in re.finditer(b",", text)]
        for end in ends:
            if objects > 1:
                return None
            records.append(body[after:end].strip())
            objects, after = 0, end + 1
        if not opened:
            return Cut(records, body[: begin + 1] + body[token.start() :])
    return None
