"""The fixtures that all tests share: a Kafka, real or embedded, and a reader that judges what is on it.

- `kafka`: one for the whole run, for tests that hold on any; `.real` tells which it is. Leave it running.
- `real_kafka`: the same, but the test does not run where it would be the embedded one.
- `own_real_kafka`: an Apache Kafka of one broker for this test alone, to stop, kill, pause and restart.
- `open_real_kafka(brokers=3, properties={…}, users={…})`: such clusters with more to them.
- `embedded_kafka`: an embedded cluster of three brokers for this test alone, to make fail.
- `consume_all(bootstrap_servers, topics)`: what is on the topics, read with another client than ours.
- `rig`: what opens spools on a directory of its own, and closes the last one at the end.
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist import is_xdist_worker

from streamd.simulators.kafka import EmbeddedKafka, open_embedded_kafka
from tests.kafka import reader
from tests.kafka.choice import NEEDS_REAL, REQUIRED, Choice, choose
from tests.kafka.cluster import KafkaCluster, open_kafka_cluster
from tests.kafka.distribution import Distribution, Unavailable
from tests.kafka.embedded import EmbeddedCluster
from tests.spool.rig import Rig

CHOICE = pytest.StashKey[Choice]()
KAFKA_USED = "streamd_kafka_used"
NOT_REAL = 4  # exit code: a real Kafka is required and was not used


def pytest_configure(config: pytest.Config) -> None:
    config.stash[CHOICE] = choose()
    # A shell's background job ignores SIGINT, and so would every daemon that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # How long an example takes is no promise of ours, and a machine may stand still for a while.
    settings.register_profile(
        "streamd", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("streamd")


def pytest_report_header(config: pytest.Config) -> str:
    return f"kafka: {config.stash[CHOICE].describe()}"


def pytest_sessionstart(session: pytest.Session) -> None:
    choice = session.config.stash[CHOICE]
    if choice.required and not choice.real:
        pytest.exit(f"{REQUIRED}=1, but there is no real Kafka: {choice.missing}", returncode=NOT_REAL)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    choice = session.config.stash[CHOICE]
    if is_xdist_worker(session):
        session.config.workeroutput[KAFKA_USED] = choice.was_used  # type: ignore[attr-defined]
    elif choice.required and not choice.was_used and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = NOT_REAL


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Learn from a worker of pytest-xdist that has ended, or crashed, whether it used a real Kafka."""
    node.config.stash[CHOICE].was_used |= getattr(node, "workeroutput", {}).get(KAFKA_USED, False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    choice = config.stash[CHOICE]
    skipped = terminalreporter.stats.get("skipped", [])
    without = [report.nodeid for report in skipped if NEEDS_REAL in str(report.longrepr)]
    if without:
        terminalreporter.section(f"not run, {NEEDS_REAL}: {len(without)} tests, because: {choice.missing}")
        terminalreporter.write_line("\n".join(without))
    if choice.required and not choice.was_used:
        terminalreporter.section(f"{REQUIRED}=1, but no test used a real Kafka", red=True)


@pytest.fixture(scope="session")
def kafka_choice(request: pytest.FixtureRequest) -> Choice:
    return request.config.stash[CHOICE]


@pytest.fixture(scope="session")
def installed_kafka(kafka_choice: Choice) -> Distribution | None:
    """Return the Apache Kafka of this machine, fetched the first time; None where `missing` says why."""
    try:
        return kafka_choice.installed()
    except Unavailable as reason:
        if kafka_choice.required:
            pytest.exit(f"{REQUIRED}=1, but there is no real Kafka: {reason}", returncode=NOT_REAL)
        return None


@pytest.fixture(scope="session")
def kafka(
    request: pytest.FixtureRequest, kafka_choice: Choice, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KafkaCluster | EmbeddedCluster]:
    """Yield the Kafka of this run."""
    if kafka_choice.named:
        kafka_choice.was_used = True
        yield KafkaCluster(kafka_choice.named)
        return
    installed: Distribution | None = request.getfixturevalue("installed_kafka")
    if installed is None:
        with open_embedded_kafka() as embedded:
            yield EmbeddedCluster(embedded)
    else:
        kafka_choice.was_used = True
        with open_kafka_cluster(installed, tmp_path_factory.mktemp("kafka") / "shared") as cluster:
            yield cluster


@pytest.fixture
def real_kafka(kafka: KafkaCluster | EmbeddedCluster, kafka_choice: Choice) -> KafkaCluster:
    """Return the Kafka of this run, where it is a real one."""
    if isinstance(kafka, EmbeddedCluster):
        pytest.skip(f"{NEEDS_REAL}: {kafka_choice.missing}")
    return kafka


@pytest.fixture
def open_real_kafka(
    installed_kafka: Distribution | None, kafka_choice: Choice, tmp_path: Path
) -> Iterator[Callable[..., KafkaCluster]]:
    """Yield a function that starts a cluster for this test; its arguments are open_kafka_cluster's."""
    if installed_kafka is None:
        pytest.skip(f"{NEEDS_REAL}: {kafka_choice.missing}")
    kafka_choice.was_used = True
    numbers = itertools.count(1)
    with ExitStack() as stack:

        def open_one(**how: Any) -> KafkaCluster:
            directory = tmp_path / f"kafka-{next(numbers)}"
            return stack.enter_context(open_kafka_cluster(installed_kafka, directory, **how))

        yield open_one


@pytest.fixture
def own_real_kafka(open_real_kafka: Callable[..., KafkaCluster]) -> KafkaCluster:
    """Return an Apache Kafka of one broker for this test alone."""
    return open_real_kafka()


@pytest.fixture
def embedded_kafka() -> Iterator[EmbeddedKafka]:
    """Yield an embedded cluster of three brokers for this test alone."""
    with open_embedded_kafka(brokers=3) as embedded:
        yield embedded


@pytest.fixture
def consume_all() -> Callable[..., dict[str, list[reader.Record]]]:
    """Return the judge: `consume_all(bootstrap_servers, topics)`, records per topic up to the present end."""
    return reader.consume_all


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.close()
