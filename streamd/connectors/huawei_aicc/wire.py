"""CC-FS's requests, replies and callbacks as Structs (vendors/huawei_aicc.md, sections 2 to 4); pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct

from streamd.connectors.huawei_aicc.codes import SUCCESS, Action, action
from streamd.connectors.huawei_aicc.zones import Asked
from streamd.errors import ProtocolViolation
from streamd.lenient import UNREADABLE

ROOT: Final = "/CCFS/resource/ccfs"
QUERY: Final = f"{ROOT}/queryBillData"
DOWNLOAD: Final = f"{ROOT}/downloadBillFile"
TAKEN: Final = b'{"resultCode":"0","resultDesc":"success"}'
"""The answer to a callback: without a body it would count as failed, and come again (section 3)."""
_VERSION = {"version": "2.0"}
_ID = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"\d{8}_(?P<id>[0-9a-f]{32})\.zip", re.IGNORECASE)
_NAME_FIELDS = ("billFileName", "billName", "fileName", "agentOprInfoFileName")
_CODE_DIGITS = 7
_encode = msgspec.json.Encoder().encode


class Reply(Struct, frozen=True):
    """What an operation came to. `response_id` only where a query succeeded; 32 hex digits.

    `is_bare`: there is no resultData in it.
    """

    code: str
    description: str
    response_id: str | None
    is_bare: bool = True


class Callback(Struct, frozen=True):
    """What a callback says; `name` is of the pattern of its own id, else None.

    `has_no_file`: it names none, and tells no failure.
    """

    response_id: str
    name: str | None
    has_no_file: bool = False


def query_body(asked: Asked, data_type: str, account_id: str, callback_url: str) -> bytes:
    """Write the body of queryBillData; an account that is not asked for is left out."""
    account = {"accountId": account_id} if account_id else {}
    message = {
        "beginTime": asked.begin,
        "endTime": asked.end,
        **account,
        "dataType": data_type,
        "callBackURL": callback_url,
    }
    return _encode({"request": _VERSION, "msgBody": message})


def download_body(name: str) -> bytes:
    """Write the body of downloadBillFile."""
    return _encode({"request": _VERSION, "msgBody": {"billFileName": name}})


def read_reply(body: bytes) -> Reply | None:
    """Read a JSON reply; None for what is none of CC-FS's: a gateway's page, say.

    The code is a text by the document, a number is taken too; older and newer servers say it again in a
    `response` of its own.
    """
    try:
        found = msgspec.json.decode(body)
    except UNREADABLE:
        return None
    if not isinstance(found, dict):
        return None
    legacy = found.get("response")
    legacy = legacy if isinstance(legacy, dict) else {}
    code = _code(found.get("resultCode")) or _code(legacy.get("resultCode"))
    if code is None:
        return None
    description = found.get("resultDesc") or legacy.get("resultMsg")
    data = found.get("resultData")
    response_id = data.get("responseId") if isinstance(data, dict) else None
    return Reply(code, description if isinstance(description, str) else "", _id(response_id), not data)


def is_lockout(body: bytes) -> bool:
    """Tell whether the body of a 401 or 403 is CC-FS's own (section 4): JSON, with its status in it."""
    try:
        found = msgspec.json.decode(body)
    except UNREADABLE:
        return False
    return isinstance(found, dict) and isinstance(found.get("status"), int)


def read_callback(body: bytes) -> Callback:
    """Read the body of a callback; raises ProtocolViolation, never with what is in it."""
    try:
        found = msgspec.json.decode(body)
    except UNREADABLE:
        raise ProtocolViolation("a callback that is no JSON") from None
    message = found.get("msgBody") if isinstance(found, dict) else None
    response_id = _id(message.get("responseId")) if isinstance(message, dict) else None
    if response_id is None:
        raise ProtocolViolation("a callback without a responseId")
    assert isinstance(message, dict)
    code = _code(message.get("resultCode")) or _code(found.get("resultCode")) or SUCCESS
    is_well = action(code) in (Action.GO_ON, Action.EMPTY)
    has_no_file = is_well and not any(message.get(each) for each in _NAME_FIELDS)
    return Callback(response_id, _name(message, response_id), has_no_file)


def predicted_names(response_id: str, days: Sequence[date]) -> Iterator[str]:
    """Give what a file may be called, likeliest first: which zone its day is in is not said (section 3)."""
    for day in dict.fromkeys(days):
        yield f"{day:%Y%m%d}_{response_id}.zip"


def neighbours(day: date) -> Sequence[date]:
    """Give a day, the one after it and the one before."""
    return [day, day + timedelta(days=1), day - timedelta(days=1)]


def _name(message: Mapping[str, Any], response_id: str) -> str | None:
    given = next((message[each] for each in _NAME_FIELDS if isinstance(message.get(each), str)), "")
    found = _NAME.fullmatch(given)
    return given if found is not None and found["id"].lower() == response_id else None


def _code(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value).zfill(_CODE_DIGITS) if value else "0"
    return value.strip() or None if isinstance(value, str) else None


def _id(value: object) -> str | None:
    """Give a responseId as file names have it: the prose shows it with dashes (section 2)."""
    if not isinstance(value, str):
        return None
    bare = value.replace("-", "").lower()
    return bare if _ID.fullmatch(bare) else None
