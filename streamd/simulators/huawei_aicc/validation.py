"""Read the body of a call as the documents demand it (sections 2 and 4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any
from urllib.parse import urlsplit

import msgspec

from streamd.simulators.huawei_aicc.answers import Refused
from streamd.simulators.huawei_aicc.jobs import Order, bounds
from streamd.simulators.huawei_aicc.options import HuaweiOptions
from streamd.simulators.huawei_aicc.times import read_wall
from streamd.simulators.huawei_aicc.vocabulary import BAD_NAME, DESCRIPTIONS, KINDS_OF
from streamd.simulators.switches import Switches

_NAME = re.compile(r"[A-Za-z0-9._-]{1,49}")
_SHORT, _LONG = 20, 25  # characters


def read_message(body: bytes) -> Mapping[str, Any]:
    """Return msgBody; raise Refused where the rest is not as it must be."""
    try:
        whole = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as unreadable:
        raise Refused("0300001") from unreadable
    if not isinstance(whole, dict):
        raise Refused("0300001")
    request, message = whole.get("request"), whole.get("msgBody")
    if not isinstance(request, dict) or request.get("version") != "2.0" or not isinstance(message, dict):
        raise Refused("0300001")
    return message


def read_order(
    message: Mapping[str, Any], now: float, options: HuaweiOptions, zone: tzinfo, faults: Switches
) -> Order:
    """Return what is asked for; raise Refused for what breaks a rule."""
    begin, end = _time(message, "beginTime", "0300002"), _time(message, "endTime", "0300003")
    account = _text(message, "accountId", _SHORT, "0300004")
    callee, callee_too = (_text(message, name, _LONG, "0300006") for name in ("calleeNo", "calleeNo2"))
    caller = _text(message, "callerNo", _LONG, "0300006")
    data_type, url = message.get("dataType"), message.get("callBackURL")
    if not isinstance(data_type, str) or data_type not in KINDS_OF:
        raise Refused("0300007")
    if not isinstance(url, str) or not _is_url(url):
        raise Refused("0300010")
    order = Order(
        begin=begin,
        end=end,
        data_type=data_type,
        callback_url=url,
        account_id=account,
        account_asked="accountId" in message,
        agent_id=_text(message, "agentId", _SHORT, "0300005"),
        call_id=_text(message, "callId", _LONG, "0300006"),
        caller_no=callee if callee_too else caller,
        callee_no=callee_too or callee,
    )
    _check(order, now, options, zone, faults)
    return order


def read_name(message: Mapping[str, Any]) -> str:
    """Return the name of the file that is asked for; raise Refused."""
    name = message.get("billFileName")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Refused(BAD_NAME)
    return name


def _check(order: Order, now: float, options: HuaweiOptions, zone: tzinfo, faults: Switches) -> None:
    if order.begin > order.end:
        raise Refused("0300013")
    days = faults.number("span-days", 3)
    if order.end - order.begin > timedelta(days=days):
        raise Refused("0300014", DESCRIPTIONS["0300014"].format(days=f"{days:g}"))
    if max(bounds(order, zone, faults)) > now:
        raise Refused("0300016")
    if order.account_id in options.foreign_account_ids:
        raise Refused("0300018")
    if order.account_id and order.account_id not in options.account_ids:
        raise Refused("0300026")


def _time(message: Mapping[str, Any], name: str, code: str) -> datetime:
    value = message.get(name)
    moment = read_wall(value) if isinstance(value, str) else None
    if moment is None:
        raise Refused(code)
    return moment


def _text(message: Mapping[str, Any], name: str, longest: int, code: str) -> str:
    """Return an optional field; empty text counts as left out (the seed's sample sends it)."""
    value = message.get(name, "")
    if not isinstance(value, str) or len(value) > longest:
        raise Refused(code)
    return value


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False
