"""Plan batch exports so that no limit of the platform is tripped over. Pure.

Source: vendors/omilia.md section 4: whole hours, 1 to 48 of them, not the last two, 60 days back, names of
letters, digits and hyphens. Times are the platform's (`Exports.server`), aware, UTC.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Literal

from streamd.pull.windows import Window, ceil_hour, floor_hour

HOUR = timedelta(hours=1)
LONGEST = 48 * HOUR
NOT_YET = 2 * HOUR
"""What is younger cannot be exported."""
RETENTION = timedelta(days=60)
_IN_HAND = timedelta(minutes=10)  # between the plan and the request the oldest hour must not grow too old
LONGEST_CALL = 6 * HOUR
"""Ends of calls that last longer may be missed by an export."""
KEPT = 23 * HOUR
"""For how long after our first sight of READY an export is used; the platform keeps it for a day."""

TypesStyle = Literal["legacy", "v2"]
# The two spellings of what can be exported (section 4). `Dialog Data` is all three of the legacy ones.
_LEGACY = {"dialog_start": "Dialog Start", "dialog_step": "Dialog Step", "dialog_end": "Dialog End"}
_DIALOGS = frozenset(_LEGACY)


def hours_of(missed: Window, data_type: str) -> Window:
    """Give the hours to be exported for what was missed, an hour more on either side.

    Whether an hour of an export goes by a record's start, its end or its arrival is not documented: ends that
    were missed may stand in the hour in which their call began.
    """
    before = LONGEST_CALL if data_type == "dialog_end" else HOUR
    return Window(floor_hour(missed.begin) - before, ceil_hour(missed.end) + HOUR)


def askable(server_now: datetime) -> Window:
    """Give the hours that can be exported now."""
    return Window(ceil_hour(server_now - RETENTION + _IN_HAND), floor_hour(server_now - NOT_YET))


def types_of(message_types: Collection[str], style: TypesStyle) -> list[str]:
    """Spell what is to be exported. What the legacy style has no word for cannot be exported with it: []."""
    if style == "v2":
        return sorted("audit" if each == "audit_events" else each for each in message_types)
    if set(message_types) >= _DIALOGS:
        return ["Dialog Data"]
    return [_LEGACY[each] for each in sorted(message_types) if each in _LEGACY]


def unspelt(message_types: Collection[str], style: TypesStyle) -> list[str]:
    """Give those that `types_of` has no word for."""
    return [each for each in message_types if style == "legacy" and each not in _LEGACY]


def stem_of(errand: str, window: Window) -> str:
    """Name the exports of one slice of an errand, but for the number of the try: the same after a restart.

    The name's pattern can be read in two ways; letters, digits and hyphens satisfy both.
    """
    digest = hashlib.sha256(errand.encode()).hexdigest()[:8]
    return f"sd-{digest}-{window.begin:%Y%m%dT%H%M}-{window.end:%Y%m%dT%H%M}"


def name_of(stem: str, attempt: int) -> str:
    """Name one export."""
    return f"{stem}-a{attempt}"


def attempt_of(stem: str, name: str) -> int | None:
    """Read the number of the try from an export's name; None when it is not of this stem."""
    head, _, number = name.rpartition("-a")
    return int(number) if head == stem and number.isascii() and number.isdigit() else None
