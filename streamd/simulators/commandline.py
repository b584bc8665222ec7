"""What every simulator's own command line does: `python -m streamd.simulators.<vendor>`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import trio

from streamd.errors import ConfigError

BAD_ARGUMENT = 78


def open_parser(
    vendor: str, description: str, faults: Mapping[str, str], *, how: str, rate: str, no_log: str
) -> argparse.ArgumentParser:
    """Make a parser with the options of every simulator; `shared` reads them.

    `how` faults are written; what `rate` counts; what `no_log` leaves out.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m streamd.simulators.{vendor}",
        description=description,
        epilog=_listed(faults, how),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--rate", type=float, default=10.0, help=rate)
    parser.add_argument("--fault", action="append", default=[], metavar="NAME")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-log", action="store_true", help=no_log)
    return parser


def shared(arguments: argparse.Namespace) -> dict[str, Any]:
    """Give what those options say, as every simulator's options take it."""
    return {
        "host": arguments.host,
        "port": arguments.port,
        "rate": arguments.rate,
        "faults": frozenset(arguments.fault),
        "seed": arguments.seed,
        "log": not arguments.no_log,
    }


def _listed(faults: Mapping[str, str], how: str) -> str:
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


async def serve_as_printed(*tables: str) -> None:
    """Print how to point streamd at what listens now, and wait for ever."""
    sys.stdout.write("\n".join(tables))
    sys.stdout.flush()
    await trio.sleep_forever()


async def until_signalled(serve: Callable[[], Awaitable[None]]) -> None:
    """Run `serve` until SIGINT or SIGTERM ends it, or it ends itself."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_on_signal, nursery.cancel_scope)
        await serve()


async def _cancel_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
