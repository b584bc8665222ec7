"""Record what was pushed and how it was answered, what tokens were asked for, and what was asked of us."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from streamd.simulators.omilia.subscriptions import Subscription

_KEPT = 100_000  # requests and token calls


class DeliveryEntry(Struct, frozen=True, gc=False):
    """One attempt to push one body.

    `at` is time.time(), `platform_at` the simulated clock, `seconds` how long the attempt took (real).
    `stream` is ``live`` or ``reconciliation``, `records` the numbers of the records in it, `odd` how many
    things it held that are no records of the truth. `status` is 0 without an answer. `outcome` is
    ``accepted``, or why it was not.
    """

    at: float
    platform_at: float
    seconds: float
    subscription_id: str
    data_type: str
    schema_name: str
    stream: str
    session_id: str
    sequence: int
    records: Sequence[int]
    odd: int
    bytes: int
    status: int
    outcome: str

    @property
    def accepted(self) -> bool:
        return self.outcome == "accepted"


class TokenEntry(Struct, frozen=True):
    """One call to the client's token endpoint: `outcome` is ``token``, or why there is none."""

    at: float
    subscription_id: str
    data_type: str
    form: str
    status: int
    outcome: str


class RequestEntry(Struct, frozen=True):
    """One HTTP request to us; never a header, a body or a query. `api` is ``iam`` or ``exports``."""

    at: float
    api: str
    method: str
    path: str
    status: int


class Log:
    """`deliveries` only where they are kept; `pushed` and `accepted` count records in any case."""

    def __init__(self, keep: bool) -> None:
        self.deliveries: list[DeliveryEntry] = []
        self.tokens: deque[TokenEntry] = deque(maxlen=_KEPT)
        self.requests: deque[RequestEntry] = deque(maxlen=_KEPT)
        self.pushed = self.accepted = 0
        self._keep = keep

    def delivered(self, entry: DeliveryEntry) -> None:
        self.pushed += len(entry.records)
        if entry.accepted:
            self.accepted += len(entry.records)
        if self._keep:
            self.deliveries.append(entry)

    def token_called(self, subscription: Subscription, form: str, status: int, outcome: str) -> None:
        entry = TokenEntry(time.time(), subscription.id, subscription.data_type, form, status, outcome)
        self.tokens.append(entry)

    def requested(self, api: str, method: str, path: str, status: int) -> None:
        self.requests.append(RequestEntry(time.time(), api, method, path, status))
