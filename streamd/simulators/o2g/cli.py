"""Run the simulator from the command line."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from functools import partial

import trio

from streamd.simulators.commandline import faults_help, serve_or_explain
from streamd.simulators.o2g.faults import FAULTS
from streamd.simulators.o2g.options import O2gOptions
from streamd.simulators.o2g.simulator import open_o2g_simulator

OPTIONS_HELP = faults_help(FAULTS, "NAME, NAME=VALUE, for REST also NAME:OPERATION=COUNT")


async def run(port: int, rate: float, faults: Sequence[str]) -> None:
    """Serve on `port` (0: any) until cancelled; print the base URL and a connector table on stdout."""
    await serve(O2gOptions(port=port, rate=rate, faults=frozenset(faults)))


async def serve(options: O2gOptions) -> None:
    """Serve what `options` say until cancelled; ConfigError for unknown faults."""
    async with open_o2g_simulator(options) as simulator:
        sys.stdout.write(f"base_url {simulator.base_url}\n\n{simulator.connector_table()}")
        sys.stdout.flush()
        await trio.sleep_forever()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return 0, or 78 when an argument cannot be used."""
    return serve_or_explain(partial(serve, _options(_parser().parse_args(arguments))))


def _parser() -> argparse.ArgumentParser:
    default = O2gOptions()
    parser = argparse.ArgumentParser(
        prog="python -m streamd.simulators.o2g",
        description="Simulate O2G servers in front of one OXE: REST on one port, event channels on another.",
        epilog=OPTIONS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default=default.host)
    parser.add_argument("--port", type=int, default=0, help="of REST; 0: any free port")
    parser.add_argument("--event-port", type=int, default=0, help="of channels; 0: any free port")
    parser.add_argument("--hosts", type=int, default=1, help="O2G servers before the one OXE")
    parser.add_argument("--shared-sessions", action="store_true", help="they know each other's sessions")
    parser.add_argument("--rate", type=float, default=10.0, help="lines a second, inf: unbounded")
    parser.add_argument("--calls", type=float, default=math.inf, help="begin no more calls than these")
    parser.add_argument("--users", type=int, default=default.users)
    parser.add_argument("--agents", type=int, default=default.agents)
    parser.add_argument("--time-scale", type=float, default=1.0, help="makes the server's clock faster")
    parser.add_argument("--correlator-bytes", type=int, default=0, help="size of associatedData in calls")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--log", default="", metavar="FILE", help="append every line's record as a JSON line")
    parser.add_argument("--no-log", action="store_true", help="keep no record of lines in memory")
    return parser


def _options(arguments: argparse.Namespace) -> O2gOptions:
    return O2gOptions(
        host=arguments.host,
        port=arguments.port,
        event_port=arguments.event_port,
        hosts=arguments.hosts,
        shared_sessions=arguments.shared_sessions,
        rate=arguments.rate,
        calls=arguments.calls,
        users=arguments.users,
        agents=arguments.agents,
        time_scale=arguments.time_scale,
        correlator_bytes=arguments.correlator_bytes,
        faults=frozenset(arguments.fault),
        seed=arguments.seed,
        log=not arguments.no_log,
        log_file=arguments.log,
    )
