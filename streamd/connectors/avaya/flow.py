"""From frames to what is published: decode, apply privacy, normalise, merge. No I/O.

Measured for a message of 510 bytes with 15 measures, 13 of them typed: decode 2.0, key text 0.5, event and
typed copy 3.0, merge and state 3.7 CPU µs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import Struct, field

from streamd.connectors.avaya.discretion import Discretion
from streamd.connectors.avaya.measure_types import Typing
from streamd.connectors.avaya.measures import Changes, Items, MergedMeasures
from streamd.connectors.avaya.normalise import KeyTexts, normalise
from streamd.connectors.avaya.snapshot import Snapshot
from streamd.connectors.avaya.wire import AuthenticationResponse, MeasureMessage, decode
from streamd.errors import BadRecord
from streamd.model import Event


class Batch(Struct):
    """What some frames came to. `answers` are statuses of authentication responses among them."""

    items: Items = field(default_factory=list)
    changes: Changes = field(default_factory=dict)
    answers: list[str] = field(default_factory=list)
    messages: int = 0


class Flow:
    """The way of one producer's messages. `measures` is None for a producer whose rows are no state."""

    def __init__(
        self,
        producer: str,
        measures: MergedMeasures | None,
        discretion: Discretion,
        dead_letter: Callable[[BadRecord], Event],
    ) -> None:
        self.typing = Typing()
        self.measures = measures
        self._origin = f"avaya websocket, {producer}"
        self._discretion = discretion if discretion.rules else None
        self._dead_letter = dead_letter
        self._texts = KeyTexts()

    def read(self, frames: Sequence[bytes], received: datetime, snapshot: Snapshot, now: float) -> Batch:
        """Read frames that were received together; `now` is `received` in monotonic seconds."""
        batch = Batch()
        for frame in frames:
            for message in decode(frame, self._origin):
                if isinstance(message, MeasureMessage):
                    self._take(message, received, batch)
                    if message.payload_type == "LIVE":
                        snapshot.on_live(now)
                    else:
                        snapshot.on_initialising(now)
                elif isinstance(message, AuthenticationResponse):
                    batch.answers.append(message.status)
                else:
                    batch.items.append(self._dead_letter(message))
        return batch

    def _take(self, message: MeasureMessage, received: datetime, batch: Batch) -> None:
        if self._discretion is not None:
            self._discretion.apply(message)
        event = normalise(message, self._texts.of(message), received, self.typing)
        batch.items.append(event)
        batch.messages += 1
        if self.measures is not None:
            self.measures.apply(event, self.typing, batch.items, batch.changes)
