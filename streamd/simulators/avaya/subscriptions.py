"""Keep access tokens and subscriptions, with their expiry (P:auth, P:notif; section 5, rows 1, 2 and 7).

All times called `now` are seconds of trio's clock. A subscription lives as long as the token that was
presented when it was created or renewed.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from streamd.simulators.switches import Switches


@dataclass
class Token:
    """One access token; its text is never shown."""

    account: str
    expires_at: float


class Tokens:
    """The tokens that were handed out, by their text; refresh tokens never expire here."""

    def __init__(self, rng: random.Random) -> None:
        self._random = rng
        self._access: dict[str, Token] = {}
        self._refresh: dict[str, str] = {}
        self._latest: dict[str, tuple[str, str]] = {}

    def issue(self, account: str, seconds: float, now: float, *, cached: bool) -> tuple[str, str, int]:
        """Return an access token, a refresh token and the whole seconds that the first one lives."""
        if cached and account in self._latest:
            access, refresh = self._latest[account]
            left = self._access[access].expires_at - now
            if left > 0:
                return access, refresh, int(left)
        access, refresh = self._text(), self._text()
        self._access[access] = Token(account, now + seconds)
        self._refresh[refresh] = account
        self._latest[account] = (access, refresh)
        return access, refresh, int(seconds)

    def valid(self, text: str, now: float) -> Token | None:
        """Return the token, None when it was never handed out or has expired."""
        token = self._access.get(text)
        return token if token is not None and now < token.expires_at else None

    def may_refresh(self, refresh: str, account: str) -> bool:
        return self._refresh.get(refresh) == account

    def expire_all(self, now: float) -> None:
        for token in self._access.values():
            token.expires_at = min(token.expires_at, now)

    def _text(self) -> str:
        return f"eyJhbGciOiJub25lIn0.{self._random.getrandbits(512):0128x}"


@dataclass(eq=False)
class Subscription:
    """One subscription of the ANALYTICS family, i.e. one producer and one socket."""

    id: str
    account: str
    producer: str
    events: Sequence[str]
    extensions: dict[str, str]
    endpoint: str
    ping_interval: int
    created_ns: int
    pending_until: float
    expires_at: float
    inactive: bool = False
    snapshots: int = 0

    def status(self, now: float) -> str:
        """Return ACTIVE, INACTIVE or PENDING, the words of P:notif."""
        if self.inactive or now >= self.expires_at:
            return "INACTIVE"
        return "PENDING" if now < self.pending_until else "ACTIVE"

    def body(self, now: float, faults: Switches) -> dict[str, Any]:
        """Return the subscription as the REST calls show it."""
        left = max(0.0, self.expires_at - now)
        far = 7 * 86400 if faults.has("expires-at-far") else left
        digits = 3 if faults.has("fractions-3") else 9
        body: dict[str, Any] = {
            "subscriptionId": self.id,
            "createdAt": _timestamp(self.created_ns, digits),
            "expiresAt": _timestamp(time.time_ns() + int(far * 1e9), digits),
            "expiresIn": int(left),
            "status": self.status(now),
            "family": "ANALYTICS",
            "events": list(self.events),
            "transport": {
                "type": "WEBSOCKET",
                "endpoint": self.endpoint,
                "authTokenHeader": "auth-token",
                "pingInterval": self.ping_interval,
            },
            "extensions": dict(self.extensions),
        }
        if faults.has("extra-fields"):
            body["revision"] = {"number": 7, "labels": ["beta"]}
        return body


def new_id(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _timestamp(nanoseconds: int, digits: int) -> str:
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{f'{fraction:09d}'[:digits]}Z"
