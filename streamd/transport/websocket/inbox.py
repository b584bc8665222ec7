"""The messages between the engine that always reads and the one task that receives."""

from __future__ import annotations

from collections.abc import Iterable

import trio
from msgspec import Struct

from streamd.errors import Transient

ABNORMAL = 1006
UNSUPPORTED_DATA = 1003
INVALID_DATA = 1007
TOO_BIG = 1009
PROTOCOL_ERROR = 1002


class Closed(Struct, frozen=True):
    """How a link ended.

    `code` and `reason` are those of the Close frame (RFC 6455, section 7.4), of the peer where it sent one;
    1006 and the system's words where the TCP stream just ended. `by_peer`: the peer ended it, or its network.
    `clean`: the peer's own Close frame came, so every message that it sent before was received. A TCP stream
    that ends without one proves nothing about the peer: whatever stands between may have ended it.
    """

    code: int
    reason: str
    by_peer: bool
    clean: bool


class LinkClosed(Transient):
    """The websocket has ended; `closed` says how."""

    def __init__(self, closed: Closed) -> None:
        who = "the peer" if closed.by_peer else "us"
        super().__init__(f"websocket ended by {who}: {closed.code} {closed.reason}".rstrip())
        self.closed = closed
        self.code = closed.code
        self.by_peer = closed.by_peer
        self.clean = closed.clean


class Inbox:
    """Messages that were read and not yet received, at most `max_bytes` of them.

    The engine never waits for room, for whoever stops reading stops answering pings: over the bound the
    link ends, as a consumer that is too slow.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._messages: list[bytes] = []
        self._changed = trio.Event()
        self.closed: Closed | None = None

    @property
    def empty(self) -> bool:
        return not self._messages

    def put(self, messages: Iterable[bytes], size: int) -> None:
        """Append `messages` of `size` bytes together; raises LinkClosed when that passes the bound."""
        self._messages += messages
        self._bytes += size
        self._changed.set()
        if self._bytes > self._max_bytes:
            reason = f"consumer too slow: {self._bytes} bytes waiting"
            raise LinkClosed(Closed(ABNORMAL, reason, by_peer=False, clean=False))

    def end(self, closed: Closed) -> None:
        """Put the end of the link behind the messages; only the first end counts."""
        if self.closed is None:
            self.closed = closed
            self._changed.set()

    async def take(self) -> list[bytes]:
        """Take all messages, at least one; raises LinkClosed when none is left and the link has ended."""
        await trio.lowlevel.checkpoint()
        while not self._messages:
            if self.closed is not None:
                raise LinkClosed(self.closed)
            await self._changed.wait()
        messages, self._messages, self._bytes = self._messages, [], 0
        if self.closed is None:
            self._changed = trio.Event()
        return messages
