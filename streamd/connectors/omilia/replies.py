"""Answer in JSON objects: Omilia takes nothing else for an answer (vendors/omilia.md, section 3b)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from streamd.transport.exchange import Response

NO_HEADERS: Mapping[str, str] = {}
_HEADERS: Mapping[str, str] = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "Pragma": "no-cache",
}


def reply(
    status: HTTPStatus, content: Mapping[str, object], headers: Mapping[str, str] = NO_HEADERS
) -> Response:
    """Make an answer that nobody keeps."""
    return Response(status, {**_HEADERS, **headers}, msgspec.json.encode(content))


def busy(status: HTTPStatus, retry_seconds: int) -> Response:
    """Ask the sender to come again later."""
    words = {"status": "error", "error": status.phrase}
    return reply(status, words, {"Retry-After": str(retry_seconds)})
