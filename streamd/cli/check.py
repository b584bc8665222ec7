"""`streamd check`: every mistake at once, what leaves the building, and whether everyone can be reached."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import trio
from msgspec.structs import fields

from streamd.cli._arguments import Subparsers, add_config, table
from streamd.config import Config, ConnectorConfig, PrivacyConfig
from streamd.config.file import load
from streamd.probe import Probed, probe_all
from streamd.registry import all_types

_RULES = {"drop": "dropped", "mask": "masked", "hash": "hashed with a key"}
_DEAD_LETTERS = {
    "withheld": "size and hash only of what cannot be decoded",
    "full": "what cannot be decoded as it came, these fields included",
}


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "check",
        help="find every mistake in the configuration, and say what leaves the building",
        description="Exit code 78: there are mistakes. 1: with --online, something cannot be reached.",
    )
    add_config(parser)
    parser.add_argument(
        "--online", action="store_true", help="also try Kafka and the login of each vendor, and print a table"
    )


def run(args: argparse.Namespace) -> int:
    """Print warnings, what leaves, and the table. Raises ConfigError with every mistake."""
    loaded = load(args.config)
    sys.stdout.writelines(f"warning: {warning}\n" for warning in loaded.warnings)
    sys.stdout.writelines(f"{line}\n" for line in leaving(loaded.config))
    sys.stdout.write("ok: no mistakes\n")
    if not args.online:
        return 0
    sys.stdout.flush()
    probed = trio.run(probe_all, loaded.config)
    sys.stdout.write("\n" + table([("NAME", "KIND", "OUTCOME", "REASON"), *map(_row, probed)]))
    return 0 if all(each.outcome == "ok" for each in probed) else 1


def leaving(config: Config) -> Iterator[str]:
    """Say, connector by connector, what goes to Kafka and what its privacy rules keep here."""
    servers = ", ".join(config.kafka.bootstrap_servers)
    for name, connector in config.connectors.items():
        if not connector.enabled:
            yield f"{name} ({connector.type}): disabled, nothing leaves"
            continue
        yield f"{name} ({connector.type}): to Kafka at {servers}"
        for topic in sorted({stream.topic for stream in all_types()[connector.type].streams(connector)}):
            yield f"  topic {config.kafka.topic_prefix}.{topic}"
        yield from (f"  {line}" for line in _privacy(connector))


def _privacy(connector: ConnectorConfig) -> Iterator[str]:
    privacy, rules = connector.privacy, connector.privacy.all_rules()
    for rule, words in _RULES.items():
        if getattr(rules, rule):
            yield f"{words}: {', '.join(getattr(rules, rule))}"
    common = {field.name for field in fields(PrivacyConfig)}
    for field in fields(privacy):
        if field.name not in common:
            yield f"{field.encode_name}: {_words(getattr(privacy, field.name))}"
    if rules:
        yield "leaves: every other field as the vendor sends it"
        yield f"dead letters: {_DEAD_LETTERS['withheld' if privacy.withholds else 'full']}"
    else:
        yield "leaves: every field as the vendor sends it (no privacy rules)"


def _words(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _row(probed: Probed) -> tuple[str, str, str, str]:
    return (probed.name or "kafka", probed.kind, probed.outcome, probed.reason)
