"""Say no as O2G does (section 1.11), and as proxies before it do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from streamd.simulators.http import Headers, Request, Response, ok
from streamd.simulators.o2g.accounts import Session
from streamd.simulators.o2g.host import Host
from streamd.simulators.o2g.service import Service
from streamd.simulators.o2g.wire import error_body
from streamd.simulators.switches import Switches

_STATUS = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    429: "TOO_MANY_REQUESTS",
    500: "INTERNAL_SERVER_ERROR",
    503: "SERVICE_UNAVAILABLE",
}
_HTML = b"<!DOCTYPE html><html><body><h1>%s</h1></body></html>"


class Call(NamedTuple):
    """One REST call of a session: what was asked, with the named parts of its path, and of whom."""

    service: Service
    host: Host
    session: Session
    request: Request
    parts: Mapping[str, str]

    @property
    def faults(self) -> Switches:
        return self.service.faults


def refusal(faults: Switches, status: int, message: str, headers: Headers = ()) -> Response:
    """Return an answer with ErrorInfo."""
    body = error_body(status, _STATUS[status], message, faults.has("error-type-capital"))
    return msgspec.structs.replace(ok(body, status), headers=headers)


def link_down(faults: Switches) -> Response:
    """Return what is answered on telephony while OXE cannot be reached (inferred)."""
    body = error_body(503, _STATUS[503], "OXE cannot be reached", faults.has("error-type-capital"))
    telephony = {"errorType": "SERVICE_UNAVAILABLE", "errorCause": "UNKNOWN", "message": "no link"}
    return ok({**body, "telephony": telephony}, 503)


def forced(faults: Switches, operation: str) -> Response | None:
    """Return what a switch puts in the place of the answer to `operation`, if one strikes now."""
    for name, make in _FORCED.items():
        if faults.spend(name, operation):
            return make(faults)
    return None


def _refused(status: int, headers: Headers = ()) -> Callable[[Switches], Response]:
    return lambda faults: refusal(faults, status, "simulated", headers)


_FORCED: Mapping[str, Callable[[Switches], Response]] = {
    "unauthorized-401": _refused(401),
    "forbidden-403": _refused(403),
    "missing-404": _refused(404),
    "error-500": _refused(500),
    "unavailable-503": _refused(503, [("Retry-After", "1")]),
    "limited-429": _refused(429, [("Retry-After", "1")]),
    "unauthorized-html": lambda _: Response(401, _HTML % b"Unauthorized", "text/html"),
    "error-empty": lambda _: Response(500),
    "gateway-html": lambda _: Response(502, _HTML % b"Bad Gateway", "text/html"),
}
