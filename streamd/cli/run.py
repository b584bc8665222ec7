"""`streamd run`: the daemon itself."""

from __future__ import annotations

import argparse
import sys

import structlog
import trio

from streamd import app, telemetry
from streamd.cli._arguments import Subparsers, add_config
from streamd.config.file import default_path, load
from streamd.errors import SpoolUnusable, StreamdError
from streamd.notify import Notifier
from streamd.supervision import leaf

log = structlog.get_logger("streamd")


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "run",
        help="run the daemon",
        description=(
            "SIGTERM and SIGINT drain it, a second one cuts that short; SIGHUP reads the configuration "
            "again. Exit code 78: bad configuration. 1: it could not go on."
        ),
    )
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Run until drained: 0; 1 when something fatal ended it. Raises ConfigError with every mistake."""
    path = args.config or default_path()
    loaded = load(path)
    notifier = Notifier()
    with telemetry.configure():
        for warning in loaded.warnings:
            log.warning("config_warning", path=warning.path, problem=warning.message)
        try:
            trio.run(app.run, path, loaded.config, notifier)
        except SpoolUnusable as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
        except (BaseExceptionGroup, StreamdError) as error:
            return _fatal(leaf(error))
    return 0


def _fatal(error: BaseException) -> int:
    """Say what ended the core: its reason where it was foreseen, all that is known where it is a bug."""
    if isinstance(error, KeyboardInterrupt):
        raise error
    if isinstance(error, StreamdError):
        log.error("fatal", reason=str(error))
        sys.stderr.write(f"error: {error}\n")
    else:
        log.error("fatal", exc_info=error)
    return 1
