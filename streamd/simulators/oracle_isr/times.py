"""Read and write times as FACE does: no zone, seconds in lists, one to three more digits in details."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo

_TEXT = re.compile(r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,3}))?")


def millis(seconds: float) -> float:
    """Return epoch seconds cut to what the recorder keeps: whole milliseconds."""
    return round(seconds, 3)


def spell_second(at: float, zone: tzinfo) -> str:
    """Return a time as lists have it."""
    return datetime.fromtimestamp(int(at), UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def spell(at: float, zone: tzinfo) -> str:
    """Return a time as details have it: `.0`, `.21`, `.923`."""
    whole, fraction = divmod(round(at * 1000), 1000)
    digits = f"{fraction:03d}".rstrip("0") or "0"
    return f"{spell_second(whole, zone)}.{digits}"


def read(text: str, zone: tzinfo) -> float:
    """Return epoch seconds; raise ValueError for what FACE would not understand."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(text)
    *whole, fraction = found.groups()
    moment = datetime(*map(int, whole), tzinfo=zone)  # type: ignore[misc,arg-type]
    return millis(moment.timestamp() + float(f"0.{fraction or 0}"))
