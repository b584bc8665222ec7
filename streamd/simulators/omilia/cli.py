"""Run the simulator from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

import trio

from streamd.simulators.commandline import faults_help, serve_or_explain
from streamd.simulators.omilia.faults import FAULTS
from streamd.simulators.omilia.options import OmiliaOptions
from streamd.simulators.omilia.simulator import open_omilia_simulator

OPTIONS_HELP = faults_help(FAULTS, "NAME, NAME=VALUE, for REST also NAME:OPERATION=COUNT")


async def run(port: int, rate: float, faults: Sequence[str]) -> None:
    """Serve on `port` (0: any) until cancelled; print the URLs and the tables of a connector on stdout."""
    await serve(OmiliaOptions(port=port, rate=rate, faults=frozenset(faults)))


async def serve(options: OmiliaOptions) -> None:
    """Serve what `options` say until cancelled; ConfigError for unknown faults."""
    async with open_omilia_simulator(options) as simulator:
        urls = f"exports_url {simulator.exports_url}\niam_url {simulator.iam_url}\n"
        sys.stdout.write(f"{urls}\n{simulator.ingress_table()}\n{simulator.connector_table()}")
        sys.stdout.flush()
        await trio.sleep_forever()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return 0, or 78 when an argument cannot be used."""
    return serve_or_explain(partial(serve, _options(_parser().parse_args(arguments))))


def _parser() -> argparse.ArgumentParser:
    default = OmiliaOptions()
    parser = argparse.ArgumentParser(
        prog="python -m streamd.simulators.omilia",
        description="Simulate Omilia: exports-api on one port, IAM on another, and pushes to who subscribes.",
        epilog=OPTIONS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default=default.host)
    parser.add_argument("--port", type=int, default=0, help="of exports-api; 0: any free port")
    parser.add_argument("--iam-port", type=int, default=0, help="of IAM; 0: any free port")
    parser.add_argument(
        "--ingress-port", type=int, default=0, help="where the client listens; 0: a free port"
    )
    parser.add_argument("--rate", type=float, default=10.0, help="records a second, inf: unbounded")
    parser.add_argument("--calls", type=int, default=default.calls, help="under way at a time")
    parser.add_argument("--time-scale", type=float, default=1.0, help="makes the platform's clock faster")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument(
        "--no-log", action="store_true", help="keep no records: nothing to export or to judge"
    )
    return parser


def _options(arguments: argparse.Namespace) -> OmiliaOptions:
    return OmiliaOptions(
        host=arguments.host,
        port=arguments.port,
        iam_port=arguments.iam_port,
        ingress_port=arguments.ingress_port,
        rate=arguments.rate,
        calls=arguments.calls,
        time_scale=arguments.time_scale,
        faults=frozenset(arguments.fault),
        seed=arguments.seed,
        log=not arguments.no_log,
    )
