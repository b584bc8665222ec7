"""What is wrong with Kafka at the moment: kept for the status, told in the log once at loss and once after.

Written by the asyncio thread alone; `snapshot` may be called from any.
"""

from __future__ import annotations

import time
from typing import Any

import structlog
from msgspec import Struct

_log = structlog.get_logger("streamd.kafka")


class KafkaStatus(Struct, frozen=True):
    """How it stands with Kafka.

    `reason`: why it is not connected, else None. `stuck`: by topic or `topic/partition`, why it waits while
    others go on. `warnings`: by topic, what works but is not as it should be. `rebuilds`: producers that had
    to be replaced. `in_flight`: batches on their way.
    """

    connected: bool
    reason: str | None
    stuck: dict[str, str]
    warnings: dict[str, str]
    rebuilds: int
    in_flight: int


class Health:
    """The state behind KafkaStatus; its changes are the events of the log."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.rebuilds = 0
        self._unreachable: str | None = "not connected yet"
        self._refused: str | None = None
        self._lost_at: float | None = None
        self._is_refusal_told = False
        self._stuck: dict[str, str] = {}
        self._stuck_since: dict[str, float] = {}
        self._warnings: dict[str, str] = {}

    def snapshot(self) -> KafkaStatus:
        """Give the state as it is now."""
        reason = self._unreachable or self._refused
        return KafkaStatus(
            connected=reason is None,
            reason=reason,
            stuck=dict(self._stuck),
            warnings=dict(self._warnings),
            rebuilds=self.rebuilds,
            in_flight=self.in_flight,
        )

    @property
    def reachable(self) -> bool:
        return self._unreachable is None

    def unreachable(self, reason: str, *, refused: bool = False) -> None:
        """Note that no broker can be talked to; `refused`: until a person mends credentials or certificates.

        A loss that begins with a broker that is down may go on with one that refuses us: that is told, too.
        """
        self._unreachable = reason
        if refused and self._lost_at is not None and not self._is_refusal_told:
            _log.warning("kafka_refused", reason=reason)
        self._is_refusal_told |= refused
        self._lost(reason)

    def reached(self) -> None:
        """Note that a broker answers."""
        self._unreachable = None
        self._recovered()

    def refused(self, reason: str) -> None:
        """Note that Kafka answers and takes nothing from us, whatever the partition."""
        self._refused = reason
        self._lost(reason)

    def accepted(self) -> None:
        """Note that Kafka has acknowledged a batch."""
        if self._refused is not None:
            self._refused = None
            self._recovered()

    def stuck(self, name: str, reason: str) -> None:
        """Note that a topic or partition waits alone."""
        if name not in self._stuck_since:
            self._stuck_since[name] = time.monotonic()
            _log.warning("kafka_stuck", name=name, reason=reason)
        self._stuck[name] = reason

    def unstuck(self, name: str) -> None:
        """Note that a topic or partition goes on."""
        since = self._stuck_since.pop(name, None)
        if since is not None:
            self._stuck.pop(name, None)
            _log.info("kafka_unstuck", name=name, seconds=_seconds_since(since))

    def not_alone(self, name: str) -> None:
        """Note that what was stuck alone now waits with everyone else."""
        self._stuck.pop(name, None)

    def warn(self, topic: str, warning: str) -> None:
        """Note what is wrong with a topic that works."""
        if self._warnings.get(topic) != warning:
            self._warnings[topic] = warning
            _log.warning("kafka_topic_warning", topic=topic, warning=warning)

    def no_warning(self, topic: str) -> None:
        """Note that a topic is as it should be."""
        if self._warnings.pop(topic, None) is not None:
            _log.info("kafka_topic_in_order", topic=topic)

    def rebuilding(self, reason: str) -> None:
        """Note that the producer is replaced."""
        self.rebuilds += 1
        _log.warning("kafka_producer_rebuilt", reason=reason, rebuilds=self.rebuilds)

    def unexpected(self, **keys: Any) -> None:
        """Log what the asyncio loop found without an owner."""
        _log.error("kafka_loop_error", **keys)

    def _lost(self, reason: str) -> None:
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            _log.warning("kafka_lost", reason=reason)

    def _recovered(self) -> None:
        if self._lost_at is not None and self._unreachable is None and self._refused is None:
            _log.info("kafka_recovered", seconds=_seconds_since(self._lost_at))
            self._lost_at = None
            self._is_refusal_told = False


def _seconds_since(then: float) -> float:
    return round(time.monotonic() - then, 3)
