"""The TOML tables that point streamd at a simulator, and the port where it may listen for one that pushes."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Mapping
from contextlib import suppress

_PORTS = range(20_000, 32_000)
_TRIES = 100


def table(name: str, keys: Mapping[str, str]) -> str:
    """Write one table; `keys` have TOML values."""
    return f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


def ingress_table(address: str, **more: str) -> str:
    """Write the table that lets streamd listen at `address`, by HTTPS where `more` has the key `tls`."""
    scheme = "https" if "tls" in more else "http"
    return table("ingress", {"listen": f'"{address}"', "public_url": f'"{scheme}://{address}"', **more})


def free_port(host: str) -> int:
    """Give a port that nobody listens on now, nor will by chance until it is used: outgoing connections, and
    who asks for any port, get higher ones from the kernel."""
    for port in random.sample(_PORTS, _TRIES):
        with suppress(OSError), socket.create_server((host, port)):
            return port
    raise OSError(errno.EADDRINUSE, f"no free port on {host}")
