"""The files of an export are read in every form that they may have (vendors/omilia.md section 4)."""

from __future__ import annotations

import gzip
import tempfile
import zipfile
import zlib
from pathlib import Path

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from streamd.connectors.omilia.members import LINE_BYTES, is_audio, records_of
from streamd.errors import BadRecord
from streamd.pull.zips import Limits, open_zip

RECORDS = [{"message_type": "dialog_end", "id": str(number), "text": "ä\u2028x" * 40} for number in range(50)]
LINES = [msgspec.json.encode(each) for each in RECORDS]
PRETTY = msgspec.json.format(LINES[0], indent=2)


async def read(directory: Path, content: bytes, limits: Limits | None = None) -> list[bytes]:
    file = directory / "page.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("dialog_end/2026-01-01T00-0.json", content)
    limits = limits or Limits()
    found: list[bytes] = []
    async with open_zip(file, Limits()) as opened:
        async for records in records_of(opened, opened.members[0], limits):
            found += records
    return found


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b"\n".join(LINES), LINES),
        (b"\n".join(LINES) + b"\n", LINES),
        (b"\r\n\n".join(LINES) + b"\n\n", LINES),
        (b"\xef\xbb\xbf" + b"\n".join(LINES), LINES),
        (b"\n \n" + b"\n".join(LINES), LINES),
        (b"[" + b",\n".join(LINES) + b"]", LINES),
        (b"\xef\xbb\xbf \n[" + b",".join(LINES) + b"]\n", LINES),
        (b"[]", []),
        (b"", []),
        (b" \n\n", []),
        (gzip.compress(b"\n".join(LINES)), LINES),
        (gzip.compress(b"\n".join(LINES) + b"\n") + gzip.compress(LINES[0]), [*LINES, LINES[0]]),
        (gzip.compress(b"[" + b",".join(LINES) + b"]"), LINES),
        (PRETTY, LINES[:1]),
    ],
)
async def test_each_form_gives_its_records(tmp_path: Path, content: bytes, records: list[bytes]) -> None:
    found = [msgspec.json.encode(msgspec.json.decode(each)) for each in await read(tmp_path, content)]
    assert found == records


async def test_what_is_no_json_comes_as_it_is_and_costs_no_other(tmp_path: Path) -> None:
    assert await read(tmp_path, b"\n".join([LINES[0], b"\xff{", LINES[1]])) == [LINES[0], b"\xff{", LINES[1]]
    assert await read(tmp_path, b"{\n\xff\n}") == [b"{", b"\xff", b"}"]


async def test_a_bad_byte_in_an_array_costs_no_record_around_it(tmp_path: Path) -> None:
    bad = b'{"id":"b\x01ad"}'
    for head in (b"", b"\xef\xbb\xbf"):
        found = await read(tmp_path, head + b"[" + b",\n".join([LINES[0], bad, LINES[1]]) + b"]\n")
        assert found == [LINES[0], bad, LINES[1]]


async def test_a_file_that_is_cut_short_is_bad_and_never_a_shorter_one(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match="array"):
        await read(tmp_path, b"[1, 2")
    flushed = zlib.compressobj(wbits=31)
    cut = flushed.compress(b"\n".join(LINES) + b"\n") + flushed.flush(zlib.Z_FULL_FLUSH)
    with pytest.raises(BadRecord, match="cut short"):
        await read(tmp_path, cut)


async def test_of_a_line_that_is_too_long_the_beginning_comes_and_the_next_one_whole(tmp_path: Path) -> None:
    found = await read(tmp_path, b"x" * (LINE_BYTES + 1) + b"\n" + LINES[0])
    assert len(found[0]) < LINE_BYTES
    assert found[1] == LINES[0]


async def test_gzip_that_inflates_beyond_the_limit_or_is_broken_is_bad(tmp_path: Path) -> None:
    bomb = gzip.compress(b" " * (1 << 20))
    with pytest.raises(BadRecord, match="inflates"):
        await read(tmp_path, bomb, Limits(inflated_bytes=1 << 19))
    with pytest.raises(BadRecord, match="gzip"):
        await read(tmp_path, b"\x1f\x8b" + b"no gzip at all, though it begins like it")


async def test_recordings_are_told_by_their_names(tmp_path: Path) -> None:
    file = tmp_path / "page.zip"
    names = ["4711~17~1767261600123~A1B2C3.WAV", "dialog_end/a.json"]
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    async with open_zip(file, Limits()) as opened:
        assert [is_audio(each) for each in opened.members] == [True, False]


@given(st.lists(st.binary(max_size=40), max_size=6).map(b"\n".join))
def test_any_bytes_give_some_lists_of_bytes(content: bytes) -> None:
    async def attempt() -> None:
        with tempfile.TemporaryDirectory() as directory:
            try:
                found = await read(Path(directory), content)
            except BadRecord:
                return
            assert all(isinstance(each, bytes) for each in found)

    trio.run(attempt)
