"""Tell the client that a file is ready, again and again until it says so (section 3)."""

from __future__ import annotations

import ssl
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import msgspec
from msgspec import Struct

from streamd.simulators.huawei_aicc.answers import JSON_TYPE
from streamd.simulators.huawei_aicc.jobs import Announcement, Job
from streamd.simulators.huawei_aicc.log import CallbackEntry
from streamd.simulators.huawei_aicc.signature import THREE_HEADERS, Signed, authorization, spell
from streamd.simulators.switches import Switches

if TYPE_CHECKING:
    from streamd.simulators.huawei_aicc.service import Service

_HOSTS: Mapping[str, tuple[bool, bool]] = {  # choice -> is the port in the Host that is sent, signed
    "to-bare-host": (False, False),
    "to-full-host": (True, True),
    "to-full-signed-bare": (True, False),
    "to-bare-signed-full": (False, True),
}
_NAME_FIELDS: Mapping[str, str] = {
    "callback-billname": "billName",
    "callback-filename": "fileName",
    "callback-billfilename": "billFileName",
}
_REASONS: Mapping[type[httpx.HTTPError], str] = {
    httpx.ConnectError: "unreachable",
    httpx.ConnectTimeout: "timeout",
    httpx.ReadTimeout: "timeout",
    httpx.WriteTimeout: "timeout",
}


class Note(Struct, frozen=True):
    """What one callback says, and of which kind it is."""

    kind: str
    url: str
    response_id: str
    name: str
    account_id: str | None


async def announce(service: Service, job: Job) -> None:
    """Call back when the file is ready, each 10 minutes, until the client takes it or the tries are over."""
    faults = service.faults
    await service.wait(job.ready_at + faults.number("callback-delay"))
    if faults.has("callback-reversed"):
        passed = job.number + 1
        await service.wait(
            service.clock.now() + faults.number("callback-reversed"),
            lambda: any(each.announcement == Announcement.DONE for each in service.jobs.all[passed:]),
        )
    await announce_now(service, job)
    for _ in range(int(service.faults.number("callback-tries", 18)) - 1):
        if job.announcement != Announcement.DUE:
            return
        await service.wait(service.clock.now() + service.faults.number("callback-every", 600))
        await announce_now(service, job)
    if job.announcement == Announcement.DUE:
        job.announcement = Announcement.GIVEN_UP
        service.wake()


async def announce_now(service: Service, job: Job) -> None:
    """Call back once, with what the switches say before and after it."""
    faults = service.faults
    for note in _false_notes(faults, job):
        await call_back(service, note, wrongly=note.kind == "forged")
    note = _note(faults, "real", job)
    if await call_back(service, note) != "accepted":
        return
    job.announcement = Announcement.DONE
    service.wake()
    for _ in range(int(faults.number("callback-repeat"))):
        await call_back(service, msgspec.structs.replace(note, kind="repeat"))


async def call_back(service: Service, note: Note, *, wrongly: bool = False) -> str:
    """Make one POST, signed with a wrong key if `wrongly`; log and return how it went."""
    status, outcome = await _post(service, note, wrongly=wrongly)
    entry = CallbackEntry(
        at=time.time(),
        platform_at=service.clock.now(),
        response_id=note.response_id,
        name=note.name,
        kind=note.kind,
        status=status,
        outcome=outcome,
    )
    service.log.callbacks.append(entry)
    return outcome


def forged(url: str, response_id: str = "", name: str = "") -> Note:
    """Return what somebody without the secret key may send."""
    response_id = response_id or uuid.uuid4().hex
    return Note("forged", url, response_id, name or f"20240501_{response_id}.zip", None)


def unknown(url: str) -> Note:
    """Return a callback, to be signed well, of a job that nobody asked for."""
    response_id = uuid.uuid4().hex
    return Note("unknown", url, response_id, f"20240501_{response_id}.zip", None)


def _false_notes(faults: Switches, job: Job) -> Iterator[Note]:
    url = job.order.callback_url
    if faults.spend("callback-forged"):
        yield forged(url, job.response_id, job.name)
    if faults.spend("callback-unknown"):
        yield unknown(url)
    if faults.spend("callback-wrong-name"):
        yield Note("wrong-name", url, job.response_id, f"20200101_{uuid.uuid4().hex}.zip", None)


def _note(faults: Switches, kind: str, job: Job) -> Note:
    account: str | None = job.order.account_id
    if faults.has("account-never") or (faults.has("account-absent") and not job.order.account_asked):
        account = None
    name = job.name if job.has_file else ""
    return Note(kind, job.order.callback_url, job.response_id, name, account)


async def _post(service: Service, note: Note, *, wrongly: bool) -> tuple[int, str]:
    faults = service.faults
    request = _request(service, note, wrongly=wrongly)
    try:
        async with httpx.AsyncClient(verify=_trust(service, note.url), trust_env=False) as client:
            client.timeout = httpx.Timeout(faults.number("callback-timeout", 10))
            response = await client.send(request)
    except httpx.HTTPError as failed:
        return 0, _REASONS.get(type(failed), "no answer")
    if faults.spend("callback-answer-lost"):
        return 0, "answer lost"
    if not response.is_success:
        return response.status_code, f"status {response.status_code}"
    if not response.content and not faults.has("callback-any-2xx"):
        return response.status_code, "no body"
    return response.status_code, "accepted"


def _request(service: Service, note: Note, *, wrongly: bool) -> httpx.Request:
    faults, options = service.faults, service.options
    message: dict[str, Any] = {
        "responseId": str(uuid.UUID(note.response_id)) if faults.has("callback-dashed") else note.response_id,
        next(field for name, field in _NAME_FIELDS.items() if faults.has(name)): note.name,
    }
    if note.account_id is not None:
        message["accountId"] = note.account_id
    body = msgspec.json.encode({"request": {"version": "2.0"}, "msgBody": message})
    url = urlsplit(note.url)
    with_port = url.netloc.rpartition("@")[2]
    bare = with_port if url.port is None else with_port.rpartition(":")[0]
    sent, signed_as = next(hosts for name, hosts in _HOSTS.items() if faults.has(name))
    headers = {"Host": with_port if sent else bare, "Content-Type": JSON_TYPE, "Accept": "*/*"}
    request = httpx.Request("POST", note.url, headers=headers, content=body)
    signed = Signed(
        method="POST",
        path=_signed_path(request, faults, bare_url=not url.path),
        headers=_signed_headers(faults, body, with_port if signed_as else bare),
        body=body,
        query=() if faults.has("path-with-query") else parse_qsl(url.query, keep_blank_values=True),
    )
    timestamp = spell(time.time() - faults.number("callback-skew"), millis=faults.has("callback-millis"))
    secret = f"not {options.secret_key}" if wrongly else options.secret_key
    request.headers["Authorization"] = authorization(signed, options.access_key, secret, timestamp)
    return request


def _signed_path(request: httpx.Request, faults: Switches, *, bare_url: bool) -> str:
    target = request.url.raw_path.decode("ascii")
    if bare_url and faults.has("path-empty"):
        return ""
    return target if faults.has("path-with-query") else target.partition("?")[0]


def _signed_headers(faults: Switches, body: bytes, host: str) -> dict[str, str]:
    values = {"content-length": str(len(body)), "content-type": JSON_TYPE, "host": host}
    names = ("host",) if faults.has("callback-host-only") else THREE_HEADERS
    return {name: values[name] for name in names}


def _trust(service: Service, url: str) -> ssl.SSLContext:
    """Return what verifies the client's certificate; plain HTTP needs none, and loading one takes long."""
    return service.trust() if url.startswith("https:") else _NO_TLS


_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
