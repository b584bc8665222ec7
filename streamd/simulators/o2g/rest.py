"""Answer the REST calls of one host (vendors/o2g.md sections 1.1 to 1.9).

What is no call of the documents is a 404. Undocumented choices: see the package.
"""

from __future__ import annotations

import re
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from urllib.parse import unquote

import msgspec

from streamd.simulators.http import Request, Response
from streamd.simulators.o2g import monitoring, sessions
from streamd.simulators.o2g.answers import Call, forced, refusal
from streamd.simulators.o2g.host import Host
from streamd.simulators.o2g.log import RequestEntry
from streamd.simulators.o2g.service import Service

_ROOT = "/api/rest"
_V1 = f"{_ROOT}/1.0"
_SESSIONS = f"{_V1}/sessions"

Handler = Callable[[Call], Response]


class RestApi:
    """The REST side of `host`."""

    def __init__(self, service: Service, host: Host) -> None:
        self._service, self._host = service, host

    def respond(self, request: Request) -> Response:
        """Answer `request` and log it."""
        response = self._route(request)
        drip = self._service.faults.number("slow-body")
        if drip:
            response = msgspec.structs.replace(response, drip_seconds=drip)
        path = re.sub(r"(/subscriptions/).+", r"\1…", request.path)
        entry = RequestEntry(time.time(), self._host.number, request.method, path, response.status)
        self._service.requests.append(entry)
        self._service.wake()
        return response

    def _route(self, request: Request) -> Response:
        faults = self._service.faults
        if request.path == _ROOT:
            if request.method != "GET":
                return refusal(faults, 405, "GET only")
            return forced(faults, "info") or sessions.server_info(self._service, self._host)
        if request.path == f"{_ROOT}/authenticate":
            return forced(faults, "authenticate") or self._authenticate(request)
        if (request.method, request.path) == ("POST", _SESSIONS):
            return forced(faults, "session") or self._open_session(request)
        for method, pattern, operation, handler in _ROUTES:
            match = pattern.fullmatch(request.path)
            if match is not None and method == request.method:
                parts = {name: unquote(value) for name, value in match.groupdict().items()}
                return forced(faults, operation) or self._call(handler, request, parts)
        return refusal(faults, 404, "no such resource")

    def _authenticate(self, request: Request) -> Response:
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return refusal(self._service.faults, 401, "credentials are needed")
        try:
            login, _, password = b64decode(text, validate=True).decode("utf-8").partition(":")
        except ValueError:
            return refusal(self._service.faults, 401, "credentials are needed")
        return sessions.authenticate(self._service, self._host, login, password)

    def _open_session(self, request: Request) -> Response:
        token = _cookies(request).get("AlcUserId", "")
        if token not in self._host.accounts.tokens:
            return self._no_token()
        return sessions.open_session(self._service, self._host, token, request)

    def _call(self, handler: Handler, request: Request, parts: Mapping[str, str]) -> Response:
        """Let `handler` answer for the session of the cookies, whose timer the call resets."""
        faults, accounts = self._service.faults, self._host.accounts
        cookies = _cookies(request)
        token, session_id = cookies.get("AlcUserId", ""), cookies.get("JSESSIONID", "")
        if token not in accounts.tokens:
            return self._no_token()
        if not session_id and faults.has("jsessionid-required"):
            return refusal(faults, 403, "no JSESSIONID")
        session = accounts.find(token, session_id)
        if session is None:
            status = 401 if faults.has("expired-401") else 404 if faults.has("expired-404") else 403
            return refusal(faults, status, "no session")
        accounts.touch(session)
        return handler(Call(self._service, self._host, session, request, parts))

    def _no_token(self) -> Response:
        faults = self._service.faults
        return refusal(faults, 401 if faults.has("expired-401") else 403, "no valid token")


def _cookies(request: Request) -> dict[str, str]:
    pairs = (each.strip().partition("=") for each in request.headers.get("cookie", "").split(";"))
    return {name: value for name, _, value in pairs if name}


def _keepalive(_call: Call) -> Response:
    return Response(204)


def _routes(*rows: tuple[str, str, str, Handler]) -> list[tuple[str, re.Pattern[str], str, Handler]]:
    return [(method, re.compile(_V1 + path), operation, handler) for method, path, operation, handler in rows]


# method, path, the operation that a switch can name, handler
_ROUTES = _routes(
    ("GET", r"/sessions", "session", sessions.session_info),
    ("DELETE", r"/sessions", "logout", sessions.close_session),
    ("POST", r"/sessions/keepalive", "keepalive", _keepalive),
    ("GET", r"/logins", "logins", monitoring.logins),
    ("GET", r"/users/(?P<login>[^/]+)", "users", monitoring.user),
    ("POST", r"/subscriptions/?", "subscribe", sessions.subscribe),
    ("DELETE", r"/subscriptions/(?P<subscription>[^/]+)", "unsubscribe", sessions.unsubscribe),
    ("POST", r"/telephony/state/snapshot", "snapshot", monitoring.telephony_snapshot),
    ("GET", r"/telephony/state", "state", monitoring.telephony_state),
    ("GET", r"/telephony/calls", "state", monitoring.calls),
    ("POST", r"/acd/agent/state/snapshot", "agent", monitoring.agent_snapshot),
    ("GET", r"/acd/agent/state", "agent", monitoring.agent_state),
    ("GET", r"/acd/agent/config", "agent", monitoring.agent_config),
    ("POST", r"/routing/state/snapshot", "routing", monitoring.routing_snapshot),
    ("GET", r"/routing/state", "routing", monitoring.routing_state),
    ("GET", r"/eventsummary", "state", monitoring.event_summary),
    ("POST", r"/acd/pilot/(?P<pilot>[^/]+)", "pilot", monitoring.monitor_pilot),
    ("DELETE", r"/acd/pilot/(?P<pilot>[^/]+)", "pilot", monitoring.leave_pilot),
    ("POST", r"/acd/rti/ctx", "rti", monitoring.set_context),
    ("GET", r"/acd/rti/ctx", "rti", monitoring.get_context),
    ("DELETE", r"/acd/rti/ctx", "rti", monitoring.delete_context),
    ("POST", r"/acd/rti/snapshot", "rti", monitoring.start_context),
    ("GET", r"/acd/rti/(?P<what>agents|pilots|queues|pgAgents|pgOthers)", "rti", monitoring.rti_numbers),
)
