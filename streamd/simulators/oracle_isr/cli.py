"""Run the simulator from the command line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from functools import partial

from streamd.simulators.commandline import open_parser, serve_as_printed, serve_or_explain, shared
from streamd.simulators.oracle_isr.faults import FAULTS
from streamd.simulators.oracle_isr.options import OracleIsrOptions
from streamd.simulators.oracle_isr.simulator import open_oracle_isr_simulator


async def run(port: int, rate: float, faults: Sequence[str]) -> None:
    """Serve on `port` (0: any) until cancelled; print the URL and the tables of a connector on stdout."""
    await serve(OracleIsrOptions(port=port, rate=rate, faults=frozenset(faults)))


async def serve(options: OracleIsrOptions) -> None:
    """Serve what `options` say until cancelled; ConfigError for unknown faults.

    Without a `notify_url` the notifications go where the printed tables let streamd listen.
    """
    async with open_oracle_isr_simulator(options) as simulator:
        if not options.notify_url:
            simulator.notify_to(simulator.ingress_url())
        url = f"base_url {simulator.base_url}\n"
        await serve_as_printed(url, simulator.ingress_table(), simulator.connector_table())


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return 0, or 78 when an argument cannot be used."""
    return serve_or_explain(partial(serve, _options(_parser().parse_args(arguments))))


def _parser() -> argparse.ArgumentParser:
    parser = open_parser(
        "oracle_isr",
        "Simulate Oracle's Interactive Session Recorder: FACE, and notifications to who listens.",
        FAULTS,
        how="NAME, NAME=VALUE, for answers also NAME:OPERATION=COUNT",
        rate="calls begun a second",
        no_log="keep no record of answers in memory",
    )
    default = OracleIsrOptions()
    parser.add_argument("--notify-url", default="", help="default: where the printed tables listen")
    parser.add_argument("--ingress-port", type=int, default=0, help="where the client listens; 0: a free one")
    parser.add_argument("--calls", type=float, default=math.inf, help="begin no more calls than these")
    parser.add_argument(
        "--call-seconds", type=float, default=default.call_seconds, help="their mean, by the recorder's clock"
    )
    parser.add_argument("--time-scale", type=float, default=1.0, help="makes the recorder's clock faster")
    return parser


def _options(arguments: argparse.Namespace) -> OracleIsrOptions:
    return OracleIsrOptions(
        **shared(arguments),
        notify_url=arguments.notify_url,
        ingress_port=arguments.ingress_port,
        calls=arguments.calls,
        call_seconds=arguments.call_seconds,
        time_scale=arguments.time_scale,
    )
