"""Remember durably which records were published, so that an export can be compared with them.

The keys of `Remembered`, 64 bits of each id, stand in append-only files by the hour of the record. They are
written after the commit and without fsync: what a power cut takes away is published once more, under the same
id. Of a million records within an hour one in 10^13 would be taken for another that is known.
"""

from __future__ import annotations

import os
import uuid
from array import array
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from streamd.connector import Context
from streamd.connectors.omilia.config import OmiliaConfig

KEPT = timedelta(days=14)
"""For how long back it is known what was published; beyond, an export repeats what it finds, by its id."""
_AHEAD = timedelta(days=1)
_BYTES = 8  # of one key in a file
_LOADED_HOURS = 6
_HOUR_SECONDS = 3600
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
        token = self._ctx.state(_STATE)
        if token is None:
            token = uuid.uuid4().hex.encode()
            await self._ctx.append([], {_STATE: token})
        try:
            self._prepare(token)
            self._prune()
        except OSError as error:
            self._told(error)

    def _prepare(self, token: bytes) -> None:
        self._home.mkdir(mode=0o700, exist_ok=True)
        mark = self._home / "spool"
        if not mark.exists() or mark.read_bytes() != token:
            for file in self._home.iterdir():
                file.unlink()
            mark.write_bytes(token)
        for file in self._hours():
            # A key that a power cut has torn would shift all that are written behind it.
            size = file.stat().st_size
            if size % _BYTES:
                os.truncate(file, size // _BYTES * _BYTES)

    def _prune(self) -> None:
        """Delete the files that are too old, once an hour."""
        now = self._ctx.clock.now()
        if self._pruned == _hour(now):
            return
        self._pruned = _hour(now)
        oldest = _hour(now - KEPT)
        for file in self._hours():
            if file.name < oldest:
                file.unlink()

    def _hours(self) -> list[Path]:
        return [file for file in self._home.iterdir() if file.name.isdigit()]

    def _told(self, error: OSError) -> None:
        """Go on without: what is not noted is published once more by an export, under the same id."""
        self._ctx.counters.count("evidence_errors")
        self._ctx.log.warning("evidence_unwritten", reason=error.strerror)

    def holds(self, key: int, at: datetime) -> bool:
        """Tell whether a record of this key and time was published."""
        return key in self._keys(_hour(at))

    def note(self, records: Iterable[tuple[int, datetime]]) -> None:
        """Remember records, by key and time, that were committed; a time far from now is not worth a file."""
        now = self._ctx.clock.now()
        oldest, newest = (now - KEPT).timestamp(), (now + _AHEAD).timestamp()
        fresh: defaultdict[int, array[int]] = defaultdict(_no_keys)
        for key, at in records:
            seconds = at.timestamp()
            if oldest < seconds < newest:
                fresh[int(seconds) // _HOUR_SECONDS].append(key)
        try:
            for hour, keys in fresh.items():
                self._write(_hour(datetime.fromtimestamp(hour * _HOUR_SECONDS, UTC)), keys)
            self._prune()
        except OSError as error:
            self._told(error)

    def _write(self, hour: str, keys: array[int]) -> None:
        with Path(self._home, hour).open("ab", buffering=0) as file:
            begin, content = file.tell(), keys.tobytes()
            if file.write(content) != len(content):  # a full disk takes a part and says so the next time
                file.truncate(begin)
        if hour in self._loaded:
            self._loaded[hour].update(keys)

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
    except OSError:  # there is none, or no directory
        return set()
    return set(array("Q", content))


def _hour(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%d%H}"


def _no_keys() -> array[int]:
    return array("Q")
