"""Run `streamd run` as a process of its own, as systemd would, and look at it from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import trio


class DaemonProcess:
    """One daemon and its successors on one state directory.

    `directory` gets the configuration, the state and one log for all of them.
    """

    def __init__(self, directory: Path, connectors: str, bootstrap: list[str], prefix: str, more: str = ""):
        self.directory = directory
        self.state = directory / "state"
        self.log = directory / "streamd.log"
        self.prefix = prefix
        self._config = directory / "streamd.toml"
        self._process: subprocess.Popen[bytes] | None = None
        self.kafka = (
            f"[kafka]\nbootstrap_servers = {bootstrap!r}\ntopic_prefix = '{prefix}'\n"
            f"{more}\n[spool]\ndirectory = '{self.state}'\nmax_bytes = 536870912\n"
            "[admin]\nlisten = '127.0.0.1:0'\n"
        )
        self.configure(connectors)

    def configure(self, connectors: str) -> None:
        """Write the configuration; a running daemon reads it with `hang_up`."""
        self._config.write_text(self.kafka + connectors)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, **environment: str) -> None:
        """Start it; returns at once."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "streamd", "run", "--config", str(self._config)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=Path(__file__).parents[1],
                env=os.environ | environment,
            )

    def kill(self) -> None:
        """SIGKILL, and wait for it to be gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def hang_up(self) -> None:
        """SIGHUP."""
        os.kill(self.pid, signal.SIGHUP)

    def terminate(self) -> None:
        """SIGTERM; returns at once."""
        assert self._process is not None
        self._process.terminate()

    async def ended(self, within: float = 60.0) -> int:
        """Wait for it to end; give its exit code."""
        process = self._process
        assert process is not None
        with trio.fail_after(within):
            while process.poll() is None:
                await trio.sleep(0.02)
        assert process.returncode is not None
        return process.returncode

    async def stop(self) -> int:
        """SIGTERM, and give the exit code."""
        self.terminate()
        return await self.ended()

    def close(self) -> None:
        """Leave nothing behind."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    # -- looking

    async def status(self) -> dict[str, Any]:
        """Give `/status` by the control socket; raises httpx.TransportError while there is none."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.state / "control.sock"))
        async with httpx.AsyncClient(transport=transport, base_url="http://streamd", timeout=10) as client:
            answer = await client.get("/status")
            answer.raise_for_status()
            return answer.json()

    async def restart(self, connector: str) -> None:
        """Ask for what `streamd restart` asks for."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.state / "control.sock"))
        async with httpx.AsyncClient(transport=transport, base_url="http://streamd", timeout=20) as client:
            (await client.post("/restart", params={"name": connector})).raise_for_status()

    async def until(self, state: str, connector: str | None = None, within: float = 60.0) -> dict[str, Any]:
        """Wait until every connector (or one) is in `state`; give the status then."""
        deadline = time.monotonic() + within
        found: Any = None
        while time.monotonic() < deadline:
            try:
                found = await self.status()
            except (httpx.TransportError, httpx.HTTPStatusError) as error:
                found = repr(error)
            else:
                asked = (
                    found["connectors"].values() if connector is None else [found["connectors"][connector]]
                )
                if asked and all(each["state"] == state for each in asked):
                    return found
            await trio.sleep(0.05)
        raise AssertionError(f"not {state} within {within} s: {found}\n{self.tail()}")

    async def drained(self, within: float = 60.0) -> None:
        """Wait until all that was accepted is on Kafka."""
        await self._each(lambda connector: not connector["spool"]["events"], within)

    async def healed(self, within: float = 60.0) -> None:
        """Wait until no connector has a gap whose state is not restored."""
        await self._each(lambda connector: not connector["gaps"], within)

    async def complete(self, within: float = 60.0) -> None:
        """Wait until all that the vendors have handed over by now is on Kafka, by the daemon's own word.

        Pings prove that; on a silent line there is one each `ping_interval_seconds`.
        """
        now = datetime.now(UTC).isoformat()
        await self._each(lambda connector: (connector["complete_through"] or "") > now, within)

    async def _each(self, condition: Callable[[dict[str, Any]], bool], within: float) -> None:
        """Wait until a condition is true of every connector."""
        with trio.fail_after(within):
            while not all(map(condition, (await self.status())["connectors"].values())):
                await trio.sleep(0.05)

    async def logged(self, event: str, within: float = 60.0) -> None:
        """Wait until an event is in the log."""
        with trio.fail_after(within):
            while f'"event":"{event}"' not in self.log.read_text():
                await trio.sleep(0.05)

    def tail(self, lines: int = 40) -> str:
        """Give the end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
