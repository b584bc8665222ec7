"""A download is whole on disk or not there, and what is not wanted is an answer like any other."""

from __future__ import annotations

import gzip
import hashlib
import os
import random

import pytest
import trio

from streamd.errors import ProtocolViolation, Transient
from streamd.transport.download import Downloaded, download, is_zip
from streamd.transport.http import Response, open_http

BODY = b"PK\x03\x04" + random.Random(1).randbytes(3 << 20)  # the same in each worker, which names tests by it


def answer(body: bytes, *more: bytes, status: bytes = b"200 OK") -> bytes:
    head = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *more]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


@pytest.fixture
def fetch(serve, wire, tmp_path):
    """Return `fetch(sent, then)`: download what a server sends, which `then` closes or goes silent."""

    async def run(sent, then="close", drip=None, **how):
        async def script(stream):
            await wire.read_head(stream)
            for at in range(0, len(sent), drip or len(sent)):
                await stream.send_all(sent[at : at + (drip or len(sent))])
                await trio.sleep(0.001 if drip else 0)
            if then == "silence":
                await trio.sleep_forever()

        port = await serve(script)
        how = {"wanted": is_zip, "max_bytes": 4 << 20, "idle_seconds": 5.0, "timeout": 5.0} | how
        async with open_http(f"http://localhost:{port}") as http:
            return await download(http, "POST", "/file", tmp_path / "a.zip", json={}, **how)

    return run


async def test_a_wanted_body_is_whole_in_a_private_file_with_its_hash_and_the_headers(fetch, tmp_path):
    got = await fetch(answer(BODY, b"Pagination-pages: 7"), then="silence")
    assert isinstance(got, Downloaded)
    assert got.path == tmp_path / "a.zip"
    assert got.path.read_bytes() == BODY
    assert got.path.stat().st_mode & 0o777 == 0o600
    assert (got.status, got.bytes, got.sha256) == (200, len(BODY), hashlib.sha256(BODY).hexdigest())
    assert got.headers["pagination-pages"] == "7"
    assert os.listdir(tmp_path) == ["a.zip"]


async def test_what_is_wanted_is_judged_by_the_status_and_the_first_bytes_however_they_drip(fetch, tmp_path):
    seen = []

    def wanted(status: int, beginning: bytes) -> bool:
        seen.append((status, beginning[:2], len(beginning) >= 4))
        return is_zip(status, beginning)

    body = BODY[:20]
    got = await fetch(answer(body), drip=1, wanted=wanted)
    assert isinstance(got, Downloaded)
    assert seen == [(200, b"PK", True)]
    assert got.path.read_bytes() == body


@pytest.mark.parametrize(
    ("body", "status"),
    [(b'{"resultCode":"0300011"}', b"200 OK"), (b"{}", b"200 OK"), (b"", b"200 OK"), (b"PKxx", b"410 Gone")],
)
async def test_what_is_not_wanted_is_an_answer_and_leaves_no_file(fetch, tmp_path, body, status):
    got = await fetch(answer(body, status=status), then="silence")
    assert isinstance(got, Response)
    assert (got.status, got.body) == (int(status[:3]), body)
    assert os.listdir(tmp_path) == []


async def test_a_compressed_body_is_stored_inflated_and_bounded_so(fetch):
    sent = answer(gzip.compress(b"PK" + bytes(1 << 20)), b"Content-Encoding: gzip")
    got = await fetch(sent, max_bytes=2 << 20)
    assert isinstance(got, Downloaded)
    assert got.bytes == 2 + (1 << 20)
    with pytest.raises(ProtocolViolation):
        await fetch(sent, max_bytes=1 << 20)


@pytest.mark.parametrize(
    ("sent", "then", "how", "error"),
    [
        (answer(BODY)[:-1], "close", {}, Transient),
        (answer(BODY)[:-1], "silence", {"idle_seconds": 0.1}, Transient),
        (answer(BODY)[:60], "silence", {"idle_seconds": 0.1}, Transient),
        (b"HTTP/1.1 200 OK\r\n", "silence", {"timeout": 0.1}, Transient),
        (answer(BODY), "close", {"max_bytes": len(BODY) - 1}, ProtocolViolation),
        (answer(bytes(99)), "close", {"max_answer_bytes": 98}, ProtocolViolation),
    ],
)
async def test_what_is_cut_short_silent_or_too_long_leaves_no_file(fetch, tmp_path, sent, then, how, error):
    with trio.fail_after(30), pytest.raises(error):
        await fetch(sent, then, **how)
    assert os.listdir(tmp_path) == []


async def test_a_cancelled_download_leaves_no_file_and_an_older_one_stays(fetch, tmp_path):
    (tmp_path / "a.zip").write_bytes(b"old")
    with trio.move_on_after(0.3) as given_up:
        await fetch(answer(BODY)[:-1], "silence")
    assert given_up.cancelled_caught
    assert os.listdir(tmp_path) == ["a.zip"]
    assert (tmp_path / "a.zip").read_bytes() == b"old"


async def test_a_directory_that_cannot_be_written_is_no_bug_of_the_connector(fetch, tmp_path):
    tmp_path.rmdir()
    with pytest.raises(Transient, match="cannot write"):
        await fetch(answer(BODY))
    tmp_path.mkdir()
