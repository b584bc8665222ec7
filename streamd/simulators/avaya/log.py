"""Record what was handed to sockets and what was asked by HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from streamd.simulators.avaya.population import Keys
from streamd.simulators.avaya.wire import Message


class LogEntry(Struct, frozen=True, gc=False):
    """One data message that was handed to a socket; whether the peer read it nobody here can know.

    `sent_at` is time.time(); `socket` counts the simulator's websockets from 1; `marker` is
    `wire.digest(measures)`; `odd` messages (section 5, row 17) are no part of the truth table.
    """

    sent_at: float
    subscription_id: str
    socket: int
    producer: str
    keys: Keys
    payload_type: str
    event_action: str
    marker: str
    odd: bool


class RequestEntry(Struct, frozen=True):
    """One HTTP request: never a header, never a body, so never a token."""

    at: float
    method: str
    path: str
    status: int


class MessageLog:
    """Append-only; in memory (`entries`), or as JSON lines in a file, or off. `count` counts in any case."""

    def __init__(self, keep: bool, path: str) -> None:
        self.entries: list[LogEntry] = []
        self.count = 0
        self._keep = keep and not path
        self._file: IO[bytes] | None = None
        if path:
            self._file = Path(path).open("ab")  # noqa: SIM115 - stays open until close()

    def sent(self, at: float, subscription_id: str, socket: int, messages: Sequence[Message]) -> None:
        """Record `messages` in order, as sent `at`."""
        self.count += len(messages)
        if not self._keep and self._file is None:
            return
        entries = [
            LogEntry(
                at, subscription_id, socket, m.producer, m.keys, m.payload_type, m.action, m.marker, m.odd
            )
            for m in messages
        ]
        if self._keep:
            self.entries += entries
        if self._file is not None:
            self._file.write(b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries))
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
