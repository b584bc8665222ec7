"""Run the demo: an embedded Kafka, a simulator of each vendor, and the real daemon as a process."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from rich.console import Console

from streamd.config.derived import topic_specs
from streamd.config.file import load
from streamd.demo import view
from streamd.demo.reader import Reader
from streamd.demo.stage import Stage, open_screen
from streamd.demo.verdict import judge
from streamd.registry import all_types
from streamd.simulators import DemoSource, Sent
from streamd.simulators.kafka import open_embedded_kafka
from streamd.simulators.tables import free_port, ingress_table

_STOP_SECONDS = 40.0
_CONFIG = """\
[kafka]
bootstrap_servers = {bootstrap}
partitions = 3

[spool]
directory = "{directory}/state"

[admin]
listen = "127.0.0.1:0"

{tables}"""


async def run(seconds: float, rate: float) -> bool:
    """Show the main job for `seconds` at `rate` events a second of each vendor; tell whether all came.

    Raises KeyboardInterrupt on SIGINT and SIGTERM, once all that was started has ended.
    """
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_leave_on, signals, nursery.cancel_scope)
            holds = await _run(seconds, rate)
            nursery.cancel_scope.cancel()
            return holds
    raise KeyboardInterrupt


async def _leave_on(signals: AsyncIterator[int], demo: trio.CancelScope) -> None:
    await anext(signals)
    demo.cancel()


async def _run(seconds: float, rate: float) -> bool:
    console = Console()
    with tempfile.TemporaryDirectory(prefix="streamd-demo-") as directory, open_embedded_kafka() as kafka:
        async with AsyncExitStack() as stack:
            port = free_port("127.0.0.1")
            sources = [await stack.enter_async_context(open_demo(rate, port)) for open_demo in _vendors()]
            config = _configure(Path(directory), kafka.bootstrap_servers, port, sources)
            topics = {spec.name: spec.partitions for spec in topic_specs(load(config).config).values()}
            for topic, partitions in topics.items():
                kafka.create_topic(topic, partitions)
            reader = Reader(kafka.bootstrap_servers, topics, _identify(sources))
            reader.start()
            try:
                log = Path(directory) / "streamd.log"
                async with _daemon(config, log) as daemon:
                    with open_screen(console) as draw:
                        sent = await Stage(Path(directory), daemon, reader, draw).play(sources, seconds)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(reader.close)
            return _conclude(console, reader, sent, log)


def _vendors() -> list[Callable[[float, int], Any]]:
    return [importlib.import_module(f"streamd.simulators.{name}.demo").open_demo for name in all_types()]


def _configure(directory: Path, bootstrap: list[str], port: int, sources: list[DemoSource]) -> Path:
    config = directory / "streamd.toml"
    tables = "\n".join([ingress_table(f"127.0.0.1:{port}"), *(source.table for source in sources)])
    config.write_text(_CONFIG.format(bootstrap=bootstrap, directory=directory, tables=tables))
    return config


def _identify(sources: list[DemoSource]) -> Callable[[Mapping[str, Any]], Hashable | None]:
    def identify(event: Mapping[str, Any]) -> Hashable | None:
        vendor = event["vendor"]
        found = (source.identity(event) for source in sources if f'type = "{vendor}"' in source.table)
        return next((identity for identity in found if identity is not None), None)

    return identify


@asynccontextmanager
async def _daemon(config: Path, log: Path) -> AsyncIterator[trio.Process]:
    """Run `streamd run` until the block is left, then stop it as systemd would, with SIGTERM."""
    command = [sys.executable, "-m", "streamd", "run", "--config", str(config)]
    with log.open("wb") as output:
        process = await trio.lowlevel.open_process(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        with trio.move_on_after(_STOP_SECONDS) as deadline:
            deadline.shield = True
            process.terminate()
            await process.wait()
        if process.returncode is None:
            process.kill()


def _conclude(console: Console, reader: Reader, sent: list[Sent], log: Path) -> bool:
    verdict = judge(sent, reader.arrived, reader.gaps.values())
    holds = verdict.holds and not reader.missing_numbers() and reader.failure is None
    view.show_events(console, reader)
    view.show_summary(console, reader, verdict, None if holds else _kept(log))
    return holds


def _kept(log: Path) -> str:
    """Copy the log to where it outlives the demo."""
    with tempfile.NamedTemporaryFile(prefix="streamd-demo-", suffix=".log", delete=False) as kept:
        kept.write(log.read_bytes())
        return kept.name
