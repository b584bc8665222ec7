"""Run the simulator from the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

from streamd.simulators.commandline import open_parser, serve_as_printed, serve_or_explain, shared
from streamd.simulators.huawei_aicc.faults import FAULTS
from streamd.simulators.huawei_aicc.options import HuaweiOptions
from streamd.simulators.huawei_aicc.simulator import open_huawei_simulator


async def run(port: int, rate: float, faults: Sequence[str]) -> None:
    """Serve on `port` (0: any) until cancelled; print the URL and the tables of a connector on stdout."""
    await serve(HuaweiOptions(port=port, rate=rate, faults=frozenset(faults)))


async def serve(options: HuaweiOptions) -> None:
    """Serve what `options` say until cancelled; ConfigError for unknown faults."""
    async with open_huawei_simulator(options) as simulator:
        url = f"base_url {simulator.base_url}\n"
        await serve_as_printed(url, simulator.ingress_table(), simulator.connector_table())


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return 0, or 78 when an argument cannot be used."""
    return serve_or_explain(partial(serve, _options(_parser().parse_args(arguments))))


def _parser() -> argparse.ArgumentParser:
    parser = open_parser(
        "huawei_aicc",
        "Simulate Huawei AICC's CC-FS: exports of CDRs and recordings, with callbacks.",
        FAULTS,
        how="NAME, NAME=VALUE, some also NAME:OPERATION=COUNT or NAME:CODE=COUNT",
        rate="rows a second",
        no_log="keep no rows: nothing to export but bulk",
    )
    default = HuaweiOptions()
    parser.add_argument("--ingress-port", type=int, default=0, help="where the client listens; 0: a free one")
    parser.add_argument("--time-scale", type=float, default=1.0, help="makes the platform's clock faster")
    parser.add_argument("--starts-at", type=float, default=0.0, help="epoch seconds; 0: now")
    parser.add_argument("--time-zone", default=default.time_zone, help="of the tenant space")
    return parser


def _options(arguments: argparse.Namespace) -> HuaweiOptions:
    return HuaweiOptions(
        **shared(arguments),
        ingress_port=arguments.ingress_port,
        time_scale=arguments.time_scale,
        starts_at=arguments.starts_at,
        time_zone=arguments.time_zone,
    )
