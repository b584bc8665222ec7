"""TLS contexts from the connector's own files."""

from __future__ import annotations

import ssl
from functools import cache

from streamd.errors import ConfigError, Problem


def client_context(
    ca_file: str | None = None, certificate_file: str | None = None, key_file: str | None = None
) -> ssl.SSLContext:
    """Make the context that verifies servers, and shows a client certificate where one is given.

    `ca_file` (PEM) replaces the system's trust store. `key_file` may be left out when `certificate_file`
    holds the key too. Without any file it is the same context for all, never to be altered. Raises
    ConfigError naming the key whose file cannot be read or used.
    """
    if ca_file is None and certificate_file is None:
        return _of_the_system()
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise _unusable("ca_file", error) from error
    if certificate_file is not None:
        _load(context, certificate_file, key_file)
    return context


@cache
def _of_the_system() -> ssl.SSLContext:
    """Load the system's trust store, once: that takes 50 ms and 0.9 MiB, and there may be 200 connectors."""
    return ssl.create_default_context()


def server_context(certificate_file: str, key_file: str | None = None) -> ssl.SSLContext:
    """Make the context that serves with this certificate chain (PEM); raises ConfigError as above."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load(context, certificate_file, key_file)
    return context


def _load(context: ssl.SSLContext, certificate_file: str, key_file: str | None) -> None:
    try:
        context.load_cert_chain(certificate_file, key_file, password=_no_password)
    except (OSError, ssl.SSLError) as error:
        raise _unusable("certificate_file", error) from error


def _no_password() -> bytes:
    # Without a callback OpenSSL would ask for the key's passphrase on the terminal and hang the daemon.
    return b""


def _unusable(key: str, error: Exception) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return ConfigError([Problem(key, f"cannot be used: {reason}")])
