"""The command line: find the commands, run one, turn what it raises into an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType

import streamd.cli
from streamd import __version__, signals

OK, FAILED, USAGE, BAD_CONFIG, INTERRUPTED = 0, 1, 2, 78, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 78 when the configuration that it reads is bad, with every mistake on stderr.

    The log is silent, for a command says itself what went wrong, until it configures the log otherwise.
    """
    if argv is None and sys.argv[1:2] == ["run"]:
        signals.hold()  # the imports alone take a second
    from streamd import telemetry
    from streamd.errors import ConfigError

    parser, owners = _parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return USAGE
    with telemetry.configure(descriptor=2, level="critical"):
        try:
            return int(owners[args.command].run(args))
        except ConfigError as error:
            sys.stderr.writelines(f"error: {problem}\n" for problem in error.problems)
            return BAD_CONFIG
        except KeyboardInterrupt:
            return INTERRUPTED
        except BrokenPipeError:
            # The reader of stdout (`| head`) has seen enough; Python would complain again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED


def _parser() -> tuple[argparse.ArgumentParser, dict[str, ModuleType]]:
    """Give the parser, and which module each command belongs to."""
    parser = argparse.ArgumentParser(
        prog="streamd", description="Real-time events out of contact-centre platforms onto Kafka."
    )
    parser.add_argument("--version", action="version", version=f"streamd {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    owners: dict[str, ModuleType] = {}
    for module in _modules():
        module.add(subparsers)
        owners |= {command: module for command in subparsers.choices if command not in owners}
    return parser, owners


def _modules() -> list[ModuleType]:
    """Import the modules of `streamd.cli`; one whose name begins with an underscore has no commands."""
    names = [module.name for module in pkgutil.iter_modules(streamd.cli.__path__) if module.name[0] != "_"]
    return [importlib.import_module(f"{streamd.cli.__name__}.{name}") for name in names]


if __name__ == "__main__":
    sys.exit(main())
