"""Answer the calls of exports-api: who asks, may he, how often (vendors/omilia.md sections 1 and 6)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from urllib.parse import unquote

import msgspec

from streamd.simulators.http import Request, Response
from streamd.simulators.omilia import batch, management
from streamd.simulators.omilia.answers import forced, refusal
from streamd.simulators.omilia.service import Service
from streamd.simulators.omilia.validation import Invalid

_ROOT = re.compile(r"/exports-api/v1/groups/(?P<group>[^/]+)(?P<rest>/.+)")
_BUCKET = 600  # requests a minute: unpublished

Handler = Callable[[Service, Request, str], Response]


class Exports:
    """The REST side of exports-api."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def respond(self, request: Request) -> Response:
        """Answer `request`; what is no call of the documents is a 404."""
        response = self._route(request)
        drip = self._service.faults.number("slow-body")
        return msgspec.structs.replace(response, drip_seconds=drip) if drip else response

    def _route(self, request: Request) -> Response:
        faults = self._service.faults
        root = _ROOT.fullmatch(request.path)
        if root is None:
            return refusal(faults, 404, "Not found")
        for method, pattern, operation, handler in _ROUTES:
            match = pattern.fullmatch(root["rest"])
            if match is not None and method == request.method:
                identifier = unquote(match.groupdict().get("id", ""))
                group = unquote(root["group"])
                return forced(faults, operation) or self._call(group, handler, request, identifier)
        return refusal(faults, 404, "Not found")

    def _call(self, group: str, handler: Handler, request: Request, identifier: str) -> Response:
        service, faults = self._service, self._service.faults
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        personal = not faults.has("pat-refused")
        if scheme.lower() != "bearer" or not service.accounts.knows(token, personal=personal):
            return refusal(faults, 401, "Unauthorized")
        if group != service.options.group:
            return refusal(faults, 403, "Group is not whitelisted")
        wait = service.limits.spend(faults.number("bucket", _BUCKET))
        if wait:
            headers = [("Retry-After", str(math.ceil(wait)))] if faults.has("bucket-retry-after") else []
            return refusal(faults, 429, "Too many requests", headers)
        try:
            return handler(service, request, identifier)
        except Invalid as invalid:
            return refusal(faults, 400, invalid.message)


def _routes(*rows: tuple[str, str, str, Handler]) -> list[tuple[str, re.Pattern[str], str, Handler]]:
    return [(method, re.compile(path), operation, handler) for method, path, operation, handler in rows]


# method, path, the operation that a switch can name, handler
_ROUTES = _routes(
    ("POST", r"/subscriptions", "create", lambda service, request, _: management.create(service, request)),
    ("GET", r"/subscriptions", "list", lambda service, request, _: management.list_all(service, request)),
    (
        "DELETE",
        r"/subscriptions/(?P<id>[^/]+)",
        "delete",
        lambda service, _, id: management.delete(service, id),
    ),
    ("POST", r"/jobs", "job-create", lambda service, request, _: batch.create(service, request)),
    ("GET", r"/jobs", "job-list", lambda service, request, _: batch.list_all(service, request)),
    ("GET", r"/jobs/(?P<id>[^/]+)", "job-metadata", lambda service, _, id: batch.metadata(service, id)),
    (
        "GET",
        r"/jobs/(?P<id>[^/]+)/data/compressed",
        "job-data",
        lambda service, request, id: batch.data(service, id, request),
    ),
)
