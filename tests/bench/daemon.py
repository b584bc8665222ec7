"""A daemon under test, with the sender that feeds it and what can be seen of both from outside."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import trio
import trustme

from tests.bench.kafka import LOG_APPEND, PARTITIONS, Topics
from tests.bench.processes import Child, Used, is_running, resident_mib, used
from tests.daemon import DaemonProcess
from tests.kafka.cluster import KafkaCluster

STATEFUL = "Agent_itd_1.0.0"
STATELESS = "Agent_cdr_1.0.0"  # of CDR producers no state is published: one record for each message
_CONFIG = """\
[kafka]
bootstrap_servers = {servers!r}
topic_prefix = "{prefix}"
partitions = {partitions}
[kafka.topics."{topic}"]
config = {append_time}
[spool]
directory = "{state}"
[admin]
listen = "127.0.0.1:0"
{tables}"""
_AVAYA = """\
[connectors.bench]
type = "avaya"
base_url = "http://127.0.0.1:{port}"
account_id = "ABCDEF"
client_id = "bench"
client_secret = {{ env = "BENCH_SECRET" }}
appkey = {{ env = "BENCH_SECRET" }}
measure_producers = ["{producer}"]
websocket_engine = "{engine}"
snapshot_quiet_seconds = 1
snapshot_settle_seconds = 0.5
"""
_O2G = """\
[connectors.bench-{number}]
type = "o2g"
urls = ["{url}"]
login = "bench"
password = {{ env = "BENCH_SECRET" }}
{tls}
selectors = [{{ packages = ["telephony"], ids = "all" }}]
"""


class Counts:
    """What had happened at one moment: sent by the peer, stored by Kafka, used by the daemon."""

    def __init__(self, sent: int, events: int, states: int, used: Used, at: float) -> None:
        self.sent, self.events, self.states, self.used, self.at = sent, events, states, used, at


class Bench:
    """One daemon fed by one sender. `events`, `states`: its topics, without the prefix."""

    def __init__(
        self, daemon: DaemonProcess, sender: Child, topics: Topics, events: str, states: str
    ) -> None:
        self.daemon, self.sender = daemon, sender
        self.events_topic = f"{daemon.prefix}.{events}"
        self._states_topic = f"{daemon.prefix}.{states}"
        self._topics = topics
        self._events_before = 0

    @property
    def pid(self) -> int:
        return self.daemon.pid

    def send(self, rate: float) -> None:
        """Send this many messages a second from now on."""
        self.sender.ask(rate=rate)

    def counts(self) -> Counts:
        """Look at all of it; of events only those after the snapshot."""
        events = self._topics.records(self.events_topic) - self._events_before
        states = self._topics.records(self._states_topic)
        return Counts(self.sender.ask()["sent"], events, states, used(self.pid), time.monotonic())

    def resident_mib(self) -> float:
        return resident_mib(self.pid)

    def dropped(self) -> int:
        """Give the messages that the daemon has dropped, inside declared gaps."""
        text = httpx.get(f"http://{self._admin_address()}/metrics", timeout=10).raise_for_status().text
        lines = (line for line in text.splitlines() if line.startswith("streamd_dropped_events_total{"))
        return sum(int(float(line.rpartition(" ")[2])) for line in lines)

    def is_live(self) -> bool:
        """Tell whether all connectors say that they are live."""
        answer = httpx.get(f"http://{self._admin_address()}/status", timeout=10).raise_for_status()
        connectors: dict[str, Any] = answer.json()["connectors"]
        return all(each["state"] == "live" for each in connectors.values())

    def _admin_address(self) -> str:
        """Give host:port, from the log; ConnectError while it does not listen."""
        found = re.search(r'"addresses":\["([^"]+)"', self.daemon.log.read_text())
        if found is None:
            raise httpx.ConnectError("the admin endpoint does not listen yet")
        return found[1]

    def wait_until_live(self, snapshot: int) -> None:
        """Return when the snapshot of so many is on Kafka and all is live; only what follows is counted."""
        self._wait("the connectors are live", self.is_live)
        self.drain(snapshot)
        self._events_before = self._topics.records(self.events_topic)

    def drain(self, sent: int | None = None, seconds: float = 60) -> float:
        """Stop the sender and return when all that it sent is on Kafka, or dropped; give the seconds."""
        begun = time.monotonic()
        self.send(0)
        expected = self.sender.ask()["sent"] if sent is None else sent

        def done() -> bool:
            there = self._topics.records(self.events_topic) - self._events_before
            return there + self.dropped() >= expected

        self._wait("all is on Kafka", done, seconds)
        return time.monotonic() - begun

    def _wait(self, what: str, done: Any, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        reason: object = "not yet"
        while time.monotonic() < deadline:
            if not is_running(self.pid):
                raise RuntimeError(f"streamd has ended\n{self.daemon.tail()}")
            try:
                if done():
                    return
            except (httpx.HTTPError, OSError) as error:
                reason = error
            time.sleep(0.1)
        raise TimeoutError(f"not within {seconds} s that {what}: {reason}\n{self.daemon.tail()}")


@contextmanager
def open_daemon(
    cluster: KafkaCluster,
    engine: str,
    producer: str = STATEFUL,
    keys: int = 5000,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Bench]:
    """Start a sender and a daemon on new topics and a new spool; live, and silent, when this yields."""
    with Child("sender", producer, keys) as sender:
        tables = _AVAYA.format(port=sender.hello["port"], producer=producer, engine=engine)
        topics = ("avaya.measures", "avaya.measures.state")
        with _open(cluster, sender, tables, *topics, snapshot=keys, environment=environment) as bench:
            yield bench


@contextmanager
def open_o2g(
    cluster: KafkaCluster,
    connectors: int,
    users: int,
    environment: Mapping[str, str] | None = None,
    *,
    secured: bool = False,
) -> Iterator[Bench]:
    """Start the same with so many O2G connectors, each with so many users; `secured`: over TLS."""
    with tempfile.TemporaryDirectory(prefix="streamd-bench-") as directory, ExitStack() as stack:
        arguments, tls = [str(users)], ""
        if secured:
            authority, server = Path(directory, "ca.pem"), Path(directory, "server.pem")
            issuer = trustme.CA()
            issuer.cert_pem.write_to_path(authority)
            issuer.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(server)
            arguments.append(str(server))
            tls = f'ca_file = "{authority}"'
        sender = stack.enter_context(Child("sender_o2g", *arguments))
        url = f"http{'s' if secured else ''}://127.0.0.1:{sender.hello['port']}"
        tables = "".join(_O2G.format(number=number, url=url, tls=tls) for number in range(connectors))
        topics = ("o2g.telephony", "o2g.calls.state")
        snapshot = connectors * users
        with _open(cluster, sender, tables, *topics, snapshot=snapshot, environment=environment) as bench:
            yield bench


@contextmanager
def _open(
    cluster: KafkaCluster,
    sender: Child,
    tables: str,
    events: str,
    states: str,
    *,
    snapshot: int,
    environment: Mapping[str, str] | None,
) -> Iterator[Bench]:
    append_time = ", ".join(f'"{name}" = "{value}"' for name, value in LOG_APPEND.items())
    with tempfile.TemporaryDirectory(prefix="streamd-bench-") as directory:
        daemon = DaemonProcess(Path(directory), "", cluster.bootstrap_servers, cluster.unique_prefix())
        daemon.kafka = _CONFIG.format(
            servers=cluster.bootstrap_servers,
            prefix=daemon.prefix,
            partitions=PARTITIONS,
            topic=events,
            append_time=f"{{ {append_time} }}",
            state=daemon.state,
            tables=tables,
        )
        daemon.configure("")
        daemon.start(BENCH_SECRET="simulated", **(environment or {}))
        try:
            bench = Bench(daemon, sender, Topics(cluster), events, states)
            bench.wait_until_live(snapshot)
            yield bench
            trio.run(daemon.stop)
        finally:
            daemon.close()
