"""Spell the platform's times."""

from __future__ import annotations

from datetime import UTC, datetime


def floor_hour(seconds: float) -> float:
    return seconds - seconds % 3600


def spell(seconds: float, digits: float = -1) -> str:
    """Return an RFC 3339 instant, with so many fraction digits; -1: up to six, as few as needed."""
    micros = round(seconds * 1_000_000)
    text = datetime.fromtimestamp(micros // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{micros % 1_000_000:06d}"
    fraction = fraction.rstrip("0") if digits < 0 else fraction[: int(digits)]
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"
