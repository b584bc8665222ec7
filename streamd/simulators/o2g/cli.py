"""Run the simulator from the command line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from functools import partial

from streamd.simulators.commandline import open_parser, serve_as_printed, serve_or_explain, shared
from streamd.simulators.o2g.faults import FAULTS
from streamd.simulators.o2g.options import O2gOptions
from streamd.simulators.o2g.simulator import open_o2g_simulator


async def run(port: int, rate: float, faults: Sequence[str]) -> None:
    """Serve on `port` (0: any) until cancelled; print the base URL and a connector table on stdout."""
    await serve(O2gOptions(port=port, rate=rate, faults=frozenset(faults)))


async def serve(options: O2gOptions) -> None:
    """Serve what `options` say until cancelled; ConfigError for unknown faults."""
    async with open_o2g_simulator(options) as simulator:
        await serve_as_printed(f"base_url {simulator.base_url}\n", simulator.connector_table())


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return 0, or 78 when an argument cannot be used."""
    return serve_or_explain(partial(serve, _options(_parser().parse_args(arguments))))


def _parser() -> argparse.ArgumentParser:
    parser = open_parser(
        "o2g",
        "Simulate O2G servers in front of one OXE: REST on one port, event channels on another.",
        FAULTS,
        how="NAME, NAME=VALUE, for REST also NAME:OPERATION=COUNT",
        rate="lines a second, inf: unbounded",
        no_log="keep no record of lines in memory",
    )
    default = O2gOptions()
    parser.add_argument("--event-port", type=int, default=0, help="of channels; 0: any free port")
    parser.add_argument("--hosts", type=int, default=1, help="O2G servers before the one OXE")
    parser.add_argument("--shared-sessions", action="store_true", help="they know each other's sessions")
    parser.add_argument("--calls", type=float, default=math.inf, help="begin no more calls than these")
    parser.add_argument("--users", type=int, default=default.users)
    parser.add_argument("--agents", type=int, default=default.agents)
    parser.add_argument("--time-scale", type=float, default=1.0, help="makes the server's clock faster")
    parser.add_argument("--correlator-bytes", type=int, default=0, help="size of associatedData in calls")
    parser.add_argument("--log", default="", metavar="FILE", help="append every line's record as a JSON line")
    return parser


def _options(arguments: argparse.Namespace) -> O2gOptions:
    return O2gOptions(
        **shared(arguments),
        event_port=arguments.event_port,
        hosts=arguments.hosts,
        shared_sessions=arguments.shared_sessions,
        calls=arguments.calls,
        users=arguments.users,
        agents=arguments.agents,
        time_scale=arguments.time_scale,
        correlator_bytes=arguments.correlator_bytes,
        log_file=arguments.log,
    )
