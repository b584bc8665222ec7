"""Kafka goes, comes back, forbids and refuses under load: nothing that was accepted is missing afterwards."""

from __future__ import annotations

import random
import string
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import trio
from confluent_kafka import Consumer, TopicPartition

from streamd.simulators.avaya import AvayaOptions, AvayaSimulator, LogEntry, open_avaya_simulator
from streamd.simulators.kafka import NO_LEADER
from tests import judge
from tests.daemon import DaemonProcess
from tests.integration.conftest import CORE_TOPICS, VENDOR_TOPICS, Site
from tests.kafka.embedded import EmbeddedCluster
from tests.kafka.reader import Record

OUTAGE_SECONDS = 60.0
QUICK = "ping_interval_seconds = 0.5\nsnapshot_settle_seconds = 0.5\n"
QUEUE = "Queue_itd_1.0.0"
MEASURES, STATE = VENDOR_TOPICS
REFUSED_BYTES = 1_500_000  # above the 1,048,588 that a broker takes by default, and no compression helps


async def stopped(site: Site, daemon: DaemonProcess, avaya: AvayaSimulator) -> dict[str, list[Record]]:
    """Let all of it come to rest, stop the daemon, and give what is on Kafka."""
    await daemon.healed()  # soon, while messages come
    avaya.set_rate(0)
    await daemon.complete()
    assert await daemon.stop() == 0, daemon.tail()
    return await trio.to_thread.run_sync(site.read)


async def more(avaya: AvayaSimulator, count: int) -> None:
    """Wait until so many more messages have been sent."""
    goal = len(avaya.log) + count
    with trio.fail_after(60):
        while len(avaya.log) < goal:
            await trio.sleep(0.05)


async def stuck_places(daemon: DaemonProcess) -> set[str]:
    """Give the partitions, topic/number, and topics that are waited for."""
    return set((await daemon.status())["kafka"]["stuck"])


def numbered(topics: dict[str, list[Record]], *which: str) -> list[dict[str, Any]]:
    return [event for topic in which for event in judge.events(topics[topic])]


def by_key(found: Iterable[tuple[tuple[tuple[str, str], ...], str]]) -> dict[Any, list[str]]:
    contents: dict[Any, list[str]] = defaultdict(list)
    for key, content in found:
        contents[key].append(content)
    return contents


def order_sent(sent: Sequence[LogEntry]) -> dict[Any, list[str]]:
    """Give key -> what was sent of it, in order."""
    return by_key((entry.keys, entry.marker) for entry in sent)


def order_on_kafka(records: Iterable[Record]) -> dict[Any, list[str]]:
    """Give key -> what is on the topic of it, in the order of offsets; of a duplicate only the first."""
    seen: dict[str, Any] = {}
    for event in judge.events(records):
        seen.setdefault(event["id"], event["data"])
    return by_key(
        (tuple(sorted(data["keys"].items())), judge.digest(data["measures"] or None))
        for data in seen.values()
    )


async def test_a_broker_that_is_gone_for_a_minute_under_load_costs_nothing_but_time(
    own_real_kafka: Any, own_site: Callable[..., Site]
) -> None:
    site = own_site(own_real_kafka)
    options = AvayaOptions(keys=50, rate=500, producers=(QUEUE,))
    async with open_avaya_simulator(options) as avaya:
        daemon = site.daemon(avaya.connector_table() + QUICK)
        daemon.start()
        await daemon.until("live")
        await daemon.healed()
        await trio.to_thread.run_sync(own_real_kafka.kill)
        before = len(avaya.log)
        await trio.sleep(OUTAGE_SECONDS)
        assert len(avaya.log) - before > 400 * OUTAGE_SECONDS
        [connector] = (await daemon.status())["connectors"].values()
        assert connector["state"] == "live"
        assert connector["spool"]["events"] > 400 * OUTAGE_SECONDS
        await trio.to_thread.run_sync(own_real_kafka.start)
        truth, sent = avaya.truth, avaya.log
        topics = await stopped(site, daemon, avaya)
        assert order_on_kafka(topics[MEASURES]) == order_sent(sent)
        assert judge.latest(topics[STATE]) == truth()
    everything = numbered(topics, MEASURES, "streamd.connectors")
    assert judge.missing_numbers(everything) == {}
    assert judge.contradictions(everything) == []
    assert topics["streamd.dead-letter"] == []
    assert {hole["cause"] for hole in judge.gaps(topics["streamd.gaps"])} == {"new_spool", "stopped"}


async def test_a_topic_that_is_deleted_is_made_anew_and_goes_on_without_a_hole(
    real_kafka: Any, own_site: Callable[..., Site]
) -> None:
    site = own_site(real_kafka)
    topic = f"{site.prefix}.{MEASURES}"
    async with open_avaya_simulator(AvayaOptions(keys=20, rate=200, producers=(QUEUE,))) as avaya:
        daemon = site.daemon(avaya.connector_table() + QUICK)
        daemon.start()
        await daemon.until("live")
        await daemon.complete()
        await trio.to_thread.run_sync(real_kafka.delete_topic, topic)
        await trio.sleep(2)
        with trio.fail_after(60):
            while not (await trio.to_thread.run_sync(real_kafka.topics)).get(topic):
                await trio.sleep(0.2)
        await more(avaya, 400)
        topics = await stopped(site, daemon, avaya)
        truth = avaya.truth()
    measures = judge.events(topics[MEASURES])
    numbers = sorted({int(event["sequence"]) for event in measures})
    last = max(judge.events(topics["streamd.connectors"]), key=lambda event: int(event["sequence"]))
    assert numbers[-1] == int(last["data"]["last"]["measures"]["sequence"])
    # What was acknowledged went with the former topic; from its end on nothing is missing.
    kept = numbers[_first_after_the_last_hole(numbers) :]
    assert len(kept) >= 200
    assert judge.latest(topics[STATE]) == truth
    assert judge.missing_numbers(judge.events(topics["streamd.connectors"])) == {}


def _first_after_the_last_hole(numbers: Sequence[int]) -> int:
    breaks = [place + 1 for place, number in enumerate(numbers[:-1]) if numbers[place + 1] != number + 1]
    return breaks[-1] if breaks else 0


async def test_a_forbidden_topic_waits_alone_and_is_caught_up_when_it_is_allowed(
    open_real_kafka: Callable[..., Any], own_site: Callable[..., Site]
) -> None:
    cluster = await trio.to_thread.run_sync(lambda: open_real_kafka(users={"streamd": "a password"}))
    site = own_site(cluster)
    await trio.to_thread.run_sync(site.create_topics)
    forbidden, *others = [f"{site.prefix}.{topic}" for topic in VENDOR_TOPICS + CORE_TOPICS]
    for topic in others:
        await trio.to_thread.run_sync(cluster.allow, "streamd", "WRITE", topic)
    login = (
        "create_topics = false\nsecurity_protocol = 'SASL_PLAINTEXT'\nsasl_mechanism = 'PLAIN'\n"
        "sasl_username = 'streamd'\nsasl_password = 'a password'\n"
    )
    async with open_avaya_simulator(AvayaOptions(keys=20, rate=100, producers=(QUEUE,))) as avaya:
        daemon = site.daemon(avaya.connector_table() + QUICK, login, cluster.sasl_bootstrap_servers)
        daemon.start()
        await daemon.until("live")
        with trio.fail_after(60):
            while {place.partition("/")[0] for place in await stuck_places(daemon)} != {forbidden}:
                await trio.sleep(0.1)
            topics = await trio.to_thread.run_sync(site.read)
            while not _has_live(topics) or judge.latest(topics[STATE]).keys() != avaya.truth().keys():
                topics = await trio.to_thread.run_sync(site.read)
        assert topics[MEASURES] == []
        await trio.to_thread.run_sync(cluster.allow, "streamd", "WRITE", forbidden)
        topics = await stopped(site, daemon, avaya)
        assert order_on_kafka(topics[MEASURES]) == order_sent(avaya.log)
        assert judge.latest(topics[STATE]) == avaya.truth()
    assert judge.missing_numbers(numbered(topics, MEASURES, "streamd.connectors")) == {}


def _has_live(topics: dict[str, list[Record]]) -> bool:
    moments = judge.events(topics["streamd.connectors"])
    return any(event["type"] == "streamd.connector.live" for event in moments)


async def test_a_record_that_is_too_large_is_a_dead_letter_with_its_number_and_the_others_go_on(
    real_kafka: Any, own_site: Callable[..., Site]
) -> None:
    site = own_site(real_kafka)
    dice = random.Random(1)
    async with open_avaya_simulator(AvayaOptions(keys=10, rate=100, producers=(QUEUE,))) as avaya:
        daemon = site.daemon(avaya.connector_table() + QUICK)
        daemon.start()
        await daemon.until("live")
        notes = "".join(dice.choices(string.ascii_letters + string.digits, k=REFUSED_BYTES))
        avaya.upsert(QUEUE, {"queueId": "too-large"}, {"notes": notes})
        await more(avaya, 100)
        avaya.delete(QUEUE, {"queueId": "too-large"})
        topics = await stopped(site, daemon, avaya)
        sent, truth = list(avaya.log), avaya.truth()
    letters = [event["data"] for event in judge.events(topics["streamd.dead-letter"])]
    assert {letter["of"]["topic"] for letter in letters} == {
        f"{site.prefix}.{MEASURES}",
        f"{site.prefix}.{STATE}",
    }
    [letter] = [letter for letter in letters if letter["of"]["topic"].endswith(MEASURES)]
    assert letter["truncated"]
    assert letter["payload_bytes"] > REFUSED_BYTES
    measures = judge.events(topics[MEASURES])
    [missing] = judge.missing_numbers(measures).values()
    assert missing == [int(letter["of"]["sequence"])]
    lost = judge.undeclared(sent, measures, ())
    assert [dict(entry.keys)["queueId"] for entry in lost] == ["too-large"]
    assert judge.latest(topics[STATE]) == truth


async def test_a_partition_without_leader_stops_only_itself(
    embedded_kafka: Any, own_site: Callable[..., Site]
) -> None:
    site = own_site(EmbeddedCluster(embedded_kafka))
    async with open_avaya_simulator(AvayaOptions(keys=40, rate=100, producers=(QUEUE,))) as avaya:
        daemon = site.daemon(avaya.connector_table() + QUICK)
        daemon.start()
        await daemon.until("live")
        await daemon.complete()
        embedded_kafka.set_leader(f"{site.prefix}.{MEASURES}", 0, NO_LEADER)
        leaderless = {f"{site.prefix}.{MEASURES}/0"}
        with trio.fail_after(60):
            while await stuck_places(daemon) != leaderless:
                await trio.sleep(0.1)
            before = after = await trio.to_thread.run_sync(ends, site)
            while any(after[place] <= before[place] for place in after):
                after = await trio.to_thread.run_sync(ends, site)
        assert await stuck_places(daemon) == leaderless
        embedded_kafka.set_leader(f"{site.prefix}.{MEASURES}", 0, 1)
        topics = await stopped(site, daemon, avaya)
        assert order_on_kafka(topics[MEASURES]) == order_sent(avaya.log)
        assert judge.latest(topics[STATE]) == avaya.truth()
    assert judge.missing_numbers(numbered(topics, MEASURES, "streamd.connectors")) == {}


def ends(site: Site) -> dict[tuple[str, int], int]:
    """Give the end offset of each partition but the one without leader."""
    places = [(topic, part) for topic in VENDOR_TOPICS for part in range(6) if (topic, part) != (MEASURES, 0)]
    consumer = Consumer({"bootstrap.servers": ",".join(site.kafka.bootstrap_servers), "group.id": "ends"})
    try:
        return {
            (topic, part): consumer.get_watermark_offsets(TopicPartition(f"{site.prefix}.{topic}", part), 10)[
                1
            ]
            for topic, part in places
        }
    finally:
        consumer.close()
