"""Keep the streaming subscriptions of the group: at most one for each data type (section 2)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from streamd.simulators.omilia.times import spell
from streamd.simulators.omilia.validation import Delivery, Wanted

if TYPE_CHECKING:
    from streamd.simulators.omilia.streaming import Streaming

_ELSEWHERE = Delivery(
    "https", "https://elsewhere.example/in", "oauth2", "other", "other", "https://elsewhere.example/t", "", {}
)


class Subscription:
    """One subscription; `streaming` pushes it, except where `foreign`: then its client is not ours.

    `hidden` ones were created by another user, and are not listed. `created_at` by the simulated clock.
    """

    def __init__(
        self, wanted: Wanted, created_at: float, *, foreign: bool = False, hidden: bool = False
    ) -> None:
        self.id = str(uuid.uuid4())
        self.data_type, self.schema_name, self.delivery = (
            wanted.data_type,
            wanted.schema_name,
            wanted.delivery,
        )
        self.created_at = created_at
        self.foreign, self.hidden = foreign, hidden
        self.previous_secret = ""
        self.streaming: Streaming | None = None

    def __repr__(self) -> str:
        return f"<Subscription {self.schema_name} of {self.data_type}{' (foreign)' if self.foreign else ''}>"

    def to_wire(self, digits: float) -> dict[str, Any]:
        return {
            "data_type": self.data_type,
            "schema_name": self.schema_name,
            "created_at": spell(self.created_at, digits),
            "subscription_id": self.id,
            "delivery": {"type": self.delivery.type, "path": self.delivery.path},
        }


class Subscriptions:
    """Those that run, oldest first."""

    def __init__(self) -> None:
        self.running: list[Subscription] = []
        self._freed: dict[str, float] = {}
        self._secrets: dict[str, str] = {}

    def of_type(self, data_type: str) -> Subscription | None:
        return next((each for each in self.running if each.data_type == data_type), None)

    def find(self, identifier: str) -> Subscription | None:
        """Return what the client may see and delete by this id."""
        return next((each for each in self.running if each.id == identifier and not each.hidden), None)

    def listed(self) -> list[Subscription]:
        return [each for each in self.running if not each.hidden]

    def is_taken(self, data_type: str, now: float, held_seconds: float) -> bool:
        """Tell whether the slot is in use, or was until less than `held_seconds` ago."""
        freed = self._freed.get(data_type)
        return self.of_type(data_type) is not None or (freed is not None and now < freed + held_seconds)

    def add(self, wanted: Wanted, now: float) -> Subscription:
        subscription = Subscription(wanted, now)
        subscription.previous_secret = self._secrets.get(wanted.data_type, "")
        self._secrets[wanted.data_type] = wanted.delivery.auth_secret
        self.running.append(subscription)
        return subscription

    def add_foreign(self, data_type: str, now: float, *, hidden: bool) -> None:
        """Let somebody else take a slot, if it is free."""
        if self.of_type(data_type) is None:
            wanted = Wanted(data_type, f"other_{data_type}", _ELSEWHERE)
            self.running.append(Subscription(wanted, now, foreign=True, hidden=hidden))

    def remove(self, subscription: Subscription, now: float) -> None:
        self.running.remove(subscription)
        self._freed[subscription.data_type] = now
