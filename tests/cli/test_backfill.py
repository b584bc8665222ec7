"""`streamd backfill` against a real core: it ends when all is on Kafka, and whoever asks may leave."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from signal import SIGINT
from subprocess import PIPE
from typing import Any

import pytest
import trio

from streamd import control, telemetry
from streamd.__main__ import main
from streamd.cli.backfill import Shown
from streamd.connector import Backfilled, BackfillHandler, Context, Link, Progress
from streamd.errors import Transient
from streamd.model import Event
from streamd.transport.listening import open_unix_listener
from tests.cli.process import command, environment
from tests.core import SWITCHES, Core, open_core

Capture = pytest.CaptureFixture[str]
DAY = ("--from", "2026-01-02T00:00:00+01:00", "--to", "2026-01-02T12:00:00Z")
SECONDS = 30.0


@pytest.fixture(autouse=True)
def quiet_daemon() -> Iterator[None]:
    """Keep the log of the daemon, which runs in this process here, out of what the commands print."""
    with telemetry.configure(descriptor=2, level="critical"):
        yield


@asynccontextmanager
async def serving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: BackfillHandler
) -> AsyncIterator[Core]:
    """Run a core whose connector `paris` serves backfills with `handler`."""

    async def serve(context: Context[Any], link: Link) -> None:
        async with context.serve_backfill(handler):
            await trio.sleep_forever()

    async with open_core(tmp_path, monkeypatch, connectors=["paris"]) as core, trio.open_nursery() as nursery:
        nursery.start_soon(core.lamps["paris"].obey, serve)
        with trio.fail_after(SECONDS):
            while not core.daemon.fleet.runtimes["paris"].backfills.served:
                await trio.sleep(0.01)
        yield core
        nursery.cancel_scope.cancel()


async def streamd(core: Core, *arguments: str) -> int:
    """Run a command in a thread, for the daemon turns in this one."""
    config = str(core.home.with_name("streamd.toml"))
    run = partial(main, [*arguments, "--config", config])
    return await trio.to_thread.run_sync(run, abandon_on_cancel=True)  # it ends with the core


async def take_all(core: Core) -> None:
    """Acknowledge what waits, as Kafka would."""
    spool = core.daemon.spool
    for topic in spool.topics():
        for partition in range(6):
            lane = spool.lane(topic, partition)
            while lane.has_rows:
                spool.acknowledge(await lane.take())
    await spool.flush()


async def take_for_ever(core: Core) -> None:
    """Be a Kafka that takes also what the connector tells of itself at any time."""
    while True:
        await take_all(core)
        await trio.sleep(0.02)


async def test_it_shows_progress_and_ends_when_all_of_it_is_on_kafka(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    asked: list[tuple[datetime, datetime]] = []
    codes: list[int] = []
    ended = trio.Event()

    async def backfill(begin: datetime, end: datetime, progress: Progress) -> Backfilled:
        asked.append((begin, end))
        progress(0.5, "window 1 of 2")
        await trio.sleep(0.2)
        runtime = core.daemon.fleet.runtimes["paris"]
        event = Event(SWITCHES, "k", "streamd.lamp.switched", {"on": True}, begin, phase="backfill")
        await runtime.append([event])
        return Backfilled({"published": 1, "known": 7}, left={"hours that are too old": 0})

    async def ask() -> None:
        codes.append(await streamd(core, "backfill", "paris", *DAY))
        ended.set()

    async with serving(tmp_path, monkeypatch, backfill) as core, trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        with trio.fail_after(SECONDS):
            shown = ""
            while "waiting until all is on Kafka" not in shown:
                await trio.sleep(0.05)
                shown += capsys.readouterr().out
        assert not ended.is_set()
        await take_all(core)
        with trio.fail_after(SECONDS):
            await ended.wait()
    assert codes == [0]
    assert "paris: 50% window 1 of 2\n" in shown
    assert asked == [(datetime(2026, 1, 1, 23, tzinfo=UTC), datetime(2026, 1, 2, 12, tzinfo=UTC))]
    assert capsys.readouterr().out.endswith("paris: all on Kafka: 1 published, 7 known\n")


async def test_what_it_leaves_is_1_and_is_named_when_the_rest_is_on_kafka(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    async def backfill(begin: datetime, end: datetime, progress: Progress) -> Backfilled:
        left = {"files that cannot be read": 1, "pages": 0, "hours that are too old": 3}
        return Backfilled({"published": 4, "known": 0}, left)

    async with serving(tmp_path, monkeypatch, backfill) as core, trio.open_nursery() as nursery:
        nursery.start_soon(take_for_ever, core)
        assert await streamd(core, "backfill", "paris", *DAY) == 1
        nursery.cancel_scope.cancel()
    told = capsys.readouterr()
    left = "1 files that cannot be read, 3 hours that are too old"
    assert told.err == f"error: paris: not all of it is on Kafka; left: {left}\n"
    assert told.out.endswith("paris: on Kafka: 4 published, 0 known\n")


async def test_what_ends_it_early_is_1_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    async def backfill(begin: datetime, end: datetime, progress: Progress) -> Backfilled:
        progress(0.1, "login")
        async with trio.open_nursery():
            raise Transient("the server is down")

    async with serving(tmp_path, monkeypatch, backfill) as core:
        assert await streamd(core, "backfill", "paris", *DAY) == 1
        assert await streamd(core, "backfill", "paris", *DAY) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == "paris: 10% login"
    assert captured.err.splitlines() == ["error: paris: the server is down"] * 2


async def test_a_bug_in_it_is_1_and_the_daemon_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    async def backfill(begin: datetime, end: datetime, progress: Progress) -> Backfilled:
        raise ZeroDivisionError

    async with serving(tmp_path, monkeypatch, backfill) as core:
        assert await streamd(core, "backfill", "paris", *DAY) == 1
        assert await streamd(core, "status") == 0
    assert "has ended before its answer did" in capsys.readouterr().err


async def test_a_restart_ends_it_and_the_client_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    begun = trio.Event()

    async def backfill(begin: datetime, end: datetime, progress: Progress) -> Backfilled:
        begun.set()
        await trio.sleep_forever()
        raise AssertionError

    async with serving(tmp_path, monkeypatch, backfill) as core, trio.open_nursery() as nursery:
        codes: list[int] = []

        async def ask() -> None:
            codes.append(await streamd(core, "backfill", "paris", *DAY))
            nursery.cancel_scope.cancel()

        nursery.start_soon(ask)
        with trio.fail_after(SECONDS):
            await begun.wait()
            assert await streamd(core, "backfill", "paris", *DAY) == 1  # one at a time
            assert await streamd(core, "restart", "paris") == 0
            await trio.sleep_forever()
    assert codes == [1]
    assert capsys.readouterr().err.splitlines() == [
        "error: paris: another backfill of this connector is running",
        "error: paris: the connector was stopped meanwhile",
    ]


async def test_a_client_that_leaves_cancels_it_and_it_may_be_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    begun, cancelled = trio.Event(), trio.Event()

    async def backfill(begin: datetime, end: datetime, progress: Progress) -> Backfilled:
        if begun.is_set():
            return Backfilled({})
        begun.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()
        raise AssertionError

    query = "name=paris&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z"
    async with serving(tmp_path, monkeypatch, backfill) as core:
        with control.address(core.home) as path:
            async with await trio.open_unix_socket(path) as stream:
                await stream.send_all(f"POST /backfill?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                with trio.fail_after(SECONDS):
                    await begun.wait()
        with trio.fail_after(SECONDS):
            await cancelled.wait()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(take_for_ever, core)
                assert await streamd(core, "backfill", "paris", *DAY) == 0
                nursery.cancel_scope.cancel()
    assert capsys.readouterr().out.endswith("paris: all on Kafka\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rome", *DAY), "no connector 'rome' is running; there is: paris"),
        (("paris", *DAY), "paris: the vendor of type lamp keeps nothing to fetch again"),
        (("paris", "--from", "2026-01-02", "--to", "2026-01-03T00:00:00Z"), "from: '2026-01-02' has no zone"),
        (("paris", "--from", "yesterday", "--to", "2026-01-03T00:00:00Z"), "from: 'yesterday' is no time"),
        (("paris", *DAY[:3], "2026-01-01T23:00:00Z"), "from must lie before to"),
    ],
)
async def test_what_cannot_be_asked_for_is_1_and_says_what_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, arguments: tuple[str, ...], message: str
) -> None:
    async with open_core(tmp_path, monkeypatch, connectors=["paris"]) as core:
        assert await streamd(core, "backfill", *arguments) == 1
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_without_a_daemon_it_is_1_and_a_bad_config_is_78(config_file: Any, capsys: Capture) -> None:
    config = config_file()
    assert main(["backfill", "paris", *DAY, "--config", config]) == 1
    assert "no streamd is running" in capsys.readouterr().err
    assert main(["backfill", "paris", *DAY, "--config", config_file(kafka="nothing = 1")]) == 78


async def test_ctrl_c_ends_the_command_at_once_and_without_a_word(tmp_path: Path) -> None:
    config, home = tmp_path / "streamd.toml", tmp_path / "state"
    config.write_text(f'[kafka]\nbootstrap_servers = ["x:1"]\n[spool]\ndirectory = "{home}"\n')
    home.mkdir()

    async def answer(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        await stream.send_all(head + b'd\r\n{"done":0.5}\n\r\n')
        await stream.receive_some()

    with control.address(home) as path:
        async with open_unix_listener(path) as listener, trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, answer, [listener])
            process = await trio.lowlevel.open_process(
                command("backfill", config, "paris", *DAY), stdout=PIPE, stderr=PIPE, env=environment()
            )
            assert process.stdout is not None
            assert process.stderr is not None
            with trio.fail_after(SECONDS):
                assert await process.stdout.receive_some() == b"paris: 50%\n"
                process.send_signal(SIGINT)
                assert await process.wait() == 130
                assert await process.stderr.receive_some() == b""
            nursery.cancel_scope.cancel()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_that_is_drawn_over_and_ends_with_its_line() -> None:
    out = Terminal()
    shown = Shown("paris", out)
    for line in ('{"done":0.5,"words":"window 10 of 20"}', '{"done":1.0,"words":"done"}', '{"figures":{}}'):
        shown.take(line)
    shown.end_line()
    half, full = out.getvalue().rstrip("\n").split("\r")[1:]
    assert half == f"paris [{'#' * 15}{' ' * 15}]  50% window 10 of 20"
    assert full.rstrip() == f"paris [{'#' * 30}] 100% done"
    assert len(full) == len(half)
    assert out.getvalue().endswith("\n")
