"""A row of the spool: some records of one connector for one partition, and how they are packed."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import msgspec
from cramjam import DecompressionError, lz4
from msgspec import Struct

from streamd.model import Origin, Record
from streamd.spool.sqlite import SpoolCorrupt

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Record]).decode


class Row(Struct):
    """Some records of one connector for one partition, in order. `records` None: still in the file."""

    id: int
    origin: Origin
    topic: str
    partition: int
    count: int
    bytes: int
    records: list[Record] | None = None


class LaneSize(Struct, frozen=True):
    """What waits in the file for one partition."""

    topic: str
    partition: int
    rows: int


def unpack(payload: bytes, checksum: int) -> list[Record]:
    """Give a row's records. Raises SpoolCorrupt where the bytes are not those that were written."""
    _check(payload, checksum)
    try:
        return _decode(lz4.decompress_block(payload))
    except DecompressionError as error:  # as it was written, by a streamd that did it in another way
        raise SpoolCorrupt("a row is packed in an unknown way") from error


def _check(payload: bytes, checksum: int) -> None:
    if zlib.crc32(payload) != checksum:
        raise SpoolCorrupt("the checksum of a row is wrong")


def packed_anew(payload: bytes, checksum: int) -> tuple[int, bytes]:
    """Give checksum and payload of a row as they are today, from a time when not all were packed.

    Raises SpoolCorrupt as `unpack` does.
    """
    _check(payload, checksum)
    try:
        _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return checksum, payload
    payload = _compressed(payload)
    return zlib.crc32(payload), payload


def _compressed(payload: bytes) -> bytes:
    return bytes(lz4.compress_block(payload))


def by_partition(records: list[Record], place: Callable[[bytes], int]) -> dict[int, list[Record]]:
    split: dict[int, list[Record]] = {}
    for record in records:
        split.setdefault(place(record.key), []).append(record)
    return split


def record_bytes(record: Record) -> int:
    """Say how much a record counts for: key, value and about 48 bytes a header; binary mode has 15."""
    return len(record.key) + len(record.value or b"") + 48 * len(record.headers) + 16


def packed(row: Row) -> tuple[int, str, str, str, int, int, int, int, bytes]:
    """Give the values of its columns.

    Its records resemble each other: LZ4 costs no more than the checksum of all that it saves, and SQLite
    writes and reads each page by a system call or two.
    """
    payload = _compressed(_encode(row.records))
    origin = row.origin
    return (
        row.id, origin.connector, origin.vendor, row.topic, row.partition, row.count, row.bytes,
        zlib.crc32(payload), payload,
    )  # fmt: skip
