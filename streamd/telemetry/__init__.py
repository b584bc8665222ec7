"""Configure the one log of the process, and join a log line with its count.

Everything goes through one chain of processors and one `LogPipe`: streamd's own named events, and what the
libraries say through stdlib logging. Secrets are stars in every value before anything is rendered.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, cast

import msgspec
import structlog
from structlog.processors import ExceptionRenderer
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor

from streamd.connector import Counters, Log
from streamd.redaction import cleaned, redact
from streamd.telemetry.liblog import LibraryHandler
from streamd.telemetry.logpipe import LogPipe
from streamd.telemetry.metrics import Metrics

__all__ = ["Logging", "Metrics", "configure", "logger", "noteworthy", "redact"]

Level = Literal["debug", "info", "warning", "error"]
Threshold = Literal["debug", "info", "warning", "error", "critical"]
# journald cuts a stream line at 48 KiB (journald.conf(5), LineMax), which would break its JSON.
LONGEST_LINE = 40_000

_FIRST = ("timestamp", "level", "event")


class Logging:
    """The configured log; `close` writes what is queued and puts back how it was before."""

    def __init__(self, pipe: LogPipe, handler: logging.Handler, before: dict[str, Any]) -> None:
        self._pipe = pipe
        self._handler = handler
        self._before = before

    @property
    def dropped(self) -> int:
        """Tell how many lines a stalled reader has cost so far."""
        return self._pipe.dropped

    def flush(self, seconds: float = 2.0) -> bool:
        """Wait until all is written, that long at most; tell whether it is."""
        return self._pipe.flush(seconds)

    def close(self) -> None:
        """Write what is left within two seconds."""
        atexit.unregister(self.close)
        logging.getLogger().removeHandler(self._handler)
        structlog.configure(**self._before)
        self._pipe.close()

    def __enter__(self) -> Logging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def configure(*, descriptor: int = 1, text: bool | None = None, level: Threshold = "info") -> Logging:
    """Send the log to `descriptor` from now on: JSON lines, or text where that is a terminal.

    Below `level` nothing is written, of libraries' words also nothing below a warning.

    Loggers that were bound before keep the configuration that they were bound under.
    """
    render = _text if (os.isatty(descriptor) if text is None else text) else _json
    chain = _chain(as_text=render is _text)
    pipe = LogPipe(descriptor, lambda count: render(_about_drops(chain, count)))
    threshold = logging.getLevelNamesMapping()[level.upper()]
    before = structlog.get_config()
    structlog.configure(
        processors=[*chain, lambda log, method, event: render(event)],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *names: _Output(pipe),
        # A logger is bound once per connector and no event is logged each: there is nothing to gain.
        cache_logger_on_first_use=False,
    )
    handler = LibraryHandler(lambda event: pipe.put(render(_processed(chain, event))), threshold)
    handler.install()
    configured = Logging(pipe, handler, before)
    atexit.register(configured.close)
    return configured


def logger(**keys: Any) -> Log:
    """Give a logger whose every line carries `keys`."""
    return cast("Log", structlog.get_logger().bind(**keys))


def noteworthy(
    log: Log, counters: Counters, event: str, *, level: Level = "warning", by: int = 1, **keys: Any
) -> None:
    """Log a moment and count it under the same name, so that neither is ever without the other."""
    counters.count(event, by)
    getattr(log, level)(event, **keys)


class _Output:
    """What structlog calls with each rendered line."""

    def __init__(self, pipe: LogPipe) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = pipe.put


def _chain(*, as_text: bool) -> list[Processor]:
    # Never with the frames' locals, for secrets are among them.
    dictionaries = ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info if as_text else dictionaries,
        _without_secrets,
    ]


def _processed(chain: list[Processor], event: EventDict) -> EventDict:
    level = event.pop("level")
    for processor in chain:
        event = cast("EventDict", processor(None, level, event))
    return event


def _about_drops(chain: list[Processor], count: int) -> EventDict:
    return _processed(chain, {"event": "log_lines_dropped", "level": "warning", "count": count})


def _without_secrets(log: object, method: str, event: EventDict) -> EventDict:
    return {str(name): cleaned(event[name]) for name in sorted(event, key=_position)}


def _position(name: str) -> int:
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)


def _json(event: EventDict) -> bytes:
    line = msgspec.json.encode(event)
    if len(line) > LONGEST_LINE:
        kept = {name: event[name] for name in (*_FIRST, "connector") if name in event}
        line = msgspec.json.encode({**kept, "truncated": len(line)})
    return line + b"\n"


_console: Callable[[Any, str, EventDict], str] = structlog.dev.ConsoleRenderer(
    colors=os.environ.get("NO_COLOR") is None, exception_formatter=structlog.dev.plain_traceback
)


def _text(event: EventDict) -> bytes:
    return f"{_console(None, '', event)}\n".encode()
