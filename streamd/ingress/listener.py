"""The ingress as a part of the core: bound whenever `[ingress]` is configured, tried again until it is.

Bound even while no connector is pushed to, for `/readyz` promises every configured listener, and a reload may
bring the first such connector. An address that cannot be had is no reason to stop those that pull.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
import trio

from streamd.config import Config, IngressConfig
from streamd.errors import ConfigError, Transient
from streamd.ingress.claims import Claims
from streamd.transport.connection import Limits
from streamd.transport.listening import address_of, open_tcp_listeners
from streamd.transport.renewal import Certificate, TlsListener
from streamd.transport.server import serve_service

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0

log = structlog.get_logger("streamd.ingress")


class Listener:
    """The one HTTP(S) listener of all connectors."""

    def __init__(self, config: Config) -> None:
        self._config = config.ingress
        self.claims = Claims()
        if self._config is not None:
            self.claims = Claims(
                self._config.max_body_bytes, self._config.max_connections, self._config.public_url
            )
            self.claims.bound = trio.Event()
        self.claims.expect(config.connectors)
        self.addresses: list[str] = []
        """Where it listens, `host:port`; empty while it does not."""
        self.trouble: str | None = None
        """Why it does not listen although it should."""
        self._certificate: Certificate | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started when it listens or has failed to for the first time."""
        if self._config is None:
            task_status.started()
            return
        listeners = await self._open_patiently(self._config, task_status)
        async with trio.open_nursery() as nursery:
            if self._certificate is not None:
                nursery.start_soon(self._certificate.watch)
            await serve_service(self.claims, listeners, _limits(self._config))

    def drain(self) -> None:
        """Turn away every request from now on; those in flight go on."""
        self.claims.draining = True

    def reload(self, config: Config) -> None:
        """Take over which connectors are pushed to, and look for a renewed certificate."""
        self.claims.expect(config.connectors)
        if self._certificate is not None:
            self._certificate.look()

    async def _open_patiently(
        self, config: IngressConfig, task_status: trio.TaskStatus[None]
    ) -> Sequence[trio.abc.Listener[Any]]:
        wait = _FIRST_WAIT
        while True:
            try:
                listeners = await self._open(config)
                break
            except (Transient, ConfigError) as error:
                reason = str(error)
            if self.trouble is None:
                log.error("ingress_unbound", reason=reason)
                task_status.started()
            self.trouble = reason
            await trio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
        if self.claims.bound is not None:
            self.claims.bound.set()
        log.info("ingress_listening", addresses=self.addresses, tls=config.tls is not None)
        if self.trouble is None:
            task_status.started()
        self.trouble = None
        return listeners

    async def _open(self, config: IngressConfig) -> Sequence[trio.abc.Listener[Any]]:
        if config.tls is not None:
            self._certificate = Certificate(config.tls.certificate_file, config.tls.key_file)
        listeners = await open_tcp_listeners(config.listen)
        self.addresses = [address_of(listener) for listener in listeners]
        if self._certificate is None:
            return listeners
        return [TlsListener(listener, self._certificate) for listener in listeners]


def _limits(config: IngressConfig) -> Limits:
    return Limits(
        max_body_bytes=config.max_body_bytes,
        max_connections=config.max_connections,
        request_seconds=config.request_timeout_seconds,
    )
