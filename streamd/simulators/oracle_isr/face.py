"""Answer the requests to FACE, and log what each answer gave."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import NamedTuple

import msgspec
import trio

from streamd.simulators.http import Request, Response
from streamd.simulators.oracle_isr import codes
from streamd.simulators.oracle_isr.log import ReplyEntry
from streamd.simulators.oracle_isr.login import log_in
from streamd.simulators.oracle_isr.lookup import look_up
from streamd.simulators.oracle_isr.replies import (
    Reply,
    acknowledged,
    encoded,
    error,
    forced_code,
    forced_response,
    page,
)
from streamd.simulators.oracle_isr.service import Service

_OPERATIONS = {
    "/Face/login": "login",
    "/Face/audioRecording/details": "details",
    "/Face/audioRecording/segment/details": "segments",
    "/Face/eventNotify": "notify",
    "/Face/version": "version",
}
_VERSION = "6.4.0M0P0 build 6.4.0.0.17"
_RAW = Reply(None, "", shape="raw")


class _Answer(NamedTuple):
    reply: Reply
    response: Response


class Face:
    """The REST side of the recorder."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def respond(self, request: Request) -> Response:
        """Answer `request`, as late as the switches ask for."""
        service = self._service
        service.parallel += 1
        service.log.most_parallel = max(service.log.most_parallel, service.parallel)
        try:
            operation = _OPERATIONS.get(request.path, "other")
            answer = self._refused() or self._answer(request, operation)
            self._log(request, operation, answer)
            await trio.sleep(service.faults.number("slow-reply"))
        finally:
            service.parallel -= 1
        return self._dressed(answer.response)

    def _refused(self) -> _Answer | None:
        """Return RST where the connection is not to be had."""
        service = self._service
        crowded = service.faults.has("refuse-parallel")
        if crowded and service.parallel > service.faults.number("refuse-parallel"):
            service.log.refused_parallel += 1
        elif service.to_reset > 0:
            service.to_reset -= 1
        else:
            return None
        return _Answer(Reply(None, "", shape="reset"), Response(200, reset=True))

    def _answer(self, request: Request, operation: str) -> _Answer:
        service = self._service
        service.schedule.run_due()
        if operation == "other":
            return self._answer_other(request)
        prepared = service.prepared[operation]
        raw = prepared.popleft() if prepared else forced_response(service.faults, operation)
        if raw is not None:
            return _Answer(_RAW, raw)
        reply = forced_code(service.faults, operation) or self._carry_out(request, operation)
        if isinstance(reply, Response):
            return _Answer(Reply(None, ""), reply)
        return _Answer(reply, encoded(reply, _wants_json(request), service.faults))

    def _answer_other(self, request: Request) -> _Answer:
        """Answer a command that is not simulated, or a path that there is not."""
        if not request.path.startswith("/Face/audioRecording/"):
            return _Answer(_RAW, page(404, "Not Found"))
        reply = error(codes.INVALID_COMMAND)
        return _Answer(reply, encoded(reply, _wants_json(request), self._service.faults))

    def _carry_out(self, request: Request, operation: str) -> Reply | Response:
        service = self._service
        match operation:
            case "login":
                return log_in(service.accounts, service.log, request, service.faults)
            case "version":
                return Reply(None, "", {"version": _VERSION}, "one")
            case "notify":
                if "event" not in request.query:
                    return error(codes.PARAMETER_MISSING, "Missing Parameter - event parameter is required")
                return acknowledged({}, message="success", shape="none", root="response")
        if "token" not in request.query:
            return error(codes.PARAMETER_MISSING, "Missing Parameter - token parameter is required")
        if not service.accounts.knows(request.query["token"]):
            return self._unknown_token()
        if service.faults.has("recordingid-refused") and request.query.keys() & {
            "recordingId",
            "tmpRecordingId",
        }:
            return error(codes.NO_SUCH_PARAMETER)
        return look_up(service, operation, request.query, json=_json_asked(request, service))

    def _unknown_token(self) -> Reply | Response:
        faults = self._service.faults
        if faults.has("expired-401"):
            return page(401, "Unauthorized")
        if faults.has("expired-403"):
            return page(403, "Forbidden")
        if faults.has("expired-2"):
            return error(codes.NOT_AUTHORIZED)
        return error(codes.NACK, "" if faults.has("expired-mute") else codes.BAD_TOKEN)

    def _dressed(self, response: Response) -> Response:
        """Give the response the recorder's Date, and let it drip."""
        service = self._service
        if service.faults.has("no-date"):
            headers = list(response.headers)
        else:
            at = service.clock.now() + service.faults.number("clock-off")
            headers = [*response.headers, ("Date", formatdate(at, usegmt=True))]
        drip = service.faults.number("drip-body")
        return msgspec.structs.replace(response, headers=headers, drip_seconds=drip)

    def _log(self, request: Request, operation: str, answer: _Answer) -> None:
        service, reply = self._service, answer.reply
        query = {name: value for name, value in request.query.items() if name != "token"}
        entry = ReplyEntry(
            at=time.time(),
            platform_at=service.clock.now(),
            operation=operation,
            method=request.method,
            query=query,
            status=0 if answer.response.reset else answer.response.status,
            code=reply.code,
            shape="reset" if answer.response.reset else reply.shape,
            ids=reply.ids,
            matches=reply.matches,
            parallel=service.parallel,
        )
        service.log.replied(entry)


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")


def _json_asked(request: Request, service: Service) -> bool:
    return _wants_json(request) and not service.faults.has("xml-only")
