"""Answer `POST /backfill` line by line: progress while it runs, then its figures or what ended it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import trio
from msgspec import Struct

from streamd.errors import StreamdError
from streamd.supervision import leaf
from streamd.transport.exchange import Send

if TYPE_CHECKING:
    from streamd.runtime import Runtime

_BETWEEN_LINES_SECONDS = 0.1


class BackfillLine(Struct, frozen=True, omit_defaults=True):
    """One line of the answer; the last one has `figures` and what is `left`, or an `error`."""

    done: float | None = None
    words: str = ""
    figures: dict[str, int] | None = None
    left: dict[str, int] = {}
    error: str | None = None


class BadRange(StreamdError):
    """The two instants are none, or not in order."""


def read_range(begin: str, end: str) -> tuple[datetime, datetime]:
    """Read two instants, RFC 3339, the first before the second. Raises BadRange."""
    both = _instant("from", begin), _instant("to", end)
    if both[0] >= both[1]:
        raise BadRange("from must lie before to")
    return both


def _instant(name: str, text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise BadRange(f"{name}: {text!r} is no time; it is written like 2026-01-31T08:00:00Z") from None
    if instant.tzinfo is None:
        raise BadRange(f"{name}: {text!r} has no zone; it is written like 2026-01-31T08:00:00Z")
    return instant.astimezone(UTC)


def streamed(runtime: Runtime, begin: datetime, end: datetime) -> Callable[[Send], Awaitable[None]]:
    """Give what runs the backfill and writes the answer; it ends when all that it fetched is on Kafka."""

    async def write(send: Send) -> None:
        latest = _Latest()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(latest.send_changes, send)
            last = await _outcome(runtime, begin, end, latest)
            nursery.cancel_scope.cancel()
        if latest.line is not None:
            await send(_encoded(latest.line))
        await send(_encoded(last))

    return write


async def _outcome(runtime: Runtime, begin: datetime, end: datetime, latest: _Latest) -> BackfillLine:
    runtime.log.info("backfill_begun", begin=begin.isoformat(), end=end.isoformat())
    try:
        ended = await runtime.backfills.run(begin, end, latest.note)
        latest.note(1.0, "waiting until all is on Kafka")
        await runtime.published()
    except StreamdError as error:
        return _failed(runtime, error)
    except BaseExceptionGroup as group:
        if group.split(StreamdError)[1] is not None:
            raise
        return _failed(runtime, leaf(group))
    except trio.Cancelled:
        runtime.log.warning("backfill_cancelled", reason="who asked for it has left")
        raise
    left = {what: number for what, number in ended.left.items() if number > 0}
    if left:
        runtime.log.warning("backfill_incomplete", **ended.figures, left=left)
    else:
        runtime.log.info("backfill_done", **ended.figures)
    return BackfillLine(figures=dict(ended.figures), left=left)


def _failed(runtime: Runtime, error: BaseException) -> BackfillLine:
    runtime.log.warning("backfill_failed", reason=str(error))
    return BackfillLine(error=str(error))


class _Latest:
    """The progress that was told last, for the client to have a few times a second."""

    def __init__(self) -> None:
        self.line: BackfillLine | None = None
        self._changed = trio.Event()

    def note(self, done: float, words: str) -> None:
        self.line = BackfillLine(done=min(max(done, 0.0), 1.0), words=words)
        self._changed.set()

    async def send_changes(self, send: Send) -> None:
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            line, self.line = self.line, None
            if line is not None:
                await send(_encoded(line))
            await trio.sleep(_BETWEEN_LINES_SECONDS)


def _encoded(line: BackfillLine) -> bytes:
    return msgspec.json.encode(line) + b"\n"
