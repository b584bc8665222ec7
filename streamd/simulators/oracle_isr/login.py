"""Let the API user log in (vendors/oracle_isr.md section 1)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import parse_qsl

from streamd.simulators.http import Request
from streamd.simulators.oracle_isr import codes
from streamd.simulators.oracle_isr.accounts import Accounts
from streamd.simulators.oracle_isr.details import Tree
from streamd.simulators.oracle_isr.log import Log, LoginEntry
from streamd.simulators.oracle_isr.replies import Reply, acknowledged, error
from streamd.simulators.switches import Switches


def log_in(accounts: Accounts, log: Log, request: Request, faults: Switches) -> Reply:
    """Answer a login: wrong, locked and unknown look the same; an expired password is told."""
    form = _form(request)
    asked = _seconds(form.get("expirationSeconds"))
    outcome = _judge(accounts, form, faults)
    log.logins.append(LoginEntry(time.time(), asked or 0.0, outcome))
    if outcome == "expired password":
        return error(codes.NACK, codes.EXPIRED_PASSWORD)
    if outcome != "token":
        return error(codes.NACK, codes.BAD_LOGIN)
    token, seconds = accounts.grant(asked, faults)
    tree: Tree = {"token": token, "expiration": f"{seconds:.0f}seconds"}
    if faults.has("expiration-bare"):
        tree["expiration"] = f"{seconds:.0f}"
    elif faults.has("expiration-number"):
        tree["expiration"] = round(seconds)
    elif faults.has("expiration-missing"):
        del tree["expiration"]
    return acknowledged(tree, shape="token", always_xml=faults.has("login-xml"))


def _judge(accounts: Accounts, form: Mapping[str, str], faults: Switches) -> str:
    """Return ``token``, or why there is to be none; a wrong password counts towards the lock."""
    if accounts.is_locked(faults):
        return "locked"
    if not accounts.is_right(form.get("userEmail", ""), form.get("password", "")):
        accounts.wrong += 1
        return "wrong"
    accounts.wrong = 0
    if faults.has("password-expired"):
        return "expired password"
    return "no API user" if faults.has("not-api-user") else "token"


def _form(request: Request) -> dict[str, str]:
    """Return the form in the body of a POST; what stands elsewhere is not read."""
    kind = request.headers.get("content-type", "")
    if request.method != "POST" or not kind.startswith("application/x-www-form-urlencoded"):
        return {}
    return dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdecimal() else None
