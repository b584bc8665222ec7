"""Answer queryBillData and downloadBillFile (sections 2 and 4)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import h11
import msgspec
import trio

from streamd.simulators.http import Hangup, Request, Response
from streamd.simulators.huawei_aicc.answers import JSON_TYPE, Refused, error, gateway, refusal, success
from streamd.simulators.huawei_aicc.callbacks import announce, announce_now
from streamd.simulators.huawei_aicc.jobs import Announcement, Job
from streamd.simulators.huawei_aicc.log import ExportEntry, RequestEntry
from streamd.simulators.huawei_aicc.service import Service
from streamd.simulators.huawei_aicc.validation import read_message, read_name, read_order
from streamd.simulators.huawei_aicc.vocabulary import (
    DESCRIPTIONS,
    DOWNLOAD,
    DOWNLOAD_FLOW,
    NO_DATA,
    NO_FILE,
    NO_FILE_EITHER,
    QUERY,
    QUERY_FLOW,
)
from streamd.simulators.huawei_aicc.zips import Writer, Zip
from streamd.simulators.stream import Stream
from streamd.simulators.switches import Switches

_ROOT = "/CCFS/resource/ccfs/"
_FLOW_CODES: Mapping[str, str] = {QUERY: QUERY_FLOW, DOWNLOAD: DOWNLOAD_FLOW}
_RETENTION = 7 * 86_400.0  # seconds: unpublished
_EMPTY_QUERIES = ("empty-query-code", "empty-no-callback", "empty-no-id", "empty-no-name")
_TYPES: Mapping[str, str] = {
    "download-type-mixed": "Application/Octet-stream;charset=UTF-8",
    "download-type-lower": "application/octet-stream",
    "download-type-json": JSON_TYPE,
}


class Exports:
    """The REST side of CC-FS."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._calls = dict.fromkeys(_FLOW_CODES, 0)

    async def respond(self, request: Request, address: str) -> Response:
        """Answer a request from `address`; what is neither call is a 404."""
        operation = _OPERATIONS.get(request.path.removeprefix(_ROOT))
        now = self._service.clock.now()
        if operation is None or request.method != "POST":
            return error(404 if operation is None else 405, now, request.path)
        response = await self._call(request, address, operation)
        code = _code_of(response)
        self._service.log.requests.append(RequestEntry(time.time(), now, operation, response.status, code))
        return response

    async def _call(self, request: Request, address: str, operation: str) -> Response:
        service, faults = self._service, self._service.faults
        stopped = gateway(faults, operation)
        stopped = stopped or service.gatekeeper.check(request, address, operation, faults)
        if stopped is not None:
            return stopped
        try:
            message = read_message(request.body)
            self._control_flow(operation)
            for code in DESCRIPTIONS:
                if faults.spend(f"{operation}-code", code):
                    raise Refused(code, "simulated")
            return await _HANDLERS[operation](service, message)
        except Refused as refused:
            return refusal(faults, refused)

    def _control_flow(self, operation: str) -> None:
        self._calls[operation] += 1
        every = self._service.faults.number(f"{operation}-flow")
        if every and self._calls[operation] % every < 1:
            raise Refused(_FLOW_CODES[operation])


async def _query(service: Service, message: Mapping[str, object]) -> Response:
    faults, now = service.faults, service.clock.now()
    order = read_order(message, now, service.options, service.zone, faults)
    empty = _matters(faults) and service.jobs.match(order, now, faults).is_empty
    if empty and faults.has("empty-query-code"):
        raise Refused(NO_DATA)
    if empty and faults.has("empty-no-id"):
        return success(faults, {})
    job = service.jobs.add(order, now, faults)
    if faults.spend("never-ready") or (empty and faults.has("empty-no-callback")):
        job.has_file, job.announcement = False, Announcement.NEVER
    elif empty and faults.has("empty-no-name"):
        job.has_file = False
    elif faults.spend("callback-never"):
        job.announcement = Announcement.NEVER
    elif faults.has("callback-early"):
        await announce_now(service, job)
    if job.announcement == Announcement.DUE:
        service.start(announce, job)
    await trio.sleep(faults.number("slow-query"))
    if faults.spend("query-reset"):
        return Response(200, reset=True)
    dashed = str(uuid.UUID(job.response_id))
    return success(faults, {"responseId": dashed if faults.has("dashed-id") else job.response_id})


def _matters(faults: Switches) -> bool:
    """Tell whether a query is answered otherwise where there is no data."""
    return any(map(faults.has, _EMPTY_QUERIES))


async def _download(service: Service, message: Mapping[str, object]) -> Response:
    job, faults = service.jobs.find(read_name(message)), service.faults
    await trio.lowlevel.checkpoint()
    if job is None or not _has_file(service, job):
        raise Refused(NO_FILE_EITHER if faults.has("no-file-29") else NO_FILE)
    chosen = service.jobs.choose(job, faults)
    if chosen.is_empty and faults.has("empty-download-code"):
        raise Refused(NO_DATA)
    if chosen.is_empty and faults.has("empty-no-zip"):
        return success(faults, {})
    made = Writer(faults, service.zone, service.calls.random).zip(job, chosen)
    return Response(200, take_over=partial(_send_zip, service, job, made))


def _has_file(service: Service, job: Job) -> bool:
    now, kept = service.clock.now(), service.faults.number("gone-after", _RETENTION)
    return job.has_file and not job.gone and job.ready_at <= now < job.ready_at + kept


async def _send_zip(
    service: Service, job: Job, made: Zip, connection: h11.Connection, stream: Stream
) -> None:
    """Send a zip, then hang up; its rows count as exported once all of a sound one was sent."""
    faults = service.faults
    content, cut = made.content, faults.spend("zip-cut")
    content_type = next(text for name, text in _TYPES.items() if faults.has(name))
    headers = [
        ("Date", service.clock.http_date()),
        ("Content-Type", content_type),
        ("Content-Length", str(len(content))),
        ("Connection", "close"),
    ]
    head = connection.send(h11.Response(status_code=200, headers=headers)) or b""
    half = len(content) // 2
    try:
        await stream.send_all(head + content[:half])
        await trio.sleep(faults.number("slow-body"))
        if cut:
            raise Hangup(reset=True)
        await stream.send_all(content[half:])
    except BaseException:
        _log(service, job, made, complete=False)
        raise
    connection.send(h11.Data(data=content))
    connection.send(h11.EndOfMessage())
    _log(service, job, made, complete=True)


def _log(service: Service, job: Job, made: Zip, *, complete: bool) -> None:
    chosen = service.jobs.choose(job, service.faults)
    entry = ExportEntry(
        at=time.time(),
        platform_at=service.clock.now(),
        response_id=job.response_id,
        name=job.name,
        rows=[(each.row.number, each.version) for each in chosen.rows],
        bulk_rows=sum(each.rows for each in chosen.bulks),
        odd=made.odd,
        bytes=len(made.content),
        spoilt=made.spoilt,
        complete=complete,
    )
    service.log.exports.append(entry)
    if entry.is_sound:
        for row, version in chosen.rows:
            row.versions[version].exported += 1


def _code_of(response: Response) -> str:
    """Return the resultCode of an answer; a zip's is empty."""
    if response.content_type != JSON_TYPE or not response.body:
        return ""
    return str(msgspec.json.decode(response.body).get("resultCode", ""))


_OPERATIONS: Mapping[str, str] = {"queryBillData": QUERY, "downloadBillFile": DOWNLOAD}
_HANDLERS: Mapping[str, Callable[[Service, Mapping[str, object]], Awaitable[Response]]] = {
    QUERY: _query,
    DOWNLOAD: _download,
}
