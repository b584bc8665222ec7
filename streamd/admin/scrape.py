"""Bring `/metrics` up to date from the daemon at the moment it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import trio
from prometheus_client import generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric

from streamd.admin.rates import Totals
from streamd.admin.report import ConnectorReport, Report
from streamd.config.derived import enabled

if TYPE_CHECKING:
    from streamd.app import Daemon


class Scrape:
    """The metrics of one daemon, with what was counted into them so far."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._counted: dict[str, Totals] = {}
        self._rebuilds = 0

    async def render(self, report: Report, totals: Mapping[str, Totals]) -> bytes:
        """Give the page in Prometheus' text format; events go on while it is written."""
        metrics = self._daemon.metrics
        for name, connector in report.connectors.items():
            self._set(name, connector)
        for name, total in totals.items():
            self._count(name, report.connectors[name].vendor, total)
        for name in self._counted.keys() - enabled(self._daemon.config.connectors).keys():
            del self._counted[name]
            metrics.forget(name)
        metrics.kafka_connected.set(report.kafka.connected)
        metrics.kafka_rebuilds.inc(report.kafka.rebuilds - self._rebuilds)
        self._rebuilds = report.kafka.rebuilds
        metrics.hand_over()
        page = []
        for piece in metrics.render():
            page.append(piece)
            await trio.lowlevel.checkpoint()
        return b"".join(page) + generate_latest(_Whole(report))

    def _set(self, name: str, connector: ConnectorReport) -> None:
        metrics = self._daemon.metrics
        metrics.set_state(name, connector.state)
        metrics.spool_bytes.labels(name).set(connector.spool.bytes)
        metrics.spool_rows.labels(name).set(connector.spool.rows)
        metrics.spool_share_bytes.labels(name).set(connector.spool.share)
        metrics.open_gaps.labels(name).set(connector.open_gaps)
        # Before the first proof of life nothing is known of the lag.
        lag = connector.lag_seconds
        metrics.lag_seconds.labels(name).set(float("nan") if lag is None else lag)

    def _count(self, name: str, vendor: str, total: Totals) -> None:
        before = self._counted.get(name, Totals(0, 0, 0))
        counters = self._daemon.metrics.for_connector(name, vendor)
        counters.count("events_accepted", total.events - before.events)
        counters.count("records_published", total.published - before.published)
        self._counted[name] = total


class _Whole:
    """What the report says of the daemon as a whole, as a registry of its own."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        report = self._report
        build = InfoMetricFamily("streamd_build", "Which streamd this is, and on which spool")
        build.add_metric([], {"version": report.version, "epoch": report.spool.epoch})
        yield build
        yield GaugeMetricFamily(
            "streamd_spool_disk_full", "1 while the spool accepts nothing", value=report.spool.disk_full
        )
        yield GaugeMetricFamily(
            "streamd_kafka_in_flight", "Batches on their way to Kafka", value=report.kafka.in_flight
        )
        stuck = GaugeMetricFamily(
            "streamd_kafka_stuck", "1 for each topic or topic/partition that waits alone", labels=["name"]
        )
        for name in report.kafka.stuck:
            stuck.add_metric([name], 1)
        yield stuck
