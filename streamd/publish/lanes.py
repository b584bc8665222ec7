"""Bring the records of one partition onto Kafka: one batch at a time, in order, until it is acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streamd.model import Record, Refused
from streamd.publish import codes, shims
from streamd.publish.health import Health
from streamd.publish.producer import Link
from streamd.publish.settings import Settings
from streamd.publish.verdicts import Verdict, describe, is_brief, judge

_FIRST_RETRY = 0.1  # seconds
_FIRST_PARK = 1.0


class Lane:
    """One partition. `publish` is called again only when the former call has ended.

    An attempt that failed may yet have been stored (a lost acknowledgement). As long as the same records
    follow under the same sequence numbers, the broker drops what it has; where other records are to follow,
    the producer must have a new identity first, or the broker would take them for the former and drop them.
    """

    def __init__(
        self, place: TopicPartition, link: Link, large: asyncio.Lock, settings: Settings, health: Health
    ) -> None:
        self._place = place
        self._name = f"{place.topic}/{place.partition}"
        self._link = link
        self._large = large
        self._settings = settings
        self._health = health
        self._loose: shims.Batch | None = None  # sent, then abandoned by its caller
        self._uncertain: shims.Sequences | None = None  # the identity under which an attempt may be stored
        self._delay = 0.0
        self._poisonings = 0
        self._blocked_since: float | None = None

    async def publish(self, records: Sequence[Record]) -> tuple[Refused, ...]:
        """Return when each record is acknowledged or refused for itself; cancelled: its fate is unknown."""
        await self._settle_former()
        refused = []
        ranges = [(0, len(records))]  # the last is the next
        while ranges:
            start, end = ranges.pop()
            sent_end, refusal = await self._deliver(records, start, end)
            if sent_end < end:
                ranges.append((sent_end, end))
            if refusal is not None and sent_end - start == 1:
                refused.append(Refused(start, refusal))
            elif refusal is not None:
                middle = (start + sent_end) // 2
                ranges += [(middle, sent_end), (start, middle)]
        return tuple(refused)

    async def _settle_former(self) -> None:
        """Wait for the end of an abandoned attempt, so that it cannot be stored after what follows."""
        if self._loose is not None:
            await asyncio.wait([self._loose.future])
            if self._loose.future.exception() is None:
                self._uncertain = None
            self._loose = None
        await self._be_certain()

    async def _be_certain(self) -> None:
        """Have a new identity where other records are to follow an uncertain attempt."""
        producer = await self._ready()
        if self._uncertain is shims.sequences(producer):
            self._link.rebuild(producer, f"{self._name}: other records after an unknown outcome")
        self._uncertain = None

    async def _deliver(self, records: Sequence[Record], start: int, end: int) -> tuple[int, str | None]:
        """Send as many of the records as fit a batch, until Kafka has spoken of them.

        Returns where the batch ended, and Kafka's reason where it refused it for a record in it.
        """
        while True:
            producer = await self._ready()
            builder = producer.create_batch()
            end = shims.fill(builder, records, start, end)
            if builder.size() > self._settings.record_limit_bytes:
                return end, f"larger than {self._settings.record_limit_bytes} bytes"
            error = await self._attempt_within_limits(producer, builder)
            if error is None:
                self._acknowledged()
                return end, None
            if judge(error) is Verdict.RECORD:
                await self._be_certain()
                return end, describe(error)
            await self._wait_after(producer, error)

    async def _attempt_within_limits(
        self, producer: shims.Producer, builder: shims.Builder
    ) -> BaseException | None:
        size: int = builder.size()
        if size <= self._settings.large_bytes:
            return await self._attempt(producer, builder)
        async with self._large:
            return await self._attempt(producer, builder)

    async def _attempt(self, producer: shims.Producer, builder: shims.Builder) -> BaseException | None:
        """Send a batch once; None: acknowledged. After a failure its sequence numbers are free again."""
        sequences = shims.sequences(producer)
        before = sequences[self._place]
        failure: BaseException | None
        try:
            batch = shims.submit(producer, self._place, builder)
        except KafkaError as error:
            failure = error
            return failure
        self._link.in_flight[self._place] = batch
        self._health.in_flight += 1
        try:
            await asyncio.shield(batch.future)
        except KafkaError as error:
            failure = error
        except asyncio.CancelledError:
            self._abandon(producer, batch)
            raise
        else:
            return None
        finally:
            self._health.in_flight -= 1
            del self._link.in_flight[self._place]
        sequences[self._place] = before
        if shims.is_sent(batch) and judge(failure) is not Verdict.RECORD:
            self._uncertain = sequences
        return failure

    def _abandon(self, producer: shims.Producer, batch: shims.Batch) -> None:
        if batch.future.done():
            return
        if shims.is_sent(batch):
            self._loose = batch
            self._uncertain = shims.sequences(producer)
        else:
            shims.withdraw(producer, batch, codes.Abandoned())

    def _acknowledged(self) -> None:
        self._link.note_progress()
        self._health.accepted()
        self._uncertain = None
        self._delay = 0.0
        self._poisonings = 0
        self._blocked_since = None
        self._health.unstuck(self._name)

    async def _wait_after(self, producer: shims.Producer, error: BaseException) -> None:
        """Do what an error asks for that is not the record's, before the next attempt."""
        match judge(error):
            case Verdict.INTERRUPTED:
                return
            case Verdict.POISONED:
                self._poisonings += 1
                if self._poisonings > 1:  # a new identity did not help: this partition alone waits
                    self._health.stuck(self._name, describe(error))
                    self._delay = max(_FIRST_PARK / 2, self._delay)
                    await self._pause(self._settings.park_max)
                self._link.rebuild(producer, f"{self._name}: {describe(error)}")
                return
            case Verdict.EVERYONE:
                self._health.refused(describe(error))
            case _:
                self._block(describe(error))
                self._link.refresh()
        longest = self._settings.brief_retry_max if is_brief(error) else self._settings.slow_retry_max
        await self._pause(longest)

    async def _pause(self, longest: float) -> None:
        self._delay = min(max(_FIRST_RETRY, 2 * self._delay), longest)
        await asyncio.sleep(self._delay)

    async def _ready(self) -> shims.Producer:
        """Wait until an attempt makes sense; give the producer to make it with."""
        self._link.want(self._place.topic)
        while True:
            producer = self._link.producer
            if producer is None or not self._health.reachable:
                self._blocked_since = None
                self._health.not_alone(self._name)
            elif self._link.has_leader(self._place):
                return producer
            else:
                self._block(self._obstacle())
            await self._link.changed(self._settings.stuck_after)

    def _obstacle(self) -> str:
        topic, partition = self._place
        count = self._link.count(topic)
        if count is not None:
            return "no leader" if partition < count else f"the topic has only {count} partitions"
        return "not authorized" if self._link.is_forbidden(topic) else "no such topic"

    def _block(self, reason: str) -> None:
        now = time.monotonic()
        if self._blocked_since is None:
            self._blocked_since = now
        elif now - self._blocked_since >= self._settings.stuck_after:
            self._health.stuck(self._name, reason)
