"""Keep the tokens and sessions of one O2G server, or of a pair that shares them (sections 1.2 to 1.4)."""

from __future__ import annotations

import hashlib
import hmac
import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import trio

from streamd.simulators.o2g.options import O2gOptions
from streamd.simulators.o2g.realtime import RtiContext
from streamd.simulators.o2g.subscriptions import Subscription
from streamd.simulators.o2g.wire import Line
from streamd.simulators.switches import Switches

_KEY = b"simulated"


@dataclass(eq=False)
class Session:
    """One session; `expires_at` is on trio's clock, `id` is its JSESSIONID."""

    id: str
    login: str
    token: str
    admin: bool
    seconds: float
    created: datetime
    expires_at: float
    pilots: set[str] = field(default_factory=set)
    context: RtiContext | None = None
    snapshots: set[str] = field(default_factory=set)

    def __repr__(self) -> str:
        return f"<Session of {self.login}>"


class Accounts:
    """Tokens, sessions and subscriptions. A restart forgets them all."""

    def __init__(self, options: O2gOptions) -> None:
        self.options = options
        self.tokens: dict[str, str] = {}
        self.sessions: dict[str, Session] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.wrong_passwords: dict[str, int] = {}
        self._made = 0

    def new_token(self, login: str) -> str:
        token = self._jwt({"sub": login, "iat": int(time.time()), "jti": self._next()})
        self.tokens[token] = login
        return token

    def new_subscription_id(self) -> str:
        return self._jwt({"sid": self._next(), "iat": int(time.time())})

    def open_session(self, token: str, faults: Switches) -> Session:
        """Open a session for the holder of `token`."""
        seconds = faults.number("session-seconds", self.options.session_seconds)
        login = self.tokens[token]
        made = hashlib.blake2b(f"{self._next()}{time.time_ns()}".encode(), digest_size=16).hexdigest().upper()
        session = Session(made, login, token, login == self.options.login, seconds, datetime.now(UTC), 0.0)
        self.sessions[session.id] = session
        self.touch(session)
        return session

    def touch(self, session: Session) -> None:
        """Reset the session's timer, as any request does (seed, chapter 5)."""
        session.expires_at = trio.current_time() + session.seconds / self.options.time_scale

    def find(self, token: str, session_id: str) -> Session | None:
        """Return the living session of the cookies; without its id, the newest of that token."""
        now = trio.current_time()
        living = [each for each in self.sessions.values() if each.token == token and each.expires_at > now]
        if session_id:
            return next((each for each in living if each.id == session_id), None)
        return living[-1] if living else None

    def end(self, session: Session, *, keep_channels: bool = False) -> None:
        """End a session and its subscriptions, and their channels unless they are to stream on."""
        self.sessions.pop(session.id, None)
        for subscription in list(self.subscriptions.values()):
            if subscription.session is session:
                self.end_subscription(subscription, keep_channels=keep_channels)

    def end_subscription(self, subscription: Subscription, *, keep_channels: bool = False) -> None:
        subscription.ended = True
        if not (keep_channels and subscription.channels):
            self.subscriptions.pop(subscription.id, None)
        if not keep_channels:
            for channel in list(subscription.channels):
                channel.end("clean")

    def end_expired(self, *, keep_channels: bool) -> None:
        """End the sessions whose time is over."""
        now = trio.current_time()
        for session in [each for each in self.sessions.values() if each.expires_at <= now]:
            self.end(session, keep_channels=keep_channels)

    def forget(self) -> None:
        """Forget everything, as a server that restarts does; channels end with RST."""
        for subscription in list(self.subscriptions.values()):
            subscription.ended = True
            for channel in list(subscription.channels):
                channel.end("rst")
        self.tokens.clear()
        self.sessions.clear()
        self.subscriptions.clear()

    def deliver(self, lines: Sequence[Line]) -> set[int]:
        """Hand `lines` to all who hear them; return the `id()`s of those that a channel took."""
        taken: set[int] = set()
        for subscription in list(self.subscriptions.values()):
            mine = [each for each in lines if subscription.hears(each)]
            if mine and subscription.offer(mine):
                taken.update(map(id, mine))
        return taken

    def deliver_to(self, session: Session, lines: Sequence[Line]) -> None:
        """Hand `lines` to the subscriptions of one session that hear them."""
        for subscription in list(self.subscriptions.values()):
            if subscription.session is session:
                mine = [each for each in lines if subscription.hears(each)]
                if mine:
                    subscription.offer(mine)

    def _next(self) -> int:
        self._made += 1
        return self._made

    def _jwt(self, claims: dict[str, Any]) -> str:
        parts = [_base64(msgspec.json.encode(each)) for each in ({"alg": "HS256", "typ": "JWT"}, claims)]
        signed = ".".join(parts)
        key = _KEY + str(id(self)).encode()  # another server's tokens mean nothing here
        return f"{signed}.{_base64(hmac.digest(key, signed.encode(), 'sha256'))}"


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
