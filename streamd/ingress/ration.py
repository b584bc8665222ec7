"""Say the same thing once in a while: anyone on the internet can make the ingress refuse."""

from __future__ import annotations

from typing import Any

import trio

from streamd.connector import Log

EVERY_SECONDS = 60.0
_MOST_KINDS = 1000
_NO_KIND = ("peer", "exc_info")  # they differ each time


class Ration:
    """Logs an event at most every EVERY_SECONDS for each reason, and how many it then stands for."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, ...], float] = {}
        self._unsaid: dict[tuple[str, ...], int] = {}

    def tell(self, log: Log, event: str, *, of: str = "", level: str = "warning", **keys: Any) -> None:
        """Log the event, unless one of the same connector and with the same keys was logged just now."""
        kind = (of, event, *(str(value) for name, value in keys.items() if name not in _NO_KIND))
        now = trio.current_time()
        if now - self._told.get(kind, -EVERY_SECONDS) < EVERY_SECONDS:
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return
        if len(self._told) >= _MOST_KINDS:
            self._told.clear()
            self._unsaid.clear()
        self._told[kind] = now
        suppressed = self._unsaid.pop(kind, 0)
        if of:
            keys["connector"] = of
        if suppressed:
            keys["suppressed"] = suppressed
        getattr(log, level)(event, **keys)
