"""Run the simulator from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

import trio

from streamd.simulators.avaya.faults import FAULTS
from streamd.simulators.avaya.options import AvayaOptions
from streamd.simulators.avaya.simulator import open_avaya_simulator
from streamd.simulators.commandline import faults_help, serve_or_explain

OPTIONS_HELP = faults_help(FAULTS, "NAME, NAME=VALUE, for REST also NAME:OPERATION=COUNT")


async def run(port: int, rate: float, faults: Sequence[str]) -> None:
    """Serve on `port` (0: any) until cancelled; print the base URL and a connector table on stdout."""
    await serve(AvayaOptions(port=port, rate=rate, faults=frozenset(faults)))


async def serve(options: AvayaOptions) -> None:
    """Serve what `options` say until cancelled; ConfigError for unknown faults or producers."""
    async with open_avaya_simulator(options) as simulator:
        sys.stdout.write(f"base_url {simulator.base_url}\n\n{simulator.connector_table()}")
        sys.stdout.flush()
        await trio.sleep_forever()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return 0, or 78 when an argument cannot be used."""
    return serve_or_explain(partial(serve, _options(_parser().parse_args(arguments))))


def _parser() -> argparse.ArgumentParser:
    default = AvayaOptions()
    parser = argparse.ArgumentParser(
        prog="python -m streamd.simulators.avaya",
        description="Simulate Avaya's realtime analytics: REST and websocket on one port.",
        epilog=OPTIONS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default=default.host)
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--rate", type=float, default=10.0, help="LIVE messages a second, inf: unbounded")
    parser.add_argument("--keys", type=int, default=default.keys, help="agents or queues per producer")
    parser.add_argument("--producer", action="append", metavar="ID", help="again for each; default: the four")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--log", default="", metavar="FILE", help="append every data message as a JSON line")
    parser.add_argument("--no-log", action="store_true", help="keep no record of data messages in memory")
    return parser


def _options(arguments: argparse.Namespace) -> AvayaOptions:
    return AvayaOptions(
        host=arguments.host,
        port=arguments.port,
        rate=arguments.rate,
        keys=arguments.keys,
        producers=tuple(arguments.producer or AvayaOptions().producers),
        faults=frozenset(arguments.fault),
        seed=arguments.seed,
        log=not arguments.no_log,
        log_file=arguments.log,
    )
