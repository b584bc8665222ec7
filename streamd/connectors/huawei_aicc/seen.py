"""Which rows were published, and as what: the seen set, kept in the keyed state by call (section 6)."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from streamd.connectors.huawei_aicc.normalise import CONTENT_BYTES, KEY_BYTES, Fact
from streamd.connectors.huawei_aicc.zones import epoch_second
from streamd.errors import BadRecord

StatesOf = Callable[[Sequence[str]], Mapping[str, bytes]]
PREFIX: Final = "seen/"
SLICES: Final = 256
"""Parts in which the whole set is looked through, so that none of them takes long."""
_SECONDS_BITS = 10  # of a call's begin: calls of 17 minutes are in one slice, in their order
_HEAD = struct.Struct("<I")  # epoch second at which the export was asked for that changed it last
_ENTRY = struct.Struct(f"<{KEY_BYTES}s{CONTENT_BYTES}sHI")  # key, content, revision, epoch second asked at
_MOST_REVISION = 0xFFFF
_BAD, _NO_CONTENT = b"bad".ljust(KEY_BYTES, b"\0"), bytes(CONTENT_BYTES)


class Sight(Struct, gc=False):
    """As what a row was published last: its content, the revision, and when that export was asked for."""

    content: bytes
    revision: int
    asked_at: int


class Seen:
    """The seen set while one batch of rows is judged: `changes` are to be committed with what is new in it.

    `states_of` looks names of the keyed state up; what the batch before has changed must be committed.
    `asked_at`: when the export was asked for, by the server's clock where it tells one.
    """

    def __init__(self, states_of: StatesOf, asked_at: datetime) -> None:
        self._states_of = states_of
        self._asked_at = int(asked_at.timestamp())
        self._calls: dict[str, dict[bytes, Sight]] = {}
        self._changed: set[str] = set()

    def news(self, facts: Sequence[Fact]) -> Iterator[tuple[Fact, int]]:
        """Give the rows that are new or have changed, with their revision."""
        names = {call: _name(call) for call in {fact.call for fact in facts}}
        self._look_up(names.values())
        for fact in facts:
            revision = self._revision(names[fact.call], fact.key, fact.content)
            if revision:
                yield fact, revision

    def bad_news(self, bad: Sequence[BadRecord]) -> Iterator[BadRecord]:
        """Give what cannot be understood and is seen for the first time: each export has it again."""
        names = [_name(hashlib.sha256(each.payload).hexdigest()) for each in bad]
        self._look_up(names)
        for name, each in zip(names, bad, strict=True):
            if self._revision(name, _BAD, _NO_CONTENT):
                yield each

    @property
    def changes(self) -> Mapping[str, bytes]:
        """Give what the keyed state has to take."""
        return {name: _packed(self._calls[name], self._asked_at) for name in self._changed}

    def _look_up(self, names: Iterable[str]) -> None:
        wanted = [name for name in dict.fromkeys(names) if name not in self._calls]
        known = self._states_of(wanted)
        for name in wanted:
            self._calls[name] = _unpacked(known.get(name))

    def _revision(self, name: str, key: bytes, content: bytes) -> int:
        """Give the revision under which to publish a row; 0 where nothing is new.

        What an older export says of a row that a newer one has shown otherwise already is no change.
        """
        sights = self._calls[name]
        sight = sights.get(key)
        if sight is not None and (sight.content == content or self._asked_at < sight.asked_at):
            return 0
        revision = 1 if sight is None else min(sight.revision + 1, _MOST_REVISION)
        sights[key] = Sight(content, revision, self._asked_at)
        self._changed.add(name)
        return revision


def slice_prefix(number: int) -> str:
    """Give what the names in one slice of the set begin with."""
    return f"{PREFIX}{number % SLICES:02x}"


def stale(entries: Mapping[str, bytes], now: datetime, keep: timedelta) -> list[str]:
    """Give the names that have not changed for so long that no window reaches their rows any more."""
    oldest = (now - keep).timestamp()
    return [name for name, value in entries.items() if _HEAD.unpack_from(value)[0] < oldest]


def _name(call: str) -> str:
    """Name a call so that calls which begin together stand together; two hexadecimal digits are the slice.

    So a batch changes few pages of the spool: by hashes alone as many as it has calls.
    """
    digest = hashlib.sha256(call.encode(errors="surrogatepass")).hexdigest()
    second = epoch_second(call.rpartition("|")[2])
    if second is None:
        return f"{PREFIX}{digest[:22]}"
    part, within = divmod(second, 1 << _SECONDS_BITS)
    return f"{PREFIX}{part % SLICES:02x}{within:03x}{digest[:17]}"


def _packed(sights: Mapping[bytes, Sight], asked_at: int) -> bytes:
    entries = (
        _ENTRY.pack(key, sight.content, sight.revision, sight.asked_at) for key, sight in sights.items()
    )
    return _HEAD.pack(asked_at) + b"".join(entries)


def _unpacked(value: bytes | None) -> dict[bytes, Sight]:
    if value is None:
        return {}
    entries = _ENTRY.iter_unpack(value[_HEAD.size :])
    return {key: Sight(content, revision, asked_at) for key, content, revision, asked_at in entries}
