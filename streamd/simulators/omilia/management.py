"""Answer the calls on subscriptions (vendors/omilia.md section 2)."""

from __future__ import annotations

import math

from streamd.simulators.http import Request, Response, ok
from streamd.simulators.omilia.answers import conflict, refusal
from streamd.simulators.omilia.service import Service
from streamd.simulators.omilia.streaming import start_streaming, stop_streaming
from streamd.simulators.omilia.validation import read_page, read_subscription

_PAGE, _LARGEST_PAGE = 50, 100


def create(service: Service, request: Request) -> Response:
    faults, now = service.faults, service.clock.now()
    wanted = read_subscription(request.body, service.data_types)
    if service.subscriptions.is_taken(wanted.data_type, now, faults.number("slot-held")):
        return conflict(faults, f"A {wanted.data_type} subscription is already running for this group")
    subscription = service.subscriptions.add(wanted, now)
    start_streaming(service, subscription)
    if faults.spend("create-500"):
        return refusal(faults, 500, "Internal error")
    if faults.spend("create-reset"):
        return Response(200, reset=True)
    return ok({"description": "Streaming subscription Submitted", "export_id": subscription.id})


def list_all(service: Service, request: Request) -> Response:
    number, size = read_page(request, _PAGE, _LARGEST_PAGE)
    digits = service.faults.number("fraction-digits", -1)
    found = [each.to_wire(digits) for each in service.subscriptions.listed()]
    return page(service, found, number, size)


def delete(service: Service, identifier: str) -> Response:
    subscription = service.subscriptions.find(identifier)
    if subscription is None:
        if service.faults.has("delete-gone-200"):
            return ok({"message": "success"})
        return refusal(service.faults, 404, "Subscription not found")
    stop_streaming(service, subscription)
    return ok({"message": "success"})


def page(service: Service, found: list[dict[str, object]], number: int, size: int) -> Response:
    """Return one page of a list as both lists of the API have it."""
    size = min(size, int(service.faults.number("page-cap", size)))
    pagination = {
        "pages": math.ceil(len(found) / size),
        "page_number": number,
        "page_size": size,
        "total_results": len(found),
    }
    return ok({"pagination": pagination, "exports": found[(number - 1) * size : number * size]})
