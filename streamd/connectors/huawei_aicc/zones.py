"""Tenant wall time to UTC and back (vendors/huawei_aicc.md, sections 2, 5 and 6); pure.

CC-FS writes times without a zone. A window is asked for in the zone of the tenant space (`request_zone`, S);
rows are read in `row_zone`, for which no document has a word.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

_SECOND = timedelta(seconds=1)
_WALL = "%Y-%m-%d %H:%M:%S"
_HOUR_CHARACTERS = len("2024-05-01 00")
_SHORTEST = len("2024-05-01 00:00:00")
_SLACK = timedelta(minutes=1)  # by which a call's epoch may be later than its first row's begin
_QUARTER, _NEAR = timedelta(minutes=15), timedelta(seconds=90)
_MOST_KEPT = 4096


class Asked(Struct, frozen=True):
    """A window in wall time, and until when it holds all that there is, whichever way it is read."""

    begin: str
    end: str
    covered: datetime


def ask(begin: datetime, end: datetime, zone: ZoneInfo, *, within_repeated: bool = True) -> Asked:
    """Render a window of UTC instants for `queryBillData`.

    In the hour that is repeated when clocks go back a wall time has two readings, and which is the server's
    nobody knows. So a begin in it is moved to before it; an end in it stands, and only what its earlier
    reading covers counts. With `within_repeated` false the end is moved to before it as well: the server
    may take the later reading, and refuse it as later than its now.
    """
    begin = begin.replace(microsecond=0)
    if _ambiguity(begin, zone):
        begin = _before_repeated(begin, zone)
    end = end.replace(microsecond=0)
    twice = _ambiguity(end, zone)
    if twice and not within_repeated:
        end, twice = _before_repeated(end, zone), timedelta(0)
    covered = end - twice if end.astimezone(zone).fold else end
    return Asked(_render(begin, zone), _render(end, zone), covered)


def is_repeated(at: datetime, zone: ZoneInfo) -> bool:
    """Tell whether the wall time of an instant is one that clocks show twice."""
    return bool(_ambiguity(at, zone))


def _render(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).strftime(_WALL)


def _ambiguity(at: datetime, zone: ZoneInfo) -> timedelta:
    """Give by how much the two readings of this instant's wall time differ; 0 where there is one."""
    wall = at.astimezone(zone)
    first, second = (wall.replace(fold=fold).utcoffset() for fold in (0, 1))
    assert first is not None
    assert second is not None
    return first - second


def _before_repeated(at: datetime, zone: ZoneInfo) -> datetime:
    """Give the last second before the first pass of the repeated hour that `at` is in."""
    wall = at.astimezone(zone)
    first = wall.replace(fold=0).astimezone(UTC)
    # The transition is where the first pass ends: the wall time that is read twice begins that much earlier.
    low, high = first, first + _ambiguity(at, zone)
    while high - low > _SECOND:
        middle = low + (high - low) // 2
        low, high = (low, middle) if middle.astimezone(zone).fold else (middle, high)
    return high.replace(microsecond=0) - _ambiguity(at, zone) - _SECOND


class Reader:
    """Reads the times of rows. Hours are looked up once, for a zone costs ten times what the rest does; and
    so are times, for each leg of a call begins when another ends."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._offsets: dict[str, timedelta] = {}
        self._known: dict[str, datetime] = {}

    def read(self, text: str, epoch: datetime | None = None) -> datetime | None:
        """Give a row's time in UTC; None for what is no time.

        `epoch` is when the row's call began. In the repeated hour it decides: a time is the first reading,
        unless that lies before the call.
        """
        at = self._known.get(text)
        if at is not None:
            return at
        if len(text) < _SHORTEST or text[4] != "-" or text[10] not in " T":
            return None
        offset = self._offsets.get(text[:_HOUR_CHARACTERS])
        try:
            if offset is not None and len(text) == _SHORTEST:
                at = datetime.fromisoformat(f"{text}Z") - offset
            else:
                return self._read_oddly(text, datetime.fromisoformat(text), epoch)
        except ValueError:
            return None
        if len(self._known) >= _MOST_KEPT:
            self._known.clear()
        self._known[text] = at
        return at

    def _read_oddly(self, text: str, wall: datetime, epoch: datetime | None) -> datetime | None:
        if wall.tzinfo is None:
            self._learn(text[:_HOUR_CHARACTERS], wall)
            wall = wall.replace(tzinfo=self._zone)
        try:
            at = wall.astimezone(UTC)
            if epoch is not None and at < epoch - _SLACK:
                at = max(at, wall.replace(fold=1).astimezone(UTC))
        except (OverflowError, ValueError):  # the years 1 and 9999 have no room for a zone
            return None
        return at

    def _learn(self, hour: str, wall: datetime) -> None:
        """Remember the offset of an hour in which it does not change."""
        if len(self._offsets) >= _MOST_KEPT:
            self._offsets.clear()
        begin = wall.replace(minute=0, second=0, microsecond=0, tzinfo=self._zone)
        try:
            offsets = {
                (begin + timedelta(minutes=minutes)).replace(fold=fold).utcoffset()
                for minutes in (0, 15, 30, 45, 59)
                for fold in (0, 1)
            }
            begin.astimezone(UTC) - timedelta(days=1)
            begin.astimezone(UTC) + timedelta(days=1)
        except (OverflowError, ValueError):
            offsets = set()
        offset = offsets.pop() if len(offsets) == 1 else None
        if offset is not None:
            self._offsets[hour] = offset


def epoch_of(call_id: str) -> datetime | None:
    """Give when a call began by its id; None where that does not tell."""
    second = epoch_second(call_id)
    return None if second is None else datetime.fromtimestamp(second, UTC)


def epoch_second(call_id: str) -> int | None:
    """Give what stands before "-" in a call id: the epoch second of its begin (section 5, I from P6)."""
    digits, dash, _ = call_id.partition("-")
    is_second = dash and len(digits) == 10 and digits.isascii() and digits.isdigit()
    return int(digits) if is_second else None


def zone_error(apart: timedelta) -> timedelta | None:
    """Give the difference of zones that explains how far apart two times are: a near-multiple of 15 minutes.

    Zero where they agree; None where no zone explains it.
    """
    near = round(apart / _QUARTER) * _QUARTER
    return near if abs(apart - near) <= _NEAR else None
