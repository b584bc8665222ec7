"""Remember durably which records were published, so that an export can be compared with them.

The keys of `Remembered`, 64 bits of each id, stand in append-only files by the hour of the record; those of
records that tell no time (vb_*), by the day on which they came. They are written after the commit and without
fsync: what a power cut takes away is published once more, under the same id. Of a million records within an
hour one in 10^13 would be taken for another that is known.
"""

from __future__ import annotations

import os
import uuid
from array import array
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import trio

from streamd.connector import Context
from streamd.connectors.omilia.config import OmiliaConfig
from streamd.connectors.omilia.keys import Keys

KEPT = timedelta(days=14)
"""For how long back it is known what was published; beyond, an export repeats what it finds, by its id."""
_AHEAD = timedelta(days=1)
_BYTES = 8  # of one key in a file
_MOST_LOADED = 2_000_000
"""For how many keys of files that were looked into there is memory: 27 MB."""
_AT_ONCE = 2000  # keys read between two turns of the scheduler: some 1.3 ms
_SPARE, _LEAST_SPARE = 4, 1000  # a file that is looked into may grow by a quarter, and by some
_HOUR_SECONDS = 3600
_DAY = timedelta(days=1)
_STATE = "evidence"


class Evidence:
    """The keys of one connector's records, in `ids/` of its directory. They count only for the spool they
    were written beside: with a new one they begin anew."""

    def __init__(self, ctx: Context[OmiliaConfig]) -> None:
        self._ctx = ctx
        self._home = ctx.directory() / "ids"
        self._loaded: OrderedDict[str, Keys] = OrderedDict()
        self._loading = trio.Lock()
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
        for file in self._files():
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
        for file in self._files():
            if file.name < oldest[: len(file.name)]:  # a day's goes with its last hour
                file.unlink()

    def _files(self) -> list[Path]:
        return [file for file in self._home.iterdir() if file.name.isdigit()]

    def _told(self, error: OSError) -> None:
        """Go on without: what is not noted is published once more by an export, under the same id."""
        self._ctx.counters.count("evidence_errors")
        self._ctx.log.warning("evidence_unwritten", reason=error.strerror)

    async def known(self, records: Iterable[tuple[int, datetime | None]]) -> set[int]:
        """Give the keys of those records, told by key and time, that were published before this was asked.

        Lets others have their turn while it reads; what they publish meanwhile may be among them or not.
        """
        wanted: defaultdict[str, list[int]] = defaultdict(list)
        now = self._ctx.clock.now()
        days = [_day(now - days * _DAY) for days in range(KEPT // _DAY + 1)]
        for key, at in records:
            for name in days if at is None else (_hour(at),):
                wanted[name].append(key)
        found: set[int] = set()
        for name, keys in wanted.items():
            there = await self._keys(name)
            found.update(key for key in keys if key in there)
        return found

    def note(self, records: Iterable[tuple[int, datetime | None]]) -> None:
        """Remember records, by key and time, that were committed; a time far from now is not worth a file."""
        now = self._ctx.clock.now()
        oldest, newest = (now - KEPT).timestamp(), (now + _AHEAD).timestamp()
        timed: defaultdict[int, array[int]] = defaultdict(_no_keys)
        timeless = _no_keys()
        for key, at in records:
            if at is None:
                timeless.append(key)
            elif oldest < (seconds := at.timestamp()) < newest:
                timed[int(seconds) // _HOUR_SECONDS].append(key)
        try:
            for hour, keys in timed.items():
                self._write(_hour(datetime.fromtimestamp(hour * _HOUR_SECONDS, UTC)), keys)
            if timeless:
                self._write(_day(now), timeless)
            self._prune()
        except OSError as error:
            self._told(error)

    def _write(self, name: str, keys: array[int]) -> None:
        with Path(self._home, name).open("ab", buffering=0) as file:
            begin, content = file.tell(), keys.tobytes()
            if file.write(content) != len(content):  # a full disk takes a part and says so the next time
                file.truncate(begin)
        loaded = self._loaded.get(name)
        if loaded is None:
            return
        if loaded.room < len(keys):
            del self._loaded[name]  # to be read again, with more room
            return
        for key in keys:
            loaded.add(key)

    async def _keys(self, name: str) -> Keys:
        async with self._loading:
            found = self._loaded.get(name)
            if found is None:
                found = self._loaded[name] = await _read(self._home / name)
                while len(self._loaded) > 1 and self._room_taken() > _MOST_LOADED:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(name)
            return found

    def _room_taken(self) -> int:
        return sum(each.most for each in self._loaded.values())


async def _read(file: Path) -> Keys:
    """Read a file, and what is written to it meanwhile; nothing is awaited after the last look at it."""
    keys, content, read = Keys(_LEAST_SPARE), array("Q"), 0
    while (missing := _size(file) - len(content)) > 0:
        part = partial(_part, file, len(content), missing)
        more = await trio.to_thread.run_sync(part) if missing > _AT_ONCE else part()
        if not more:
            break  # it cannot be read, or was deleted just now
        content += more
        if len(content) > keys.most:
            keys, read = Keys(len(content) + len(content) // _SPARE + _LEAST_SPARE), 0
        while read < len(content):
            for key in content[read : read + _AT_ONCE]:
                keys.add(key)
            read += _AT_ONCE
            if read < len(content):
                await trio.lowlevel.checkpoint()
        read = len(content)
    return keys


def _size(file: Path) -> int:
    """Count the keys in a file; 0 where there is none."""
    try:
        return file.stat().st_size // _BYTES
    except OSError:
        return 0


def _part(file: Path, begin: int, count: int) -> array[int]:
    """Read `count` keys from the `begin`th on; none where the file cannot be read."""
    keys = _no_keys()
    try:
        with file.open("rb") as opened:
            opened.seek(begin * _BYTES)
            content = opened.read(count * _BYTES)
    except OSError:
        return keys
    keys.frombytes(content[: len(content) // _BYTES * _BYTES])
    return keys


def _hour(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%d%H}"


def _day(at: datetime) -> str:
    """Name the file of a day: as the names of its hours begin."""
    return f"{at.astimezone(UTC):%Y%m%d}"


def _no_keys() -> array[int]:
    return array("Q")
