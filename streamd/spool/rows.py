"""A row of the spool: some records for one partition, of one connector or several, and how it is packed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from cramjam import DecompressionError, lz4
from msgspec import Struct

from streamd.model import Origin, Record
from streamd.publish.partitioner import Partitioner
from streamd.spool.sqlite import SpoolCorrupt

_ROW_BYTES = 256 * 1024  # a row is what one Kafka batch takes; larger groups become several rows
SCHEMA = """
CREATE TABLE rows (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL, shares TEXT NOT NULL,
    checksum INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE INDEX rows_by_lane ON rows (topic, partition, id);
CREATE VIEW shares AS
    SELECT rows.id, topic, partition, json_extract(value, '$[0]') AS connector,
        json_extract(value, '$[2]') AS count, json_extract(value, '$[3]') AS bytes
    FROM rows, json_each(rows.shares);
"""
"""`rows.shares` is a JSON list of what `Share` holds; the view has one line for each."""

_encode_into = msgspec.msgpack.Encoder().encode_into
_decode = msgspec.msgpack.Decoder(list[Record]).decode


class Share(Struct, array_like=True, gc=False):
    """What is one connector's in a row: the next `count` of its records."""

    connector: str
    vendor: str
    count: int
    bytes: int

    @property
    def origin(self) -> Origin:
        return Origin(self.connector, self.vendor)


_encode_shares = msgspec.json.Encoder().encode
_decode_shares = msgspec.json.Decoder(list[Share]).decode


class Row(Struct):
    """Some records for one partition: share by share, each in order; so many, and of such a size, in all.

    `records` None: they are done with, or nobody wants them.
    """

    id: int
    topic: str
    partition: int
    shares: list[Share]
    records: list[Record] | None = None
    count: int = 0
    bytes: int = 0

    def __post_init__(self) -> None:
        if not self.count:
            for share in self.shares:
                self.count += share.count
                self.bytes += share.bytes

    @property
    def connectors(self) -> set[str]:
        return {share.connector for share in self.shares}


Group = tuple[Origin, Sequence[Record]]
"""Some records of one connector, in order."""


class LaneSize(Struct, frozen=True):
    """What waits in the file for one partition."""

    topic: str
    partition: int
    rows: int


class _OpenRow:
    """A row in the making; `share` is the last of its shares."""

    __slots__ = ("bytes", "partition", "records", "share", "shares")

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.bytes = 0
        self.records: list[Record] = []
        self.shares: list[Share] = []
        self.share: Share | None = None


class TopicRows:
    """Rows of one topic in the making.

    What one connector has for it is put in one go: it has one share of a row.
    """

    def __init__(self, topic: str, partitions: int, partitioner: Partitioner) -> None:
        partitioner.serve(partitions)
        self._topic = topic
        self._partitions = partitions
        self._partitioner = partitioner
        self._made: list[_OpenRow] = []
        self._open: dict[int, _OpenRow] = {}

    def put(self, origin: Origin, record: Record) -> None:
        """Put a record into the row of its partition, or where that is full into another one."""
        partition = self._partitioner[record.key] % self._partitions
        size = record_bytes(record)
        opened = self._open.get(partition)
        if opened is None or opened.bytes + size > _ROW_BYTES:
            opened = self._open[partition] = self._begin(partition)
        opened.bytes += size
        opened.records.append(record)
        share = opened.share
        if share is None or share.connector != origin.connector:
            opened.share = share = Share(origin.connector, origin.vendor, 1, size)
            opened.shares.append(share)
        else:
            share.count += 1
            share.bytes += size

    def _begin(self, partition: int) -> _OpenRow:
        opened = _OpenRow(partition)
        self._made.append(opened)
        return opened

    def take(self, ids: Iterator[int]) -> list[Row]:
        """Give the rows with their ids, and begin again."""
        made, self._made, self._open = self._made, [], {}
        return [
            Row(next(ids), self._topic, row.partition, row.shares, row.records, len(row.records), row.bytes)
            for row in made
        ]


def by_connector(shares: Iterable[Share], records: Sequence[Record]) -> Iterator[Group]:
    """Give what a row holds of each connector."""
    start = 0
    for share in shares:
        yield share.origin, records[start : start + share.count]
        start += share.count


def record_bytes(record: Record) -> int:
    """Say how much a record counts for: key, value and about 48 bytes a header; binary mode has 15."""
    return len(record.key) + len(record.value or b"") + 48 * len(record.headers) + 16


def packed(row: Row) -> tuple[int, str, int, str, int, bytes]:
    """Give the values of its columns.

    Its records resemble each other: LZ4 costs no more than the checksum of all that it saves, and SQLite
    writes and reads each page by a system call or two.
    """
    encoded = bytearray(row.bytes)
    _encode_into(row.records, encoded)
    payload = _compressed(encoded)
    shares = _encode_shares(row.shares).decode()
    return row.id, row.topic, row.partition, shares, zlib.crc32(payload), payload


def unpacked(shares: str, checksum: int, payload: bytes) -> tuple[list[Share], list[Record]]:
    """Give what a row holds. Raises SpoolCorrupt where that is not what was written."""
    _check(payload, checksum)
    try:
        records, whose = _decode(lz4.decompress_block(payload)), _decode_shares(shares)
    except (DecompressionError, msgspec.DecodeError) as error:  # by a streamd that did it in another way
        raise SpoolCorrupt("a row is packed in an unknown way") from error
    count = sum(share.count for share in whose)
    if len(records) != count:
        raise SpoolCorrupt(f"a row holds {len(records)} records, not {count}")
    return whose, records


def _check(payload: bytes, checksum: int) -> None:
    if zlib.crc32(payload) != checksum:
        raise SpoolCorrupt("the checksum of a row is wrong")


def packed_anew(payload: bytes, checksum: int) -> tuple[int, bytes]:
    """Give checksum and payload of a row as they are today, from a time when not all were packed.

    Raises SpoolCorrupt as `unpacked` does.
    """
    _check(payload, checksum)
    try:
        _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return checksum, payload
    payload = _compressed(payload)
    return zlib.crc32(payload), payload


def _compressed(payload: bytes | bytearray) -> bytes:
    return bytes(lz4.compress_block(payload))
