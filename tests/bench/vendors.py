"""A daemon with one connector whose simulated platform is another process, and what can be seen of it."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import trio

from tests.bench.kafka import Topics
from tests.bench.processes import Child, Used, is_running, peak_mib, resident_mib, used
from tests.bench.profile import dump, hooks, read, show
from tests.bench.simulated import NAME
from tests.daemon import DaemonProcess
from tests.kafka.cluster import KafkaCluster


class Moment(NamedTuple):
    """What the daemon had used and published at one time."""

    at: float
    used: Used
    records: int


class VendorDaemon:
    """One daemon; `topic`, without the prefix, is where its events go."""

    def __init__(
        self, daemon: DaemonProcess, platform: Child, topics: Topics, topic: str, stacks: Path | None
    ) -> None:
        self.platform = platform
        self._daemon = daemon
        self._topics = topics
        self._topic = f"{daemon.prefix}.{topic}"
        self._stacks = stacks
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(daemon.state / "control.sock")), timeout=10
        )

    def status(self) -> dict[str, Any]:
        """Give what the daemon says of its connector; nothing while it does not know it yet."""
        status: dict[str, Any] = self._client.get("http://streamd/status").raise_for_status().json()
        connector: dict[str, Any] = status["connectors"].get(NAME, {})
        return connector

    def resident_mib(self) -> float:
        return resident_mib(self._daemon.pid)

    def peak_mib(self) -> float:
        """Give the most memory that it has ever had in RAM."""
        return peak_mib(self._daemon.pid)

    def look(self) -> Moment:
        return Moment(time.monotonic(), used(self._daemon.pid), self._topics.records(self._topic))

    def mark(self) -> None:
        """Forget what was profiled so far."""
        if self._stacks is not None:
            dump(self._daemon.pid, self._stacks)

    def show_profile(self, count: int) -> None:
        """Say where the CPU went since `mark`, by each of so many records."""
        if self._stacks is not None:
            show(read(dump(self._daemon.pid, self._stacks)), count, lines=45)

    def wait(self, what: str, done: Callable[[], bool], seconds: float = 60, every: float = 0.05) -> None:
        """Return when it is so; TimeoutError with the log's end otherwise."""
        deadline = time.monotonic() + seconds
        reason: object = "not yet"
        while time.monotonic() < deadline:
            if not is_running(self._daemon.pid):
                raise RuntimeError(f"streamd has ended\n{self._daemon.tail()}")
            try:
                if done():
                    return
            except httpx.HTTPError as error:
                reason = error
            time.sleep(every)
        raise TimeoutError(f"not within {seconds} s that {what}: {reason}\n{self._daemon.tail()}")

    def wait_until_live(self) -> None:
        self.wait("the connector is live", lambda: self.status().get("state") == "live")

    def wait_until_published(self, records: int, seconds: float = 60) -> Moment:
        """Return when so many records are on Kafka; the CPU of waiting for them is in the moment's."""
        self.wait(f"{records:,} are on Kafka", lambda: self.look().records >= records, seconds)
        return self.look()


@contextmanager
def open_vendor_daemon(
    cluster: KafkaCluster,
    vendor: str,
    topic: str,
    settings: Mapping[str, Any],
    *,
    profiled: bool = False,
    live: bool = True,
    prepare: Callable[[Child], object] | None = None,
) -> Iterator[VendorDaemon]:
    """Start a platform (`settings`: tests/bench/simulated.py) and a daemon, on new topics and a new spool.

    With `live` the connector is live when this yields. `prepare` is called with the platform before there is
    a daemon.
    """
    with (
        tempfile.TemporaryDirectory(prefix="streamd-bench-") as directory,
        Child("simulated", vendor, json.dumps(settings)) as platform,
    ):
        if prepare is not None:
            prepare(platform)
        home = Path(directory)
        stacks = home / "stacks" if profiled else None
        daemon = DaemonProcess(
            home, platform.hello["tables"], cluster.bootstrap_servers, cluster.unique_prefix()
        )
        daemon.start(**(hooks(stacks) if stacks is not None else {}))
        try:
            bench = VendorDaemon(daemon, platform, Topics(cluster), topic, stacks)
            if live:
                bench.wait_until_live()
            yield bench
            trio.run(daemon.stop)
        finally:
            daemon.close()
