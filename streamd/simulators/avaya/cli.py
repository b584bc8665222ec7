"""Run the simulator from the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

from streamd.simulators.avaya.faults import FAULTS
from streamd.simulators.avaya.options import AvayaOptions
from streamd.simulators.avaya.simulator import open_avaya_simulator
from streamd.simulators.commandline import open_parser, serve_as_printed, serve_or_explain, shared


async def run(port: int, rate: float, faults: Sequence[str]) -> None:
    """Serve on `port` (0: any) until cancelled; print the base URL and a connector table on stdout."""
    await serve(AvayaOptions(port=port, rate=rate, faults=frozenset(faults)))


async def serve(options: AvayaOptions) -> None:
    """Serve what `options` say until cancelled; ConfigError for unknown faults or producers."""
    async with open_avaya_simulator(options) as simulator:
        await serve_as_printed(f"base_url {simulator.base_url}\n", simulator.connector_table())


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return 0, or 78 when an argument cannot be used."""
    return serve_or_explain(partial(serve, _options(_parser().parse_args(arguments))))


def _parser() -> argparse.ArgumentParser:
    parser = open_parser(
        "avaya",
        "Simulate Avaya's realtime analytics: REST and websocket on one port.",
        FAULTS,
        how="NAME, NAME=VALUE, for REST also NAME:OPERATION=COUNT",
        rate="LIVE messages a second, inf: unbounded",
        no_log="keep no record of data messages in memory",
    )
    default = AvayaOptions()
    parser.add_argument("--keys", type=int, default=default.keys, help="agents or queues per producer")
    parser.add_argument("--producer", action="append", metavar="ID", help="again for each; default: the four")
    parser.add_argument("--log", default="", metavar="FILE", help="append every data message as a JSON line")
    return parser


def _options(arguments: argparse.Namespace) -> AvayaOptions:
    return AvayaOptions(
        **shared(arguments),
        keys=arguments.keys,
        producers=tuple(arguments.producer or AvayaOptions().producers),
        log_file=arguments.log,
    )
