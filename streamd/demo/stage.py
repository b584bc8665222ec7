"""The course of the demo: the daemon gets ready, events come, every link breaks, the last event arrives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import trio
from rich.console import Console
from rich.live import Live

from streamd import control
from streamd.demo import view
from streamd.demo.reader import Reader
from streamd.demo.verdict import judge
from streamd.simulators import DemoSource, Sent

_PATIENCE_SECONDS = 120.0  # until all is live, and until the last event has come, on a slow machine
_SETTLE_SECONDS = 1.0  # from the last event sent to the last one read off the socket
_DRAW_SECONDS = 0.5
_LINE_SECONDS = 2.0  # where there is no terminal

Status = Mapping[str, Any]
Draw = Callable[[Status, Reader, str, float], None]


class Stage:
    """What the daemon of `directory` and the reader show, until the daemon ends."""

    def __init__(self, directory: Path, daemon: trio.Process, reader: Reader, draw: Draw) -> None:
        self._directory = directory
        self._daemon = daemon
        self._reader = reader
        self._draw = draw

    async def play(self, sources: Sequence[DemoSource], seconds: float) -> list[Sent]:
        """Show `seconds` of it from when every connector is live; break each link once, in the middle.

        Give what the simulators had sent when they were quiet: what they send while the daemon stops is not
        looked for.
        """
        await self._until(_is_live, "starting", _PATIENCE_SECONDS)
        await self._until(_never, "live events", seconds / 2)
        for source in sources:
            await source.disturb()
        news = "every link was cut once, on purpose: a gap is declared and healed by the new snapshot"
        await self._until(_never, news, seconds / 2)
        for source in sources:
            source.quiet()
        await trio.sleep(_SETTLE_SECONDS)
        sent = [event for source in sources for event in source.sent()]

        def is_all_there(status: Status) -> bool:
            return _is_settled(status) and judge(sent, self._reader.arrived, self._reader.gaps.values()).holds

        # A platform that is polled hands over its last events with the next poll.
        await self._until(is_all_there, "the last events", _PATIENCE_SECONDS)
        return sent

    async def _until(self, is_over: Callable[[Status], bool], news: str, most_seconds: float) -> None:
        end = trio.current_time() + most_seconds
        while (left := end - trio.current_time()) > 0 and self._daemon.returncode is None:
            status = await self._status()
            self._draw(status, self._reader, news, left)
            if is_over(status):
                return
            await trio.sleep(min(_DRAW_SECONDS, left))

    async def _status(self) -> Status:
        """Ask the running daemon as `streamd status` does; empty while it starts."""
        try:
            with control.address(self._directory / "state") as socket:
                transport = httpx.AsyncHTTPTransport(uds=str(socket))
                async with httpx.AsyncClient(transport=transport, base_url="http://streamd") as client:
                    answer = await client.get("/status")
        except (httpx.TransportError, FileNotFoundError):
            return {}
        found: Status = answer.json()
        return found


def _never(status: Status) -> bool:
    return False


def _is_live(status: Status) -> bool:
    connectors = status.get("connectors", {}).values()
    return bool(connectors) and all(each["state"] == "live" for each in connectors)


def _is_settled(status: Status) -> bool:
    return _is_live(status) and not any(each["spool"]["events"] for each in status["connectors"].values())


@contextmanager
def open_screen(console: Console) -> Iterator[Draw]:
    """Draw a live table on a terminal; elsewhere print a line now and then, and at each piece of news."""
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as screen:
            yield lambda *moment: screen.update(view.live(*moment), refresh=True)
        return
    said: tuple[str, float] | None = None

    def say(status: Status, reader: Reader, news: str, left: float) -> None:
        nonlocal said
        if said is None or said[0] != news or said[1] - left >= _LINE_SECONDS:
            said = news, left
            console.print(view.line(status, reader, news), soft_wrap=True)

    yield say
