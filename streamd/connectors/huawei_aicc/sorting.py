"""Sort the rows of an export of any size, in little memory: runs in one file, then merged.

Rows come together by call, the last one (-1) behind the others of its call, recordings behind those. That is
the order which counts: a call's rows have one Kafka key. Call ids begin with the call's epoch second, so
calls come about in their order, too (section 6 of the contract sorts by begin; a row may have none).
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from struct import Struct as Layout
from types import TracebackType

import msgspec

from streamd.connectors.huawei_aicc.normalise import LAST_ROW
from streamd.connectors.huawei_aicc.rows import CALL_ID, CALL_ID_NUM, CC_ID, CDR, RECORDING, Shape

Entry = tuple[str, bytes]

RUN_ROWS = 20_000  # some 10 MB
_BLOCK_ROWS = 64  # of each run that is merged, so many are in memory
_LENGTH = Layout("<I")
_END = "\x01"  # sorts before all that can follow in a longer id
_LAST, _RECORDING = "9", "~"
_pack, _unpack = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(list[str]).decode
_unpack_block = msgspec.msgpack.Decoder(list[Entry]).decode


class Sorter:
    """Takes rows, then gives them back in order. A context manager: its file is gone at the end."""

    def __init__(self, path: Path, run_rows: int = RUN_ROWS) -> None:
        self._path = path
        self._run_rows = run_rows
        self._entries: list[Entry] = []
        self._runs: list[tuple[int, int]] = []
        self._file: int | None = None
        self._end = 0

    def __enter__(self) -> Sorter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)
            self._path.unlink(missing_ok=True)

    def add(self, shape: Shape, row: list[str]) -> None:
        """Take one row."""
        self._entries.append((_key(shape, row), _pack(row)))
        if len(self._entries) >= self._run_rows:
            self._write_run()

    def batches(self, most: int) -> Iterator[list[tuple[Shape, list[str]]]]:
        """Give all rows in order, at most so many at a time."""
        self._entries.sort()
        merged = heapq.merge(*(self._read_run(*run) for run in self._runs), self._entries)
        while batch := list(islice(merged, most)):
            yield [(_shape(key), _unpack(row)) for key, row in batch]

    def _write_run(self) -> None:
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._entries.sort()
        begin = self._end
        for at in range(0, len(self._entries), _BLOCK_ROWS):
            block = _pack(self._entries[at : at + _BLOCK_ROWS])
            self._end += _write(self._file, _LENGTH.pack(len(block)) + block)
        self._runs.append((begin, self._end))
        self._entries = []

    def _read_run(self, at: int, end: int) -> Iterator[Entry]:
        assert self._file is not None
        while at < end:
            (length,) = _LENGTH.unpack(os.pread(self._file, _LENGTH.size, at))
            at += _LENGTH.size
            yield from _unpack_block(os.pread(self._file, length, at))
            at += length


def _key(shape: Shape, row: Sequence[str]) -> str:
    rank = _rank(row[CALL_ID_NUM]) if shape is CDR else _RECORDING
    return f"{row[CALL_ID]}{_END}{row[CC_ID]}{_END}{rank}"


def _rank(number: str) -> str:
    """Write `call_id_num` so that text sorts as numbers do, -1 last."""
    return _LAST if number == LAST_ROW else f"0{number:0>10}"


def _shape(key: str) -> Shape:
    return RECORDING if key.endswith(_RECORDING) else CDR


def _write(file: int, data: bytes) -> int:
    """Write all of it; a full disk raises OSError."""
    written = 0
    while written < len(data):
        written += os.write(file, data[written:])
    return written
