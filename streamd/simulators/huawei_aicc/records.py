"""Keep every row that the call centre wrote, with what it said when and how often that was handed out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import NamedTuple

from msgspec import Struct

from streamd.simulators.huawei_aicc.times import wall
from streamd.simulators.huawei_aicc.vocabulary import CALL, COLUMNS

Value = str | int
"""A field: text, or the epoch second of a time."""


class Identity(NamedTuple):
    """What tells one row from all others: `part` is a CDR's call_id_num, a recording's original_file_name."""

    kind: str
    cc_id: str
    call_id: str
    part: str


class Version(Struct, gc=False):
    """What a row says from `visible_at` on; `exported` counts zips that left with it, whole and sound."""

    visible_at: float
    values: Sequence[Value]
    exported: int = 0


class Row(Struct, gc=False):
    """One row; `kind` is ``call`` or ``record``, `begin` and `end` its first and last time (epoch)."""

    number: int
    kind: str
    begin: int
    end: int
    versions: list[Version]

    @property
    def identity(self) -> Identity:
        """Name the row as its newest version does; only a renumbered one ever had another name."""
        return self.identity_of(self.versions[-1])

    def identity_of(self, version: Version) -> Identity:
        return identify(self.kind, self.columns(version))

    def columns(self, version: Version) -> dict[str, Value]:
        return dict(zip(COLUMNS[self.kind], version.values, strict=True))

    def spelt(self, version: Version, zone: tzinfo) -> dict[str, str]:
        """Return what the version says, by column, as a file in `zone` spells it."""
        return dict(zip(COLUMNS[self.kind], spell_values(version.values, zone), strict=True))

    def seen_at(self, at: float) -> int | None:
        """Return which version is to be seen at an instant; None: not even the first."""
        seen = [place for place, each in enumerate(self.versions) if each.visible_at <= at]
        return seen[-1] if seen else None


def identify(kind: str, columns: Mapping[str, Value]) -> Identity:
    """Return the identity of a row of a file, by its columns."""
    part = columns["call_id_num" if kind == CALL else "original_file_name"]
    return Identity(kind, str(columns["cc_id"]), str(columns["call_id"]), str(part))


def spell_values(values: Sequence[Value], zone: tzinfo) -> list[str]:
    return [wall(each, zone) if isinstance(each, int) else each for each in values]


class Picked(NamedTuple):
    """A row and which of its versions."""

    row: Row
    version: int


class Rows:
    """All rows, by number from 0; `count` counts also those that are not kept."""

    def __init__(self, keep: bool) -> None:
        self.all: list[Row] = []
        self.count = 0
        self._keep = keep

    def add(self, row: Row) -> None:
        self.count += 1
        if self._keep:
            self.all.append(row)
