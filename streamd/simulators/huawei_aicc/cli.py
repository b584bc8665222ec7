"""Run the simulator from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

import trio

from streamd.simulators.commandline import faults_help, serve_or_explain
from streamd.simulators.huawei_aicc.faults import FAULTS
from streamd.simulators.huawei_aicc.options import HuaweiOptions
from streamd.simulators.huawei_aicc.simulator import open_huawei_simulator

OPTIONS_HELP = faults_help(FAULTS, "NAME, NAME=VALUE, some also NAME:OPERATION=COUNT or NAME:CODE=COUNT")


async def run(port: int, rate: float, faults: Sequence[str]) -> None:
    """Serve on `port` (0: any) until cancelled; print the URL and the tables of a connector on stdout."""
    await serve(HuaweiOptions(port=port, rate=rate, faults=frozenset(faults)))


async def serve(options: HuaweiOptions) -> None:
    """Serve what `options` say until cancelled; ConfigError for unknown faults."""
    async with open_huawei_simulator(options) as simulator:
        sys.stdout.write(f"base_url {simulator.base_url}\n")
        sys.stdout.write(f"\n{simulator.ingress_table()}\n{simulator.connector_table()}")
        sys.stdout.flush()
        await trio.sleep_forever()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return 0, or 78 when an argument cannot be used."""
    return serve_or_explain(partial(serve, _options(_parser().parse_args(arguments))))


def _parser() -> argparse.ArgumentParser:
    default = HuaweiOptions()
    parser = argparse.ArgumentParser(
        prog="python -m streamd.simulators.huawei_aicc",
        description="Simulate Huawei AICC's CC-FS: exports of CDRs and recordings, with callbacks.",
        epilog=OPTIONS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default=default.host)
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument(
        "--ingress-port", type=int, default=0, help="where the client listens; 0: a free port"
    )
    parser.add_argument("--rate", type=float, default=10.0, help="rows a second")
    parser.add_argument("--time-scale", type=float, default=1.0, help="makes the platform's clock faster")
    parser.add_argument("--starts-at", type=float, default=0.0, help="epoch seconds; 0: now")
    parser.add_argument("--time-zone", default=default.time_zone, help="of the tenant space")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--no-log", action="store_true", help="keep no rows: nothing to export but bulk")
    return parser


def _options(arguments: argparse.Namespace) -> HuaweiOptions:
    return HuaweiOptions(
        host=arguments.host,
        port=arguments.port,
        ingress_port=arguments.ingress_port,
        rate=arguments.rate,
        time_scale=arguments.time_scale,
        starts_at=arguments.starts_at,
        time_zone=arguments.time_zone,
        faults=frozenset(arguments.fault),
        seed=arguments.seed,
        log=not arguments.no_log,
    )
