"""Tell systemd how the daemon is: sd_notify(3), one datagram a message to `$NOTIFY_SOCKET`.

Without that variable everything here does nothing. A message that the manager has no room for is lost, which
costs nothing: the next one comes. The watchdog asks for signs of life, never for progress.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
import trio

if TYPE_CHECKING:
    from streamd.app import Daemon

_STATUS_SECONDS = 1.0  # between looks at the connectors
_EXTEND_SECONDS = 10.0  # what one message of a daemon that drains asks for
_LONGEST_DRAIN_SECONDS = 60.0  # beyond that the unit's own TimeoutStopSec decides

log = structlog.get_logger("streamd.notify")


class Notifier:
    """The line to the service manager. `environ` is read once."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._status = ""
        self._failed = False
        self.watchdog_seconds = _watchdog_seconds(environ) if address else None

    def ready(self) -> None:
        """Say that the daemon does its work."""
        self._send("READY=1")

    def stopping(self) -> None:
        """Say that it has begun to stop."""
        self._send("STOPPING=1", _extend())

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Say that the configuration is read again while the block runs."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}")
        try:
            yield
        finally:
            self._send("READY=1")

    def status(self, text: str) -> None:
        """Say in one line how it is, if that is news."""
        line = " ".join(text.split())
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    async def run(self, daemon: Daemon) -> None:
        """Keep the watchdog and the status line fed until cancelled."""
        if not self._address:
            return
        questions = {"spool": daemon.spool.answers, "kafka": daemon.kafka.alive}
        async with trio.open_nursery() as nursery:
            if self.watchdog_seconds is not None:
                nursery.start_soon(self._watch, questions, self.watchdog_seconds)
            nursery.start_soon(self._extend_drain, daemon.stopping)
            while True:
                self.status(describe(daemon))
                await trio.sleep(_STATUS_SECONDS)

    async def _watch(self, questions: Mapping[str, Callable[[], Awaitable[None]]], seconds: float) -> None:
        """Feed the watchdog twice as often as it asks for, as long as nobody owes an answer for `seconds`."""
        asked: dict[str, float] = {}
        silent: set[str] = set()

        async def ask(name: str, question: Callable[[], Awaitable[None]]) -> None:
            while True:
                asked[name] = trio.current_time()
                await question()
                del asked[name]
                await trio.sleep(seconds / 2)

        async with trio.open_nursery() as nursery:
            for name, question in questions.items():
                nursery.start_soon(ask, name, question)
            while True:
                overdue = {name for name, since in asked.items() if trio.current_time() - since >= seconds}
                for name in overdue - silent:
                    log.error("watchdog_no_answer", thread=name, seconds=seconds)
                silent = overdue
                if not overdue:
                    self._send("WATCHDOG=1")
                await trio.sleep(seconds / 2)

    async def _extend_drain(self, stopping: trio.Event) -> None:
        """Ask for the time that draining takes, whatever the unit's TimeoutStopSec."""
        await stopping.wait()
        with trio.move_on_after(_LONGEST_DRAIN_SECONDS - _EXTEND_SECONDS):
            while True:
                self._send(_extend())
                await trio.sleep(_EXTEND_SECONDS / 2)

    def _send(self, *assignments: str) -> None:
        if not self._address:
            return
        try:
            self._send_datagram("\n".join(assignments).encode())
        except BlockingIOError:
            return  # the manager's queue is full
        except OSError as error:
            if not self._failed:
                self._failed = True
                log.warning("notify_failed", reason=error.strerror)

    def _send_datagram(self, message: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            sender.sendto(message, self._address)


def describe(daemon: Daemon) -> str:
    """Sum up the connectors in one line, the unwell ones by name, and Kafka where it is away."""
    statuses = {name: runtime.status for name, runtime in daemon.fleet.runtimes.items()}
    live = sum(status.state == "live" for status in statuses.values())
    parts = [f"{live} of {len(statuses)} connectors live"]
    if daemon.stopping.is_set():
        parts.insert(0, "draining")
    if daemon.spool.disk_full:
        parts.append("the disk is full")
    kafka = daemon.kafka.status()
    if not kafka.connected:
        parts.append(f"Kafka: {kafka.reason}")
    for name, status in statuses.items():
        if status.state != "live":
            parts.append(f"{name} {status.state}" + (f": {status.reason}" if status.reason else ""))
    return "; ".join(parts)


def _extend() -> str:
    return f"EXTEND_TIMEOUT_USEC={round(_EXTEND_SECONDS * 1e6)}"


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """Give the interval that systemd watches with, None where it does not watch this process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdigit() and int(microseconds) > 0 else None
