"""`streamd status`: how a running daemon is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta

import msgspec

from streamd.admin.report import ConnectorReport, Report
from streamd.admin.words import age, amount, instant, size
from streamd.cli._arguments import Subparsers, add_config, table
from streamd.cli._control import NotRunning, ask
from streamd.config.file import load

_COLUMNS = ("CONNECTOR", "VENDOR", "STATE", "EVENTS/S", "LAG", "IN SPOOL", "GAPS", "REASON")


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "status",
        help="show the connectors, Kafka, the spool and open gaps of a running daemon",
        description="Exit code 1: not all connectors are live, or no daemon is running.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="one connector only")
    parser.add_argument("--json", action="store_true", help="print the daemon's whole report")
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Print the table or the JSON; 0 when all connectors, or the named one, are live."""
    config = load(args.config, needed=("spool",)).config
    try:
        answer = ask(config, "GET", "/status")
    except NotRunning as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    report = msgspec.json.decode(answer.content, type=Report)
    shown = report.connectors
    if args.name is not None:
        if args.name not in shown:
            known = ", ".join(shown) or "none"
            sys.stderr.write(f"error: no connector {args.name!r} is running; there is: {known}\n")
            return 1
        shown = {args.name: shown[args.name]}
    if args.json:
        whole = report if args.name is None else shown[args.name]
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(whole), indent=2).decode() + "\n")
    else:
        sys.stdout.writelines(_lines(report, shown))
    return 0 if all(connector.state == "live" for connector in shown.values()) else 1


def _lines(report: Report, shown: Mapping[str, ConnectorReport]) -> Iterator[str]:
    yield table([_COLUMNS, *(_row(name, connector) for name, connector in shown.items())])
    yield "\n"
    kafka, spool = report.kafka, report.spool
    yield f"kafka: {'connected' if kafka.connected else f'away: {kafka.reason}'}\n"
    yield from (f"  {name}: {why}\n" for name, why in {**kafka.warnings, **kafka.stuck}.items())
    full = "the disk is full, " if spool.disk_full else ""
    yield f"spool: {full}{amount(spool.events)} records, {size(spool.bytes)} of {size(spool.max_bytes)}\n"
    yield from (
        f"  {name}, which runs no more: {amount(count)} records\n" for name, count in spool.left.items()
    )
    for name, connector in shown.items():
        yield from (f"subscription: {line}\n" for line in _subscriptions(name, connector))
    yield from (f"gap: {line}\n" for name, connector in shown.items() for line in _gaps(name, connector))


def _row(name: str, connector: ConnectorReport) -> tuple[str, ...]:
    lag = connector.lag_seconds
    return (
        name,
        connector.vendor,
        connector.state,
        amount(connector.rates.events_per_second),
        "-" if lag is None else age(timedelta(seconds=lag)),
        f"{amount(connector.spool.events)} ({size(connector.spool.bytes)})",
        str(connector.open_gaps),
        connector.reason or "",
    )


def _subscriptions(name: str, connector: ConnectorReport) -> Iterator[str]:
    for each in connector.subscriptions:
        yield f"{name} {each.name}: {each.state}{f', {each.reason}' if each.reason else ''}"


def _gaps(name: str, connector: ConnectorReport) -> Iterator[str]:
    for gap in connector.gaps:
        data = gap.data
        begin = "the beginning" if data.from_ is None else instant(data.from_)
        end = "now (open)" if data.to is None else instant(data.to)
        fate = f"events {data.events}, state {data.state or 'none kept'}"
        yield f"{name} {gap.session}: {begin} to {end}, {data.cause}, {fate}"
