"""Downloaded zips: verified whole before a row is taken, then read piece by piece in bounded memory.

Members are never extracted: their names are labels. All reading is done in threads.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, TypeVar
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import trio
from msgspec import Struct

from streamd.errors import BadRecord, StreamdError, Transient
from streamd.transport.lines import Lines, TooLong

_PIECE_BYTES = 1 << 20
_VERIFIED_AT_ONCE = 16 << 20  # inflated, for each hop to a thread: a cancelled verification ends after 50 ms
_RATIO_FROM_BYTES = 16 << 20  # a small file may be as repetitive as it likes
_ENTRY_BYTES = 512  # of a member in the central directory: 46, its name and what some packers add
_SHOWN_BYTES = 64 * 1024  # of a file that is refused, for its dead letter
_ENCRYPTED = 0x1
# What zipfile raises of bytes that are no zip, as tests with any bytes have found it to.
_BROKEN = (BadZipFile, zlib.error, EOFError, OSError, ValueError, struct.error, OverflowError)
T = TypeVar("T")


class Limits(Struct, frozen=True):
    """What an archive may be: `ratio` is of its inflated size to that of the file."""

    members: int = 10_000
    inflated_bytes: int = 8 << 30
    ratio: int = 200
    line_bytes: int = 1 << 20


class Member(Struct, frozen=True):
    """One file in it, the `number`th of the central directory. `bytes`: inflated."""

    number: int
    name: str
    bytes: int


@asynccontextmanager
async def open_zip(path: Path, limits: Limits | None = None) -> AsyncIterator[Archive]:
    """Open a zip once the central directory and the CRC of every member have been verified.

    Raises Transient where it is truncated, damaged or no zip: it may be fetched again. Raises BadRecord where
    it is beyond `limits`, encrypted or compressed in another way than deflate: it will not get better.
    """
    limits = limits or Limits()
    archive = Archive(path, limits)
    try:
        await trio.to_thread.run_sync(archive.open)
        steps = archive.verification()
        while await trio.to_thread.run_sync(next, steps, None) is not None:
            pass
        yield archive
    finally:
        archive.close()


class Archive:
    """An open zip. `members`: without directories, in the order of the central directory."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.members: Sequence[Member] = ()
        self._path = path
        self._limits = limits
        self._file: IO[bytes] | None = None
        self._zip: ZipFile | None = None
        self._infos: Sequence[ZipInfo] = ()

    def lines(self, member: Member) -> LineReader:
        """Read a member line by line."""
        return LineReader(self.pieces(member), self._limits.line_bytes)

    def pieces(self, member: Member) -> PieceReader:
        """Read a member as it is."""
        assert self._zip is not None
        stream = self._mapped(self._zip.open, self._infos[member.number])
        return PieceReader(lambda: self._mapped(stream.read, _PIECE_BYTES))

    # -- blocking

    def open(self) -> None:
        self._mapped(self._open)

    def _open(self) -> None:
        self._file = self._path.open("rb")
        if _directory_bytes(self._file) > self._limits.members * _ENTRY_BYTES:
            raise self._refused("more members, or longer names, than allowed")
        self._zip = ZipFile(self._file)
        self._infos = self._zip.infolist()
        self._judge(self._infos)
        self.members = [
            Member(number, info.filename, info.file_size)
            for number, info in enumerate(self._infos)
            if not info.is_dir()
        ]

    def _judge(self, infos: Sequence[ZipInfo]) -> None:
        inflated = sum(info.file_size for info in infos)
        size = self._path.stat().st_size
        if len(infos) > self._limits.members:
            raise self._refused(f"{len(infos)} members, allowed are {self._limits.members}")
        if inflated > self._limits.inflated_bytes:
            raise self._refused(f"inflated {inflated} bytes, allowed are {self._limits.inflated_bytes}")
        if inflated > max(_RATIO_FROM_BYTES, size * self._limits.ratio):
            raise self._refused(f"inflated {inflated} bytes out of {size}")
        if any(info.flag_bits & _ENCRYPTED for info in infos):
            raise self._refused("encrypted")
        if any(info.compress_type not in (ZIP_STORED, ZIP_DEFLATED) for info in infos):
            raise self._refused("compressed in another way than deflate")

    def verification(self) -> Iterator[int]:
        """Read all members to their ends, where zipfile compares the CRC; pause from time to time."""
        read = 0
        for member in self.members:
            pieces = self.pieces(member)
            while piece := pieces.read():
                read += len(piece)
                if read >= _VERIFIED_AT_ONCE:
                    yield read
                    read = 0

    def close(self) -> None:
        if self._zip is not None:
            self._zip.close()
        if self._file is not None:
            self._file.close()

    def _mapped(self, call: Callable[..., T], *values: object) -> T:
        try:
            return call(*values)
        except NotImplementedError as error:
            raise self._refused("it needs a later version of zip") from error
        except _BROKEN as error:
            raise Transient(f"{self._path.name}: no whole zip ({type(error).__name__})") from error

    def _refused(self, reason: str) -> StreamdError:
        with self._path.open("rb") as file:
            shown = file.read(_SHOWN_BYTES)
        return BadRecord(f"zip: {reason}", shown, self._path.name)


class PieceReader:
    """A member's bytes. `read` blocks, `receive` does not."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self.read = read

    async def receive(self) -> bytes:
        """Give the next piece, some 1 MiB; b"" at the end."""
        return await trio.to_thread.run_sync(self.read)


class LineReader:
    """A member's lines, as `transport.lines` cuts them."""

    def __init__(self, pieces: PieceReader, most: int) -> None:
        self._pieces = pieces
        self._lines = Lines(most)
        self._ended = False

    async def receive(self) -> list[bytes | TooLong]:
        """Give the next lines, of some 1 MiB, without those that are blank; an empty list at the end."""
        return await trio.to_thread.run_sync(self._read)

    def _read(self) -> list[bytes | TooLong]:
        lines: list[bytes | TooLong] = []
        while not lines and not self._ended:
            if piece := self._pieces.read():
                lines = self._lines.feed(piece)
            else:
                self._ended = True
                rest = self._lines.rest()
                lines = [rest] if rest else []
        return lines


def _directory_bytes(file: IO[bytes]) -> int:
    """Say how long the central directory claims to be: zipfile takes all of it into memory at once.

    APPNOTE.TXT, sections 4.3.14 to 4.3.16. 0 where there is none: zipfile says so then.
    """
    size = file.seek(0, 2)
    begin = max(0, size - (1 << 16) - 98)  # the longest comment, and the records before it
    file.seek(begin)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 16:
        return 0
    claimed = int.from_bytes(tail[at + 12 : at + 16], "little")
    if tail[at - 20 : at - 16] != b"PK\x06\x07":
        return claimed
    file.seek(int.from_bytes(tail[at - 12 : at - 4], "little"))
    return max(claimed % 0xFFFFFFFF, int.from_bytes(file.read(48)[40:48], "little"))
