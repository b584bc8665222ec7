"""FACE's replies, told apart by their structure first (vendors/oracle_isr.md, sections 1 and 2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from msgspec import Struct

from streamd.connectors.oracle_isr.codes import Action, action
from streamd.connectors.oracle_isr.tree import read_tree
from streamd.errors import ProtocolViolation
from streamd.redaction import redacted

Tree = Mapping[str, Any]
"""A recording or a match as `tree.py` gives it, in the names that details have."""

DEFAULT_LIFE_SECONDS = 3600.0
_ENVELOPES = frozenset({"result", "response"})
_LONGEST_TEXT = 200
_DIGITS = re.compile(r"\d{1,9}")
_UCID_PREFIX = "x-isr-ucid-"
# Lists, and XML of some versions, spell what details call otherwise (section 7, 4).
_SPELT = {"from": "ani", "to": "dnis", "start": "startTime", "end": "endTime"}


class Shape(Enum):
    """What a reply to a search holds."""

    ONE = auto()
    """One recording in full."""
    LIST = auto()
    """All matches, short."""
    CUT = auto()
    """Some of the matches: there are more than may be listed."""
    NONE = auto()
    """Nothing was found."""
    ERROR = auto()
    """Neither: its code says what to do."""


class Reply(Struct, frozen=True):
    """One reply of FACE. `message` is for people; nothing branches on its words but what is said so."""

    code: int | None
    message: str = ""
    recording: Tree | None = None
    matches: tuple[Tree, ...] | None = None
    token: str | None = None
    life_seconds: float = DEFAULT_LIFE_SECONDS
    version: str | None = None

    def shape(self, asked: int) -> Shape:
        """Tell the shapes apart: a recording is one, matches are a list, else the code decides.

        A list is cut when it is as long as was asked for, or when the message names maxListLength: FACE has
        no better sign (section 2).
        """
        if self.recording is not None:
            return Shape.ONE
        if self.matches is not None:
            is_cut = len(self.matches) >= asked or "were more matches than maxListLength" in self.message
            return Shape.CUT if is_cut else Shape.LIST
        if action(self.code) in (Action.NOTHING_FOUND, Action.GO_ON):
            return Shape.NONE
        return Shape.ERROR

    def __repr__(self) -> str:
        return f"Reply({self.words})"

    @property
    def words(self) -> str:
        """Give code and message, as one has several of the other (section 6); short, without secrets."""
        return f"code {self.code} {redacted(self.message)[:_LONGEST_TEXT]}".rstrip()


def read_reply(body: bytes, *, repair_quotes: bool = False) -> Reply:
    """Read a reply of any of FACE's envelopes (section 7, 11). Raises ProtocolViolation."""
    name, inner = read_tree(body, repair_quotes=repair_quotes)
    if name not in _ENVELOPES or not isinstance(inner, dict):
        raise ProtocolViolation("a reply that is not FACE's")
    recording, matches = inner.get("recording"), inner.get("matches")
    code = inner.get("code", inner.get("Code"))
    if code is None and recording is None and matches is None and "version" not in inner:
        raise ProtocolViolation("a reply without a code")
    return Reply(
        code=_number(code),
        message=_text(inner.get("message", inner.get("Message"))) or "",
        recording=_spelt(recording, {}) if isinstance(recording, dict) else None,
        matches=tuple(_listed(each) for each in matches) if isinstance(matches, list) else None,
        token=_text(inner.get("token")),
        life_seconds=_life(inner.get("expiration")),
        version=_text(inner.get("version")),
    )


def text_of(tree: Tree, name: str) -> str | None:
    """Give a field as text, as XML has it; None where it is absent or no plain value."""
    return _text(tree.get(name))


def recording_id(tree: Tree) -> str | None:
    """Give the id of a finished recording."""
    return text_of(tree, "recordingId")


def live_id(tree: Tree) -> str | None:
    """Give the id of a running one; what field a list has it in is not known (section 10, 3)."""
    return text_of(tree, "tmpRecordingId") or text_of(tree, "recordingId")


def call_ids(tree: Tree) -> tuple[str, ...]:
    """Give what may link replies about one recording: ingressCallId, isrUcid without its prefix."""
    found = (text_of(tree, "ingressCallId"), bare_ucid(text_of(tree, "isrUcid")))
    return tuple(dict.fromkeys(each for each in found if each))


def bare_ucid(ucid: str | None) -> str | None:
    """Give an isrUcid without its prefix, which is a call id."""
    return ucid.removeprefix(_UCID_PREFIX) if ucid else ucid


def start_second(tree: Tree) -> str:
    """Give the start as the vendor writes it, to the second; details have fractions, lists none."""
    return (text_of(tree, "startTime") or "").partition(".")[0]


def segments(tree: Tree) -> list[Tree]:
    """Give the segments that are tables."""
    found = tree.get("segments")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _listed(match: Any) -> Tree:
    return _spelt(match, _SPELT) if isinstance(match, dict) else {"match": match}


def _spelt(tree: dict[str, Any], names: Mapping[str, str]) -> Tree:
    spelt = {names.get(name, name): value for name, value in tree.items()}
    parts = spelt.get("segments")
    if isinstance(parts, list):
        spelt["segments"] = [_segment(each) for each in parts]
    return spelt


def _segment(part: Any) -> Any:
    if isinstance(part, dict) and "location" in part:
        part = {**part, "locationId": part.get("locationId", part["location"])}
        del part["location"]
    return part


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return value if isinstance(value, str) else None


def _number(value: Any) -> int | None:
    text = (_text(value) or "").strip()
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None


def _life(value: Any) -> float:
    """Read `3600seconds`, `3600`, or nothing (section 1)."""
    found = _DIGITS.match(_text(value) or "")
    return float(found[0]) if found and int(found[0]) else DEFAULT_LIFE_SECONDS
