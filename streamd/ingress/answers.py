"""What the ingress itself answers: a JSON object always, for Omilia takes nothing else (contract, 3b)."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from streamd.transport.exchange import Response

RETRY_SECONDS = 5


def refusal(status: HTTPStatus) -> Response:
    """Make the answer for a request that is not served: its status in words, and nothing of the inside."""
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_SECONDS)
    if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        headers["Accept-Encoding"] = "gzip, deflate"
    return Response(status, headers, msgspec.json.encode({"status": "error", "error": status.phrase}))


def unavailable(*, retry_after: float | None = None, close: bool = False) -> Response:
    """Ask the client to come again: later, or on another connection when this one is to be closed."""
    answer = refusal(HTTPStatus.SERVICE_UNAVAILABLE)
    more = {"Connection": "close"} if close else {}
    if retry_after is not None:
        more["Retry-After"] = str(max(1, round(retry_after)))
    return Response(answer.status, {**answer.headers, **more}, answer.body)
