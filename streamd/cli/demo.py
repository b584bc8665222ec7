"""`streamd demo`: the main job with no config, no server and no account."""

from __future__ import annotations

import argparse
import importlib
import sys

import trio

from streamd.cli._arguments import Subparsers, positive


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "demo",
        help="show the main job: embedded Kafka, simulators, the real daemon",
        description="Run an embedded Kafka, a simulator of each vendor and the daemon; count on Kafka.",
    )
    parser.add_argument("--seconds", type=positive, default=20.0, metavar="N", help="how long (default: 20)")
    parser.add_argument(
        "--rate",
        type=positive,
        default=200.0,
        metavar="N",
        help="events a second of each vendor (default: 200)",
    )


def run(args: argparse.Namespace) -> int:
    """Give 0 only when every event that the simulators sent is on Kafka or in a declared gap."""
    try:
        demo = importlib.import_module("streamd.demo.run")
    except ModuleNotFoundError as missing:
        sys.stderr.write(f"error: {missing.name} is not installed: pip install 'streamd[demo]'\n")
        return 1
    return 0 if trio.run(demo.run, args.seconds, args.rate) else 1
