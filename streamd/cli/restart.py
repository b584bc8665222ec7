"""`streamd restart`: stop one connector of the running daemon and start it again."""

from __future__ import annotations

import argparse
import sys

from streamd.cli._arguments import Subparsers, add_config
from streamd.cli._control import NotRunning, ask
from streamd.config.file import load


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "restart",
        help="restart one connector of the running daemon",
        description="A refused or parked connector tries again at once.",
    )
    parser.add_argument("name", metavar="NAME", help="the connector's name, as in the configuration")
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Restart it; 1 when there is no such connector or no daemon."""
    config = load(args.config, needed=("spool",)).config
    try:
        answer = ask(config, "POST", "/restart", name=args.name)
    except NotRunning as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    if not answer.is_success:
        sys.stderr.write(f"error: {answer.text.strip()}\n")
        return 1
    sys.stdout.write(answer.text)
    return 0
