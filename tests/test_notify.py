"""What systemd is told, heard on a real datagram socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from streamd.errors import Rejected
from streamd.notify import Notifier
from tests.core import open_core

Message = dict[str, str]


class Manager:
    """The socket that systemd would listen on, at a path or (with "@") in the abstract namespace."""

    def __init__(self, address: str) -> None:
        self.environ = {"NOTIFY_SOCKET": address}
        self._address = address.replace("@", "\0", 1)
        self._socket = trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    async def __aenter__(self) -> Manager:
        await self._socket.bind(self._address)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._socket.close()

    async def hear(self) -> Message:
        """Give the next message."""
        with trio.fail_after(30):
            message = await self._socket.recv(4096)
        return dict(line.split("=", 1) for line in message.decode().split("\n"))

    async def hear_of(self, name: str, words: str = "") -> Message:
        """Give the next message that assigns `name`, to something with these words in it."""
        while words not in (message := await self.hear()).get(name, "") or name not in message:
            pass
        return message

    async def count(self, name: str, seconds: float) -> int:
        """Count the messages that assign `name` from now on."""
        heard = 0
        with trio.move_on_after(seconds):
            while True:
                heard += name in await self.hear()
        return heard

    async def seconds_for(self, name: str, messages: int) -> float:
        """Hear of `name` so often; give the seconds that took."""
        began = trio.current_time()
        for _ in range(messages):
            await self.hear_of(name)
        return trio.current_time() - began


@pytest.fixture(params=["path", "abstract"])
async def manager(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Manager]:
    name = f"@streamd-{time.monotonic_ns()}"
    async with Manager(str(tmp_path / "notify") if request.param == "path" else name) as listening:
        yield listening


@pytest.fixture
async def systemd(tmp_path: Path) -> AsyncIterator[Manager]:
    async with Manager(str(tmp_path / "notify")) as listening:
        yield listening


async def test_ready_and_stopping_arrive_at_either_kind_of_socket(manager: Manager) -> None:
    notifier = Notifier(manager.environ)
    notifier.ready()
    assert await manager.hear() == {"READY": "1"}
    notifier.stopping()
    assert (await manager.hear())["STOPPING"] == "1"


async def test_a_reload_begins_with_the_monotonic_time_and_ends_ready(systemd: Manager) -> None:
    notifier = Notifier(systemd.environ)
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    with notifier.reloading():
        message = await systemd.hear()
    assert message.keys() == {"RELOADING", "MONOTONIC_USEC"}
    assert before <= int(message["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert await systemd.hear() == {"READY": "1"}


async def test_a_status_is_one_line_and_told_once(systemd: Manager) -> None:
    notifier = Notifier(systemd.environ)
    notifier.status("paris lost:\nREADY=1")
    notifier.status("paris lost: READY=1")
    notifier.status("paris live")
    assert await systemd.hear() == {"STATUS": "paris lost: READY=1"}
    assert await systemd.hear() == {"STATUS": "paris live"}


def test_without_a_manager_nothing_happens() -> None:
    notifier = Notifier({})
    notifier.ready()
    with notifier.reloading():
        notifier.status("well")
    notifier.stopping()


def test_a_manager_that_is_gone_or_has_no_room_costs_nothing(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "deaf")})
        for number in range(2000):
            notifier.status(str(number))


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_the_watchdog_interval_is_the_one_meant_for_this_process(
    environ: dict[str, str], seconds: float | None
) -> None:
    assert Notifier({"NOTIFY_SOCKET": "/run/x", **environ}).watchdog_seconds == seconds


async def test_the_daemon_says_when_it_is_ready_how_it_is_and_that_it_stops(
    systemd: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise Rejected("wrong password")

    environ = systemd.environ
    async with open_core(tmp_path, monkeypatch, connectors=["paris", "rome"], environ=environ) as core:
        await systemd.hear_of("READY")
        await systemd.hear_of("STATUS", "2 of 2 connectors live")
        await core.lamps["rome"].obey(refuse)
        message = await systemd.hear_of("STATUS", "1 of 2 connectors live")
        assert "rome refused: wrong password" in message["STATUS"]
        core.daemon.stopping.set()
        assert int((await systemd.hear_of("STOPPING"))["EXTEND_TIMEOUT_USEC"]) > 1_000_000


async def test_the_watchdog_is_fed_twice_as_often_as_it_asks_for_without_kafka_or_vendor(
    systemd: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {**systemd.environ, "WATCHDOG_USEC": "800000"}
    async with open_core(tmp_path, monkeypatch, environ=environ):
        assert await systemd.seconds_for("WATCHDOG", 4) < 4 * 0.8


async def test_a_slow_disk_does_not_starve_the_watchdog(
    systemd: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {**systemd.environ, "WATCHDOG_USEC": "1000000"}
    async with open_core(tmp_path, monkeypatch, environ=environ) as core, trio.open_nursery() as nursery:
        nursery.start_soon(core.daemon.spool._committer.thread.run, time.sleep, 0.8)
        assert await systemd.seconds_for("WATCHDOG", 3) < 3 * 1.0


@pytest.mark.parametrize("thread", ["kafka", "spool"])
async def test_a_hung_thread_starves_the_watchdog_until_it_answers_again(
    thread: str, systemd: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {**systemd.environ, "WATCHDOG_USEC": "300000"}
    release = threading.Event()

    async def hang() -> None:
        release.wait(10)

    async with open_core(tmp_path, monkeypatch, environ=environ) as core, trio.open_nursery() as nursery:
        await systemd.hear_of("WATCHDOG")
        if thread == "kafka":
            nursery.start_soon(core.daemon.kafka._crossing.call, hang)
        else:
            nursery.start_soon(core.daemon.spool._committer.thread.run, release.wait, 10)
        try:
            await systemd.count("WATCHDOG", 0.8)
            assert await systemd.count("WATCHDOG", 0.8) == 0
        finally:
            release.set()
        await systemd.hear_of("WATCHDOG")
