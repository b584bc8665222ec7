"""Run the simulator from the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

from streamd.simulators.commandline import open_parser, serve_as_printed, serve_or_explain, shared
from streamd.simulators.omilia.faults import FAULTS
from streamd.simulators.omilia.options import OmiliaOptions
from streamd.simulators.omilia.simulator import open_omilia_simulator


async def run(port: int, rate: float, faults: Sequence[str]) -> None:
    """Serve on `port` (0: any) until cancelled; print the URLs and the tables of a connector on stdout."""
    await serve(OmiliaOptions(port=port, rate=rate, faults=frozenset(faults)))


async def serve(options: OmiliaOptions) -> None:
    """Serve what `options` say until cancelled; ConfigError for unknown faults."""
    async with open_omilia_simulator(options) as simulator:
        urls = f"exports_url {simulator.exports_url}\niam_url {simulator.iam_url}\n"
        await serve_as_printed(urls, simulator.ingress_table(), simulator.connector_table())


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return 0, or 78 when an argument cannot be used."""
    return serve_or_explain(partial(serve, _options(_parser().parse_args(arguments))))


def _parser() -> argparse.ArgumentParser:
    parser = open_parser(
        "omilia",
        "Simulate Omilia: exports-api on one port, IAM on another, and pushes to who subscribes.",
        FAULTS,
        how="NAME, NAME=VALUE, for REST also NAME:OPERATION=COUNT",
        rate="records a second, inf: unbounded",
        no_log="keep no records: nothing to export or to judge",
    )
    parser.add_argument("--iam-port", type=int, default=0, help="of IAM; 0: any free port")
    parser.add_argument("--ingress-port", type=int, default=0, help="where the client listens; 0: a free one")
    parser.add_argument("--calls", type=int, default=OmiliaOptions().calls, help="under way at a time")
    parser.add_argument("--time-scale", type=float, default=1.0, help="makes the platform's clock faster")
    return parser


def _options(arguments: argparse.Namespace) -> OmiliaOptions:
    return OmiliaOptions(
        **shared(arguments),
        iam_port=arguments.iam_port,
        ingress_port=arguments.ingress_port,
        calls=arguments.calls,
        time_scale=arguments.time_scale,
    )
