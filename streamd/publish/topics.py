"""The topics of a running daemon: waited for, made if that is wanted, and looked at; on the asyncio side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping

from streamd.config import KafkaConfig
from streamd.errors import Rejected, Transient
from streamd.model import TopicSpec
from streamd.publish.admin import create_topics, open_admin, policy_problems, topic_configs
from streamd.publish.health import Health
from streamd.publish.producer import Link
from streamd.publish.settings import Settings

_NOT_NEEDED = "no such topic; the configuration needs it no more, so it is not made: records wait for it"


class Topics:
    """Knows which topics are asked for, and sees to them."""

    def __init__(
        self,
        config: KafkaConfig,
        specs: Mapping[str, TopicSpec],
        link: Link,
        settings: Settings,
        health: Health,
    ) -> None:
        self._config = config
        self._specs = specs
        self._link = link
        self._settings = settings
        self._health = health
        self._asked: set[str] = set()
        self._missing: frozenset[str] = frozenset()
        self._in_order: set[str] = set()
        self._wrong: set[str] = set()
        self._looked_at_wrong = 0.0

    async def partitions(self, topic: str) -> int:
        """Wait until the topic exists; give its number of partitions."""
        return await self.partitions_changed(topic, 0)

    async def partitions_changed(self, topic: str, known: int) -> int:
        """Wait until the topic's number of partitions is another; give it."""
        self._asked.add(topic)
        self._link.want(topic)
        while (count := self._link.count(topic)) is None or count == known:
            await self._link.changed(urgent=count is None)
        return count

    async def run(self) -> None:
        """Make what is missing and check what is there, until cancelled."""
        delay = self._settings.poll
        while True:
            await asyncio.sleep(delay)
            if self._link.producer is None or not self._health.reachable:
                continue
            missing = frozenset(topic for topic in self._asked if self._link.count(topic) is None)
            certain = missing & self._missing  # missing twice: not only so new that no metadata knows it
            self._missing = missing
            for topic in self._asked - missing:
                self._health.unstuck(topic)
            made = await self._make(certain) if certain else True
            delay = self._settings.poll if made else min(2 * delay, self._settings.slow_retry_max)
            await self._check(self._asked - missing)

    async def _make(self, missing: Collection[str]) -> bool:
        """Make topics, where that is wanted; why one stays missing is in the status. False: none was made."""
        wanted = [self._specs[topic] for topic in missing if topic in self._specs]
        failures: Mapping[str, str] = {spec.name: "no such topic" for spec in wanted}
        if self._config.create_topics and wanted:
            try:
                async with open_admin(self._config, self._settings) as admin:
                    failures = await create_topics(admin, wanted)
            except (Transient, Rejected) as error:
                failures = {spec.name: error.reason for spec in wanted}
        for topic in missing:
            reason = failures.get(topic) if topic in self._specs else _NOT_NEEDED
            reason = "not authorized" if self._link.is_forbidden(topic) else reason
            if reason is not None:
                self._health.stuck(topic, reason)
        return len(failures) < len(wanted)

    async def _check(self, present: Collection[str]) -> None:
        """Compare cleanup policies once, and wrong ones each minute; what cannot be asked is no warning."""
        if time.monotonic() - self._looked_at_wrong > self._settings.metadata_age:
            self._looked_at_wrong = time.monotonic()
            self._in_order -= self._wrong
        self._in_order &= set(present)
        unknown = [topic for topic in present if topic in self._specs and topic not in self._in_order]
        if not unknown:
            return
        try:
            async with open_admin(self._config, self._settings) as admin:
                configs = await topic_configs(admin, unknown)
        except (Transient, Rejected):
            configs = {}
        self._in_order |= set(unknown)
        for topic in unknown:
            self._note(topic, policy_problems(self._specs[topic], configs.get(topic, {})))

    def _note(self, topic: str, problems: tuple[str, ...]) -> None:
        if problems:
            self._wrong.add(topic)
            self._health.warn(topic, "; ".join(problems))
        else:
            self._wrong.discard(topic)
            self._health.no_warning(topic)
