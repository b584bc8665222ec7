"""What happens to the connections that aiokafka opens, which it tells its log only."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Any
from weakref import WeakSet

from aiokafka.conn import collect_hosts
from aiokafka.errors import KafkaConnectionError, KafkaError

from streamd.config import KafkaConfig
from streamd.errors import Rejected, Transient
from streamd.publish import shims
from streamd.publish.security import connection_arguments
from streamd.publish.settings import Settings
from streamd.publish.verdicts import CREDENTIALS, describe


class Connections:
    """Keeps the true reason of the last failure, and slows down what could lock an account.

    aiokafka tries wrong credentials again each 0.5 s; here the next try waits 1 s, then twice as long each
    time, at most `slowest` seconds.
    """

    def __init__(self, slowest: float) -> None:
        self._failure: tuple[str, BaseException] | None = None
        self._slowest = slowest
        self._delay = 0.5
        self._not_before = 0.0
        self._era = _Era(self)

    def begin(self) -> None:
        """Watch the connections of the client that this task starts next."""
        self._era = _Era(self)
        shims.connection_watch.set(self._era)

    def end(self) -> None:
        """Cut what this client has left open, and whatever it still opens."""
        self._era.end()

    @property
    def reason(self) -> str | None:
        """Say why the last connection failed; None when it did not."""
        return None if self._failure is None else f"{self._failure[0]}: {describe(self._failure[1])}"

    @property
    def is_refused(self) -> bool:
        """Tell whether it failed for what a person has to mend."""
        return self._failure is not None and _is_refusal(self._failure[1])

    def plainly(self, error: BaseException) -> Rejected | Transient:
        """Give our error for one of aiokafka's, which may hide the true one ("Unable to bootstrap")."""
        reason = describe(error)
        address, failure = self._failure or ("", None)
        if failure is not None and (
            error is failure or isinstance(error, (KafkaConnectionError, TimeoutError))
        ):
            reason, error = f"{address}: {describe(failure)}", failure
        return Rejected(reason) if _is_refusal(error) else Transient(reason)

    def opening(self) -> None:
        """Raise KafkaConnectionError while it is too early for another try."""
        wait = self._not_before - time.monotonic()
        if wait > 0:
            raise KafkaConnectionError(f"credentials were refused, next try in {wait:.1f} s")

    def failed(self, host: str, port: int, error: BaseException) -> None:
        """Note the reason."""
        self._failure = f"{host}:{port}", error
        if isinstance(error, CREDENTIALS):
            self._delay = min(2 * self._delay, self._slowest)
            self._not_before = time.monotonic() + self._delay

    def opened(self) -> None:
        """Note that all is well."""
        self._failure = None
        self._delay = 0.5


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, (*CREDENTIALS, ssl.SSLError))


class _Era:
    """The connections of one client."""

    def __init__(self, connections: Connections) -> None:
        self._wanted = True
        self._connections = connections
        self._open: WeakSet[Any] = WeakSet()

    def opening(self, host: str, port: int) -> None:
        self._connections.opening()

    def failed(self, host: str, port: int, error: BaseException) -> None:
        self._connections.failed(host, port, error)

    def opened(self, connection: Any) -> bool:
        self._connections.opened()
        self._open.add(connection)
        return self._wanted

    def end(self) -> None:
        self._wanted = False
        for connection in self._open:
            shims.cut(connection)


def arguments_or_rejected(config: KafkaConfig) -> dict[str, Any]:
    """Give `connection_arguments`; Rejected where a certificate file cannot be used."""
    try:
        return connection_arguments(config)
    except OSError as error:
        raise Rejected(f"{error.filename or 'certificate files'}: {error.strerror or error}") from error


async def try_connection(config: KafkaConfig, settings: Settings) -> None:
    """Return when one of the bootstrap servers lets us in. Raises Rejected or Transient, of the first."""
    arguments = arguments_or_rejected(config)
    arguments |= {
        "client_id": config.client_id,
        "request_timeout_ms": int(settings.request_timeout * 1000),
    }
    hosts = [(host, port) for host, port, _ in collect_hosts(config.bootstrap_servers, randomize=False)]
    failures = await asyncio.gather(*(_try(host, port, arguments) for host, port in hosts))
    if None not in failures:
        raise next(failure for failure in failures if failure is not None)


async def _try(host: str, port: int, arguments: dict[str, Any]) -> Rejected | Transient | None:
    connections = Connections(0.0)
    connections.begin()
    try:
        connection = await shims.open_connection(host, port, **arguments)
    except (KafkaError, OSError) as error:
        return connections.plainly(error)
    connection.close()
    return None
