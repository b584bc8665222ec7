"""`streamd simulate`: one vendor's simulator, to point any client at."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import trio

import streamd.simulators
from streamd.cli._arguments import Subparsers, not_negative
from streamd.simulators.commandline import until_signalled
from streamd.supervision import leaf


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "simulate",
        help="run one vendor's simulator",
        description="Run one vendor's simulator until SIGINT or SIGTERM; it prints where it listens.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    parser.add_argument(
        "-h", "--help", action=_HelpWithFaults, help="show this help with all faults, and exit"
    )
    parser.add_argument("vendor", metavar="VENDOR", choices=_vendors(), help=" | ".join(_vendors()))
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="default: any free one")
    parser.add_argument(
        "--rate", type=not_negative, default=10.0, metavar="N", help="events a second (default: 10)"
    )
    parser.add_argument(
        "--fault", action="append", default=[], metavar="NAME", help="one of the list below; may be repeated"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until a signal ends it. Raises ConfigError for a fault that the simulator does not know."""
    serve = partial(_simulator(args.vendor).run, args.port, args.rate, args.fault)
    try:
        trio.run(until_signalled, serve)
    except BaseExceptionGroup as group:
        error = leaf(group)
        if not isinstance(error, OSError):
            raise error from group
        sys.stderr.write(f"error: cannot listen on port {args.port}: {error.strerror or error}\n")
        return 1
    return 0


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port: 0 to 65535")
    return port


class _HelpWithFaults(argparse.Action):
    """Print the help with the faults of each simulator, which are imported for that only."""

    def __init__(self, option_strings: Sequence[str], dest: str, **keys: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=keys.get("help"))

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        parser.epilog = "\n\n".join(map(_faults, _vendors()))
        parser.print_help()
        parser.exit()


def _faults(vendor: str) -> str:
    listed = _simulator(vendor).FAULTS.items()
    width = max((len(name) for name, _ in listed), default=0)
    lines = (f"  {name.ljust(width)}  {text}" for name, text in listed)
    return "\n".join([f"faults of {vendor}:", *lines])


def _vendors() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(streamd.simulators.__path__) if module.ispkg]


def _simulator(vendor: str) -> Any:
    """Import a simulator: `run(port, rate, faults)` serves until cancelled, `FAULTS` maps names to texts."""
    return importlib.import_module(f"{streamd.simulators.__name__}.{vendor}")
