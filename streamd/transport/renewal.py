"""Serve TLS with a certificate that is renewed while we run."""

from __future__ import annotations

import ssl
from pathlib import Path

import structlog
import trio

from streamd.errors import ConfigError
from streamd.transport.tls import server_context

LOOK_SECONDS = 10.0

log = structlog.get_logger("streamd.certificate")

_Stamp = tuple[tuple[int, int, int], ...] | None


class Certificate:
    """A certificate and its key, by file; `context` is what new connections are served with."""

    def __init__(self, certificate_file: str, key_file: str) -> None:
        """Load the pair. Raises ConfigError when it cannot be used."""
        self._files = (certificate_file, key_file)
        self._loaded = self._seen = self._stamp()
        self.context = self._load()
        self._asked = trio.Event()

    def look(self) -> None:
        """Have the files looked at now."""
        self._asked.set()

    async def watch(self) -> None:
        """Look at the files for ever, and take a pair that has changed once it has stopped changing.

        A pair that cannot be used changes nothing, and is told once.
        """
        while True:
            with trio.move_on_after(LOOK_SECONDS):
                await self._asked.wait()
            settled, self._asked = self._asked.is_set(), trio.Event()
            await trio.to_thread.run_sync(self._renew, settled)

    def _renew(self, settled: bool) -> None:
        before, self._seen = self._seen, self._stamp()
        # Certificate and key are written one after the other: wait until both are there.
        if self._seen == self._loaded or not (settled or self._seen == before):
            return
        self._loaded = self._seen
        try:
            self.context = self._load()
        except ConfigError as error:
            log.error("certificate_unusable", file=self._files[0], reason=str(error))
            return
        log.info("certificate_renewed", file=self._files[0])

    def _load(self) -> ssl.SSLContext:
        context = server_context(*self._files)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _stamp(self) -> _Stamp:
        """Give what changes when a file does; None while one is missing."""
        try:
            stats = [Path(file).stat() for file in self._files]
        except OSError:
            return None
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)


class TlsListener(trio.abc.Listener[trio.SSLStream[trio.SocketStream]]):
    """Accepts connections to be served with the certificate that is valid then."""

    def __init__(self, listener: trio.abc.Listener[trio.SocketStream], certificate: Certificate) -> None:
        self._listener = listener
        self._certificate = certificate

    async def accept(self) -> trio.SSLStream[trio.SocketStream]:
        """Give the next connection; its handshake comes with its first bytes."""
        stream = await self._listener.accept()
        return trio.SSLStream(stream, self._certificate.context, server_side=True, https_compatible=True)

    async def aclose(self) -> None:
        """Close the listener below."""
        await self._listener.aclose()
