"""Answer as CC-FS does, and as gateways before it do (sections 1, 2 and 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from streamd.simulators.http import Response
from streamd.simulators.huawei_aicc.vocabulary import DESCRIPTIONS, SUCCESS
from streamd.simulators.switches import Switches

JSON_TYPE = "application/json;charset=UTF-8"
_HTML = b"<!DOCTYPE html><html><body><h1>%s</h1></body></html>"


class Refused(Exception):
    """A call gets this resultCode."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(code)
        self.code, self.text = code, text


def success(faults: Switches, data: Mapping[str, Any]) -> Response:
    return _result(faults, {"resultData": data}, SUCCESS, "success")


def refusal(faults: Switches, refused: Refused) -> Response:
    """Return an error; those of CC-FS come with 200."""
    data: dict[str, Any] = {}
    if not faults.has("error-data-absent"):
        data["resultData"] = "" if faults.has("error-data-empty") else None
    return _result(faults, data, refused.code, refused.text or DESCRIPTIONS[refused.code])


def error(status: int, now: float, path: str) -> Response:
    """Return 401 or 403 as the server's framework words it (P4, P5)."""
    body = {
        "timestamp": int(now * 1000),
        "status": status,
        "error": HTTPStatus(status).phrase,
        "message": "No message available",
        "path": path,
    }
    return Response(status, msgspec.json.encode(body), JSON_TYPE)


def gateway(faults: Switches, operation: str) -> Response | None:
    """Return what something before CC-FS answers in its place, if a switch strikes now."""
    for name, make in _GATEWAY.items():
        if faults.spend(name, operation):
            return make()
    return None


def _result(faults: Switches, data: Mapping[str, Any], code: str, text: str) -> Response:
    body: dict[str, Any] = {**data, "resultCode": code, "resultDesc": text}
    if faults.has("response-too"):
        body["response"] = {"version": "2.0", "resultCode": code, "resultMsg": text}
    return Response(200, msgspec.json.encode(body), JSON_TYPE)


def _html(status: int, text: bytes, headers: tuple[tuple[str, str], ...] = ()) -> Callable[[], Response]:
    return lambda: Response(status, _HTML % text, "text/html", headers)


_GATEWAY: Mapping[str, Callable[[], Response]] = {
    "gateway-403": _html(403, b"Forbidden"),
    "gateway-418": _html(418, b"Request blocked"),
    "gateway-429": _html(429, b"Too Many Requests", (("Retry-After", "1"),)),
    "gateway-502": _html(502, b"Bad Gateway"),
    "gateway-200": _html(200, b"Please log in"),
    "error-empty": lambda: Response(500),
}
