"""The O2G side as a process of its own: REST, as little as will do, and event channels at any rate.

    python -m tests.bench.sender_o2g USERS [CERTIFICATE_FILE]

Answers as `tests.bench.sender` does; with a certificate (PEM, its key in it) over TLS. Every login gets USERS
users of its own; lines go to all channels in turn, each in a chunk of its own, as a server that flushes each
event sends them (vendors/o2g.md, 1.7).
"""

from __future__ import annotations

import itertools
import json
import select
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.bench.messages import STAMP_DIGITS

_TICK_SECONDS = 0.001
_MOST_AT_ONCE = 500
_REF, _NO_STAMP = "f" * 16, "0" * STAMP_DIGITS
_PARTY = {
    "participantId": "1001",
    "identity": {
        "id": {"loginName": "oxe1001", "phoneNumber": "1001"},
        "firstName": "A",
        "lastName": "B",
        "type": {"main": "USER"},
    },
    "medias": [],
    "mediaCapabilities": [{"type": "AUDIO"}],
}
_NOTHING: dict[str, list[Any]] = {
    "addedLegs": [],
    "removedLegs": [],
    "modifiedParticipants": [],
    "addedParticipants": [],
    "removedParticipantIds": [],
    "deviceCapabilities": [],
}


def _call(state: str, **capabilities: bool) -> dict[str, Any]:
    return {
        "initialCalled": {
            "id": {"loginName": "oxe1002", "phoneNumber": "1002"},
            "firstName": "C",
            "lastName": "D",
        },
        "state": state,
        "tags": [],
        "capabilities": {"addMedias": [], **capabilities, "terminate": True},
        "associatedData": _NO_STAMP,
    }


def _leg(state: str, **capabilities: bool) -> dict[str, Any]:
    return {"deviceId": "1002", "media": "AUDIO", "state": state, "capabilities": capabilities}


# A basic call as the called user sees it, with a hold (vendors/o2g.md, 2.2).
_SCRIPT: tuple[dict[str, Any], ...] = (
    {
        "eventName": "OnCallCreated",
        "callData": _call("RINGING_INCOMING", redirect=True, pickedUp=True),
        "legs": [_leg("RINGING_INCOMING", answer=True)],
        "participants": [_PARTY],
        "deviceCapabilities": [
            {"deviceId": "1002", "makeCall": True, "makeBusinessCall": True, "unParkCall": True}
        ],
    },
    *(
        {
            "eventName": "OnCallModified",
            "callData": _call(state, transfer=True, blindTransfer=True, dropMe=True),
            "modifiedLegs": [_leg(state, drop=True, hold=state == "ACTIVE", retrieve=state == "HELD")],
            **_NOTHING,
        }
        for state in ("ACTIVE", "HELD", "ACTIVE")
    ),
    {
        "eventName": "OnCallModified",
        "cause": "PARTICIPANT_LEFT",
        "callData": _call("RELEASING"),
        "modifiedLegs": [_leg("RELEASING")],
        **_NOTHING,
        "removedParticipantIds": ["1001"],
    },
    {"eventName": "OnCallRemoved", "deviceCapabilities": []},
)


class Calls:
    """The calls of one user, one after the other; chunks are encoded once, the reference and time change."""

    def __init__(self, login: str) -> None:
        self._steps = itertools.cycle([_cut(_chunk({**step, "loginName": login})) for step in _SCRIPT])
        self._refs = itertools.count(1)
        self._ref = b""
        self._left = 0

    def next(self, stamp: bytes) -> bytes:
        """Give the next line of the user's channel, in its chunk."""
        if not self._left:
            self._ref, self._left = b"%016x" % next(self._refs), len(_SCRIPT)
        self._left -= 1
        head, middle, tail = next(self._steps)
        return b"".join((head, self._ref, middle, stamp, tail) if tail else (head, self._ref, middle))


class Channel:
    """One event channel."""

    def __init__(self, connection: socket.socket, logins: list[str]) -> None:
        self._connection = connection
        self._logins = logins
        self._users = itertools.cycle([Calls(login) for login in logins])
        self._sending = threading.Lock()

    def say(self, chunks: bytes) -> None:
        """Send whole chunks; several threads may."""
        with self._sending:
            self._connection.sendall(chunks)

    def snapshot(self) -> bytes:
        """Give the state of all users: nobody has a call."""
        state = {"calls": [], "deviceCapabilities": [], "userState": "FREE", "deviceStates": []}
        lines = (
            {"eventName": "OnTelephonyState", "loginName": login, "state": state} for login in self._logins
        )
        return b"".join(map(_chunk, lines))

    def lines(self, count: int, stamp: bytes) -> bytes:
        """Give the next lines."""
        return b"".join(calls.next(stamp) for calls in itertools.islice(self._users, count))


class Feed:
    """What is sent to all channels together, and how fast."""

    def __init__(self, users: int) -> None:
        self.users = users
        self.channels: dict[str, Channel] = {}
        self.ready: list[Channel] = []
        self.sent = 0
        self.behind = 0
        self._rate = 0.0
        self._changed = threading.Condition()

    def set_rate(self, rate: float) -> None:
        """Send this many lines a second from now on, over all channels."""
        with self._changed:
            self._rate = rate
            self._changed.notify_all()

    def state(self) -> dict[str, float]:
        """Give what was sent until now. `behind`: due and not sent yet; `bytes`: of a line, on average."""
        lines = [len(b"".join(_cut(_chunk({**step, "loginName": "oxe0010001"})))) for step in _SCRIPT]
        size = sum(lines) / len(lines)
        return {"sent": self.sent, "behind": self.behind, "channels": len(self.ready), "bytes": size}

    def run(self) -> None:
        """Feed for ever."""
        while True:
            with self._changed:
                while self._rate == 0:
                    self.behind = 0
                    self._changed.wait()
                rate = self._rate
            if rate < 0:
                self._send(64)
            else:
                self._send_at(rate)

    def _send_at(self, rate: float) -> None:
        begun, sent = time.monotonic(), 0
        while self._rate == rate:
            self.behind = int((time.monotonic() - begun) * rate) - sent
            count = min(self.behind, _MOST_AT_ONCE)
            if count > 0:
                self._send(count)
                sent += count
            if count < _MOST_AT_ONCE:
                time.sleep(_TICK_SECONDS)

    def _send(self, count: int) -> None:
        """Send so many lines, from the channel on whose turn it is."""
        stamp = b"%016d" % (time.time_ns() // 1000)
        channels = len(self.ready)
        for number in range(min(count, channels)):
            share = len(range(number, count, channels))
            channel = self.ready[(self.sent + number) % channels]
            with suppress(OSError):  # its client is leaving
                channel.say(channel.lines(share, stamp))
        self.sent += count


class Handler(BaseHTTPRequestHandler):
    """One connection: REST calls, or an event channel to its end. A login's token is its number."""

    protocol_version = "HTTP/1.1"
    feed: Feed
    scheme = "http"
    numbers: Iterator[int] = itertools.count(1)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/api/rest":
            urls = self._urls("/authenticate?version=1.0", "internalUrl", "publicUrl")
            self._answer(200, {"serverInfo": {}, "versions": [{"id": "1.0", "status": "CURRENT", **urls}]})
        elif path.endswith("/authenticate"):
            token = str(next(self.numbers))
            urls = self._urls("/1.0/sessions", "internalUrl", "publicUrl")
            self._answer(200, {"credential": token, **urls}, f"AlcUserId={token}; Path=/")
        else:
            self._answer(200, {"loginNames": self._logins()})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/OTEvents"):
            self._serve_channel(self.path.partition("=")[2])
        elif self.path.endswith("/sessions"):
            services = [
                {"serviceName": name, "serviceVersion": "1.0", "relativeUrl": f"/{name.lower()}"}
                for name in ("Subscriptions", "Telephony", "Logins")
            ]
            urls = self._urls("/1.0", "privateBaseUrl", "publicBaseUrl")
            session = {"admin": True, "login": "bench", "timeToLive": 1800, "services": services, **urls}
            self._answer(200, session)
        elif self.path.endswith("/subscriptions"):
            url = f"{self._root}/OTEvents?subscriptionId={self._token}"
            made = {"subscriptionId": self._token, "status": "ACCEPTED", "mode": "CHUNK", "format": "JSON"}
            self._answer(200, made | {"publicPollingUrl": url, "privatePollingUrl": url})
        elif self.path.endswith("/state/snapshot"):
            self._answer(204, None)
            channel = self.feed.channels[self._token]
            channel.say(channel.snapshot())
            if channel not in self.feed.ready:
                self.feed.ready.append(channel)
        else:
            self._answer(204, None)

    def do_DELETE(self) -> None:
        self._answer(204, None)

    def log_message(self, *arguments: Any) -> None:
        """Keep stderr quiet."""

    @property
    def _root(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server.server_address[1]}"

    @property
    def _token(self) -> str:
        return self.headers["Cookie"].partition("AlcUserId=")[2].partition(";")[0]

    def _logins(self) -> list[str]:
        return [f"oxe{int(self._token):03d}{user:04d}" for user in range(self.feed.users)]

    def _urls(self, path: str, *names: str) -> dict[str, str]:
        return dict.fromkeys(names, f"{self._root}/api/rest{path}")

    def _answer(self, status: int, body: object, cookie: str | None = None) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        if cookie is not None:
            self.send_header("Set-Cookie", cookie)
        self.end_headers()
        self.wfile.write(content)

    def _serve_channel(self, token: str) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        logins = [f"oxe{int(token):03d}{user:04d}" for user in range(self.feed.users)]
        channel = self.feed.channels[token] = Channel(self.connection, logins)
        channel.say(_chunk({"eventName": "OnChannelInformation", "text": "Chunk started"}))
        select.select([self.connection], [], [])  # until the client has gone; a reading would disturb TLS


def _chunk(line: dict[str, Any]) -> bytes:
    """Write one line in a chunk of its own; a call's has its reference after its first fields."""
    if line["eventName"].startswith("OnCall"):
        line = {"eventName": line["eventName"], "loginName": line["loginName"], "callRef": _REF, **line}
    content = json.dumps(line, separators=(",", ":")).encode() + b"\n"
    return b"%x\r\n%s\r\n" % (len(content), content)


def _cut(chunk: bytes) -> tuple[bytes, bytes, bytes]:
    """Cut a chunk before and behind its reference and, where it has one, its stamp."""
    head, rest = chunk.split(_REF.encode(), 1)
    middle, _, tail = rest.partition(_NO_STAMP.encode())
    return head, middle, tail


class Server(ThreadingHTTPServer):
    """A thread for each connection, and TLS where there is a certificate."""

    daemon_threads = True
    request_queue_size = 512
    tls: ssl.SSLContext | None = None

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self.tls is not None:  # its thread does the handshake, with its first reading
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address


def main() -> None:
    Handler.feed = feed = Feed(int(sys.argv[1]))
    server = Server(("127.0.0.1", 0), Handler)
    if len(sys.argv) > 2:
        server.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.tls.load_cert_chain(sys.argv[2])
        Handler.scheme = "https"
    for target in (server.serve_forever, feed.run):
        threading.Thread(target=target, daemon=True).start()
    print(json.dumps({"port": server.server_address[1]}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "rate" in asked:
            feed.set_rate(asked["rate"])
        print(json.dumps(feed.state()), flush=True)


if __name__ == "__main__":
    main()
