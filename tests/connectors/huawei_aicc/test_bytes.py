"""Any bytes as a reply or as a zip give events, dead letters or a mapped error, and nothing else."""

from __future__ import annotations

import random
import tempfile
import zipfile
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.config import PrivacyConfig, Secret
from streamd.connectors.huawei_aicc.config import HuaweiConfig
from streamd.connectors.huawei_aicc.intake import Export, Intake
from streamd.connectors.huawei_aicc.normalise import Normaliser
from streamd.connectors.huawei_aicc.source import probe
from streamd.errors import BadRecord, Rejected, Transient
from streamd.model import DEAD_LETTER
from streamd.privacy import Privacy
from streamd.probe import ProbeContext
from tests.connectors.huawei_aicc.test_rows import CDR_LINE, RECORDING_LINE

NAMES = st.sampled_from(["1_call.csv", "1_record_2.csv", "readme.txt", "../1_call.csv", "d/"])
LINES = st.lists(st.one_of(st.binary(max_size=80), st.sampled_from([CDR_LINE, RECORDING_LINE])), max_size=8)


def config_of(url: str = "http://127.0.0.1:1") -> HuaweiConfig:
    return HuaweiConfig(
        type="huawei_aicc",
        base_url=url,
        access_key=Secret("TESTAK0001"),
        secret_key=Secret("a-long-enough-secret"),
        request_zone="Asia/Shanghai",
        callback=False,
        retry_min_seconds=0.001,
        retry_max_seconds=0.002,
        request_timeout_seconds=0.3,
    )


async def take_in(path: Path, context: ProbeContext, judging: trio.Lock | None = None) -> None:
    normaliser = Normaliser(ZoneInfo("Asia/Shanghai"), Privacy(PrivacyConfig()), "TESTAK0001")
    export = Export(path, "a.zip", datetime(2024, 5, 1, tzinfo=UTC), "live")
    await Intake(context, normaliser, export, judging or trio.Lock()).run(1 << 24, {"final": b"1"})


def taken(content: bytes) -> tuple[bool, ProbeContext]:
    """Take a file in; tell whether it was taken to its end."""
    context = ProbeContext("aicc", config_of())
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "live.zip")
        path.write_bytes(content)
        try:
            trio.run(take_in, path, context)
        except (Transient, BadRecord):
            return False, context
        assert [each.name for each in Path(directory).iterdir()] == ["live.zip"]
    return True, context


def zipped(members: list[tuple[str, list[bytes]]]) -> bytes:
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name, lines in dict(members).items():
                archive.writestr(name, b"\n".join(lines))
        file.seek(0)
        return file.read()


class SlowContext(ProbeContext):
    """Whose commits take a while, as on a disk."""

    async def append(self, *arguments: Any, **keys: Any) -> None:
        await trio.sleep(0.02)
        await super().append(*arguments, **keys)


async def test_two_exports_of_the_same_rows_at_once_publish_each_row_once(tmp_path: Path) -> None:
    context, judging = SlowContext("aicc", config_of()), trio.Lock()
    async with trio.open_nursery() as nursery:
        for name in ("live.zip", "deep.zip"):
            (tmp_path / name).write_bytes(zipped([("1_call.csv", [CDR_LINE, b"short,row"])]))
            nursery.start_soon(take_in, tmp_path / name, context, judging)
    ids = [each.id for each in context.items if each.stream != DEAD_LETTER]
    assert ids
    assert len(ids) == len(set(ids))
    assert len(context.items) == len(ids) + 1  # and one dead letter


@settings(max_examples=60)
@given(st.lists(st.tuples(NAMES, LINES), max_size=4))
def test_a_zip_of_any_members_is_taken_to_its_end(members: list[tuple[str, list[bytes]]]) -> None:
    whole, context = taken(zipped(members))
    assert whole
    assert context.state("final") == b"1"


@settings(max_examples=60)
@given(st.lists(st.tuples(NAMES, LINES), max_size=3), st.data())
def test_a_zip_with_a_wrong_byte_gives_all_of_its_rows_or_none_of_them(
    members: list[tuple[str, list[bytes]]], data: st.DataObject
) -> None:
    content = bytearray(zipped([("1_call.csv", [CDR_LINE] * 3), *members]))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    whole, context = taken(bytes(content))
    assert whole or not [each for each in context.items if each.stream != DEAD_LETTER]
    assert (context.state("final") is not None) is whole


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_what_is_no_zip_is_a_mapped_error(content: bytes) -> None:
    whole, context = taken(content)
    assert not whole
    assert not context.items


async def test_any_reply_is_understood_or_a_mapped_error() -> None:
    dice = random.Random(7)
    beginnings = (b"", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 401 No\r\nContent-Length: 40\r\n\r\n")
    bodies = [b'{"resultCode":"0"}', b'{"resultCode":[]}', b"PK", b"PK\x03\x04rest", b"[" * 5000, b"null"]
    replies = [begin + body for begin in beginnings for body in (*bodies, dice.randbytes(60))]
    current = replies[0]

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(current)

    async with trio.open_nursery() as nursery:
        serve: Any = partial(trio.serve_tcp, answer, 0, host="127.0.0.1")
        [listener] = await nursery.start(serve)
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        for current in replies:  # noqa: B007 - what the server answers
            with suppress(Transient, Rejected):
                await probe(ProbeContext("aicc", config_of(url)))
        nursery.cancel_scope.cancel()
