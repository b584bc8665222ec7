"""Run the simulator from the command line."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from functools import partial

import trio

from streamd.simulators.commandline import faults_help, serve_or_explain
from streamd.simulators.oracle_isr.faults import FAULTS
from streamd.simulators.oracle_isr.options import OracleIsrOptions
from streamd.simulators.oracle_isr.simulator import open_oracle_isr_simulator

OPTIONS_HELP = faults_help(FAULTS, "NAME, NAME=VALUE, for answers also NAME:OPERATION=COUNT")


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
        tables = f"{simulator.ingress_table()}\n{simulator.connector_table()}"
        sys.stdout.write(f"base_url {simulator.base_url}\n\n{tables}")
        sys.stdout.flush()
        await trio.sleep_forever()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return 0, or 78 when an argument cannot be used."""
    return serve_or_explain(partial(serve, _options(_parser().parse_args(arguments))))


def _parser() -> argparse.ArgumentParser:
    default = OracleIsrOptions()
    parser = argparse.ArgumentParser(
        prog="python -m streamd.simulators.oracle_isr",
        description="Simulate Oracle's Interactive Session Recorder: FACE, and notifications to who listens.",
        epilog=OPTIONS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default=default.host)
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--notify-url", default="", help="default: where the printed tables listen")
    parser.add_argument(
        "--ingress-port", type=int, default=0, help="where the client listens; 0: a free port"
    )
    parser.add_argument("--rate", type=float, default=10.0, help="calls begun a second")
    parser.add_argument("--calls", type=float, default=math.inf, help="begin no more calls than these")
    parser.add_argument(
        "--call-seconds", type=float, default=default.call_seconds, help="their mean, by the recorder's clock"
    )
    parser.add_argument("--time-scale", type=float, default=1.0, help="makes the recorder's clock faster")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--no-log", action="store_true", help="keep no record of answers in memory")
    return parser


def _options(arguments: argparse.Namespace) -> OracleIsrOptions:
    return OracleIsrOptions(
        host=arguments.host,
        port=arguments.port,
        notify_url=arguments.notify_url,
        ingress_port=arguments.ingress_port,
        rate=arguments.rate,
        calls=arguments.calls,
        call_seconds=arguments.call_seconds,
        time_scale=arguments.time_scale,
        faults=frozenset(arguments.fault),
        seed=arguments.seed,
        log=not arguments.no_log,
    )
