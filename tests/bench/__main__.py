"""Measure streamd beside its floors and beside the plain script, all in one run: `python -m tests.bench`.

The sender, each measured process, and Kafka are processes of their own; CPU and RSS are the kernel's figures
for the measured one. Machines differ: compare what stands in one table.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.bench.huawei import measure_huawei
from tests.bench.kafka import cpus, open_kafka
from tests.bench.measures import (
    ENGINES,
    Plan,
    measure_backlog,
    measure_daemon,
    measure_floors,
    measure_o2g,
    measure_script,
    measure_stateless,
    soak,
)
from tests.bench.omilia import measure_million, measure_omilia
from tests.bench.oracle import measure_oracle
from tests.bench.report import Report

PARTS: dict[str, Callable[[Plan], None]] = {
    "floors": measure_floors,
    "script": measure_script,
    **{engine: partial(measure_daemon, engine=engine) for engine in ENGINES},
    "stateless": partial(measure_stateless, engine="sans-io"),
    "backlog": measure_backlog,
    "o2g": measure_o2g,
    "omilia": measure_omilia,
    "omilia-million": measure_million,
    "huawei_aicc": measure_huawei,
    "oracle_isr": measure_oracle,
}


def main() -> int:
    """Run the parts that are asked for; 1 when an aim is missed."""
    asked = _arguments()
    report = Report()
    with open_kafka() as (cluster, what):
        title = f"streamd bench: Python {platform.python_version()}, {cpus()} CPUs, {what}"
        report.say(title)
        plan = Plan(
            cluster,
            report,
            seconds=asked.seconds,
            keys=asked.keys,
            rows=asked.rows,
            recordings=asked.recordings,
            profile=asked.profile,
        )
        if asked.soak:
            soak(plan, asked.soak, asked.engine)
        else:
            for name in asked.only or PARTS:
                PARTS[name](plan)
    print("\n" + report.table(title))
    if asked.json:
        report.write(asked.json, title=title, seconds=asked.seconds, keys=asked.keys)
    return int(any(figure.met is False for figure in report.figures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", action="append", choices=PARTS, help="again for each part; default: all")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each figure is measured")
    parser.add_argument("--keys", type=int, default=5000, help="agents, one after the other")
    parser.add_argument("--rows", type=int, default=100_000, help="of Huawei's zip")
    parser.add_argument("--recordings", type=int, default=10_000, help="that Oracle's connector is behind")
    parser.add_argument("--profile", action="store_true", help="where CPU goes, of omilia to oracle_isr")
    parser.add_argument("--soak", type=float, metavar="MINUTES", nargs="?", const=10.0, help="only this")
    parser.add_argument("--engine", choices=ENGINES, default="sans-io", help="for --soak")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures, to compare runs")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
