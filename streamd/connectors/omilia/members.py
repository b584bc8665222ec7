"""Read the records out of a file of an export, whatever its form.

What files look like is not documented (vendors/omilia.md section 4): a public reader expects JSON Lines. One
array or one object in a file, gzip once more and a byte order mark are taken, too.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, Iterator

import msgspec
import trio

from streamd.connectors.omilia.wire import BOM, items
from streamd.errors import BadRecord
from streamd.pull.zips import Archive, Limits, Member
from streamd.transport.lines import Lines, TooLong

WHOLE_BYTES = 64 << 20
"""How long a file may be that is one array or one object."""
LINE_BYTES = 4 << 20
_GZIP = b"\x1f\x8b"
_PIECE = 1 << 20
_any = msgspec.json.Decoder(msgspec.Raw)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def is_audio(member: Member) -> bool:
    """Tell whether a file is a recording of a call, which is no record (P-WCR)."""
    return member.name.lower().endswith(".wav")


async def records_of(archive: Archive, member: Member, limits: Limits) -> AsyncGenerator[list[bytes], None]:
    """Give the file's records as JSON texts, some 1 MiB at a time; what is no JSON among them comes as it is.

    Of a line that is too long its beginning comes. Raises BadRecord for a file beyond the limits.
    """
    reader = archive.pieces(member)
    gunzip: _Gunzip | None = None
    form: _Form = _Beginning(member.name)
    first = True
    while piece := await reader.receive():
        if first and piece.startswith(_GZIP):
            gunzip = _Gunzip(member.name, limits.inflated_bytes)
        first = False
        for part in gunzip.feed(piece) if gunzip is not None else (piece,):
            await trio.lowlevel.checkpoint()  # blanks inflate to much, of which nothing is yielded
            if isinstance(form, _Beginning):
                form = form.settle(part)
            found = form.feed(part)
            if found:
                yield found
    rest = await trio.to_thread.run_sync(form.rest, abandon_on_cancel=True)
    if rest:
        yield rest
    if gunzip is not None:
        gunzip.close()


class _Form:
    """How a file holds its records: its bytes in, records out."""

    def __init__(self, name: str) -> None:
        self.name = name

    def feed(self, data: bytes) -> list[bytes]:
        return []

    def rest(self) -> list[bytes]:
        """Give what is left at the end of the file; called in a thread, for an array may be large."""
        return []


class _Beginning(_Form):
    """Nothing but blanks has come yet."""

    def settle(self, data: bytes) -> _Form:
        begin = data.removeprefix(BOM).lstrip()[:1]
        if not begin:
            return self
        return _Whole(self.name) if begin == b"[" else _ByLine(self.name)


class _Whole(_Form):
    """One array of records."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._parts: list[bytes] = []
        self._room = WHOLE_BYTES

    def feed(self, data: bytes) -> list[bytes]:
        self._parts.append(data)
        self._room -= len(data)
        if self._room < 0:
            raise BadRecord(f"an array of more than {WHOLE_BYTES} bytes", b"", f"export file {self.name}")
        return []

    def rest(self) -> list[bytes]:
        whole = b"".join(self._parts).removeprefix(BOM)
        self._parts.clear()
        records = items(whole)
        if records is None:
            raise BadRecord("an array that cannot be read", whole, f"export file {self.name}")
        return records


class _ByLine(_Form):
    """One record per line; or one object over several lines, which its first line tells."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._lines = Lines(LINE_BYTES)
        self._object: list[bytes] | None = None
        self._room = WHOLE_BYTES
        self._started = False

    def feed(self, data: bytes) -> list[bytes]:
        return self._taken(self._lines.feed(data if self._started else data.removeprefix(BOM)))

    def rest(self) -> list[bytes]:
        last = self._lines.rest()
        found = self._taken([last] if last else [])
        return [*found, *_one_or_lines(self._object)] if self._object is not None else found

    def _taken(self, lines: list[bytes | TooLong]) -> list[bytes]:
        texts = [line.beginning if isinstance(line, TooLong) else line for line in lines]
        if texts and not self._started:
            self._started = True
            if texts[0].strip() == b"{":
                self._object = []
        if self._object is None:
            return texts
        self._object += texts
        self._room -= sum(map(len, texts))
        if self._room < 0:
            raise BadRecord(f"an object of more than {WHOLE_BYTES} bytes", b"", f"export file {self.name}")
        return []


def _one_or_lines(lines: list[bytes]) -> list[bytes]:
    whole = b"\n".join(lines)
    try:
        return [bytes(_any.decode(whole))]
    except _UNREADABLE:
        return lines


class _Gunzip:
    """Inflate a gzip file piece by piece, no further than its limit."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._room = most
        self._inflate = zlib.decompressobj(wbits=31)
        self._within = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            try:
                part = self._inflate.decompress(data, _PIECE)
            except zlib.error as error:
                raise BadRecord("broken gzip", b"", f"export file {self._name}") from error
            self._room -= len(part)
            if self._room < 0:
                raise BadRecord("gzip inflates beyond the limit", b"", f"export file {self._name}")
            if part:
                yield part
            self._within = not self._inflate.eof
            data = self._inflate.unconsumed_tail
            if self._inflate.eof:
                data = self._inflate.unused_data  # another gzip member follows
                self._inflate = zlib.decompressobj(wbits=31)

    def close(self) -> None:
        """Raise BadRecord when the file has ended within its gzip."""
        if self._within:
            raise BadRecord("a gzip file that is cut short", b"", f"export file {self._name}")
