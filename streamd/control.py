"""Where a running daemon is talked to: the socket in its state directory, for its own user only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "control.sock"
_LONGEST = 107  # bytes in sockaddr_un.sun_path, unix(7)


@contextmanager
def address(home: Path) -> Iterator[Path]:
    """Give the socket's path in state directory `home` as bind and connect take it, however long it is."""
    path = home / NAME
    if len(os.fsencode(path)) <= _LONGEST:
        yield path
        return
    directory = os.open(home, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Path(f"/proc/self/fd/{directory}", NAME)
    finally:
        os.close(directory)
