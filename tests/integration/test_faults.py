"""Every fault of the Avaya simulator, in one daemon: each ends in recovery or in its documented refusal.

A third of the faults plays at the same time, each against a connector and a simulator of its own; that none
of them touches another's data is judged on the way. tests/connectors/avaya/test_trouble.py looks into how.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trustme

from streamd.simulators.avaya import FAULTS, AvayaOptions, AvayaSimulator, open_avaya_simulator
from tests import judge
from tests.daemon import DaemonProcess
from tests.integration.conftest import Site
from tests.integration.fault_cases import CASES, QUICK, Case, intrude
from tests.kafka.reader import Record, consume_all

RATE = 12.0
SECONDS = 60.0
GROUPS = 3  # all together are more than two processors can play and keep the deadlines
Topics = Mapping[str, Sequence[Record]]


class Watch:
    """Looks at the daemon's status for all plays together."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self._daemon = daemon
        self._connectors: dict[str, Any] = {}
        self._looked = trio.Event()

    async def run(self) -> None:
        while True:
            try:
                self._connectors = (await self._daemon.status())["connectors"]
            except httpx.TransportError:  # it is only starting
                self._connectors = {}
            looked, self._looked = self._looked, trio.Event()
            looked.set()
            await trio.sleep(0.1)

    async def until(self, name: str, state: str, since: float = 0.0) -> str:
        """Wait for a state that began after `since`; give the reason that goes with it."""
        with trio.move_on_after(SECONDS):
            await self._looked.wait()  # what was seen before the question is no answer
            while True:
                await self._looked.wait()
                found = self._connectors.get(name)
                if found and found["state"] == state and _began(found) > since:
                    return found["reason"] or ""
        raise AssertionError(f"not {state} since {since}, but {self._connectors.get(name)}")

    async def complete(self, name: str, instant: float) -> None:
        """Wait until all that was sent before an instant is on Kafka."""
        with trio.move_on_after(SECONDS):
            while judge.instant(self._connectors.get(name, {}).get("complete_through")) <= instant:
                await self._looked.wait()
            return
        raise AssertionError(f"not complete through {instant}, but {self._connectors.get(name)}")


class Play:
    """One fault, played from the start of the daemon; `problems` are what was not as the case wants it."""

    def __init__(self, fault: str, case: Case, avaya: AvayaSimulator, authority: str) -> None:
        self.fault = fault
        self.case = case
        self.avaya = avaya
        self.problems: list[str] = []
        self._authority = authority
        self.cleared = trio.Event()
        self._cleared_at = float("inf")
        self._strangers: set[int] = set()

    def table(self, *, cured: bool = False) -> str:
        """Give the connector's TOML table; `cured`: as the operator corrects it."""
        keys = {"measure_producers": list(self.case.producers), **QUICK, **self.case.keys}
        keys |= {"ca_file": self._authority, **(self.case.cure if cured else {})}
        [*head, _producers] = self.avaya.connector_table(self.fault).splitlines()
        return "\n".join([*head, *(f"{name} = {_toml(value)}" for name, value in keys.items()), "\n"])

    async def run(self, watch: Watch, ask: Callable[[Play], Any]) -> None:
        try:
            await self._go(watch, ask)
        except AssertionError as error:
            self.problems.append(str(error))
        finally:
            self.cleared.set()
            self.avaya.set_faults()
            self.avaya.set_rate(0)

    async def _go(self, watch: Watch, ask: Callable[[Play], Any]) -> None:
        case, name = self.case, self.fault
        if case.ending in ("kept", "passes"):
            await watch.until(name, "live")
            if case.act is not None:
                with trio.move_on_after(SECONDS):
                    while not self.avaya.sockets:  # a busy machine may just have lost and reopened it
                        await trio.sleep(0.02)
                last, now = max((each.number for each in self.avaya.sockets), default=0), time.time()
                await case.act(self.avaya)
                self._strangers = {last + 1} if case.act is intrude else set()
                if case.ending == "passes":
                    await self._reconnected(max(self._strangers, default=last))
                    await watch.until(name, "live", now)
            await trio.sleep(case.hold)
        else:
            reason = await watch.until(name, "refused" if case.ending == "refused" else "lost")
            if case.word not in reason:
                self.problems.append(f"the reason is {reason!r}, not {case.word!r}")
        self._cleared_at = time.time()
        self.avaya.set_faults()
        self.cleared.set()
        if case.by:
            await ask(self)
        await watch.until(name, "live")
        await trio.sleep(0.5)
        if case.fresh:
            await self._reconnect()
            await watch.until(name, "live")
        await trio.sleep(QUICK["snapshot_proof_seconds"] + 0.5)  # stale rows are retired behind the proof
        self.avaya.set_rate(0)
        now = time.time()
        self.avaya.add_keys(1)  # a line on which nothing comes is proven only every ten seconds
        await watch.complete(name, now)

    async def _reconnected(self, last: int) -> None:
        """Wait for a socket behind `last`: it may also be live again without having lost the old one yet."""
        with trio.move_on_after(SECONDS):
            while not any(session.number > last for session in self.avaya.sockets):
                await trio.sleep(0.05)

    async def _reconnect(self) -> None:
        """End the sockets there are and wait for the snapshot of a new one."""
        before = {session.number for session in self.avaya.sockets}
        await self.avaya.drop_sockets()
        with trio.move_on_after(SECONDS):
            while not [each for each in self.avaya.sockets if each.number not in before and each.sent]:
                await trio.sleep(0.05)

    def judge(self, topics: Topics) -> None:
        """Compare what is on Kafka with what was sent and with the truth."""
        mine = {topic: _of(self.fault, records) for topic, records in topics.items()}
        measures, letters = judge.events(mine["avaya.measures"]), judge.events(mine["streamd.dead-letter"])
        moments = judge.events(mine["streamd.connectors"])
        holes = judge.gaps(mine["streamd.gaps"])
        stale = [hole["cause"] for hole in holes if hole["state"] == "stale" and self._is_asked_for(hole)]
        sent = [entry for entry in self.avaya.log if entry.socket not in self._strangers]
        lost = judge.undeclared([entry for entry in sent if not entry.odd], measures, holes)
        odd = judge.undeclared([entry for entry in sent if entry.odd], (), holes)
        kept = [event for event in measures if _is_odd(event["data"]["keys"].values())] + letters
        self._expect("undeclared", [(entry.sent_at, entry.keys) for entry in lost], [], judge.spans(holes))
        self._expect("odd ones neither published nor dead-lettered", max(0, len(odd) - len(kept)), 0)
        self._expect("holes in the sequence", judge.missing_numbers(measures + moments + letters), {})
        self._expect("contradictions", judge.contradictions(measures + moments), [])
        self._expect("gaps whose state is not restored", stale, ["stopped"] * len(self.case.producers))
        self._judge_state(mine["avaya.measures.state"])
        self._judge_link([event for event in moments if judge.instant(event["time"]) < self._cleared_at])

    def _is_asked_for(self, hole: Mapping[str, Any]) -> bool:
        """Tell whether the gap is of a producer that is still asked for: the others' stay open."""
        return hole["scope"][0] in self.case.producers

    def _judge_state(self, records: Sequence[Record]) -> None:
        truth = self.avaya.truth()
        state = judge.latest(records)
        state = {key: row for key, row in state.items() if not _is_odd(value for _, value in key[3])}
        wrong = [key for key in truth.keys() | state.keys() if truth.get(key) != state.get(key)]
        self._expect(f"wrong of {len(truth)} rows", wrong, [])

    def _judge_link(self, moments: Sequence[Mapping[str, Any]]) -> None:
        """Judge what the fault did to the link, by what was told before it was taken away."""
        told = {kind: _reasons(moments, kind) for kind in ("lost", "refused")}
        self._expect("lost", bool(told["lost"]), self.case.ending in ("passes", "lasts"), told["lost"])
        self._expect("refused", bool(told["refused"]), self.case.ending == "refused", told["refused"])

    def _expect(self, what: str, found: Any, wanted: Any, why: Any = "") -> None:
        if found != wanted:
            self.problems.append(f"{what}: {str(found)[:1000]} {why}".rstrip())


def _is_odd(values: Iterable[str]) -> bool:
    return any(value.startswith("odd-") for value in values)


def _began(connector: Mapping[str, Any]) -> float:
    return max((judge.instant(each["since"]) for each in connector["sessions"].values()), default=0.0)


def _of(connector: str, records: Sequence[Record]) -> list[Record]:
    return [record for record in records if (record.key or b"").startswith(f"{connector}|".encode())]


def _reasons(moments: Sequence[Mapping[str, Any]], kind: str) -> list[str]:
    return [event["data"].get("reason", "") for event in moments if event["type"].endswith(f".{kind}")]


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


class Operator:
    """Restarts connectors, and sends SIGHUP once for all that wait for it, with the corrected tables."""

    def __init__(self, daemon: DaemonProcess, plays: Sequence[Play]) -> None:
        self._daemon = daemon
        self._plays = plays
        self._hung_up = trio.Event()

    async def ask(self, play: Play) -> None:
        if play.case.by == "restart":
            await self._daemon.restart(play.fault)
        else:
            await self._hung_up.wait()

    async def run(self) -> None:
        waiting = [play for play in self._plays if play.case.by == "hang-up"]
        for play in waiting:
            await play.cleared.wait()
        if waiting:
            self._hang_up()

    def _hang_up(self) -> None:
        self._daemon.configure("".join(play.table(cured=True) for play in self._plays))
        self._daemon.hang_up()
        self._hung_up.set()


async def _play(site: Site, directory: Path, cases: Mapping[str, Case]) -> Mapping[str, Play]:
    authority = directory / "authority.pem"  # else each connector loads all of the system's
    trustme.CA().cert_pem.write_to_path(authority)
    async with trio.open_nursery() as nursery:
        plays = [await nursery.start(_open, fault, case, str(authority)) for fault, case in cases.items()]
        daemon = site.daemon("".join(play.table() for play in plays))
        watch, operator = Watch(daemon), Operator(daemon, plays)
        daemon.start()
        nursery.start_soon(watch.run)
        nursery.start_soon(operator.run)
        async with trio.open_nursery() as stage:
            for play in plays:
                stage.start_soon(play.run, watch, operator.ask)
        await daemon.drained()
        code = await daemon.stop()
        assert code == 0, daemon.tail()
        topics = await trio.to_thread.run_sync(site.read)
        for play in plays:
            play.judge(topics)
        nursery.cancel_scope.cancel()
    return {play.fault: play for play in plays}


async def _open(fault: str, case: Case, authority: str, *, task_status: trio.TaskStatus[Play]) -> None:
    options = AvayaOptions(keys=10, rate=RATE, producers=case.producers, faults=frozenset(case.faults))
    async with open_avaya_simulator(options) as avaya:
        task_status.started(Play(fault, case, avaya, authority))
        await trio.sleep_forever()


@pytest.fixture(scope="module")
def plays(kafka: Any, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Play]:
    plays: dict[str, Play] = {}
    for group in range(GROUPS):
        directory = tmp_path_factory.mktemp("faults")
        site = Site(kafka, directory, consume_all)
        try:
            plays |= trio.run(_play, site, directory, dict(list(CASES.items())[group::GROUPS]))
        finally:
            site.close()
    return plays


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_every_fault_ends_in_recovery_or_in_its_documented_refusal(
    plays: Mapping[str, Play], fault: str
) -> None:
    assert fault in plays, "a fault without an expectation: tests/integration/fault_cases.py"
    assert any(written.split("=")[0].split(":")[0] == fault for written in CASES[fault].faults)
    assert plays[fault].problems == []


def test_no_expectation_is_left_of_a_fault_that_is_gone() -> None:
    assert CASES.keys() <= FAULTS.keys()
