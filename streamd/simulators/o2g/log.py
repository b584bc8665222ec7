"""Record what was handed to channels, what nobody was there for, and what was asked by HTTP."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Struct

from streamd.simulators.o2g.wire import Line, digest


class LogEntry(Struct, frozen=True, gc=False):
    """One line that was handed to a channel; whether the peer read it nobody here can know.

    `sent_at` is time.time(); `channel` counts the simulator's channels from 1, and is 0 for a line that was
    for nobody: of a package that was subscribed to before, with no channel open to take it. `login` is the
    line's subject (wire.Line); `odd` lines are no part of the truth.
    """

    sent_at: float
    subscription_id: str
    channel: int
    package: str
    login: str
    event_name: str
    call_ref: str
    line: bytes
    odd: bool

    @property
    def marker(self) -> str:
        """Name the line's content as `wire.digest` does; lines that are no JSON object have no name."""
        return "" if self.odd else digest(self.line)

    def to_json(self) -> dict[str, Any]:
        """Return what a judge in another process needs."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__ if name != "line"}
        return {**fields, "marker": self.marker, "line": self.line.decode("utf-8", "replace")}


class RequestEntry(Struct, frozen=True):
    """One HTTP request; never a header, a body or a query, so never a token or a subscription's id.

    `host` counts from 0.
    """

    at: float
    host: int
    method: str
    path: str
    status: int


class LineLog:
    """Append-only; in memory (`entries`, `unheard`), or as JSON lines in a file, or off.

    `count` counts what was handed over in any case.
    """

    def __init__(self, keep: bool, path: str) -> None:
        self.entries: list[LogEntry] = []
        self.unheard: list[LogEntry] = []
        self.count = 0
        self.on = keep or bool(path)
        self._keep = keep and not path
        self._file: IO[bytes] | None = None
        if path:
            self._file = Path(path).open("ab")  # noqa: SIM115 - stays open until close()

    def sent(self, subscription_id: str, channel: int, lines: Sequence[Line]) -> None:
        """Record `lines` in order, as handed over now."""
        self.count += len(lines)
        self._write(self.entries, subscription_id, channel, lines)

    def missed(self, subscription_id: str, lines: Sequence[Line]) -> None:
        """Record `lines` that no channel took."""
        self._write(self.unheard, subscription_id, 0, lines)

    def _write(
        self, entries: list[LogEntry], subscription_id: str, channel: int, lines: Sequence[Line]
    ) -> None:
        if not self.on:
            return
        at = time.time()
        made = [
            LogEntry(
                at,
                subscription_id,
                channel,
                each.package,
                each.subject,
                each.name,
                each.call_ref,
                each.payload,
                each.odd,
            )
            for each in lines
        ]
        if self._keep:
            entries += made
        if self._file is not None:
            self._file.write(b"".join(msgspec.json.encode(each.to_json()) + b"\n" for each in made))
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
