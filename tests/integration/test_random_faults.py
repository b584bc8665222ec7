"""200 random sequences of faults against Avaya's connector: in the end the state topic equals the truth.

The real runtime and spool without a Kafka, so that all that was accepted can be read back; 25 connectors at a
time share one spool.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
import trustme

from streamd.clock import SystemClock
from streamd.cloudevents import Envelope
from streamd.config import Config
from streamd.config.file import load
from streamd.model import Record
from streamd.registry import all_types
from streamd.runtime import Runtime
from streamd.simulators.avaya import AvayaOptions, AvayaSimulator, open_avaya_simulator
from streamd.spool.directory import DATABASE
from streamd.spool.spool import Spool
from streamd.spool.store import Store
from streamd.telemetry import Metrics
from tests import judge

ROUNDS, TOGETHER = 8, 25
STEPS = (4, 10)
PRODUCERS = ("Agent_itd_1.0.0", "Queue_itd_1.0.0")
RATE = 15.0
CONVERGE_SECONDS = 45.0
KEYS = """
retry_min_seconds = 0.05
retry_max_seconds = 0.3
request_timeout_seconds = 2
authentication_timeout_seconds = 1
ping_interval_seconds = 0.3
pong_timeout_seconds = 1.5
snapshot_quiet_seconds = 0.5
snapshot_limit_seconds = 2.0
snapshot_settle_seconds = 0.3
snapshot_proof_seconds = 1.0
requests_per_second = 100
"""
PASSING = (  # those that the connector is to get through while they are on
    "error-500:create=2",
    "error-500:get=1",
    "error-500:renew=1",
    "gateway-html:token=1",
    "limited-429:create=1",
    "limited-429-bare:get=1",
    "token-401:get=1",
    "missing-404:get=1",
    "reset-after-post=1",
    "upgrade-503=2",
    "auth-internal-error=1",
    "auth-unknown-status=1",
    "auth-no-reply=1",
    "unknown-subscription=1",
    "invalid-token=1",
    "invalid-token=2",
    "half-open=0.5",
    "no-pong",
    "late-pong=0.5",
    "drop-every=0.6",
    "reset-every=0.6",
    "close-every=0.6",
    "expiry-keeps",
    "delete-keeps",
    "second-refused",
    "second-both",
    "live-in-snapshot",
    "live-full",
    "snapshot-slow=40",
    "snapshot-pause=0.7",
    "snapshot-again=1",
    "snapshot-empty",
    "snapshot-one",
    "snapshot-first-only",
    "vanish-while-away=2",
    "midnight-reset=0.5",
    "silent-night",
    "repeat-upserts=3",
    "delete-unknown=3",
    "upsert-after-delete=3",
    "initializing-delete=3",
    "delete-with-measures",
    "unknown-payload-type=5",
    "missing-keys=5",
    "bad-json=5",
    "invalid-utf8=30",
    "null-values=5",
    "non-string-values=5",
    "fragmented",
    "array-frames",
)
CHOICES = ("expiry-", "second-", "live-full", "invalid-token", "delete-keeps")  # one answer at a time
DROPS = ("fin", "rst", "close:1000", "close:1001", "close:1011", "close:1012", "close:1013", "close:1008")


class Subject:
    """One connector against a simulator of its own, and the dice that decide what befalls them."""

    def __init__(
        self, name: str, seed: int, avaya: AvayaSimulator, start: Callable[[trio.Nursery], Runtime]
    ) -> None:
        self.name = name
        self.avaya = avaya
        self.history: list[str] = []
        self._dice = random.Random(seed)
        self._start = start

    async def run(self) -> None:
        """Play the sequence, take the faults away, and see that it converges: nothing is said by then."""
        for number in range(self._dice.randint(*STEPS)):
            async with trio.open_nursery() as nursery:  # one life of the connector: next comes a restart
                runtime = self._start(nursery)
                for _ in range(3 if number == 0 else self._dice.randint(1, 4)):
                    await self._step()
                    await trio.sleep(self._dice.uniform(0.02, 0.5))
                nursery.cancel_scope.cancel()
            if self._dice.random() < 0.7:
                break
        async with trio.open_nursery() as nursery:
            runtime = self._start(nursery)
            for _ in range(self._dice.randint(*STEPS)):
                await self._step()
                await trio.sleep(self._dice.uniform(0.02, 0.5))
            await self._settle(runtime)
            nursery.cancel_scope.cancel()

    async def _step(self) -> None:
        kind, what = self._dice.choice(self._possible())
        self.history.append(kind)
        await what()

    def _possible(self) -> Sequence[tuple[str, Callable[[], Awaitable[Any]]]]:
        avaya, count = self.avaya, self._dice.randint(1, 3)
        mode, producer = self._dice.choice(DROPS), self._dice.choice((None, *PRODUCERS))
        silent = self._dice.random() < 0.5
        faults = self._faults()
        return [
            (f"drop {mode} {producer}", partial(avaya.drop_sockets, mode, producer)),
            (f"faults {faults}", _sync(avaya.set_faults, *faults)),
            (f"faults {faults}", _sync(avaya.set_faults, *faults)),
            (f"faults {faults}", _sync(avaya.set_faults, *faults)),
            (f"remove {count} {silent}", _sync(avaya.remove_keys, count, producer, silent=silent)),
            (f"add {count} {silent}", _sync(avaya.add_keys, count, producer, silent=silent)),
            ("expire tokens", _sync(avaya.expire_tokens)),
            ("midnight", _sync(avaya.reset_counters)),
        ]

    def _faults(self) -> list[str]:
        chosen: dict[str, str] = {}
        for fault in self._dice.sample(PASSING, self._dice.randint(0, 3)):
            question = next((each for each in CHOICES if fault.startswith(each)), fault)
            chosen.setdefault(question, fault)
        return sorted(chosen.values())

    async def _settle(self, runtime: Runtime) -> None:
        """Let it connect anew without any fault, and wait until all that was sent is in the spool."""
        self.avaya.set_faults()
        opened = {session.number for session in self.avaya.sockets}
        await self.avaya.drop_sockets()
        await self._until(lambda: self._is_whole(runtime, opened), runtime)
        self.avaya.set_rate(0)
        quiet = datetime.now(UTC) + timedelta(seconds=0.5)
        # Should a busy machine lose the link once more, a new snapshot has to be whole.
        await self._until(lambda: self._is_whole(runtime, opened) and _proven(runtime) > quiet, runtime)

    async def _until(self, condition: Callable[[], bool], runtime: Runtime) -> None:
        with trio.move_on_after(CONVERGE_SECONDS) as limit:
            while not condition():
                runtime.nudge.give()  # what is refused: 1008 twice in a row
                await trio.sleep(0.1)
        if limit.cancelled_caught:
            self.history.append(f"at the end: {runtime.status.state} {runtime.gaps.unhealed()}")

    def _is_whole(self, runtime: Runtime, opened: set[int]) -> bool:
        """Tell whether both producers stream on new sockets, with the state restored behind every gap."""
        sockets = [each for each in self.avaya.sockets if each.number not in opened and each.sent]
        streaming = {each.subscription.producer for each in sockets if each.subscription}
        healed = not [gap for gap in runtime.gaps.unhealed() if gap.session in PRODUCERS]
        return streaming == set(PRODUCERS) and runtime.status.state == "live" and healed

    def judge(self, records: Mapping[str, Sequence[Record]]) -> list[str]:
        """Say what is wrong with what was accepted."""
        mine = {
            topic.removeprefix("contact-center."): [
                record for record in found if record.key.startswith(f"{self.name}|".encode())
            ]
            for topic, found in records.items()
        }
        measures = judge.events(mine["avaya.measures"])
        letters = judge.events(mine.get("streamd.dead-letter", ()))
        moments = judge.events(mine["streamd.connectors"])
        holes = judge.gaps(mine["streamd.gaps"])
        truth, state = self.avaya.truth(), judge.latest(mine["avaya.measures.state"])
        state = {key: row for key, row in state.items() if not _is_odd(value for _, value in key[3])}
        lost = judge.undeclared([entry for entry in self.avaya.log if not entry.odd], measures, holes)
        wrong = sorted(key[2:] for key in truth.keys() | state.keys() if truth.get(key) != state.get(key))
        found = {
            "undeclared": [(entry.sent_at, entry.keys, judge.spans(holes)) for entry in lost],
            "wrong": wrong,
            "missing numbers": judge.missing_numbers(measures + moments + letters),
            "contradictions": judge.contradictions(measures + moments),
        }
        return [f"{what}: {each}" for what, each in found.items() if each]


def _proven(runtime: Runtime) -> datetime:
    """Give the instant before which all that was sent is in the spool."""
    alive = [runtime.spool.alive(runtime.origin, producer) for producer in PRODUCERS]
    return min(each or datetime.min.replace(tzinfo=UTC) for each in alive)


def _is_odd(values: Any) -> bool:
    return any(value.startswith("odd-") for value in values)


def _sync(call: Callable[..., Any], *args: Any, **named: Any) -> Callable[[], Awaitable[Any]]:
    async def run() -> None:
        call(*args, **named)

    return run


@asynccontextmanager
async def open_subjects(directory: Path, seeds: Sequence[int]) -> AsyncIterator[tuple[list[Subject], Store]]:
    """Yield the subjects of one round and the file of their spool."""
    authority = directory / "authority.pem"  # else each connector loads all of the system's
    trustme.CA().cert_pem.write_to_path(authority)
    async with trio.open_nursery() as world:
        avayas = [await world.start(_open_avaya, seed) for seed in seeds]
        names = [f"seed-{seed}" for seed in seeds]
        tables = [
            avaya.connector_table(name) + KEYS + f'ca_file = "{authority}"\n'
            for name, avaya in zip(names, avayas, strict=True)
        ]
        (directory / "streamd.toml").write_text(
            "[kafka]\nbootstrap_servers = ['127.0.0.1:1']\n" + "".join(tables)
        )
        config = load(directory / "streamd.toml").config
        store = Store(directory / DATABASE, 2**30, SystemClock().now())
        envelope = Envelope(store.epoch, "structured")
        spool = Spool(
            store,
            prefix="contact-center",
            envelope=envelope,
            partitions=lambda topic: 6,
            clock=SystemClock(),
        )
        world.start_soon(spool.write)
        yield (
            [
                Subject(name, seed, avaya, partial(_start, spool, config, name))
                for name, seed, avaya in zip(names, seeds, avayas, strict=True)
            ],
            store,
        )
        world.cancel_scope.cancel()
    store.close()


async def _open_avaya(seed: int, *, task_status: trio.TaskStatus[AvayaSimulator]) -> None:
    options = AvayaOptions(keys=12, rate=RATE, producers=PRODUCERS, seed=seed)
    async with open_avaya_simulator(options) as avaya:
        task_status.started(avaya)
        await trio.sleep_forever()


def _start(spool: Spool, config: Config, name: str, nursery: trio.Nursery) -> Runtime:
    connector = config.connectors[name]
    runtime = Runtime(
        name,
        all_types()[connector.type],
        connector,
        spool=spool,
        share=2**26,
        clock=SystemClock(),
        log=structlog.get_logger().bind(connector=name),
        counters=Metrics().for_connector(name, connector.type),
    )
    nursery.start_soon(runtime.run)
    return runtime


def accepted(store: Store) -> dict[str, list[Record]]:
    """Give topic -> what was accepted, in its order."""
    found: dict[str, list[Record]] = {}
    for size in store.lanes():
        for row in store.rows_after(size.topic, size.partition, 0, 2**62, 2**62):
            found.setdefault(size.topic, []).extend(row.records or ())
    return found


@pytest.mark.parametrize("number", range(ROUNDS))
async def test_after_random_faults_the_state_is_the_truth_and_nothing_is_missing_without_a_word(
    tmp_path: Path, number: int
) -> None:
    seeds = range(number * TOGETHER, (number + 1) * TOGETHER)
    async with open_subjects(tmp_path, seeds) as (subjects, store):
        async with trio.open_nursery() as stage:
            for subject in subjects:
                stage.start_soon(subject.run)
        records = accepted(store)
        problems = {subject.name: subject.judge(records) for subject in subjects}
    wrong = [
        f"{each.name}: {problems[each.name]}, {each.history}" for each in subjects if problems[each.name]
    ]
    assert not wrong, "\n".join(wrong)
