"""Keep secrets out of every text that streamd prints."""

from __future__ import annotations

import re
from collections import deque
from datetime import datetime
from urllib.parse import quote

STARS = "***"
# Shorter than this, replacing a secret everywhere would shred the log and protect nobody.
SHORTEST = 4
# Tokens come and go while the daemon runs for months; one that old is long expired.
PASSING = 64
LONGEST_TEXT = 8192
DEEPEST = 10

# What looks like a secret wherever it stands: userinfo and telling parameters of a URL, a bearer token.
_LOOKS_SECRET = re.compile(
    r"(?P<userinfo>(?<=://)[^/\s@?#]+(?=@))"
    r"|(?P<parameter>(?<=[?&])[\w.-]*(?:token|secret|passw|signature|sig|key)[\w.-]*=)[^&\s#\"']+"
    r"|(?P<scheme>\b(?:Bearer|Basic)\s+)[\w.~+/=-]{8,}",
    re.IGNORECASE,
)

_lasting: set[str] = set()
_passing: deque[str] = deque(maxlen=PASSING)
# Longest first: one secret may be part of another. Plain searches, because compiling a pattern of some JWTs
# would hold up the loop for milliseconds at each refresh.
_known: tuple[str, ...] = ()


def redact(text: str, *, passing: bool = False) -> None:
    """Have `text` replaced by stars from now on, also where it stands percent-encoded.

    `passing` is for tokens that expire by themselves: only the latest 64 are remembered.
    """
    global _known
    for spelling in {text, quote(text, safe="")}:
        if len(spelling) < SHORTEST or spelling in _lasting or spelling in _passing:
            continue
        if passing:
            _passing.append(spelling)
        else:
            _lasting.add(spelling)
    _known = tuple(sorted({*_lasting, *_passing}, key=len, reverse=True))


def redacted(text: str) -> str:
    """Give the text with known secrets, and what looks like one, as stars."""
    for secret in _known:
        if secret in text:
            text = text.replace(secret, STARS)
    if "://" in text or "?" in text or "earer " in text or "asic " in text:
        text = _LOOKS_SECRET.sub(_hide, text)
    return text


def redacted_bytes(data: bytes) -> bytes:
    """Give what came from outside with known secrets as stars: a vendor may send back what it was sent."""
    for secret in _known:
        data = data.replace(secret.encode(), STARS.encode())
    return data


def _hide(found: re.Match[str]) -> str:
    return (found["parameter"] or found["scheme"] or "") + STARS


def cleaned(value: object, depth: int = 0) -> object:
    """Give a value of a log line as plain JSON values without secrets, long texts cut short.

    What is no plain value (a Struct of the configuration, an exception) stands as its `repr`, in which a
    `Secret` prints as stars; msgspec would encode its text.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _cut(redacted(value))
    if depth < DEEPEST and isinstance(value, dict):
        return {_cut(redacted(str(name))): cleaned(each, depth + 1) for name, each in value.items()}
    if depth < DEEPEST and isinstance(value, list | tuple | set | frozenset):
        return [cleaned(each, depth + 1) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return _cut(redacted(repr(value)))


def _cut(text: str) -> str:
    # A lone surrogate, from a file name for example, cannot be written as UTF-8.
    text = text if text.isascii() else text.encode("utf-8", "replace").decode()
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
