"""`streamd audit`: whether anything is missing on the topics, as their consumers see them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from streamd.admin.words import instant
from streamd.audit.book import Book
from streamd.audit.report import Report
from streamd.cli._arguments import Subparsers, add_config, not_negative, table
from streamd.config import KafkaConfig
from streamd.config.file import load
from streamd.errors import Rejected, Transient
from streamd.publish.reading import read_all

_PATIENCE_SECONDS = 10.0
_MOST_NUMBERS = 20  # of one source are shown to people
_COLUMNS = ("CONNECTOR", "STREAM", "EVENTS", "DUPLICATES", "DEAD-LETTERED", "TRIMMED", "MISSING")


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "audit",
        help="read the topics and say whether anything is missing",
        description=(
            "Reads every topic under the prefix and looks for duplicates by id and for holes in the "
            "sequence, up to `last` of the progress events. What retention took is told as trimmed. "
            "Exit code 1: there are holes, or Kafka cannot be read."
        ),
    )
    add_config(parser)
    parser.add_argument("--bootstrap-servers", metavar="HOST:PORT,…", help="read this cluster, without TLS")
    parser.add_argument("--topic-prefix", metavar="PREFIX", help="beside --bootstrap-servers")
    parser.add_argument("--json", action="store_true", help="print the whole report")
    parser.add_argument(
        "--patience",
        type=not_negative,
        default=_PATIENCE_SECONDS,
        metavar="SECONDS",
        help="how long to wait for what is accepted and not on Kafka yet (default: 10)",
    )


def run(args: argparse.Namespace) -> int:
    """Print the report; 1 when numbers are missing or Kafka cannot be read. Raises ConfigError."""
    config = _cluster(args)
    if config is None:
        sys.stderr.write("error: --bootstrap-servers and --topic-prefix go together\n")
        return 2
    book = Book(config.topic_prefix)
    try:
        read_all(config, book, patience=args.patience, progress=_show if sys.stderr.isatty() else _silent)
    except (Rejected, Transient) as error:
        sys.stderr.write(f"error: Kafka cannot be read: {error.reason}\n")
        return 1
    report = book.report()
    if args.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(_flat(report)), indent=2).decode() + "\n")
    else:
        sys.stdout.writelines(_lines(report))
    return 1 if report.holes else 0


def _cluster(args: argparse.Namespace) -> KafkaConfig | None:
    """Give whom to ask; None where only one of the two options is there."""
    if args.bootstrap_servers is None and args.topic_prefix is None:
        return load(args.config, needed=("kafka",)).config.kafka
    if args.bootstrap_servers is None or args.topic_prefix is None:
        return None
    return KafkaConfig(args.bootstrap_servers.split(","), topic_prefix=args.topic_prefix)


def _show(read: int, expected: int) -> None:
    sys.stderr.write(f"\r{read:,} of {expected:,} records" + ("\n" if read == expected else ""))


def _silent(read: int, expected: int) -> None:
    """Say nothing where nobody looks."""


def _flat(report: Report) -> dict[str, Any]:
    """Give the report as JSON has it: a gap's connector beside its data."""
    whole: dict[str, Any] = msgspec.to_builtins(report)
    whole["gaps"] = [{"connector": found["connector"], **found["gap"]} for found in whole["gaps"]]
    return whole


def _lines(report: Report) -> Iterator[str]:
    yield table(
        [
            _COLUMNS,
            *(
                (
                    each.connector,
                    each.stream,
                    *map(str, (each.events, each.duplicates, each.dead_lettered, each.trimmed, each.missing)),
                )
                for each in report.streams
            ),
        ]
    )
    for found in report.gaps:
        gap = found.gap
        begin = "the beginning" if gap.from_ is None else instant(gap.from_)
        end = "now (open)" if gap.to is None else instant(gap.to)
        healed = f", healed by {gap.healed_by}" if gap.healed_by else ""
        yield (
            f"gap: {found.connector} {','.join(gap.scope)}: {begin} to {end}, {gap.cause}, "
            f"events {gap.events}, state {gap.state or 'none kept'}{healed}\n"
        )
    for hole in report.holes:
        shown = ", ".join(map(str, hole.numbers[:_MOST_NUMBERS]))
        more = f" and {len(hole.numbers) - _MOST_NUMBERS} more" if len(hole.numbers) > _MOST_NUMBERS else ""
        yield f"hole: {hole.source} in epoch {hole.epoch}: {shown}{more}\n"
    yield from (
        f"strange: {count} records on {topic} are none of streamd's\n"
        for topic, count in report.strange.items()
    )
    yield f"dead letters: {report.dead_letters}\n"
    yield "nothing is missing\n" if not report.holes else "numbers are missing: see the holes above\n"
