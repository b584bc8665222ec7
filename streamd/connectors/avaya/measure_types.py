"""What Avaya's catalogue says about measures, and how their texts become typed values.

Source: Analytics Producer Management 1.0.1 (P:prod). The catalogue only types what is named in it; the
stream is never checked against it, for names and keys differ in the wild (contract, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from streamd.connectors.avaya.rest import read_body, read_list

Typed = int | float | str | None
Convert = Callable[[str], Typed]

_LONGEST_NUMBER = 40
_MAX_REMEMBERED = 4096
_MAX_PLANS = 256


class Conversions(dict[str, Typed | UnsetType]):
    """What texts convert to, remembered: counters repeat themselves, and a lookup is all that most cost."""

    def __init__(self, convert: Convert) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, text: str) -> Typed | UnsetType:
        if len(text) > _LONGEST_NUMBER:
            return UNSET
        if len(self) >= _MAX_REMEMBERED:
            self.clear()
        try:
            value: Typed | UnsetType = self._convert(text)
        except ValueError:
            value = UNSET
        self[text] = value
        return value


class Measure(Struct):
    """One measure of a set."""

    name: str
    type: str = "STRING"


class MeasureSet(Struct):
    """Measures that share their key names."""

    measures: list[Measure] = field(default_factory=list)


class Producer(Struct, rename="camel"):
    """A measure producer; the list call leaves the measure sets out."""

    measure_producer_id: str
    measure_sets: list[MeasureSet] = field(default_factory=list)


_decode_producer = msgspec.json.Decoder(Producer).decode


def read_producer(body: bytes) -> Producer:
    """Read one producer of the catalogue; raises ProtocolViolation."""
    return read_body(_decode_producer, body, "the catalogue's producer")


def read_producer_ids(body: bytes) -> list[str]:
    """Read the ids of a list of producers; raises ProtocolViolation."""
    return [producer.measure_producer_id for producer in read_list(Producer, body, "the catalogue")]


class Typing:
    """The typed measures of one producer, compiled from its catalogue entry; empty until that is known.

    Which names of a message have a type is remembered by the names: messages of a producer share them.
    """

    def __init__(self, sets: Iterable[MeasureSet] = ()) -> None:
        conversions = {name: Conversions(convert) for name, convert in _CONVERTERS.items()}
        self._conversions = {
            measure.name: conversions[measure.type]
            for one in sets
            for measure in one.measures
            if measure.type in conversions
        }
        self._plans: dict[tuple[str, ...], list[tuple[str, Conversions]]] = {}

    def typed(self, measures: Mapping[str, str]) -> dict[str, Typed]:
        """Give the typed copy: numbers, and instants as RFC 3339.

        A text that does not convert is left out; the raw text always stands beside. STRING needs no copy.
        DURATION and DATE are left out too: their unit and format are not known (contract, section 3).
        """
        if not self._conversions:
            return {}
        names = tuple(measures)
        plan = self._plans.get(names)
        if plan is None:
            plan = self._planned(names)
        typed: dict[str, Typed] = {}
        for name, conversions in plan:
            value = conversions[measures[name]]
            if value is not UNSET:
                typed[name] = value
        return typed

    def _planned(self, names: tuple[str, ...]) -> list[tuple[str, Conversions]]:
        if len(self._plans) >= _MAX_PLANS:
            self._plans.clear()
        typed = [(name, self._conversions[name]) for name in names if name in self._conversions]
        self._plans[names] = typed
        return typed

    def __repr__(self) -> str:
        return f"Typing({len(self._conversions)} measures)"


def _number(text: str) -> int | float:
    # int() and float() take more than Avaya would call a number: blanks, underscores, other digits, "nan".
    if not text.isascii() or "_" in text or text != text.strip():
        raise ValueError("no number")
    try:
        return int(text)
    except ValueError:
        number = float(text)
    if not isfinite(number):
        raise ValueError("no number")
    return number


def _instant(text: str) -> str | None:
    """Turn TIME_IN_STATE, an epoch in milliseconds, into RFC 3339; "0" is "not in that state".

    Avaya sends when the state began, not how long it lasts; the zone is UTC as for any epoch.
    """
    if not text.isascii() or not text.isdigit():
        raise ValueError("no epoch in milliseconds")
    milliseconds = int(text)
    if milliseconds == 0:
        return None
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(_MAX_REMEMBERED)
def _second(seconds: int) -> str:
    try:
        began = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError) as error:
        raise ValueError("beyond the calendar") from error
    return began.isoformat(timespec="seconds").removesuffix("+00:00")


_CONVERTERS: Mapping[str, Convert] = {"NUMBER": _number, "TIME_IN_STATE": _instant}
