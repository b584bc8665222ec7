"""Ask the running daemon, over the socket in its state directory."""

from __future__ import annotations

from pathlib import Path

import httpx
import trio

from streamd import control
from streamd.config import Config
from streamd.derived import state_directory
from streamd.errors import StreamdError

_SECONDS = 60.0  # a restart waits for the connector's goodbye


class NotRunning(StreamdError):
    """No daemon answers on this state directory, or not us."""


def ask(config: Config, method: str, path: str, **query: str) -> httpx.Response:
    """Make one request and give the answer, whatever its status. Raises NotRunning."""
    home = state_directory(config)
    try:
        with control.address(home) as socket:
            return trio.run(_request, socket, method, path, query)
    except (httpx.ConnectError, FileNotFoundError, PermissionError) as error:
        raise NotRunning(_why_not(home)) from error
    except httpx.TransportError as error:
        raise NotRunning(f"the daemon on {home} does not answer: {type(error).__name__}") from error


async def _request(socket: Path, method: str, path: str, query: dict[str, str]) -> httpx.Response:
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    client = httpx.AsyncClient(
        transport=transport, base_url="http://streamd", timeout=_SECONDS, trust_env=False
    )
    async with client as daemon:
        return await daemon.request(method, path, params=query)


def _why_not(home: Path) -> str:
    try:
        there = (home / control.NAME).exists()
    except PermissionError:
        return f"the state directory {home} is another user's: try with sudo"
    hint = "its control socket does not answer" if there else "there is no control socket"
    return f"no streamd is running on the state directory {home} ({hint})"
