"""The numbers for `/metrics`: Prometheus, names `streamd_*`, label `connector`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from threading import Lock
from typing import Final, get_args

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric

from streamd.events import ConnectorState

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

# What is counted for every connector in the same way, by the name that `Counters.count` takes.
COUNTED: Final = {
    "events_accepted": "Events that are committed to the spool",
    "records_published": "Records, of events and of states, that Kafka has acknowledged",
    "dead_letters": "Records that could not be decoded or that Kafka refused for good",
    "dropped_events": "Events dropped because the spool was full, inside a declared gap",
    "gaps": "Gaps that were opened",
    "reconnects": "Connections opened again after one was lost",
    "crashes": "Bugs that ended a session or the connector and made its supervisor start it again",
}
_COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_OF_CONNECTOR = ("connector",)

# The `_created` series double the page and say nothing that the counters do not.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Every metric of the process, in a registry of its own.

    May be used from any thread, but for what the connectors count: that is for the thread of their events.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._lock = Lock()
        self._of_connectors: dict[str, ConnectorCounters] = {}
        self._counters = {
            name: Counter(f"streamd_{name}", text, _OF_CONNECTOR, registry=self._registry)
            for name, text in COUNTED.items()
        }
        self.spool_bytes = self._gauge("spool_bytes", "Bytes waiting in the spool")
        self.spool_share_bytes = self._gauge("spool_share_bytes", "Bytes of the spool that it may use")
        self.spool_rows = self._gauge("spool_rows", "Rows (batches of records) waiting in the spool")
        self.lag_seconds = self._gauge(
            "lag_seconds", "Age of what is proven to be on Kafka (complete_through)"
        )
        self.open_gaps = self._gauge("open_gaps", "Gaps that are open")
        self._state = Gauge(
            "streamd_connector_state",
            "1 for the state that the connector is in",
            ("connector", "state"),
            registry=self._registry,
        )
        self.kafka_connected = Gauge(
            "streamd_kafka_connected", "1 while Kafka acknowledges", registry=self._registry
        )
        self.kafka_rebuilds = Counter(
            "streamd_kafka_rebuilds", "Producers that were torn down and made anew", registry=self._registry
        )
        self.commit_seconds = Histogram(
            "streamd_commit_seconds",
            "Duration of a commit to the spool, fsync included",
            buckets=_COMMIT_SECONDS,
            registry=self._registry,
        )
        ProcessCollector(namespace="streamd", registry=self._registry)

    def for_connector(self, name: str, vendor: str) -> ConnectorCounters:
        """Give the counts of one connector; those that every connector has begin at 0 here."""
        for counter in self._counters.values():
            counter.labels(name)
        counters = self._of_connectors.get(name)
        if counters is None or counters.vendor != vendor:
            counters = self._of_connectors[name] = ConnectorCounters(self, name, vendor)
        return counters

    def set_state(self, connector: str, state: ConnectorState) -> None:
        """Set which of its states the connector is in."""
        for each in get_args(ConnectorState):
            self._state.labels(connector, each).set(each == state)

    def forget(self, connector: str) -> None:
        """Take a connector that is no longer configured off the page."""
        labelled = [*self._counters.values(), self.spool_bytes, self.spool_share_bytes, self.spool_rows]
        for metric in [*labelled, self.lag_seconds, self.open_gaps, self._state]:
            metric.remove_by_labels({"connector": connector})
        self._of_connectors.pop(connector, None)

    def hand_over(self) -> None:
        """Bring what the connectors have counted onto the page."""
        for counters in self._of_connectors.values():
            counters.hand_over()

    def render(self) -> Iterator[bytes]:
        """Give the page in Prometheus' text format, whose type is CONTENT_TYPE, metric by metric.

        All of it takes some 0.1 s for 200 connectors. A thread would not help: it would take the GIL at each
        reading of a socket.
        """
        for metric in self._registry.collect():
            yield generate_latest(_Only(metric))

    def counter(self, name: str, vendor: str) -> Counter:
        """Give the counter of a name: every connector's, else the vendor's own, made when first used."""
        whole = name if name in COUNTED else f"{vendor}_{name}"
        with self._lock:
            if whole not in self._counters:
                if not _NAME.fullmatch(name):
                    raise ValueError(f"{name!r} is no snake_case name of a counter")
                self._counters[whole] = Counter(
                    f"streamd_{whole}", name.replace("_", " "), _OF_CONNECTOR, registry=self._registry
                )
            return self._counters[whole]

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"streamd_{name}", text, _OF_CONNECTOR, registry=self._registry)


class _Only:
    """One metric, as a registry of its own."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        yield self._metric


class ConnectorCounters:
    """`connector.Counters` of one connector, for the thread of its events.

    What is counted goes to Prometheus' own counters when the page is asked for: they take a lock each time.
    """

    def __init__(self, metrics: Metrics, connector: str, vendor: str) -> None:
        self.vendor = vendor
        self._metrics = metrics
        self._connector = connector
        self._counted: dict[str, int] = {}

    def count(self, name: str, by: int = 1) -> None:
        """Add `by` to the counter of this name."""
        if name not in self._counted:
            self._metrics.counter(name, self.vendor).labels(self._connector)  # it is on the page from now on
            self._counted[name] = 0
        self._counted[name] += by

    def hand_over(self) -> None:
        """Bring the page up to date."""
        for name, by in self._counted.items():
            self._metrics.counter(name, self.vendor).labels(self._connector).inc(by)
            self._counted[name] = 0
