"""`streamd backfill`: have the running daemon fetch a stretch of time again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import TextIO

import msgspec

from streamd.admin.backfilling import BackfillLine
from streamd.cli._arguments import Subparsers, add_config
from streamd.cli._control import NotRunning, follow
from streamd.config.file import load

_BAR = 30


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "backfill",
        help="fetch a stretch of time again through the running daemon",
        description="Fetches what the vendor keeps of that time, publishes it with the same ids, and ends "
        "when all of it is on Kafka, or with 1 and what could not be had. Ctrl-C cancels it: what was "
        "published stays.",
    )
    parser.add_argument("name", metavar="NAME", help="the connector's name, as in the configuration")
    parser.add_argument("--from", dest="begin", required=True, metavar="T", help="RFC 3339, with its zone")
    parser.add_argument("--to", dest="end", required=True, metavar="T", help="RFC 3339, with its zone")
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Show its progress until all is on Kafka; 1 when it failed or something is left.

    1 also where there is no such connector or daemon.
    """
    config = load(args.config, needed=("spool",)).config
    shown = Shown(args.name, sys.stdout)
    query = {"name": args.name, "from": args.begin, "to": args.end}
    try:
        answer = follow(config, "POST", "/backfill", shown.take, query)
    except NotRunning as error:
        shown.end_line()
        sys.stderr.write(f"error: {error}\n")
        return 1
    if not answer.is_success:
        sys.stderr.write(f"error: {answer.text.strip()}\n")
        return 1
    shown.end_line()
    if shown.last.figures is None:
        sys.stderr.write(
            f"error: {args.name}: {shown.last.error or 'it crashed; see the log of the daemon'}\n"
        )
        return 1
    figures, left = _told(shown.last.figures), _told(shown.last.left)
    sys.stdout.write(f"{args.name}: {'' if left else 'all '}on Kafka{f': {figures}' if figures else ''}\n")
    if left:
        sys.stderr.write(f"error: {args.name}: not all of it is on Kafka; left: {left}\n")
        return 1
    return 0


def _told(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {what}" for what, number in numbers.items())


class Shown:
    """Progress as an operator sees it: a bar on a terminal, else a line for each news."""

    def __init__(self, name: str, out: TextIO) -> None:
        self.last = BackfillLine()
        self._name = name
        self._out = out
        self._bar = out.isatty()
        self._width = 0
        self._said = ""

    def take(self, line: str) -> None:
        """Show one line of the daemon's answer."""
        self.last = msgspec.json.decode(line, type=BackfillLine)
        if self.last.done is not None:
            self._show(self.last.done, self.last.words)

    def _show(self, done: float, words: str) -> None:
        said = f"{done:4.0%} {words}".rstrip()
        if said == self._said:
            return
        self._said = said
        if self._bar:
            full = round(done * _BAR)
            text = f"{self._name} [{'#' * full}{' ' * (_BAR - full)}] {said}"
            self._out.write(f"\r{text.ljust(self._width)}")
            self._width = len(text)
        else:
            self._out.write(f"{self._name}: {said.strip()}\n")
        self._out.flush()

    def end_line(self) -> None:
        """Leave the bar as it is, and go on below it."""
        if self._width:
            self._out.write("\n")
            self._width = 0
