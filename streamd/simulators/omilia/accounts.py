"""Know one user: his tokens, sessions at IAM and personal access token (vendors/omilia.md section 1)."""

from __future__ import annotations

import secrets
import uuid
from base64 import urlsafe_b64encode

import msgspec
import trio
from msgspec import Struct

from streamd.simulators.omilia.options import OmiliaOptions


class IamSession(Struct, frozen=True):
    """One session; every password grant opens one. Times by trio's clock: IAM knows no simulated one."""

    id: str
    refresh_token: str
    refresh_until: float
    access: dict[str, float]
    """Access token -> until when it is good."""


class Accounts:
    """Sessions that were opened and neither logged out nor ended; `opened` counts all there ever were."""

    def __init__(self, options: OmiliaOptions) -> None:
        self._options = options
        self.sessions: dict[str, IamSession] = {}
        self.opened = 0
        self.wrong_passwords = 0

    def open_session(self) -> IamSession:
        self.opened += 1
        return self._renewed(str(uuid.uuid4()), {})

    def find_refresh(self, token: str) -> IamSession | None:
        """Return the session whose refresh token this is, if it is still good."""
        now = trio.current_time()
        sessions = self.sessions.values()
        return next(
            (each for each in sessions if each.refresh_token == token and now < each.refresh_until), None
        )

    def refresh(self, session: IamSession, *, rotate: bool) -> IamSession:
        """Return the session with a new access token; with a new refresh token, too, if it is to `rotate`."""
        return self._renewed(session.id, session.access, "" if rotate else session.refresh_token)

    def close(self, refresh_token: str) -> bool:
        """End the session of a refresh token; False: there is none."""
        found = [key for key, each in self.sessions.items() if each.refresh_token == refresh_token]
        for key in found:
            del self.sessions[key]
        return bool(found)

    def knows(self, token: str, *, personal: bool) -> bool:
        """Tell whether a bearer token is good now; `personal`: personal access tokens are taken, too."""
        if personal and secrets.compare_digest(token.encode(), self._options.personal_access_token.encode()):
            return True
        now = trio.current_time()
        return any(now < each.access.get(token, 0.0) for each in self.sessions.values())

    def expire_access(self) -> None:
        """Let every access token end now; refresh tokens live on."""
        for session in self.sessions.values():
            session.access.clear()

    def _renewed(self, identifier: str, access: dict[str, float], refresh_token: str = "") -> IamSession:
        now = trio.current_time()
        for old in [token for token, until in access.items() if until <= now]:
            del access[old]
        refresh_token = refresh_token or _jwt("Refresh", self._options.username)
        access[_jwt("Bearer", self._options.username)] = now + self._options.token_seconds
        session = IamSession(identifier, refresh_token, now + self._options.refresh_seconds, access)
        self.sessions[identifier] = session
        return session


def newest_token(session: IamSession) -> str:
    return next(reversed(session.access))


def _jwt(kind: str, username: str) -> str:
    """Return what looks like a JWT of Keycloak; nobody can verify it, and it does not tell its expiry."""
    claims = {"typ": kind, "preferred_username": username, "azp": "ocp", "jti": str(uuid.uuid4())}
    parts = (b'{"alg":"RS256","typ":"JWT"}', msgspec.json.encode(claims), secrets.token_bytes(32))
    return ".".join(urlsafe_b64encode(part).decode("ascii").rstrip("=") for part in parts)
