"""Keep what may not leave the building out of a vendor's message, before anything else sees it.

A rule's path names fields in the vendor's spelling, dots between, `[]` behind a name for every item of the
list there: `measures.agentLoginId`, `kvps[].value`. A path that leads nowhere in a message does nothing. Mask
and hash turn each value at the path into a string; of a table or a list there, each value in it, so that
its shape and the names of its fields stay.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import msgspec

from streamd.config import PrivacyConfig

MASK: Final = "***"
HASH_LENGTH: Final = 32
EACH: Final = "[]"
# No vendor nests deeper. What does is masked whole, before Python's own stack gives out.
DEEPEST: Final = 64
_SEGMENT = re.compile(r"(?P<name>[^\[\].]*)(?P<each>(?:\[\])*)")

Path = tuple[str, ...]
Change = Callable[[Any], Any]


class _Rule(NamedTuple):
    """What to do at a path; `change` None removes the field."""

    path: Path
    change: Change | None


def parse(path: str) -> Path:
    """Read `a.b[].c` as `("a", "b", "[]", "c")`. Raises ValueError that says what is allowed."""
    steps: list[str] = []
    for index, written in enumerate(path.split(".")):
        segment = _SEGMENT.fullmatch(written)
        # Only the whole message may be a list without a name.
        if segment is None or not (segment["name"] or (index == 0 and segment["each"])):
            raise ValueError("must be names with dots between, [] behind one for every item of a list")
        steps += [segment["name"]] if segment["name"] else []
        steps += [EACH] * (len(segment["each"]) // 2)
    return tuple(steps)


class Privacy:
    """The compiled rules of one connector. Where several rules meet, drop wins over mask, mask over hash."""

    def __init__(self, config: PrivacyConfig) -> None:
        rules = config.all_rules()
        key = config.hash_key.reveal().encode() if config.hash_key is not None else b""
        self._rules = (
            *_compiled(rules.hash, lambda value: _each_leaf(value, lambda leaf: hashed(leaf, key))),
            *_compiled(rules.mask, lambda value: _each_leaf(value, _masked)),
            *_compiled(rules.drop, None),
        )

    @property
    def rules(self) -> bool:
        """Tell whether there is any rule: if not, nothing has to be decoded for privacy's sake."""
        return bool(self._rules)

    def apply(self, value: Any) -> Any:
        """Give the message (dicts and lists, as decoded) as the rules leave it; it itself is not altered."""
        for path, change in self._rules:
            value = _applied(value, path, change)
        return value

    def for_field(self, *names: str) -> Callable[[Any], Any] | None:
        """Give what the rules do below one field, for a message that is decoded into a Struct.

        The function takes that field's value (not altered) and gives it as the rules leave it; a dropped
        table or list is an empty one, anything else None. None instead: no rule is about the field.
        """
        below: list[_Rule] = []
        for path, change in self._rules:
            if path[: len(names)] == names:
                below.append(_Rule(path[len(names) :], change))
            elif names[: len(path)] == path:
                below.append(_Rule((), change))
        if not below:
            return None
        rules = tuple(below)

        def apply(value: Any) -> Any:
            for path, change in rules:
                value = _applied(value, path, change)
            return value

        return apply


def _compiled(paths: Iterable[str], change: Change | None) -> Iterable[_Rule]:
    return [_Rule(parse(path), change) for path in paths]


def _applied(value: Any, path: Path, change: Change | None) -> Any:
    """Copy what lies on the way to the path's end; the rest of the message is shared with the original."""
    if not path:
        return change(value) if change is not None else _empty(value)
    step, rest = path[0], path[1:]
    if step == EACH:
        if not isinstance(value, list):
            return value
        return [_applied(item, rest, change) for item in value] if rest or change is not None else []
    if not isinstance(value, dict) or step not in value:
        return value
    if rest or change is not None:
        return {**value, step: _applied(value[step], rest, change)}
    return {name: each for name, each in value.items() if name != step}


def _empty(value: Any) -> Any:
    return type(value)() if isinstance(value, dict | list) else None


def _each_leaf(value: Any, change: Change, depth: int = 0) -> Any:
    if not isinstance(value, dict | list):
        return change(value)
    if depth == DEEPEST:
        return MASK
    if isinstance(value, dict):
        return {name: _each_leaf(each, change, depth + 1) for name, each in value.items()}
    return [_each_leaf(each, change, depth + 1) for each in value]


def _masked(value: Any) -> str | None:
    return None if value is None else MASK


def hashed(value: Any, key: bytes) -> str | None:
    """Give 32 hex digits of HMAC-SHA256: the same for the same value and key. Nothing stays nothing.

    Text is hashed as its UTF-8 bytes, so that a login hashes alike wherever it stands; anything else as
    its JSON.
    """
    if value is None:
        return None
    content = value.encode(errors="surrogatepass") if isinstance(value, str) else msgspec.json.encode(value)
    return hmac.digest(key, content, "sha256").hex()[:HASH_LENGTH]
