"""`streamd spool`: look into the durable queue, also while the daemon runs."""

from __future__ import annotations

import argparse
import sys
from itertools import islice

import msgspec

from streamd.admin.words import amount, instant, size
from streamd.cli._arguments import Subparsers, add_config, table
from streamd.config.derived import state_directory
from streamd.config.file import load
from streamd.errors import SpoolUnusable
from streamd.spool.inspect import LaneContent, Look, look
from streamd.spool.sqlite import SpoolCorrupt

_COLUMNS = ("CONNECTOR", "TOPIC", "PARTITION", "ROWS", "RECORDS", "SIZE", "OLDEST")


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("spool", help="look into the durable queue, also while the daemon runs")
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    ls = what.add_parser("ls", help="what waits, by connector, topic and partition")
    verify = what.add_parser("verify", help="say what is wrong with it; exit code 1 if anything is")
    dump = what.add_parser("dump", help="print the records that wait, one JSON line each, oldest first")
    dump.add_argument("--topic", metavar="T", help="of this topic only (whole name)")
    dump.add_argument("--connector", metavar="C", help="of this connector only")
    dump.add_argument("--limit", type=_count, metavar="N", help="at most N records")
    for each in (ls, verify, dump):
        add_config(each)


def run(args: argparse.Namespace) -> int:
    """Do what is asked; 1 when there is no spool, or something is wrong with it. Raises ConfigError."""
    home = state_directory(load(args.config, needed=("spool",)).config)
    try:
        with look(home) as found:
            return {"ls": _ls, "verify": _verify, "dump": _dump}[args.what](found, args)
    except (SpoolUnusable, SpoolCorrupt) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return count


def _ls(found: Look, args: argparse.Namespace) -> int:
    lanes = found.lanes()
    sys.stdout.write(f"epoch {found.epoch}\n\n")
    sys.stdout.write(table([_COLUMNS, *map(_row, lanes), *map(_sum, _by_connector(lanes).items())]))
    return 0


def _verify(found: Look, args: argparse.Namespace) -> int:
    problems = 0
    for problem in found.problems():
        problems += 1
        sys.stdout.write(f"{problem}\n")
    sys.stdout.write("ok\n" if not problems else f"{amount(problems)} wrong\n")
    return 1 if problems else 0


def _dump(found: Look, args: argparse.Namespace) -> int:
    for record in islice(found.records(args.topic, args.connector), args.limit):
        sys.stdout.write(msgspec.json.encode(record).decode() + "\n")
    return 0


def _row(lane: LaneContent) -> tuple[str, ...]:
    oldest = "" if lane.oldest is None else instant(lane.oldest)
    counts = (amount(lane.rows), amount(lane.events), size(lane.bytes))
    return (lane.connector, lane.topic, str(lane.partition), *counts, oldest)


def _by_connector(lanes: list[LaneContent]) -> dict[str, list[LaneContent]]:
    grouped: dict[str, list[LaneContent]] = {}
    for lane in lanes:
        grouped.setdefault(lane.connector, []).append(lane)
    return grouped


def _sum(named: tuple[str, list[LaneContent]]) -> tuple[str, ...]:
    connector, lanes = named
    rows = sum(lane.rows for lane in lanes)
    events = sum(lane.events for lane in lanes)
    oldest = min((lane.oldest for lane in lanes if lane.oldest is not None), default=None)
    counts = (amount(rows), amount(events), size(sum(lane.bytes for lane in lanes)))
    return (connector, "all", "all", *counts, "" if oldest is None else instant(oldest))
