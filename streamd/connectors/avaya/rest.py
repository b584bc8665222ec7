"""Avaya's REST answers as Structs, read leniently (P:auth: Auth 1.0.2; P:notif: Notification 1.0.1)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from streamd.errors import ProtocolViolation

T = TypeVar("T")
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Token(Struct):
    """What the token endpoint gives. The refresh token is not used; the life is the documented one where
    it is not told."""

    access_token: str
    expires_in: float = 900.0
    refresh_token: Any = None


class Transport(Struct, frozen=True, rename="camel"):
    """How a subscription is delivered; `endpoint` is to be taken as it is."""

    endpoint: str | None = None
    ping_interval: float | None = None


class Subscription(Struct, rename="camel"):
    """A subscription. `expires_in` is in seconds from the answer; `expiresAt` contradicts it in Avaya's own
    examples and is not read."""

    subscription_id: str
    status: str = ""
    expires_in: float | None = None
    created_at: Any = None
    transport: Transport | None = None
    extensions: dict[str, Any] | None = None

    @property
    def endpoint(self) -> str | None:
        """Give the websocket's URL."""
        return self.transport.endpoint if self.transport is not None else None

    @property
    def ping_interval(self) -> float | None:
        """Give the most seconds that the server tolerates between our pings."""
        return self.transport.ping_interval if self.transport is not None else None

    def created_after(self, moment: datetime) -> bool:
        """Say whether it was certainly created after `moment` (aware)."""
        try:
            created = msgspec.convert(self.created_at, datetime)
        except msgspec.ValidationError:
            return False
        return created.tzinfo is not None and created > moment


class Problem(Struct):
    """An `application/problem+json` body; `status` in it may be a number or a string and is not needed."""

    title: Any = None
    detail: Any = None
    violations: Any = None


_token = msgspec.json.Decoder(Token, strict=False).decode
_subscription = msgspec.json.Decoder(Subscription, strict=False).decode
_any = msgspec.json.Decoder().decode
_problem = msgspec.json.Decoder(Problem).decode


def read_token(body: bytes) -> Token:
    """Read the answer of the token endpoint; raises ProtocolViolation, never with the body."""
    return read_body(_token, body, "the token endpoint's answer")


def read_subscription(body: bytes) -> Subscription:
    """Read one subscription; raises ProtocolViolation."""
    return read_body(_subscription, body, "the subscription")


def read_subscriptions(body: bytes) -> list[Subscription]:
    """Read a page of the list; raises ProtocolViolation."""
    return read_list(Subscription, body, "the list of subscriptions")


def read_list(item: type[T], body: bytes, what: str) -> list[T]:
    """Read a list, bare or in an envelope whose field names are not documented; raises ProtocolViolation."""
    page = read_body(_any, body, what)
    if isinstance(page, dict):
        page = next((value for value in page.values() if isinstance(value, list)), [])
    try:
        return msgspec.convert(page, list[item], strict=False)  # type: ignore[valid-type]
    except msgspec.ValidationError:
        raise ProtocolViolation(f"{what} cannot be read") from None


def read_body(decode: Callable[[bytes], T], body: bytes, what: str) -> T:
    """Decode a body; raises ProtocolViolation naming it as `what`."""
    try:
        return decode(body)
    except _UNREADABLE:
        # Without the cause: msgspec quotes what it could not read, and a token may stand there.
        raise ProtocolViolation(f"{what} cannot be read") from None


def problem_text(body: bytes) -> str:
    """Give what a problem body says: the codes of violations, which are stable, and detail or title.

    A body may also be a gateway's HTML: then there is nothing to say.
    """
    try:
        problem = _problem(body)
    except _UNREADABLE:
        return ""
    text = next((part for part in (problem.detail, problem.title) if isinstance(part, str)), "")
    codes = _violation_codes(problem.violations)
    return f"{codes}{text}"


def _violation_codes(violations: Any) -> str:
    if not isinstance(violations, list):
        return ""
    named = [
        f"{violation.get('field', '?')}: {violation.get('code', '?')}"
        for violation in violations[:5]
        if isinstance(violation, dict)
    ]
    return f"{', '.join(named)}; " if named else ""
