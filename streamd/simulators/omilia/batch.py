"""Answer the calls on batch exports (vendors/omilia.md section 4)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import h11

from streamd.simulators.http import Hangup, Request, Response, ok
from streamd.simulators.omilia.answers import conflict, refusal
from streamd.simulators.omilia.jobs import RETENTION, STATES, File, Job, Order
from streamd.simulators.omilia.management import page
from streamd.simulators.omilia.service import Service
from streamd.simulators.omilia.times import floor_hour
from streamd.simulators.omilia.validation import Invalid, read_object, read_page
from streamd.simulators.omilia.vocabulary import LEGACY_TYPES, V2_TYPES
from streamd.simulators.omilia.zips import make_zip
from streamd.simulators.stream import Stream
from streamd.simulators.switches import Switches

_NAME = re.compile(r"[a-zA-Z0-9-][a-zA-Z0-9-\s]+")
_NAME_AS_PRINTED = re.compile(r"[a-zA-Z0-9-][a-zA-Z0-9\-\\s]+")
_SHORTEST, _LONGEST, _DISTANCE = 3600.0, 48 * 3600.0, 2 * 3600.0  # seconds
_LIST, _LARGEST_LIST = 50, 100
_PAGE, _LARGEST_PAGE = 20, 50
_PIECE = 65_536  # bytes


def create(service: Service, request: Request) -> Response:
    faults = service.faults
    order = read_order(read_object(request.body), service.clock.now(), faults)
    if service.jobs.is_busy(faults):
        return conflict(faults, "An export is already running for this group")
    job = service.jobs.add(order)
    if faults.spend("create-500"):
        return refusal(faults, 500, "Internal error")
    if faults.spend("create-reset"):
        return Response(200, reset=True)
    return ok({"description": "Task Submitted", "export_id": job.id})


def read_order(asked: Mapping[str, Any], now: float, faults: Switches) -> Order:
    """Return what is asked for; raise Invalid."""
    name = asked.get("export_name")
    pattern = _NAME_AS_PRINTED if faults.has("name-literal") else _NAME
    if not isinstance(name, str) or not pattern.fullmatch(name):
        raise Invalid("export_name: must match ^[a-zA-Z0-9-][a-zA-Z0-9-\\s]+$")
    begin, end = _instant(asked, "from_date"), _instant(asked, "to_date")
    if end > now - _DISTANCE:
        raise Invalid("to_date: must be at least two hours ago")
    from_at, to_at = floor_hour(begin), floor_hour(end)
    if not _SHORTEST <= to_at - from_at <= _LONGEST:
        raise Invalid("from_date, to_date: the range must be one hour to two days")
    if faults.has("retention-400") and from_at < now - RETENTION:
        raise Invalid("from_date: is older than the data that is kept")
    known = _known_types(faults)
    types = asked.get("types")
    if not isinstance(types, list) or not types or not all(isinstance(each, str) for each in types):
        raise Invalid("types: must be a list of types")
    if not set(types) <= known.keys():
        raise Invalid(f"types: must be of {', '.join(known)}")
    spelt = ["Dialog Step", "Dialog Start", "Dialog End"] if "Dialog Data" in types else types
    meant = dict.fromkeys(kind for each in types for kind in known[each])
    return Order(name, from_at, to_at, spelt, list(meant))


def _known_types(faults: Switches) -> Mapping[str, Sequence[str]]:
    if faults.has("types-legacy"):
        return LEGACY_TYPES
    return V2_TYPES if faults.has("types-v2") else {**LEGACY_TYPES, **V2_TYPES}


def _instant(asked: Mapping[str, Any], name: str) -> float:
    """Return epoch seconds; what has no zone is UTC."""
    value = asked.get(name)
    if not isinstance(value, str):
        raise Invalid(f"{name}: must be a date and time")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise Invalid(f"{name}: must be ISO 8601") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def list_all(service: Service, request: Request) -> Response:
    """List jobs, the newest first (inferred)."""
    number, size = read_page(request, _LIST, _LARGEST_LIST)
    status = request.query.get("status")
    if status is not None and status not in STATES:
        raise Invalid(f"status: must be one of {', '.join(STATES)}")
    now, faults = service.clock.now(), service.faults
    found = [each.to_wire(service.options.group, now, faults) for each in reversed(service.jobs.all)]
    return page(service, [each for each in found if status in (None, each["status"])], number, size)


def metadata(service: Service, identifier: str) -> Response:
    job = _ready(service, identifier)
    if isinstance(job, Response):
        return job
    files = service.jobs.files(job, service.faults)
    size = sum(len(record.payload) + 1 for each in files for record in each.records)
    return ok({"export_id": job.id, "num_of_files": len(files), "size_of_export": size})


def data(service: Service, identifier: str, request: Request) -> Response:
    """Send one page as a zip."""
    faults = service.faults
    number, size = read_page(request, _PAGE, _LARGEST_PAGE)
    job = _ready(service, identifier)
    if isinstance(job, Response):
        return job
    wait = service.limits.spend_zip(faults.number("zips-a-minute", 5))
    if wait:
        return refusal(faults, 429, "Too many requests", _retry_after(faults, wait))
    files = service.jobs.files(job, faults)
    pages = math.ceil(len(files) / size)
    if number > max(1, pages):
        raise Invalid("page_number: there is no such page")
    headers = {} if faults.has("no-pagination") else _pagination(pages, number, size)
    chosen = files[(number - 1) * size : number * size]
    return Response(200, take_over=partial(_send_zip, service, job, chosen, headers))


def _retry_after(faults: Switches, wait: float) -> list[tuple[str, str]]:
    return [("Retry-After", str(math.ceil(wait)))] if faults.has("bucket-retry-after") else []


def _pagination(pages: int, number: int, size: int) -> Mapping[str, str]:
    return {
        "Pagination-pages": str(pages),
        "Pagination-page_number": str(number),
        "Pagination-page_size": str(size),
    }


def _ready(service: Service, identifier: str) -> Job | Response:
    """Return the job if its data can be had now, else what to answer."""
    faults = service.faults
    job = service.jobs.find(identifier)
    if job is None:
        return refusal(faults, 404, "Export not found")
    status = job.status(service.clock.now(), faults)
    if status == "READY":
        return job
    if status == "EXPIRED":
        return refusal(faults, 404, "Export is expired")
    return refusal(faults, 404 if faults.has("unready-404") else 400, "Export is not ready")


async def _send_zip(
    service: Service,
    job: Job,
    files: Sequence[File],
    pagination: Mapping[str, str],
    connection: h11.Connection,
    stream: Stream,
) -> None:
    """Send a zip in HTTP chunks, then hang up; its records count as exported once all of it was sent."""
    faults = service.faults
    content, cut = make_zip(files, faults), faults.spend("zip-cut")
    headers = [
        *pagination.items(),
        ("Date", service.clock.http_date()),
        ("Content-Type", "application/zip"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
    ]
    await stream.send_all(connection.send(h11.Response(status_code=200, headers=headers)) or b"")
    end = len(content) // 2 if cut else len(content)
    for begin in range(0, end, _PIECE):
        piece = content[begin : min(begin + _PIECE, end)]
        await stream.send_all(connection.send(h11.Data(data=piece)) or b"")
    if cut:
        raise Hangup(reset=True)
    await stream.send_all(connection.send(h11.EndOfMessage()) or b"")
    job.pages_sent += 1
    job.expired |= faults.has("expires-after-page") and job.pages_sent >= faults.number("expires-after-page")
    for file in files:
        for record in file.records:
            record.exported += 1
