"""Shape problem bodies (P:auth, P:notif, P:prod, P:err)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from streamd.simulators.http import Headers, Response

_DOCS = "https://developers.avayacloud.com/onecloud-ccaas/docs/error-handling"
_HOW_TO_AUTHENTICATE = (
    "This operation requires authentication. "
    "See https://developers.avayacloud.com/onecloud-ccaas/docs/how-to-authenticate-with-ccaas-apis"
)

# status -> type fragment, title, detail: the words of the documents; 429 and 503 are inferred.
_PROBLEMS = {
    400: (
        "constraint-violation",
        "Constraint Violation",
        "A problem that indicates a syntactically correct, yet semantically illegal request. "
        "The Server can not process this request until the client resolves the semantic errors "
        "described in the violations section.",
    ),
    401: ("unauthorized", "Unauthorized", _HOW_TO_AUTHENTICATE),
    403: (
        "forbidden",
        "Forbidden",
        "According to the access control policy the current user and/or accountId does not have "
        "permission to access this resource.",
    ),
    404: ("resource-not-found", "Resource Not Found", "Resource not found."),
    415: (
        "conflict",
        "Conflict",
        "The media-type in Content-type of the request is not supported by the server.",
    ),
    429: ("too-many-requests", "Too Many Requests", "Spike limit exceeded."),
    500: ("server-error", "Server Error", "An internal server error was encountered."),
}


class Violation(Struct, frozen=True):
    """One mistake in a request; of the codes only 20002 (null) and 20006 (pattern) are published."""

    field: str
    message: str
    code: int


def problem(
    status: int,
    instance: str,
    *,
    suffix: str = "",
    violations: Sequence[Violation] = (),
    headers: Headers = (),
    status_as_string: bool = False,
) -> Response:
    """Return an application/problem+json response; `suffix` ends the detail, as P:err shows for 401."""
    fragment, title, detail = _PROBLEMS[status]
    body: dict[str, Any] = {
        "type": f"{_DOCS}#{fragment}",
        "title": title,
        "status": str(status) if status_as_string else status,
        "detail": f"{detail} {suffix}".rstrip(),
        "instance": instance,
    }
    if violations:
        body["violations"] = violations
    return Response(status, msgspec.json.encode(body), "application/problem+json", headers)
