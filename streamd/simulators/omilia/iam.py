"""Answer as IAM, a Keycloak, does: password grant, refresh, logout (vendors/omilia.md section 1)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec

from streamd.simulators.http import Request, Response, ok
from streamd.simulators.omilia.accounts import IamSession, newest_token
from streamd.simulators.omilia.answers import forced
from streamd.simulators.omilia.service import Service

_CLIENT = "ocp"


class Iam:
    """The REST side of IAM."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def respond(self, request: Request) -> Response:
        """Answer `request`; what is no call of the documents is a 404."""
        faults = self._service.faults
        realm = "ocp" if faults.has("realm-ocp") else self._service.options.realm
        root = f"/auth/realms/{realm}/protocol/openid-connect"
        if request.method != "POST" or request.path not in (f"{root}/token", f"{root}/logout"):
            return ok({"error": "Realm does not exist"}, 404)
        form = _form(request)
        if form is None:
            return _error(400, "invalid_request", "Missing form parameter: grant_type")
        if form.get("client_id") != _CLIENT:
            return _error(401, "invalid_client", "Invalid client or Invalid client credentials")
        if request.path == f"{root}/logout":
            return forced(faults, "logout") or self._log_out(form)
        match form.get("grant_type"):
            case "password":
                return forced(faults, "token") or self._log_in(form)
            case "refresh_token":
                return forced(faults, "refresh") or self._refresh(form)
        return _error(400, "unsupported_grant_type", "Unsupported grant_type")

    def _log_in(self, form: Mapping[str, str]) -> Response:
        options, accounts, faults = self._service.options, self._service.accounts, self._service.faults
        locked = faults.has("account-locks") and accounts.wrong_passwords >= faults.number("account-locks")
        right = form.get("username") == options.username and _same(form.get("password"), options.password)
        if not right:
            accounts.wrong_passwords += 1
        if locked or not right or (faults.has("otp-required") and not _same(form.get("otp"), options.otp)):
            return _error(401, "invalid_grant", "Invalid user credentials")
        accounts.wrong_passwords = 0
        return self._tokens(accounts.open_session())

    def _refresh(self, form: Mapping[str, str]) -> Response:
        accounts, faults = self._service.accounts, self._service.faults
        session = accounts.find_refresh(form.get("refresh_token", ""))
        if session is None or faults.spend("refresh-expired"):
            return _error(400, "invalid_grant", "Token is not active")
        return self._tokens(accounts.refresh(session, rotate=faults.has("refresh-rotates")))

    def _log_out(self, form: Mapping[str, str]) -> Response:
        if self._service.accounts.close(form.get("refresh_token", "")):
            return Response(204)
        return _error(400, "invalid_grant", "Invalid refresh token")

    def _tokens(self, session: IamSession) -> Response:
        options = self._service.options
        body = {
            "access_token": newest_token(session),
            "expires_in": _number(options.token_seconds),
            "refresh_expires_in": _number(options.refresh_seconds),
            "refresh_token": session.refresh_token,
            "token_type": "bearer",
            "not-before-policy": 0,
            "session_state": session.id,
            "scope": "openid",
        }
        return msgspec.structs.replace(ok(body), headers=[("Cache-Control", "no-store")])


def _number(seconds: float) -> float:
    """Return whole seconds as Keycloak spells them."""
    return int(seconds) if seconds == int(seconds) else seconds


def _same(given: str | None, known: str) -> bool:
    return secrets.compare_digest((given or "").encode(), known.encode())


def _form(request: Request) -> dict[str, str] | None:
    """Return the form in the body; None: it is none. The seed's sample sends JSON, which Keycloak refuses."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return None
    try:
        return dict(parse_qsl(request.body.decode("utf-8"), keep_blank_values=True))
    except UnicodeDecodeError:
        return None


def _error(status: int, error: str, description: str) -> Response:
    return ok({"error": error, "error_description": description}, status)
