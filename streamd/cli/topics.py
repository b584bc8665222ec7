"""`streamd topics`: the topics that the configuration needs, and whether Kafka has them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

import trio

from streamd import acls
from streamd.cli._arguments import Subparsers, add_config, table
from streamd.config import KafkaConfig
from streamd.config.derived import topic_specs
from streamd.config.file import load
from streamd.errors import Rejected, Transient
from streamd.model import TopicSpec
from streamd.publish import kafka
from streamd.publish.admin import TopicReport

_RETENTION = "retention.ms"
_DEFAULT = "default"
_SETTLED_SECONDS, _AGAIN_SECONDS = 5.0, 0.1


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "topics",
        help="list the topics that the configuration needs; make the missing ones",
        description=(
            "One topic a line: whole name, partitions, compact or delete, retention (ms, or the broker's "
            "default), exists or missing. Exit code 1: some are missing."
        ),
    )
    add_config(parser)
    parser.add_argument("--create", action="store_true", help="make those that are missing")
    parser.add_argument(
        "--acls",
        action="store_true",
        help="print instead the ACLs that the daemon needs, one a line, as options of kafka-acls.sh",
    )


def run(args: argparse.Namespace) -> int:
    """Print the table; 1 when a topic is missing or Kafka cannot be asked. Raises ConfigError."""
    config = load(args.config, needed=("kafka",)).config
    specs = topic_specs(config)
    if args.acls:
        sys.stdout.writelines(f"{line}\n" for line in acls.options(config.kafka, specs))
        if not args.create:
            return 0
    ask = _create if args.create else kafka.describe
    try:
        reports = trio.run(ask, config.kafka, specs)
    except (Rejected, Transient) as error:
        sys.stderr.write(f"error: Kafka cannot be asked: {error.reason}\n")
        return 1
    if not args.acls:
        sys.stdout.write(_listed(specs, reports))
    for report in reports:
        sys.stderr.writelines(f"warning: {report.name}: {problem}\n" for problem in report.problems)
    return 0 if all(report.exists for report in reports) else 1


async def _create(config: KafkaConfig, specs: Mapping[str, TopicSpec]) -> Sequence[TopicReport]:
    """Make the missing topics and wait until brokers know of them, which takes some milliseconds."""
    reports = await kafka.create(config, specs)
    with trio.move_on_after(_SETTLED_SECONDS):
        while any(not report.exists and not report.problems for report in reports):
            await trio.sleep(_AGAIN_SECONDS)
            reports = await kafka.describe(config, specs)
    return reports


def _listed(specs: Mapping[str, TopicSpec], reports: Sequence[TopicReport]) -> str:
    """Lay out what the topics are like; of a missing one what it is to be like."""
    return table([_row(specs[report.name], report) for report in reports])


def _row(spec: TopicSpec, report: TopicReport) -> tuple[str, ...]:
    partitions = report.partitions if report.partitions is not None else spec.partitions
    return (
        spec.name,
        str(partitions),
        report.cleanup or spec.cleanup,
        _retention(spec, report),
        "exists" if report.exists else "missing",
    )


def _retention(spec: TopicSpec, report: TopicReport) -> str:
    """Give the retention in milliseconds, -1 for ever; a compacted topic keeps the latest value for ever."""
    if "delete" not in (report.cleanup or spec.cleanup):
        return "-1"
    if report.retention_ms is not None:
        return str(report.retention_ms)
    return spec.config.get(_RETENTION, _DEFAULT)
