"""Ask the running daemon, over the socket in its state directory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import trio

from streamd import control
from streamd.config import Config
from streamd.config.derived import state_directory
from streamd.errors import StreamdError

_SECONDS = 60.0  # a restart waits for the connector's goodbye


class NotRunning(StreamdError):
    """No daemon answers on this state directory, or not us."""


def ask(config: Config, method: str, path: str, **query: str) -> httpx.Response:
    """Make one request and give the answer, whatever its status. Raises NotRunning."""

    async def request(daemon: httpx.AsyncClient) -> httpx.Response:
        return await daemon.request(method, path, params=query)

    return _talk(config, request)


def follow(
    config: Config, method: str, path: str, take: Callable[[str], None], query: dict[str, str]
) -> httpx.Response:
    """Make one request, and hand each line of a success to `take` as it comes. Raises NotRunning."""

    async def request(daemon: httpx.AsyncClient) -> httpx.Response:
        patience = httpx.Timeout(_SECONDS, read=None)
        async with daemon.stream(method, path, params=query, timeout=patience) as answer:
            if answer.is_success:
                async for line in answer.aiter_lines():
                    take(line)
            else:
                await answer.aread()
        return answer

    return _talk(config, request)


def _talk(
    config: Config, request: Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]
) -> httpx.Response:
    home = state_directory(config)
    with _mapped(home), control.address(home) as socket:
        return trio.run(_connected, socket, request)


async def _connected(
    socket: Path, request: Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]
) -> httpx.Response:
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    client = httpx.AsyncClient(
        transport=transport, base_url="http://streamd", timeout=_SECONDS, trust_env=False
    )
    async with client as daemon:
        return await request(daemon)


@contextmanager
def _mapped(home: Path) -> Iterator[None]:
    try:
        yield
    except (httpx.ConnectError, FileNotFoundError, PermissionError) as error:
        raise NotRunning(_why_not(home)) from error
    except httpx.RemoteProtocolError as error:
        raise NotRunning(f"the daemon on {home} has ended before its answer did") from error
    except httpx.TransportError as error:
        raise NotRunning(f"the daemon on {home} does not answer: {type(error).__name__}") from error


def _why_not(home: Path) -> str:
    try:
        there = (home / control.NAME).exists()
    except PermissionError:
        return f"the state directory {home} is another user's: try with sudo"
    hint = "its control socket does not answer" if there else "there is no control socket"
    return f"no streamd is running on the state directory {home} ({hint})"
