"""The answer to the upgrade request, judged below the engines, so that both fail alike and at once.

trio-websocket waits out its whole deadline for a server that closes before its 101, lets wsproto's errors
escape for one that does not speak HTTP, and both engines wait for the body of a refusal that has none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

import trio

from streamd.errors import ProtocolViolation, Rejected, Transient
from streamd.transport.faults import certificate_refusal
from streamd.transport.headers import retry_after_seconds
from streamd.transport.stream import Opened

_MAX_HEAD_BYTES = 65_536
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: [^\r\n]*)?\r?\n")
_BEGINS_LIKE_HTTP = b"HTTP/1."


class HandshakeRejected(Transient):
    """The server answered the upgrade with another status than 101; the connector knows what that means."""

    def __init__(self, where: str, status_code: int, retry_after: float | None = None) -> None:
        super().__init__(f"{where} refused the websocket: {status_code}", retry_after=retry_after)
        self.status_code = status_code


class UpgradingStream(trio.abc.Stream):
    """The stream given to an engine: until the 101 is complete, anything else raises out of `receive_some`.

    Raises HandshakeRejected, ProtocolViolation, Rejected (our certificate) or Transient (closed too early).
    """

    def __init__(self, opened: Opened, where: str) -> None:
        self._stream = opened.stream
        self._watch = opened.watch
        self._where = where
        self._head: bytes | None = b""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if self._head is None:
            return await self._stream.receive_some(max_bytes)
        try:
            data = await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError as error:
            refusal = certificate_refusal(error)
            if refusal is not None:
                raise Rejected(f"{self._where}: {refusal}") from error
            raise Transient(f"{self._where}: lost during the upgrade: {self._watch.fault}") from error
        if not data:
            raise Transient(f"{self._where}: closed before it answered the upgrade")
        self._head += data
        if is_upgraded(self._head, self._where):
            self._head = None
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


def is_upgraded(head: bytes, where: str) -> bool:
    """Tell whether `head`, the bytes so far, holds a complete 101.

    Raises for anything that cannot become one. Judges the head of a refusal only: its body may never end.
    """
    if not head.startswith(_BEGINS_LIKE_HTTP[: len(head)]):
        raise ProtocolViolation(f"{where}: the answer to the upgrade is not HTTP")
    end = re.search(rb"\r?\n\r?\n", head)
    if end is None:
        if len(head) > _MAX_HEAD_BYTES:
            raise ProtocolViolation(f"{where}: the answer to the upgrade has no end")
        return False
    line = _STATUS_LINE.match(head)
    if line is None:
        raise ProtocolViolation(f"{where}: the answer to the upgrade is not HTTP")
    headers = _headers(head[line.end() : end.start()])
    if line[1] != b"101":
        raise HandshakeRejected(where, int(line[1]), retry_after_seconds(headers, datetime.now(UTC)))
    if headers.get("upgrade", "").lower() != "websocket":
        raise ProtocolViolation(f"{where}: switched to another protocol than websocket")
    return True


def _headers(block: bytes) -> Mapping[str, str]:
    pairs = (line.partition(":") for line in block.decode("latin-1").splitlines())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
