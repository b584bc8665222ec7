"""What every simulator's own command line does: `python -m streamd.simulators.<vendor>`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable, Mapping

import trio

from streamd.errors import ConfigError

BAD_ARGUMENT = 78


def faults_help(faults: Mapping[str, str], how: str) -> str:
    """List the faults, each in a line, below `how` they are written."""
    return f"faults ({how}):\n" + "\n".join(f"  {name:26} {text}" for name, text in faults.items())


def serve_or_explain(serve: Callable[[], Awaitable[None]]) -> int:
    """Serve until SIGINT or SIGTERM; return 0, or 78 when an argument cannot be used, with each mistake."""
    code = 0
    try:
        trio.run(until_signalled, serve)
    except* ConfigError as group:
        for error in group.exceptions:
            sys.stderr.write(f"{error}\n")
        code = BAD_ARGUMENT
    return code


async def until_signalled(serve: Callable[[], Awaitable[None]]) -> None:
    """Run `serve` until SIGINT or SIGTERM ends it, or it ends itself."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_on_signal, nursery.cancel_scope)
        await serve()


async def _cancel_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
