"""Take what libraries say through stdlib logging into streamd's own log, warnings and worse, rationed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

# httpx logs whole URLs at INFO, aiokafka passwords at DEBUG (LIBRARIES.md, sections 1.2 and 4).
PINNED = (
    "aiokafka",
    "kafka",
    "httpx",
    "httpcore",
    "hpack",
    "trio-websocket",
    "websockets",
    "wsproto",
    "h11",
    "asyncio",
    "trio",
)
ALLOWED, WITHIN_SECONDS = 5, 10.0
# Libraries that write values into the message itself would fill the table with messages seen once.
_MOST_MESSAGES = 1000


class Ration(logging.Filter):
    """Let the same message of a logger through ALLOWED times within WITHIN_SECONDS.

    While brokers are down aiokafka logs some 50 errors a second. The first one let through after a silence
    says how many it stands for.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._monotonic()
        message = (record.name, record.levelno, str(record.msg))
        since, count = self._seen.get(message, (now, 0))
        if now - since > WITHIN_SECONDS:
            record.suppressed = max(0, count - ALLOWED)
            since, count = now, 0
        if len(self._seen) >= _MOST_MESSAGES and message not in self._seen:
            self._seen.clear()
        self._seen[message] = (since, count + 1)
        return count < ALLOWED


class LibraryHandler(logging.Handler):
    """Hand each record to `write` as an event with the keys `event`, `level`, `logger`."""

    def __init__(self, write: Callable[[dict[str, Any]], None], threshold: int = logging.WARNING) -> None:
        super().__init__(max(threshold, logging.WARNING))
        self._write = write
        self.addFilter(Ration())

    def install(self) -> None:
        """Become the root logger's handler in place of an earlier one of ours, and pin the talkative ones."""
        root = logging.getLogger()
        for earlier in [each for each in root.handlers if isinstance(each, LibraryHandler)]:
            root.removeHandler(earlier)
        root.addHandler(self)
        for name in PINNED:
            logging.getLogger(name).setLevel(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        event: dict[str, Any] = {
            "event": _message(record),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if suppressed := getattr(record, "suppressed", 0):
            event["suppressed"] = suppressed
        if record.exc_info and record.exc_info[1] is not None:
            event["exc_info"] = record.exc_info[1]
        self._write(event)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        # The library's format and arguments do not fit; its words are better than none.
        return str(record.msg)
