"""Push Omilia's records over keep-alive TLS from a process of its own, as cheaply as that can be done.

    python -m tests.bench.pusher PORT CA_FILE CONNECTIONS

The bodies are made once, of calls as the simulator has them: batches of 100 records of one data type. With
each push only the ids and times change. A line on stdin may set the `rate` in records a second (0: none, -1:
as fast as it goes), and is answered with what was `accepted` and `failed` so far, and with the milliseconds
from when each push since the last line was due until its answer (`answers`, tests/bench/watcher.py).
"""

from __future__ import annotations

import itertools
import json
import socket
import ssl
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
import trio

from streamd.simulators.clock import ScaledClock
from streamd.simulators.omilia import OmiliaOptions
from streamd.simulators.omilia.dialogs import Dialogs
from streamd.simulators.omilia.faults import read_faults
from tests.bench.watcher import quantiles

BATCH = 100
_CALLS = 400
_SHAPES = 4  # bodies of each data type
_HOST = "127.0.0.1"
# The data types in the proportion in which calls have them.
_MIX = (0, 1, 1, 2, 1, 0, 1, 1, 2, 1, 0, 1, 2)
_TYPES = ("dialog_start", "dialog_step", "dialog_end")
# A conversation has some 13 records: so many bodies in a row are of the same ones.
_TOGETHER = 4
# Placeholders of the length of what replaces them: the ends of ids and of conversations, and the time.
_SERIAL, _CALL, _TIME = "serial__", "call____", 7777777777777
_OPTIONS = OmiliaOptions()


class Body(NamedTuple):
    """A body with placeholders in it."""

    data_type: str
    content: bytes


class Pace:
    """When each push is due; all connections share it."""

    def __init__(self) -> None:
        self._rate = 0.0
        self._due = 0.0
        self._lock = threading.Condition()

    def set(self, rate: float) -> None:
        with self._lock:
            self._rate, self._due = rate, time.monotonic()
            self._lock.notify_all()

    def turn(self) -> float:
        """Wait until a push is due; give when that was."""
        with self._lock:
            while True:
                now = time.monotonic()
                if self._rate < 0:
                    return now
                if self._rate and self._due <= now:
                    due = self._due
                    self._due += BATCH / self._rate
                    return due
                self._lock.wait(self._due - now if self._rate else None)


class Pusher:
    """Pushes over some connections; one request at a time on each."""

    def __init__(self, port: int, ca_file: str) -> None:
        self.pace = Pace()
        self.accepted = self.failed = 0
        self.answers: list[float] = []
        self._port = port
        self._tls = ssl.create_default_context(cafile=ca_file)
        self._bodies = _bodies()
        self._serials = itertools.count(int(time.time()) % 2**16 << 16)
        self._token = self._ask_token()
        self._lock = threading.Lock()

    def run(self) -> None:
        """Push on one connection for ever."""
        connection = self._connect()
        while True:
            due = self.pace.turn()
            serial = next(self._serials)
            calls = serial // _TOGETHER
            data_type, content = self._bodies[_MIX[serial % len(_MIX)]][calls % _SHAPES]
            content = content.replace(_SERIAL.encode(), b"%08x" % serial)
            content = content.replace(_CALL.encode(), b"%08x" % calls)
            content = content.replace(b"%d" % _TIME, b"%d" % (time.time() * 1000))
            head = f"Authorization: Bearer {self._token}\r\nContent-Type: application/json\r\n"
            status, _ = self._post(connection, data_type, head, content)
            with self._lock:
                self.answers.append((time.monotonic() - due) * 1000)
                if status == 200:
                    self.accepted += BATCH
                else:
                    self.failed += BATCH

    def _ask_token(self) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": _OPTIONS.auth_id,
            "client_secret": _OPTIONS.auth_secret,
        }
        head = "Content-Type: application/x-www-form-urlencoded\r\n"
        status, answer = self._post(self._connect(), "oauth/token", head, urlencode(form).encode())
        if status != 200:
            raise RuntimeError(f"no token: {status}")
        token: str = json.loads(answer)["access_token"]
        return token

    def _connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection((_HOST, self._port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._tls.wrap_socket(plain, server_hostname=_HOST)

    def _post(self, connection: ssl.SSLSocket, path: str, head: str, content: bytes) -> tuple[int, bytes]:
        """Send one request; give the answer's status and body."""
        start = f"POST /omilia/{_OPTIONS.group}/{path} HTTP/1.1\r\nHost: {_HOST}:{self._port}\r\n"
        connection.sendall(f"{start}{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        answer = b""
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self._receive(connection)
        length = int(answer[:end].lower().partition(b"content-length:")[2].split()[0])
        while len(answer) < end + 4 + length:
            answer += self._receive(connection)
        return int(answer.split(b" ", 2)[1]), answer[end + 4 :]

    def _receive(self, connection: ssl.SSLSocket) -> bytes:
        data = connection.recv(65_536)
        if not data:
            raise ConnectionError("the daemon has hung up")
        return data


def _bodies() -> list[list[Body]]:
    """Make the bodies of each data type."""
    records = trio.run(_records)
    return [[_body(kind, records[kind], shape * BATCH) for shape in range(_SHAPES)] for kind in _TYPES]


async def _records() -> Mapping[str, list[dict[str, Any]]]:
    """Let calls happen; in a loop only because the simulator's clock is trio's."""
    dialogs = Dialogs(_OPTIONS.group, ScaledClock(1.0, 0.0), read_faults(), _OPTIONS.seed)
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in _TYPES}
    for _ in range(_CALLS):
        for message in dialogs.call():
            found[message["message_type"]].append(dict(message))
    return found


def _body(kind: str, records: list[dict[str, Any]], first: int) -> Body:
    for number, record in enumerate(batch := records[first : first + BATCH]):
        record["time"] = _TIME
        # Steps of one dialog are told apart by their times, which are one here.
        record["id"] = f"{record['id'][: -len(_SERIAL) - 2]}{number:02}{_SERIAL}"
        record["group"] = record["group"][: -len(_CALL)] + _CALL
    assert len(batch) == BATCH
    envelope = {"schemaName": kind, "sessionId": _SERIAL, "sessionStartingSequenceNumber": "0"}
    return Body(kind, msgspec.json.encode({**envelope, "messages": batch}))


def main() -> None:
    port, ca_file, connections = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    pusher = Pusher(port, ca_file)
    for _ in range(connections):
        threading.Thread(target=pusher.run, daemon=True).start()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "rate" in asked:
            pusher.pace.set(asked["rate"])
        answers, pusher.answers = pusher.answers, []
        counted = {"accepted": pusher.accepted, "failed": pusher.failed}
        print(json.dumps({**counted, "answers": quantiles(answers)}), flush=True)


if __name__ == "__main__":
    main()
