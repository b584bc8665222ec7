"""Sockets to serve on: TCP, with or without TLS, and unix."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from stat import S_ISSOCK
from typing import Any

import trio

from streamd.errors import Transient
from streamd.transport.faults import fault_words

_BACKLOG = 128


async def open_tcp_listeners(
    listen: str, *, tls: ssl.SSLContext | None = None
) -> list[trio.abc.Listener[Any]]:
    """Listen on `host:port` (`[::1]:port` for IPv6, port 0 for any); one listener per address of the host.

    Raises Transient when the address cannot be had. Whoever serves on the listeners closes them.
    """
    host, _, port = listen.rpartition(":")
    try:
        listeners = await trio.open_tcp_listeners(int(port), host=host.strip("[]"))
    except OSError as error:
        raise Transient(f"cannot listen on {listen}: {fault_words(error)}") from error
    if tls is None:
        return list(listeners)
    return [trio.SSLListener(listener, tls, https_compatible=True) for listener in listeners]


def address_of(listener: trio.abc.Listener[Any]) -> str:
    """Give `host:port` of what `open_tcp_listeners` has opened without TLS."""
    assert isinstance(listener, trio.SocketListener)
    host, port = listener.socket.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@asynccontextmanager
async def open_unix_listener(path: Path) -> AsyncIterator[trio.SocketListener]:
    """Listen on a unix socket at `path`, mode 0600; it is removed on leaving.

    A socket left there by a crash is replaced: the lock on the directory says that nobody serves on it.
    Raises Transient when it cannot be made.
    """
    sock = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    try:
        _remove_socket(path)
        os.fchmod(sock.fileno(), 0o600)  # before bind: there is no moment at which others may connect
        await sock.bind(os.fspath(path))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise Transient(f"cannot listen on {path}: {fault_words(error)}") from error
    listener = trio.SocketListener(sock)
    try:
        yield listener
    finally:
        sock.close()
        _remove_socket(path)


def _remove_socket(path: Path) -> None:
    with suppress(FileNotFoundError):
        if S_ISSOCK(path.stat().st_mode):
            path.unlink()
