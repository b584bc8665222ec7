"""Remember durably which records were published, so that an export can be compared with them.

The keys of `Remembered`, 64 bits of each id, stand in append-only files by the hour of the record. They are
written after the commit and without fsync: what a power cut takes away is published once more, under the same
id. Of a million records within an hour one in 10^13 would be taken for another that is known.
"""

from __future__ import annotations

import uuid
from array import array
from collections import OrderedDict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from streamd.connector import Context
from streamd.connectors.omilia.config import OmiliaConfig

KEPT_DAYS = 14
"""For how long back it is known what was published; beyond, an export repeats what it finds, by its id."""
_BYTES = 8  # of one key in a file
_LOADED_HOURS = 6
_STATE = "evidence"


class Evidence:
    """The keys of one connector's records, in `ids/` of its directory. They count only for the spool they
    were written beside: with a new one they begin anew."""

    def __init__(self, ctx: Context[OmiliaConfig]) -> None:
        self._ctx = ctx
        self._home = ctx.directory() / "ids"
        self._loaded: OrderedDict[str, set[int]] = OrderedDict()
        self._pruned = ""

    async def open(self) -> None:
        """Make the directory ready, and forget what is too old or of another spool."""
        self._home.mkdir(mode=0o700, exist_ok=True)
        token = self._ctx.state(_STATE)
        if token is None:
            token = uuid.uuid4().hex.encode()
            await self._ctx.append([], {_STATE: token})
        mark = self._home / "spool"
        if not mark.exists() or mark.read_bytes() != token:
            for file in self._home.iterdir():
                file.unlink()
            mark.write_bytes(token)
        self._prune()

    def _prune(self) -> None:
        """Delete the files that are too old, once an hour."""
        now = self._ctx.clock.now()
        if self._pruned == _hour(now):
            return
        self._pruned = _hour(now)
        oldest = _hour(now - timedelta(days=KEPT_DAYS))
        for file in self._home.iterdir():
            if file.name.isdigit() and file.name < oldest:
                file.unlink()

    def holds(self, key: int, at: datetime) -> bool:
        """Tell whether a record of this key and time was published."""
        return key in self._keys(_hour(at))

    def note(self, records: Iterable[tuple[int, datetime]]) -> None:
        """Remember records, by key and time, that were committed."""
        fresh: dict[str, array[int]] = {}
        for key, at in records:
            fresh.setdefault(_hour(at), array("Q")).append(key)
        for hour, keys in fresh.items():
            if hour in self._loaded:
                self._loaded[hour].update(keys)
            with Path(self._home, hour).open("ab", buffering=0) as file:
                file.write(keys.tobytes())
        self._prune()

    def _keys(self, hour: str) -> set[int]:
        found = self._loaded.get(hour)
        if found is None:
            found = self._loaded[hour] = _read(self._home / hour)
            if len(self._loaded) > _LOADED_HOURS:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(hour)
        return found


def _read(file: Path) -> set[int]:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return set()
    # A key that was cut by a power cut would shift all behind it: it is written over.
    whole = len(content) // _BYTES * _BYTES
    if whole != len(content):
        with file.open("r+b") as opened:
            opened.truncate(whole)
    return set(array("Q", content[:whole]))


def _hour(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%d%H}"
