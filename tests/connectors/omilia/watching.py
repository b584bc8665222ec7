"""A running connector whose spool is read once, however often a test looks what is there by now."""

from __future__ import annotations

import json
from typing import Any

from streamd.model import Record
from tests.running import Running


class Watched(Running):
    """Nothing leaves the spool here, for there is no Kafka: each lane is read on from its last row."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._last: dict[tuple[str, int], int] = {}
        self._found: list[tuple[int, str, Record, dict[str, Any] | None]] = []

    def records(self) -> list[tuple[str, Record]]:
        self._read()
        return [(topic, record) for _, topic, record, _ in self._found]

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        self._read()
        return [event for *_, event in self._found if event is not None and event["type"].endswith(kind)]

    def _read(self) -> None:
        for size in self.store.lanes():
            lane = size.topic, size.partition
            for row in self.store.rows_after(*lane, self._last.get(lane, 0), 2**62, 2**62):
                self._last[lane] = row.id
                for record in row.records or ():
                    is_state = record.value is None or row.topic.endswith(".state")
                    event = None if is_state else json.loads(record.value or b"")
                    self._found.append((row.id, row.topic, record, event))
        self._found.sort(key=lambda found: found[0])
