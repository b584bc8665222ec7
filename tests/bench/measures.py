"""How each figure is measured. Every function adds its figures to the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.bench.daemon import STATEFUL, STATELESS, Bench, Counts, open_daemon, open_o2g
from tests.bench.kafka import LOG_APPEND, PARTITIONS
from tests.bench.processes import Child, used
from tests.bench.report import Report
from tests.kafka.cluster import KafkaCluster

ENGINES = ("trio-websocket", "sans-io")
STEADY = 5000.0  # messages a second: the rate at which costs are compared
CALM = 1000.0  # messages a second: the rate at which delays are told
AS_FAST_AS_IT_GOES = -1.0
BACKLOG = 200_000
CONNECTORS = 200
_SETTLE_SECONDS = 1.0
_FIRST_RATE, _FASTER, _HALVINGS = 10_000.0, 1.4, 2
_LAG_SECONDS = 0.5  # a rate is not sustained when more than this much of it is under way at the end


class Plan(NamedTuple):
    """What to measure on: the Kafka, how long each figure takes, how many agents there are.

    `rows` are those of Huawei's zip, `recordings` those that Oracle's connector is behind. `profile`: say
    where the CPU goes of what is pushed and pulled; its figures are then too high.
    """

    cluster: KafkaCluster
    report: Report
    seconds: float
    keys: int
    rows: int
    recordings: int
    profile: bool


# -- floors


def measure_floors(plan: Plan) -> None:
    """Measure what the parts cost by themselves."""
    for engine in ENGINES:
        _measure_floor(plan, f"floor {engine}", "engine", engine)
    topic = _new_topic(plan)
    with _child(plan, "batches", _servers(plan), topic) as batches:
        _measure_child(plan, "floor send_batch", batches, lambda rate: batches.ask(rate=rate))


def measure_script(plan: Plan) -> None:
    """Measure the plain script, its delay too."""
    topic = _new_topic(plan)
    _measure_floor(plan, "plain script", "script", _servers(plan), topic, watch=topic)


def _measure_floor(plan: Plan, part: str, *arguments: str, watch: str | None = None) -> None:
    with Child("sender", STATEFUL, plan.keys) as sender:
        url = f"ws://127.0.0.1:{sender.hello['port']}/ws/bare"
        with _child(plan, *arguments, url) as child:
            if watch is not None:
                sender.ask(rate=CALM)
                _measure_delay(plan, part, watch)
            _measure_child(plan, part, child, lambda rate: sender.ask(rate=rate))


def _child(plan: Plan, *arguments: str) -> Child:
    plan.report.say(f"starting {arguments[0]} {arguments[1] if arguments[0] == 'engine' else ''}")
    return Child("floors", *arguments)


def _measure_child(plan: Plan, part: str, child: Child, set_rate: Callable[[float], object]) -> None:
    for rate, name in ((STEADY, f"at {STEADY:,.0f}/s"), (AS_FAST_AS_IT_GOES, "flat out")):
        set_rate(rate)
        time.sleep(_SETTLE_SECONDS)
        before, done, begun = used(child.pid), child.ask()["done"], time.monotonic()
        time.sleep(plan.seconds)
        after, more, ended = used(child.pid), child.ask()["done"], time.monotonic()
        if rate < 0:
            plan.report.add(part, "flat out", (more - done) / (ended - begun), "messages/s")
        cost = (after.total - before.total) / (more - done) * 1e6
        plan.report.add(part, f"CPU {name}", cost, "µs/message")


def _new_topic(plan: Plan) -> str:
    topic = f"{plan.cluster.unique_prefix()}.bench"
    plan.cluster.create_topic(topic, PARTITIONS, LOG_APPEND)
    return topic


def _servers(plan: Plan) -> str:
    return ",".join(plan.cluster.bootstrap_servers)


# -- the daemon


def measure_daemon(plan: Plan, engine: str) -> None:
    """Measure one daemon: idle, its delay, its costs, and the most that it can take."""
    part = f"streamd {engine}"
    with _daemon(plan, engine) as bench:
        _measure_idle(plan, part, bench)
        bench.send(CALM)
        _measure_delay(plan, part, bench.events_topic, most=50)
        _measure_cost(plan, part, bench, STEADY, f"at {STEADY:,.0f}/s")
        plan.report.add(part, f"RSS at {STEADY:,.0f}/s", bench.resident_mib(), "MiB", most=120)
        _compare(plan, part, engine)
        most = _find_most(plan, bench)
        plan.report.add(part, "highest rate without loss", most, "messages/s")
        _measure_cost(plan, part, bench, most * 0.9, "at 90 % of it")
        plan.report.add(part, "RSS after too much", bench.resident_mib(), "MiB")


def measure_stateless(plan: Plan, engine: str) -> None:
    """Measure a daemon that writes one record for each message: what others do is compared with this."""
    part = f"{engine}, events only"
    with _daemon(plan, engine, STATELESS) as bench:
        _measure_cost(plan, part, bench, STEADY, f"at {STEADY:,.0f}/s")
        _compare(plan, part, engine)
        plan.report.add(part, "highest rate without loss", _find_most(plan, bench), "messages/s")


@contextmanager
def _daemon(plan: Plan, engine: str, producer: str = STATEFUL) -> Iterator[Bench]:
    plan.report.say(f"starting streamd, {engine}, {producer}, {plan.keys:,} keys")
    with open_daemon(plan.cluster, engine, producer, plan.keys) as bench:
        yield bench


def _measure_idle(plan: Plan, part: str, bench: Bench) -> None:
    time.sleep(_SETTLE_SECONDS)
    before, begun = used(bench.pid), time.monotonic()
    time.sleep(max(plan.seconds, 5.0))
    spent = used(bench.pid).total - before.total
    plan.report.add(part, "idle CPU", 100 * spent / (time.monotonic() - begun), "%", most=1)
    plan.report.add(part, "idle RSS", bench.resident_mib(), "MiB", most=120)


def _measure_delay(plan: Plan, part: str, topic: str, most: float | None = None, rate: float = CALM) -> None:
    with Child("watcher", _servers(plan), topic) as watcher:
        time.sleep(2 * _SETTLE_SECONDS)
        watcher.ask()
        time.sleep(plan.seconds)
        seen = watcher.ask()
    for name, what in (("appended", "socket to Kafka's log"), ("arrived", "socket to a reader of Kafka")):
        for quantile in ("p50", "p99"):
            aim = most if quantile == "p99" else None
            plan.report.add(
                part, f"{what}, {quantile} at {rate:,.0f}/s", seen[name][quantile], "ms", most=aim
            )


def _measure_cost(
    plan: Plan, part: str, bench: Bench, rate: float, name: str, most: float | None = None
) -> None:
    before, after = _run(bench, rate, plan.seconds)
    events = after.events - before.events
    records = events + after.states - before.states
    spent = after.used.since(before.used)
    report = plan.report
    report.add(part, f"CPU {name}", spent.total / events * 1e6, "µs/message", most=most)
    report.add(part, f"of it system {name}", spent.system / events * 1e6, "µs/message")
    report.add(part, f"records {name}", records / events, "per message")
    report.add(part, f"CPU {name}, a record", spent.total / records * 1e6, "µs/record")
    bench.drain()


def _compare(plan: Plan, part: str, engine: str) -> None:
    """Say what is left when the reading is taken off, and how it stands beside the plain script."""
    report, at = plan.report, f"at {STEADY:,.0f}/s"
    cost, records = report.find(part, f"CPU {at}"), report.find(part, f"records {at}")
    floor, script = report.find(f"floor {engine}", f"CPU {at}"), report.find("plain script", f"CPU {at}")
    if cost and records and floor:
        report.add(part, f"behind the read {at}", (cost - floor) / records, "µs/record", most=20)
    if cost and records and script:
        aim = 1.0 if engine == "sans-io" else None
        report.add(part, f"plain script = 1, {at}", cost / script, "per message")
        report.add(part, f"plain script = 1, {at}, a record", cost / records / script, "per record", most=aim)


def _run(bench: Bench, rate: float, seconds: float) -> tuple[Counts, Counts]:
    """Send at a rate, and give what had happened at the begin and the end of some seconds of it."""
    bench.send(rate)
    time.sleep(_SETTLE_SECONDS)
    before = bench.counts()
    time.sleep(seconds)
    return before, bench.counts()


def _find_most(plan: Plan, bench: Bench) -> float:
    """Find the highest rate at which nothing is dropped and nothing piles up."""
    good, bad = 0.0, 0.0
    rate = _FIRST_RATE
    halvings = 0
    while halvings < _HALVINGS:
        if _sustains(plan, bench, rate):
            good = rate
        else:
            bad = rate
        if bad:
            halvings += bool(good)
            rate = (good + bad) / 2
        else:
            rate *= _FASTER
        if rate < _FIRST_RATE / 20:
            break
    return good


def _sustains(plan: Plan, bench: Bench, rate: float) -> bool:
    dropped = bench.dropped()
    bench.send(rate)
    time.sleep(_SETTLE_SECONDS + plan.seconds)
    behind = bench.sender.ask()["behind"]
    counts = bench.counts()
    under_way = counts.sent - counts.events - bench.dropped()
    drain = bench.drain()
    lost = bench.dropped() - dropped
    sustained = not lost and max(under_way, behind) <= _LAG_SECONDS * rate
    plan.report.say(
        f"{rate:,.0f}/s: {'sustained' if sustained else 'too much'}; dropped {lost:,}, under way "
        f"{under_way:,}, not sent {behind:,}, drained in {drain:.1f} s"
    )
    return sustained


# -- outage


def measure_backlog(plan: Plan) -> None:
    """Freeze Kafka until BACKLOG messages wait in the spool, then see how fast they leave while more come."""
    if not plan.cluster.brokers:
        plan.report.say("backlog: not measured, this Kafka is not ours to freeze")
        return
    part = "backlog"
    with _daemon(plan, "sans-io") as bench:
        plan.cluster.pause()
        sent = bench.sender.ask()["sent"]
        bench.send(10_000)
        while bench.sender.ask()["sent"] < sent + BACKLOG:
            time.sleep(0.1)
        bench.send(STEADY)
        time.sleep(_SETTLE_SECONDS)
        plan.report.add(part, "RSS while Kafka is away", bench.resident_mib(), "MiB")
        plan.cluster.resume()
        _measure_drain(plan, part, bench)
        plan.report.add(part, "dropped", bench.dropped(), "messages", most=0)


def _measure_drain(plan: Plan, part: str, bench: Bench) -> None:
    """Follow the backlog down to half a second's worth of what still comes."""
    looks = [bench.counts()]
    begun = looks[0].at
    rss = [bench.resident_mib()]
    while looks[-1].sent - looks[-1].events - bench.dropped() > STEADY * _LAG_SECONDS:
        time.sleep(0.25)
        looks.append(bench.counts())
        rss.append(bench.resident_mib())
        if looks[-1].at - begun > 120:
            break
    first, last = next((look for look in looks if look.events > looks[0].events), looks[0]), looks[-1]
    seconds = last.at - looks[0].at
    report = plan.report
    report.add(part, "until the first record", first.at - begun, "s")
    events, records = last.events - looks[0].events, last.states - looks[0].states
    report.add(part, "drained, while 5,000/s come", events / seconds, "messages/s", least=15_000)
    report.add(part, "drained, records", (events + records) / seconds, "records/s")
    waited = looks[0].sent - looks[0].events
    report.add(part, "backlog at the begin", waited, "messages")
    report.add(part, "until it was gone", seconds, "s")
    report.add(part, "RSS, the most while draining", max(rss), "MiB", most=120)
    spent = last.used.since(looks[0].used).total
    report.add(part, "CPU while draining", 100 * spent / seconds, "%")
    bench.drain()


# -- O2G


def measure_o2g(plan: Plan) -> None:
    """Measure one channel, for its costs, and many, for their delay. A line stands where others have a
    message; most become two records, the event and the state of the call."""
    part = "o2g, one connector"
    with open_o2g(plan.cluster, 1, 500) as bench:
        plan.report.add(part, "a line", bench.sender.ask()["bytes"], "bytes")
        _measure_cost(plan, part, bench, STEADY, f"at {STEADY:,.0f}/s", most=30)
        most = _find_most(plan, bench)
        plan.report.add(part, "highest rate without loss", most, "lines/s")
        _measure_cost(plan, part, bench, most * 0.9, "at 90 % of it", most=30)
    rate = 20.0 * CONNECTORS
    for part, secured in (
        (f"o2g, {CONNECTORS} connectors", False),
        (f"o2g, {CONNECTORS} connectors over TLS", True),
    ):
        with open_o2g(plan.cluster, CONNECTORS, 10, secured=secured) as bench:
            bench.send(rate)
            _measure_delay(plan, part, bench.events_topic, most=100, rate=rate)
            _measure_cost(plan, part, bench, rate, f"at {rate:,.0f}/s")
            plan.report.add(part, "RSS", bench.resident_mib(), "MiB")
            plan.report.add(part, "dropped", bench.dropped(), "lines", most=0)


# -- endurance


def soak(plan: Plan, minutes: float, engine: str = "sans-io", keys: int = 50_000) -> None:
    """Run at STEADY with many keys and see whether memory stays flat."""
    part = f"soak {engine}"
    with _daemon(plan._replace(keys=keys), engine) as bench:
        bench.send(STEADY)
        begun, before = time.monotonic(), bench.counts()
        seen: list[float] = []
        while (elapsed := time.monotonic() - begun) < minutes * 60:
            time.sleep(min(15.0, minutes * 6))
            counts = bench.counts()
            seen.append(bench.resident_mib())
            cost = (counts.used.total - before.used.total) / max(1, counts.events - before.events) * 1e6
            plan.report.say(f"{elapsed:4.0f} s: RSS {seen[-1]:.1f} MiB, {cost:.1f} µs/message")
        late, early = max(seen[-len(seen) // 4 :]), max(seen[len(seen) // 4 : len(seen) // 2] or seen)
        plan.report.add(part, "RSS, the most", max(seen), "MiB", most=120)
        plan.report.add(part, "RSS, last quarter over second", late - early, "MiB", most=3)
        plan.report.add(part, "CPU", cost, "µs/message")
        plan.report.add(part, "dropped", bench.dropped(), "messages", most=0)
