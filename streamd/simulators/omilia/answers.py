"""Say no as exports-api does, as far as anybody knows, and as gateways before it do."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from streamd.simulators.http import Headers, Response, ok
from streamd.simulators.switches import Switches

_HTML = b"<!DOCTYPE html><html><body><h1>%s</h1></body></html>"


def refusal(faults: Switches, status: int, message: str, headers: Headers = ()) -> Response:
    """Return an answer with a message; its shape is that of other APIs of the platform (P-MET)."""
    body = {"error": True, "code": status, "message": message}
    shape = body if faults.has("error-body-old") else {"message": message}
    return msgspec.structs.replace(ok(shape, status), headers=headers)


def conflict(faults: Switches, message: str) -> Response:
    return refusal(faults, 400 if faults.has("conflict-400") else 409, message)


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
    "failed-402": _refused(402),
    "forbidden-403": _refused(403),
    "limited-429": _refused(429, [("Retry-After", "1")]),
    "limited-429-bare": _refused(429),
    "error-500": _refused(500),
    "unavailable-503": _refused(503, [("Retry-After", "1")]),
    "error-empty": lambda _: Response(500),
    "gateway-html": lambda _: Response(502, _HTML % b"Bad Gateway", "text/html"),
}
