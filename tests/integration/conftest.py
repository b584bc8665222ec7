"""A daemon process and a simulated account for the tests of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import DaemonProcess

VENDOR_TOPICS = ("avaya.measures", "avaya.measures.state")
CORE_TOPICS = ("streamd.connectors", "streamd.connectors.state", "streamd.gaps", "streamd.dead-letter")


class Site:
    """A Kafka, a daemon that writes to it, and a reader of what it wrote."""

    def __init__(self, kafka: Any, directory: Path, consume: Callable[..., Any]) -> None:
        self.kafka = kafka
        self.prefix = kafka.unique_prefix()
        self._directory = directory
        self._consume = consume
        self._daemons: list[DaemonProcess] = []
        if not kafka.real:
            self.create_topics()

    def create_topics(self) -> None:
        """Make the topics as streamd would: the embedded broker has no CreateTopics."""
        for topic in VENDOR_TOPICS + CORE_TOPICS:
            self.kafka.create_topic(f"{self.prefix}.{topic}", 6)

    def daemon(
        self,
        connectors: str,
        more: str = "",
        bootstrap_servers: list[str] | None = None,
        kind: type[DaemonProcess] = DaemonProcess,
    ) -> DaemonProcess:
        servers = bootstrap_servers or self.kafka.bootstrap_servers
        daemon = kind(self._directory, connectors, servers, self.prefix, more)
        self._daemons.append(daemon)
        return daemon

    def read(self) -> dict[str, Any]:
        """Give topic without the prefix -> its records up to now."""
        topics = [f"{self.prefix}.{topic}" for topic in VENDOR_TOPICS + CORE_TOPICS]
        found = self._consume(self.kafka.bootstrap_servers, topics)
        return {topic.removeprefix(self.prefix + "."): records for topic, records in found.items()}

    def close(self) -> None:
        for daemon in self._daemons:
            daemon.close()


@pytest.fixture
def site(kafka: Any, tmp_path: Path, consume_all: Callable[..., Any]) -> Iterator[Site]:
    site = Site(kafka, tmp_path, consume_all)
    yield site
    site.close()


@pytest.fixture
def own_site(tmp_path: Path, consume_all: Callable[..., Any]) -> Iterator[Callable[[Any], Site]]:
    """Yield a function that opens a site on a Kafka of the test's own."""
    sites: list[Site] = []

    def open_one(kafka: Any) -> Site:
        sites.append(Site(kafka, tmp_path, consume_all))
        return sites[-1]

    yield open_one
    for site in sites:
        site.close()
