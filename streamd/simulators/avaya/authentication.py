"""Judge the first frame of a websocket (seed; section 2 and section 5, rows 3, 5 and 6)."""

from __future__ import annotations

from typing import Any

import msgspec

from streamd.simulators.avaya.service import Service
from streamd.simulators.avaya.subscriptions import Subscription
from streamd.simulators.avaya.validation import UNREADABLE

CONFIRMED = "CONNECTION_CONFIRMED"
INVALID_TOKEN = "CONNECTION_FAILED_INVALID_TOKEN"  # noqa: S105 - a status word of the protocol
UNKNOWN_SUBSCRIPTION = "CONNECTION_FAILED_UNKNOWN_SUBSCRIPTION"
INTERNAL_SERVER_ERROR = "CONNECTION_FAILED_INTERNAL_SERVER_ERROR"
CONSTRAINT_VIOLATION = "CONNECTION_FAILED_CONSTRAINT_VIOLATION"
NO_REPLY = ""

# A well-formed frame meets these first; each strikes as often as its switch says.
_FORCED = {
    "auth-no-reply": NO_REPLY,
    "auth-internal-error": INTERNAL_SERVER_ERROR,
    "auth-constraint-violation": CONSTRAINT_VIOLATION,
    "auth-unknown-status": "CONNECTION_FAILED_TENANT_MIGRATED",
    "unknown-subscription": UNKNOWN_SUBSCRIPTION,
    "invalid-token": INVALID_TOKEN,
}


def judge(service: Service, text: str, url_subscription: str, now: float) -> tuple[str, Subscription | None]:
    """Return the status of the reply to `text` and, when it is confirmed, the subscription.

    `url_subscription` is the id in the endpoint's path, used when the frame names none (I).
    """
    frame = _decode(text)
    if frame is None:
        return CONSTRAINT_VIOLATION, None
    for switch, status in _FORCED.items():
        if service.faults.spend(switch):
            return status, None
    token = service.tokens.valid(frame["token"], now)
    if token is None:
        return INVALID_TOKEN, None
    subscription = service.subscriptions.get(frame.get("subscriptionId") or url_subscription)
    if subscription is None or subscription.status(now) != "ACTIVE":
        return UNKNOWN_SUBSCRIPTION, None
    if subscription.account != token.account:
        return INVALID_TOKEN, None
    return CONFIRMED, subscription


def take_place(service: Service, subscription: Subscription) -> bool:
    """Settle who may listen when the subscription has a socket already (row 10); False: not the new one."""
    others = [each for each in service.sessions if each.subscription is subscription]
    if others and service.faults.has("second-refused"):
        return False
    if service.faults.has("second-replaces"):
        for other in others:
            other.close()
    return True


def reply(service: Service, status: str) -> bytes:
    """Return the reply in the seed's spelling, or in that of the one real capture (P:disc)."""
    event = "AUTHENTICATION_RESPONSE" if service.faults.has("auth-reply-upper") else "authenticationResponse"
    body: dict[str, Any] = {"event": event, "status": status}
    if service.faults.has("extra-fields"):
        body["serverRegion"] = "simulated"
    return msgspec.json.encode(body)


def _decode(text: str) -> dict[str, Any] | None:
    try:
        frame = msgspec.json.decode(text)
    except UNREADABLE:
        return None
    if not isinstance(frame, dict) or frame.get("event") != "authentication":
        return None
    if not isinstance(frame.get("token"), str) or not isinstance(frame.get("subscriptionId", ""), str):
        return None
    return frame
