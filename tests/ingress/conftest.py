"""An ingress on a real socket, and a vendor that is pushed to and does what the test orders."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from streamd.config import (
    AdminConfig,
    Config,
    ConnectorConfig,
    IngressConfig,
    KafkaConfig,
    SpoolConfig,
    TlsConfig,
)
from streamd.connector import ConnectorType, Context, Link
from streamd.ingress.claims import Claims, Desk
from streamd.ingress.listener import Listener
from streamd.model import Stream
from streamd.registry import all_types
from streamd.telemetry import logger
from streamd.transport.exchange import Request, Response

RINGS = Stream("bell", "rings")


class BellConfig(ConnectorConfig, frozen=True, kw_only=True):
    path: str


class Counts(dict[str, int]):
    """`Counters` that a test can read."""

    def count(self, name: str, by: int = 1) -> None:
        self[name] = self.get(name, 0) + by


class Served:
    """A listener under test, with one connector whose desk is `desk`."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.counts = Counts()
        self.desk = self.desk_of("bell-a", self.counts)
        self.failed: list[int] = []

    @property
    def claims(self) -> Claims:
        return self.listener.claims

    @property
    def port(self) -> int:
        return int(self.listener.addresses[0].rpartition(":")[2])

    def desk_of(self, connector: str, counts: Counts | None = None) -> Desk:
        return self.claims.desk(
            connector, Counts() if counts is None else counts, logger(connector=connector)
        )

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def ask(self, data: bytes) -> bytes:
        """Send `data` on a new connection and give all that comes until the server closes."""
        async with await self.connect() as stream:
            await stream.send_all(data)
            return await until_closed(stream)

    async def post(self, content: bytes = b"", *, path: str = "/a", **headers: str) -> bytes:
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = f"POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {len(content)}\r\n"
        return await self.ask(f"{head}{lines}\r\n".encode() + content)


async def until_closed(stream: trio.abc.ReceiveStream) -> bytes:
    answer = b""
    with trio.fail_after(30):
        while data := await stream.receive_some():
            answer += data
    return answer


async def echo(request: Request) -> Response:
    return Response(200, {"Content-Type": "application/json"}, b'{"bytes":%d}' % len(request.body))


@pytest.fixture
def bell(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[..., Awaitable[None]]]:
    """Declare the vendor; what its sessions run is put into the dict by connector, `run(context, link)`."""
    orders: dict[str, Callable[..., Awaitable[None]]] = {}

    class Session:
        name = "bell"
        scope: Sequence[str] = ("*",)
        stateful = False

        def __init__(self, context: Context[Any]) -> None:
            self._context = context

        async def run(self, link: Link) -> None:
            await orders[self._context.origin.connector](self._context, link)

    @asynccontextmanager
    async def open_bell(context: Context[BellConfig]) -> AsyncIterator[Sequence[Session]]:
        yield [Session(context)]

    async def probe(context: Context[BellConfig]) -> None:
        await trio.lowlevel.checkpoint()

    kind = ConnectorType(
        name="bell",
        config=BellConfig,
        check=lambda config, path: [],
        streams=lambda config: [RINGS],
        schemas={},
        open=open_bell,
        probe=probe,
        ingress_paths=lambda config: [config.path],
    )
    monkeypatch.setitem(all_types(), "bell", kind)
    return orders


def configured(*, paths: dict[str, str] | None = None, listen: str = "127.0.0.1:0", **ingress: Any) -> Config:
    """Make a configuration with a bell for each of `paths`, by connector."""
    connectors = {
        name: BellConfig(type="bell", path=path) for name, path in (paths or {"bell-a": "/a"}).items()
    }
    table = IngressConfig(listen, "https://in.example.net", **ingress)
    return Config(KafkaConfig(["127.0.0.1:1"]), SpoolConfig(), table, AdminConfig(), connectors)


@pytest.fixture
def start(bell: object, nursery: trio.Nursery) -> Callable[..., Awaitable[Served]]:
    """Return `start(paths={connector: path}, **ingress)`, which gives a `Served` that listens."""

    async def start(**how: Any) -> Served:
        listener = Listener(configured(**how))
        await nursery.start(listener.run)
        return Served(listener)

    return start


class Pair:
    """A certificate of our own authority in two files, to be renewed."""

    def __init__(self, directory: Path) -> None:
        self.authority = trustme.CA()
        self.certificate, self.key = directory / "in.pem", directory / "in.key"
        self.renew()
        self.client = ssl.create_default_context()
        self.authority.configure_trust(self.client)

    @property
    def table(self) -> TlsConfig:
        return TlsConfig(str(self.certificate), str(self.key))

    def renew(self) -> None:
        issued = self.authority.issue_cert("localhost")
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        self.key.write_bytes(issued.private_key_pem.bytes())


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)
