"""One process of Apache Kafka that a test may stop, kill, freeze and start again, with its ports and data."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.kafka.distribution import Distribution, lay_out_storage, write_properties

# Kills the brokers of a test run that was itself killed: reads "+pid" and "-pid", acts when its stdin ends.
REAPER = """
import os, signal, sys
pids = set()
for line in sys.stdin:
    (pids.add if line[0] == "+" else pids.discard)(int(line[1:]))
for pid in pids:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


class Reaper:
    """The one guard process of this test run, started with the first broker."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def tell(self, line: str) -> None:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", REAPER], stdin=subprocess.PIPE, text=True, start_new_session=True
            )
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


_reaper = Reaper()


class Broker:
    """A broker of a cluster: `port` of its plain listener, `directory` with data, configuration and log.

    All calls block (in a trio test: `await trio.to_thread.run_sync(broker.restart)`), kill, pause and resume
    only for some milliseconds.
    """

    def __init__(
        self, kafka: Distribution, directory: Path, port: int, properties: Mapping[str, object]
    ) -> None:
        self.node_id = int(str(properties["node.id"]))
        self.port = port
        self.directory = directory
        self._kafka = kafka
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True)
        lay_out_storage(kafka, self.node_id, directory / "data")
        write_properties(directory / "server.properties", {**properties, "log.dirs": directory / "data"})

    def start(self, *, wait: bool = True) -> None:
        """Start the process and, with `wait`, return when it answers; RuntimeError when it ends instead."""
        assert not self.running, f"broker {self.node_id} runs already"
        command = self._kafka.command("kafka.Kafka", str(self.directory / "server.properties"))
        with open(self.directory / "server.log", "ab") as log:
            # A session of its own: Ctrl-C on the terminal is for pytest, which then stops the broker.
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        _reaper.tell(f"+{self._process.pid}")
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Return when it answers and counts itself in; RuntimeError when it ends or `seconds` pass."""
        settings = {
            "bootstrap.servers": f"127.0.0.1:{self.port}",
            "log_level": 0,
            "reconnect.backoff.max.ms": 100,
        }
        client = AdminClient({**settings, "reconnect.backoff.ms": 50, "client.id": "is-ready"})
        deadline = time.monotonic() + seconds
        while not self._answers(client):
            if not self.running:
                raise RuntimeError(f"broker {self.node_id} ended while starting: {self.log()[-3000:]}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"broker {self.node_id} not ready in {seconds} s: {self.log()[-3000:]}")

    def _answers(self, client: AdminClient) -> bool:
        try:
            return self.node_id in client.list_topics(timeout=0.5).brokers
        except KafkaException:
            return False

    def stop(self, seconds: float = 30) -> None:
        """Stop cleanly (SIGTERM) and return when it has ended; killed after `seconds`."""
        self.terminate()
        if self._process is not None:
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._buried()

    def terminate(self) -> None:
        """Ask it to stop (SIGTERM) without waiting."""
        if self._process is not None and self.running:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()

    def kill(self) -> None:
        """End it at once, as a crash does (SIGKILL); works on a paused broker, too."""
        if self._process is not None and self.running:
            self._process.kill()
        self._buried()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): its connections stay open and nothing is answered."""
        self._process_now().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process_now().send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop cleanly, where it runs, and start again on the same ports and data."""
        self.stop()
        self.start()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process_now().pid

    def log(self) -> str:
        return (self.directory / "server.log").read_text(errors="replace")

    def _process_now(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"broker {self.node_id} was never started"
        return self._process

    def _buried(self) -> None:
        if self._process is not None:
            self._process.wait()
            _reaper.tell(f"-{self._process.pid}")
