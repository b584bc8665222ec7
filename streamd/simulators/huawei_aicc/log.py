"""Record what was asked of us, what each zip held, and what each callback said."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from msgspec import Struct

_KEPT = 100_000  # requests


class ExportEntry(Struct, frozen=True, gc=False):
    """One zip that was sent, `at` time.time(), `platform_at` the simulated clock.

    `rows` are pairs of row number and version, in no order; `bulk_rows` counts those that `bulk` made; `odd`
    counts lines that stand for no row. `spoilt` says how the zip was damaged; `complete`: all of it was sent.
    """

    at: float
    platform_at: float
    response_id: str
    name: str
    rows: Sequence[tuple[int, int]]
    bulk_rows: int
    odd: int
    bytes: int
    spoilt: str
    complete: bool

    @property
    def is_sound(self) -> bool:
        return self.complete and not self.spoilt


class CallbackEntry(Struct, frozen=True):
    """One callback. `kind`: ``real``, ``repeat``, ``forged``, ``unknown`` or ``wrong-name``.

    `status` is 0 without an answer; `outcome` is ``accepted``, or why it was not.
    """

    at: float
    platform_at: float
    response_id: str
    name: str
    kind: str
    status: int
    outcome: str


class RequestEntry(Struct, frozen=True):
    """One call to us; `code` is its resultCode, empty where the answer had none. Never a header or a body."""

    at: float
    platform_at: float
    operation: str
    status: int
    code: str


class Log:
    """All that was done since the start; of requests the last 100,000."""

    def __init__(self) -> None:
        self.exports: list[ExportEntry] = []
        self.callbacks: list[CallbackEntry] = []
        self.requests: deque[RequestEntry] = deque(maxlen=_KEPT)
