"""Run the demo: an embedded Kafka, a simulator of each vendor, and the real daemon as a process."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import trio
from rich.console import Console
from rich.live import Live

from streamd.config.derived import topic_specs
from streamd.config.file import load
from streamd.demo import view
from streamd.demo.reader import Reader
from streamd.demo.verdict import Verdict, judge
from streamd.registry import all_types
from streamd.simulators import DemoSource, Sent
from streamd.simulators.kafka import open_embedded_kafka
from streamd.simulators.tables import free_port, ingress_table

_START_SECONDS = 30.0
_STOP_SECONDS = 40.0
_SETTLE_SECONDS = 1.0  # from the last event sent to the last one read off the socket
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
    """Show the main job for `seconds` at `rate` events a second of each vendor; tell whether all came."""
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
                async with _daemon(config, log):
                    sent = await _watch(console, Path(directory), reader, sources, seconds)
            finally:
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
async def _daemon(config: Path, log: Path) -> AsyncIterator[None]:
    """Run `streamd run` until the block is left, then stop it as systemd would, with SIGTERM."""
    command = [sys.executable, "-m", "streamd", "run", "--config", str(config)]
    with log.open("wb") as output:
        process = await trio.lowlevel.open_process(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        with trio.move_on_after(_STOP_SECONDS) as deadline:
            deadline.shield = True
            process.terminate()
            await process.wait()
        if process.returncode is None:
            process.kill()


async def _watch(
    console: Console, directory: Path, reader: Reader, sources: list[DemoSource], seconds: float
) -> list[Sent]:
    """Draw each half second; break every link once in the middle; wait for the last event at the end.

    Give what the simulators had sent then: what they send while the daemon stops is not looked for.
    """
    end = trio.current_time() + seconds
    disturbed = False
    news = "live events"
    with _screen(console) as draw:
        while trio.current_time() < end:
            draw(await _status(directory), reader, news, end - trio.current_time())
            await trio.sleep(0.5)
            if not disturbed and trio.current_time() > end - seconds / 2:
                disturbed = True
                news = "every link was cut once, on purpose: a gap is declared and healed by the new snapshot"
                for source in sources:
                    await source.disturb()
        for source in sources:
            source.quiet()
        await trio.sleep(_SETTLE_SECONDS)
        sent = _sent(sources)
        with trio.move_on_after(_START_SECONDS):
            # A platform that is polled hands over its last events with the next poll.
            while not (  # noqa: ASYNC110 - another process is asked
                _settled(await _status(directory)) and _verdict(reader, sent).holds
            ):
                await trio.sleep(0.2)
    return sent


def _settled(status: Mapping[str, Any]) -> bool:
    connectors = status.get("connectors", {}).values()
    return bool(connectors) and all(
        each["state"] == "live" and not each["spool"]["events"] for each in connectors
    )


@contextmanager
def _screen(console: Console) -> Any:
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as screen:
            yield lambda *moment: screen.update(view.live(*moment), refresh=True)
    else:
        said: list[float] = []

        def say(status: Any, reader: Reader, news: str, left: float) -> None:
            if not said or said[-1] - left >= 2:
                said.append(left)
                console.print(view.line(status, reader, news), soft_wrap=True)

        yield say


async def _status(directory: Path) -> dict[str, Any]:
    """Ask the running daemon as `streamd status` does; empty while it starts."""
    transport = httpx.AsyncHTTPTransport(uds=str(directory / "state" / "control.sock"))
    async with httpx.AsyncClient(transport=transport, base_url="http://streamd") as client:
        try:
            answer = await client.get("/status")
        except httpx.TransportError:
            return {}
        found: dict[str, Any] = answer.json()
        return found


def _sent(sources: list[DemoSource]) -> list[Sent]:
    return [event for source in sources for event in source.sent()]


def _verdict(reader: Reader, sent: list[Sent]) -> Verdict:
    return judge(sent, reader.arrived, reader.gaps.values())


def _conclude(console: Console, reader: Reader, sent: list[Sent], log: Path) -> bool:
    verdict = _verdict(reader, sent)
    holds = verdict.holds and not reader.missing_numbers() and reader.failure is None
    kept = Path(tempfile.gettempdir()) / "streamd-demo.log"
    if not holds:
        kept.write_bytes(log.read_bytes())
    view.show_events(console, reader)
    view.show_summary(console, reader, verdict, str(kept))
    return holds
