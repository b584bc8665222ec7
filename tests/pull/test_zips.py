"""A zip is whole and within its limits before anything of it is handed out, whatever bytes it is made of."""

from __future__ import annotations

import io
import os
import random
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamd.errors import BadRecord, Transient
from streamd.pull.zips import Limits, open_zip
from streamd.transport.lines import TooLong


def packed(*members: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def written(directory: Path, data: bytes) -> Path:
    path = directory / "a.zip"
    path.write_bytes(data)
    return path


async def contents(path: Path, limits: Limits | None = None) -> dict[str, list[bytes | TooLong]]:
    found: dict[str, list[bytes | TooLong]] = {}
    async with open_zip(path, limits) as archive:
        for member in archive.members:
            lines = archive.lines(member)
            found[member.name] = []
            while batch := await lines.receive():
                found[member.name] += batch
    return found


async def test_members_are_read_line_by_line_in_order_without_directories_and_blank_lines(
    tmp_path: Path,
) -> None:
    path = written(
        tmp_path,
        packed(
            ("d/", b""), ("../../etc/x.csv", b"a,b\r\n\n  \nc"), ("empty", b""), ("y", b"\xef\xbb\xbf1\n2\n")
        ),
    )
    assert await contents(path) == {
        "../../etc/x.csv": [b"a,b\r", b"c"],
        "empty": [],
        "y": [b"\xef\xbb\xbf1", b"2"],
    }
    assert os.listdir(tmp_path) == ["a.zip"]


async def test_a_member_can_be_read_as_it_is(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(5 << 20)
    async with open_zip(written(tmp_path, packed(("a", data)))) as archive:
        pieces = archive.pieces(archive.members[0])
        read = b""
        while piece := await pieces.receive():
            assert len(piece) <= 1 << 20
            read += piece
    assert read == data


@pytest.mark.filterwarnings("ignore:Duplicate name")
async def test_members_of_the_same_name_and_size_are_all_read(tmp_path: Path) -> None:
    async with open_zip(written(tmp_path, packed(("a", b"1\n"), ("a", b"2\n")))) as archive:
        found = [await archive.lines(member).receive() for member in archive.members]
    assert found == [[b"1"], [b"2"]]


async def test_an_empty_archive_has_no_members(tmp_path: Path) -> None:
    assert await contents(written(tmp_path, packed())) == {}


async def test_a_line_that_is_too_long_is_told_apart_and_the_next_one_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, packed(("a", b"x" * 5000 + b"\nnext\n")))
    first, second = (await contents(path, Limits(line_bytes=4999)))["a"]
    assert isinstance(first, TooLong)
    assert (first.length, second) == (5000, b"next")


GOOD = packed(("a.csv", b"".join(b"%d,abc\n" % number for number in range(9000))), ("b", b"1\n"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        b'{"resultCode":"1"}',
        GOOD[:-1],
        GOOD[:-30],
        GOOD[: len(GOOD) // 2],
        GOOD[:500] + b"\0" + GOOD[501:],
        GOOD[1000:],
    ],
)
async def test_a_zip_that_is_cut_or_damaged_may_be_fetched_again(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Transient):
        await contents(written(tmp_path, data))


async def test_the_crc_of_the_last_member_is_verified_before_the_first_is_handed_out(tmp_path: Path) -> None:
    data = packed(("a", b"1\n" * 99), ("b", b"2\n" * 99), compression=zipfile.ZIP_STORED)
    with pytest.raises(Transient):
        async with open_zip(written(tmp_path, data.replace(b"2\n2\n", b"2\n3\n", 1))):
            pytest.fail("it was handed out")


def encrypted() -> bytes:
    data = bytearray(packed(("a", b"secret")))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + offset] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "limits"),
    [
        (packed(*((f"{number}", b"x") for number in range(11))), Limits(members=10)),
        (packed(*(("n" * 60_000 + str(number), b"x") for number in range(9))), Limits(members=10)),
        (packed(("a", bytes(1001))), Limits(inflated_bytes=1000)),
        (packed(("a", bytes(600)), ("b", bytes(600))), Limits(inflated_bytes=1000)),
        (packed(("bomb", bytes(32 << 20))), Limits()),
        (encrypted(), Limits()),
        (packed(("a", b"x" * 99), compression=zipfile.ZIP_LZMA), Limits()),
    ],
)
async def test_what_is_beyond_a_limit_or_cannot_be_read_is_a_bad_record(
    tmp_path: Path, data: bytes, limits: Limits
) -> None:
    with pytest.raises(BadRecord) as caught:
        await contents(written(tmp_path, data), limits)
    assert caught.value.origin == "a.zip"
    assert caught.value.payload == data[: 64 * 1024]


async def test_a_member_that_is_longer_than_it_says_is_not_handed_out(tmp_path: Path) -> None:
    data = bytearray(packed(("a", bytes(100_000))))
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = struct.pack("<I", 10)
    with pytest.raises(Transient):
        await contents(written(tmp_path, bytes(data)))


async def test_a_zip_of_any_size_is_read_in_bounded_memory(tmp_path: Path) -> None:
    line = b",".join(b"%d" % number for number in range(40)) + b"\n"
    path = written(tmp_path, packed(("a.csv", line * (100 << 20 >> 7))))
    tracemalloc.start()
    rows = 0
    async with open_zip(path, Limits(ratio=1000)) as archive:
        lines = archive.lines(archive.members[0])
        while batch := await lines.receive():
            rows += len(batch)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 100 << 20 >> 7
    assert peak < 12 << 20


async def test_a_verification_that_is_cancelled_ends_soon(tmp_path: Path) -> None:
    path = written(tmp_path, packed(("a", b"0123456789abcdef\n" * (150 << 16))))
    with trio.fail_after(30):
        with trio.move_on_after(0) as given_up:
            async with open_zip(path, Limits(ratio=10_000)):
                pytest.fail("it was handed out")
    assert given_up.cancelled_caught


@given(
    st.one_of(
        st.binary(max_size=2000),
        st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=6),
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_bytes_give_lines_or_an_error_that_says_what_to_do(
    tmp_path: Path, change: bytes | list[tuple[int, int]]
) -> None:
    data = bytearray(GOOD if isinstance(change, list) else change)
    for at, value in change if isinstance(change, list) else []:
        data[at] = value
    path = written(tmp_path, bytes(data))

    async def read() -> None:
        try:
            found = await contents(path)
        except (Transient, BadRecord):
            return
        assert sum(map(len, found.values())) <= 9001

    trio.run(read)
