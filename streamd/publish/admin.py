"""Ask Kafka about topics and make them, each time over a connection of its own; on the asyncio side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code
from msgspec import Struct

from streamd.config import KafkaConfig
from streamd.errors import Transient
from streamd.model import TopicSpec
from streamd.publish import shims
from streamd.publish.connections import Connections, arguments_or_rejected
from streamd.publish.settings import Settings

POLICY = "cleanup.policy"
_RETENTION = "retention.ms"
_NOT_THERE = 3
_EXISTS = 36
_MENTIONED = "this Kafka takes no request to make topics; it was asked for it, should it make it by itself"

TopicConfigs = Mapping[str, Mapping[str, str]]


class TopicReport(Struct, frozen=True):
    """What a topic is like. What cannot be known is None; `problems` are sentences for people."""

    name: str
    exists: bool
    partitions: int | None
    cleanup: str | None
    retention_ms: int | None
    problems: tuple[str, ...]


@asynccontextmanager
async def open_admin(config: KafkaConfig, settings: Settings) -> AsyncIterator[shims.Admin]:
    """Open an admin client; what fails in it and in the body is raised as Rejected or Transient."""
    connections = Connections(settings.credentials_retry_max)
    admin = AIOKafkaAdminClient(
        bootstrap_servers=config.bootstrap_servers,
        client_id=config.client_id,
        request_timeout_ms=int(settings.request_timeout * 1000),
        retry_backoff_ms=int(settings.retry_backoff * 1000),
        **arguments_or_rejected(config),
    )
    try:
        connections.begin()
        async with asyncio.timeout(settings.start_timeout):
            await admin.start()
            yield admin
    except (KafkaError, OSError) as error:
        raise connections.plainly(error) from error
    finally:
        connections.end()
        await shims.end_within(admin.close(), settings.teardown)


async def create_topics(admin: shims.Admin, specs: Sequence[TopicSpec]) -> dict[str, str]:
    """Make topics; give by topic the reason why it could not be made, or not for certain."""
    if not await shims.takes_create_topics(admin):
        await shims.mention(admin, [spec.name for spec in specs])
        return {spec.name: _MENTIONED for spec in specs}
    if not shims.has_controller(admin):
        raise Transient("Kafka has no controller at the moment")
    answer = await admin.create_topics([_new_topic(spec) for spec in specs])
    failed = [(topic, code, *said) for topic, code, *said in answer.topic_errors if code not in (0, _EXISTS)]
    return {topic: ": ".join(filter(None, [for_code(code).message, *said])) for topic, code, *said in failed}


def _new_topic(spec: TopicSpec) -> NewTopic:
    return NewTopic(
        spec.name,
        spec.partitions,
        spec.replication_factor,
        # aiokafka insists on it where the factor is the broker's default, and forbids it where it is not
        replica_assignments={} if spec.replication_factor == -1 else None,
        topic_configs={POLICY: spec.cleanup, **spec.config},
    )


async def topic_configs(admin: shims.Admin, topics: Collection[str]) -> TopicConfigs:
    """Give the cleanup policy and retention of those topics that we may look at."""
    asked = {POLICY: "", _RETENTION: ""}
    answers = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, topic, asked) for topic in topics]
    )
    return {
        name: {key: value for key, value, *_ in entries}
        for answer in answers
        for code, _, _, name, entries in answer.resources
        if code == 0
    }


async def make_topics(
    admin: shims.Admin, specs: Sequence[TopicSpec], settings: Settings
) -> list[TopicReport]:
    """Make topics and report on them as soon as the brokers know them, which takes them some ms."""
    failures = await create_topics(admin, specs)
    patience = time.monotonic() + settings.request_timeout
    while True:
        reports = await describe_topics(admin, specs, failures)
        late = [report.name for report in reports if not report.exists and report.name not in failures]
        if not late or time.monotonic() > patience:
            return reports
        await asyncio.sleep(settings.poll / 10)


async def describe_topics(
    admin: shims.Admin, specs: Sequence[TopicSpec], failures: Mapping[str, str]
) -> list[TopicReport]:
    """Report on topics, in the order of `specs`; `failures` are of the attempts to make them."""
    answers = {answer["topic"]: answer for answer in await admin.describe_topics([s.name for s in specs])}
    there = [name for name, answer in answers.items() if answer["error_code"] == 0]
    try:
        configs = await topic_configs(admin, there)
    except KafkaError:  # an old or a mock broker that has no such request
        configs = {}
    return [_report(spec, answers.get(spec.name), configs.get(spec.name, {}), failures) for spec in specs]


def _report(
    spec: TopicSpec, answer: Mapping[str, Any] | None, config: Mapping[str, str], failures: Mapping[str, str]
) -> TopicReport:
    code = _NOT_THERE if answer is None else answer["error_code"]
    if answer is None or code:
        problems = [] if code == _NOT_THERE else [for_code(code).message]
        problems += [f"could not be made: {failures[spec.name]}"] if spec.name in failures else []
        return TopicReport(spec.name, False, None, None, None, tuple(problems))
    count = len(answer["partitions"])
    problems = [] if count >= spec.partitions else [f"{count} partitions, {spec.partitions} are configured"]
    retention = config.get(_RETENTION)
    return TopicReport(
        name=spec.name,
        exists=True,
        partitions=count,
        cleanup=config.get(POLICY),
        retention_ms=None if retention is None else int(retention),
        problems=(*problems, *policy_problems(spec, config)),
    )


def policy_problems(spec: TopicSpec, config: Mapping[str, str]) -> tuple[str, ...]:
    """Compare a topic's cleanup policy, where it is known, with what is wanted."""
    has, wants = config.get(POLICY), spec.config.get(POLICY, spec.cleanup)
    if has is None or set(has.split(",")) == set(wants.split(",")):
        return ()
    lost = "records are lost to compaction" if "compact" in has else "keys are lost to retention"
    return (f"cleanup.policy is {has}, it must be {wants}: {lost}",)
