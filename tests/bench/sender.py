"""The sending side as a process of its own: Avaya's REST calls, as few as will do, and a feed at any rate.

    python -m tests.bench.sender PRODUCER KEYS

Says `{"port": …}`, then obeys lines of JSON on stdin, each answered with the feed's counts: `{}`, and
`{"rate": N}` (messages a second; -1: as fast as the socket takes them; 0: silent). It sends what is due each
millisecond, and what it could not send in time it sends late: only a full socket breaks the rate.
Two paths: `/ws/subscribed` first sends the snapshot, `/ws/bare` nothing but the feed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from streamd.simulators.avaya import catalogue
from tests.bench.messages import Messages, frame

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_TICK_SECONDS = 0.001
_MOST_AT_ONCE = 500
_SNAPSHOT_PER_TICK = 10  # 10,000 a second
_SUBSCRIPTION = "fdbec917-e76e-4645-8120-4eac46f29488"
_LIFE_SECONDS = 86_400
_TEXT, _CLOSE, _PING = 0x1, 0x8, 0x9


class Feed:
    """What is sent to the one socket, and how fast."""

    def __init__(self, producer: str, keys: int) -> None:
        self.messages = Messages(producer, keys)
        self.sent = 0
        self.snapshots = 0
        self.sockets = 0
        self.behind = 0
        self._rate = 0.0
        self._changed = threading.Condition()
        self._sending = threading.Lock()

    def set_rate(self, rate: float) -> None:
        """Send this many a second from now on; what is still due at the old rate is forgotten."""
        with self._changed:
            self._rate = rate
            self._changed.notify_all()

    def state(self) -> dict[str, float]:
        """Give what was sent until now. `behind`: due and not sent yet, at the last look."""
        return {
            "sent": self.sent,
            "behind": self.behind,
            "snapshots": self.snapshots,
            "sockets": self.sockets,
            "bytes": self.messages.size(),
        }

    def say(self, connection: socket.socket, data: bytes) -> None:
        """Send whole frames; several threads may."""
        with self._sending:
            connection.sendall(data)

    def run(self, connection: socket.socket, *, with_snapshot: bool) -> None:
        """Feed one socket until it breaks; raises OSError then."""
        self.sockets += 1
        if with_snapshot:
            self._send_snapshot(connection)
        while True:
            with self._changed:
                while self._rate == 0:
                    self.behind = 0
                    self._changed.wait()
                rate = self._rate
            if rate < 0:
                self.say(connection, self.messages.live(64))
                self.sent += 64
            else:
                self._send_at(connection, rate)

    def _send_snapshot(self, connection: socket.socket) -> None:
        first = 0
        while frames := self.messages.snapshot(first, _SNAPSHOT_PER_TICK):
            self.say(connection, frames)
            first += _SNAPSHOT_PER_TICK
            time.sleep(_TICK_SECONDS)
        self.snapshots += 1

    def _send_at(self, connection: socket.socket, rate: float) -> None:
        begun, sent = time.monotonic(), 0
        while self._rate == rate:
            self.behind = int((time.monotonic() - begun) * rate) - sent
            count = min(self.behind, _MOST_AT_ONCE)
            if count > 0:
                self.say(connection, self.messages.live(count))
                sent += count
                self.sent += count
            if count < _MOST_AT_ONCE:
                time.sleep(_TICK_SECONDS)


class Handler(BaseHTTPRequestHandler):
    """One connection: REST calls, or a websocket from its upgrade to its end."""

    protocol_version = "HTTP/1.1"
    feed: Feed
    producer: str

    def do_GET(self) -> None:
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self._serve_websocket()
        elif "/measure-producers/" in self.path:
            self._answer(200, catalogue.details(self.producer))
        elif self.path.partition("?")[0].endswith("/measure-producers"):
            self._answer(200, [catalogue.listing(self.producer)])
        elif self.path.partition("?")[0].endswith("/subscriptions"):
            self._answer(200, {"pagination": {}, "subscriptions": []})
        else:
            self._answer(200, self._subscription())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("/token"):
            self._answer(
                200, {"access_token": "token", "expires_in": _LIFE_SECONDS, "refresh_token": "again"}
            )
        else:
            self._answer(200 if self.path.endswith(":renew") else 201, self._subscription())

    def do_DELETE(self) -> None:
        self._answer(204, None)

    def log_message(self, *arguments: Any) -> None:
        """Keep stderr quiet."""

    def _answer(self, status: int, body: object) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _subscription(self) -> dict[str, Any]:
        port = self.connection.getsockname()[1]
        return {
            "subscriptionId": _SUBSCRIPTION,
            "expiresIn": _LIFE_SECONDS,
            "status": "ACTIVE",
            "family": "ANALYTICS",
            "transport": {
                "type": "WEBSOCKET",
                "endpoint": f"ws://127.0.0.1:{port}/ws/subscribed",
                "pingInterval": 300,
            },
            "extensions": {"measureProducerId": self.producer},
        }

    def _serve_websocket(self) -> None:
        self.close_connection = True
        accept = base64.b64encode(
            hashlib.sha1(self.headers["Sec-WebSocket-Key"].encode() + _GUID).digest()
        ).decode()
        self.send_response_only(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener = threading.Thread(target=self._listen, daemon=True)
        if self._receive() is None:  # the client's first frame is its authentication
            return
        confirmed = json.dumps({"event": "AUTHENTICATION_RESPONSE", "status": "CONNECTION_CONFIRMED"})
        self.feed.say(self.connection, frame(confirmed.encode()))
        listener.start()
        try:
            self.feed.run(self.connection, with_snapshot=self.path == "/ws/subscribed")
        except OSError:
            return  # the client has gone

    def _listen(self) -> None:
        """Answer pings and Close until the client has gone."""
        while (received := self._receive()) is not None:
            opcode, payload = received
            if opcode == _PING:
                self.feed.say(self.connection, bytes((0x8A, len(payload))) + payload)
            elif opcode == _CLOSE:
                self.feed.say(self.connection, bytes((0x88, len(payload))) + payload)
                self.connection.shutdown(socket.SHUT_RDWR)
                return

    def _receive(self) -> tuple[int, bytes] | None:
        """Read one masked frame (RFC 6455, 5.2)."""
        try:
            head = self.rfile.read(2)
            if len(head) < 2:
                return None
            length = head[1] & 0x7F
            if length == 126:
                length = int.from_bytes(self.rfile.read(2), "big")
            mask = self.rfile.read(4)
            payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(self.rfile.read(length)))
        except OSError:
            return None
        return head[0] & 0x0F, payload


def main() -> None:
    Handler.producer, keys = sys.argv[1], int(sys.argv[2])
    Handler.feed = feed = Feed(Handler.producer, keys)
    ThreadingHTTPServer.daemon_threads = True
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_address[1]}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "rate" in asked:
            feed.set_rate(asked["rate"])
        print(json.dumps(feed.state()), flush=True)


if __name__ == "__main__":
    main()
