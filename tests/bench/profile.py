"""Where a daemon's CPU goes at a rate: by thread, by function, by line; `python -m tests.bench.profile`."""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from tests.bench.daemon import STATEFUL, STATELESS, open_daemon
from tests.bench.kafka import open_kafka
from tests.bench.measures import ENGINES
from tests.bench.processes import threads

Stacks = list[tuple[list[str], float]]


def main() -> None:
    asked = _arguments()
    with open_kafka() as (cluster, what), tempfile.TemporaryDirectory() as directory:
        print(what)
        path = Path(directory) / "stacks"
        hook = hooks(path)
        producer = STATELESS if asked.stateless else STATEFUL
        with open_daemon(cluster, asked.engine, producer, asked.keys, {} if asked.perf else hook) as bench:
            bench.send(asked.rate)
            time.sleep(1)
            if asked.perf:
                os.system(f"perf record -q -g -F 499 -p {bench.pid} -o {asked.perf} -- sleep {asked.seconds}")
            else:
                dump(bench.pid, path)
            before, spent = bench.counts(), threads(bench.pid)
            time.sleep(asked.seconds)
            after, later = bench.counts(), threads(bench.pid)
            stacks = [] if asked.perf else read(dump(bench.pid, path))
            bench.drain()
    messages = after.events - before.events
    print(f"{messages / (after.at - before.at):,.0f} messages/s; CPU µs a message:")
    for number, (name, seconds) in later.items():
        share = (seconds - spent.get(number, ("", 0.0))[1]) / messages * 1e6
        if share > 0.1:
            print(f"  {share:7.1f}  thread {name}")
    show(stacks, messages, asked.lines)


def hooks(path: Path) -> dict[str, str]:
    """Give the environment that lets a Python process sample itself; `dump` makes it write to `path`."""
    return {"BENCH_PROFILE": str(path), "PYTHONPATH": str(Path(__file__).parent / "profiler")}


def dump(pid: int, path: Path) -> Path:
    """Let it write where its CPU went since the last time."""
    path.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR2)
    while not path.exists():
        time.sleep(0.01)
    return path


def read(path: Path) -> Stacks:
    """Give each stack with the CPU microseconds that were spent in it."""
    stacks = []
    for line in path.read_text().splitlines():
        stack, _, nanoseconds = line.rpartition(" ")
        stacks.append((stack.split(";"), int(nanoseconds) / 1000))
    return stacks


def show(stacks: Stacks, messages: int, lines: int) -> None:
    """Print where the CPU went, for each message."""
    own, whole, by_line = (defaultdict[str, float](float) for _ in range(3))
    for stack, spent in stacks:
        thread = stack[0].split(" ")[0]
        functions = [label.rpartition(":")[0] for label in stack[1:]]
        own[f"{functions[-1]} [{thread}]"] += spent
        by_line[f"{stack[-1]} [{thread}]"] += spent
        for function in set(functions):
            whole[f"{function} [{thread}]"] += spent
    for title, counts in (("with all it calls", whole), ("itself", own), ("by line", by_line)):
        print(f"\nCPU µs a message, {title}:")
        for label, spent in sorted(counts.items(), key=lambda item: -item[1])[:lines]:
            print(f"  {spent / messages:7.2f}  {label}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile", description=__doc__)
    parser.add_argument("--engine", choices=ENGINES, default="sans-io")
    parser.add_argument("--rate", type=float, default=5000.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--keys", type=int, default=5000)
    parser.add_argument("--stateless", action="store_true", help="a producer without a state topic")
    parser.add_argument("--lines", type=int, default=45)
    parser.add_argument("--perf", metavar="FILE", help="record with perf instead, into this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
