"""Measure CPU µs per message of both engines' receive loop, with the sender in another process.

`PYTHONPATH=. python tests/transport/bench_websocket.py [messages] [frames per write] [tls]` prints per engine
messages/s and this process's CPU time (user and system) per message, without and with a msgspec decode.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import socket
import ssl
import struct
import sys
from base64 import b64encode
from time import process_time, time

import msgspec
import trio
import trustme

from streamd.transport.websocket import LinkClosed, open_websocket

MESSAGE = msgspec.json.encode(
    {"type": "measure", "producer": "Agent_itd_1.0.0", "keys": {"agentId": "4711", "channel": "VOICE"}}
    | {"measures": {f"measure_number_{n:02}": str(n * 1000) for n in range(13)}, "pad": "x" * 95}
)


class Measure(msgspec.Struct):
    type: str
    producer: str
    keys: dict[str, str]
    measures: dict[str, str]


def send(listener: socket.socket, count: int, per_write: int, certificate: str | None) -> None:
    for _ in range(4):
        connection, _ = listener.accept()
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            connection = context.wrap_socket(connection, server_side=True)
        head = connection.recv(65536)
        key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        digest = hashlib.sha1(key.split(b":")[1].strip() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + b64encode(digest) + b"\r\n\r\n"
        )
        block = (struct.pack("!BBH", 0x81, 126, len(MESSAGE)) + MESSAGE) * per_write
        for _ in range(count // per_write):
            connection.sendall(block)
        connection.sendall(struct.pack("!BBH", 0x88, 2, 1000))
        connection.recv(100)
        connection.close()


async def receive(
    url: str, engine: str, tls: ssl.SSLContext | None, decode: bool
) -> tuple[int, float, float, float]:

    decoder = msgspec.json.Decoder(Measure)
    count = calls = 0
    async with open_websocket(url, engine=engine, tls=tls, max_waiting_bytes=1 << 30) as link:  # type: ignore[arg-type]
        began, cpu = time(), process_time()
        try:
            while True:
                messages = await link.receive()
                calls += 1
                count += len(messages)
                if decode:
                    for message in messages:
                        decoder.decode(message)
        except LinkClosed:
            return count, time() - began, process_time() - cpu, count / calls


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    per_write = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    authority = trustme.CA()
    secure = "tls" in sys.argv
    with authority.issue_cert("localhost").private_key_and_cert_chain_pem.tempfile() as certificate:
        listener = socket.create_server(("localhost", 0))
        arguments = (listener, count, per_write, certificate if secure else None)
        sender = multiprocessing.get_context("fork").Process(target=send, args=arguments)
        sender.start()
        tls = ssl.create_default_context()
        authority.configure_trust(tls)
        url = f"{'wss' if secure else 'ws'}://localhost:{listener.getsockname()[1]}/"
        for engine in ("trio-websocket", "sans-io"):
            for decode in (False, True):
                got, wall, cpu, batch = trio.run(receive, url, engine, tls if secure else None, decode)
                print(
                    f"{engine:15} {'decoded' if decode else 'read':8} {got} of {len(MESSAGE)} bytes: "
                    f"{got / wall:9,.0f}/s  {cpu / got * 1e6:5.1f} CPU µs each  {batch:6.1f} a list"
                )
        sender.join()


if __name__ == "__main__":
    main()
