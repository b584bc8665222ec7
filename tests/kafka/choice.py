"""Decide which Kafka the tests run against: one that is named, an own Apache Kafka, or the embedded one."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tests.kafka import distribution
from tests.kafka.cluster import installed_kafka
from tests.kafka.distribution import Distribution, Unavailable

NAMED = "STREAMD_TEST_BOOTSTRAP_SERVERS"  # an Apache Kafka to use, host:port with commas between
REQUIRED = "STREAMD_TEST_REQUIRE_REAL_KAFKA"  # "1": fail where the embedded Kafka would be used instead
NEEDS_REAL = "needs a real Kafka"


@dataclass
class Choice:
    """What was found at the start of the run; `missing` says why no Apache Kafka can be started here."""

    named: list[str]
    required: bool
    missing: str | None
    java: str = ""
    was_used: bool = False  # a test had a real Kafka
    _installed: Distribution | None = None

    @property
    def real(self) -> bool:
        return bool(self.named) or self.missing is None

    def installed(self) -> Distribution:
        """Return the Kafka to start, fetched the first time; raise Unavailable with the reason."""
        if self.missing is not None:
            raise Unavailable(self.missing)
        if self._installed is None:
            try:
                self._installed = installed_kafka()
            except Unavailable as reason:
                self.missing = str(reason)
                raise
        return self._installed

    def describe(self) -> str:
        if self.named:
            return f"the cluster at {','.join(self.named)} ({NAMED})"
        if self.missing is None:
            return f"Apache Kafka {distribution.pinned_version()}, started by the tests with Java {self.java}"
        return f"embedded (librdkafka's mock cluster), Apache Kafka is not used: {self.missing}"


def choose() -> Choice:
    named = [server for server in os.environ.get(NAMED, "").split(",") if server]
    required = os.environ.get(REQUIRED, "") == "1"
    try:
        java = distribution.look()
    except Unavailable as reason:
        return Choice(named, required, str(reason))
    return Choice(named, required, None, java.version)
