"""Answer the calls up to a subscription: information, login, session, subscription (1.1 to 1.3, 1.6, 1.9)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from streamd.simulators.http import Request, Response, ok
from streamd.simulators.o2g.accounts import Session
from streamd.simulators.o2g.answers import Call, refusal
from streamd.simulators.o2g.host import Host, Pair
from streamd.simulators.o2g.service import Service
from streamd.simulators.o2g.subscriptions import (
    UNREADABLE,
    Granted,
    Subscription,
    cut_last_id,
    grant,
    read_request,
)

# service name, relative URL; those of acdrealtime, acdpilotmonitoring and comlog are inferred.
_SERVICES = (
    ("Authenticate", "/authenticate"),
    ("Sessions", "/sessions"),
    ("Subscriptions", "/subscriptions"),
    ("Telephony", "/telephony"),
    ("Telephony", "/telephony/calls"),
    ("Logins", "/logins"),
    ("Users", "/users"),
    ("EventSummary", "/eventsummary"),
    ("Routing", "/routing"),
    ("AcdAgent", "/acd/agent"),
    ("AcdRealTime", "/acd/rti"),
    ("AcdPilotMonitoring", "/acd/pilot"),
    ("Maintenance", "/system"),
    ("PbxManagement", "/pbxs"),
)


def server_info(service: Service, host: Host) -> Response:
    urls = host.urls("/api/rest/authenticate?version=1.0", service.faults)
    version = {"id": "1.0", "status": "CURRENT", "publicUrl": urls.public, "internalUrl": urls.private}
    info: dict[str, Any] = {
        "productName": "O2G Solution",
        "productType": "O2G",
        "productVersion": {"major": "2.7", "minor": "005.000"},
        "haMode": len(service.hosts) > 1,
    }
    more = {"custoFeatures": [{"blue": True}]} if service.faults.has("extra-fields") else {}
    return ok({"serverInfo": info, "versions": [version], **more})


def authenticate(service: Service, host: Host, login: str, password: str) -> Response:
    """Answer with the token, in a cookie and in the body (section 1.2)."""
    faults, accounts = service.faults, host.accounts
    known = _login_of(service, login, password)
    wrong = accounts.wrong_passwords.get(login, 0)
    if known is None:
        accounts.wrong_passwords[login] = wrong + 1
        return refusal(faults, 401, "wrong login or password")
    if faults.has("account-locks") and wrong >= faults.number("account-locks"):
        return refusal(faults, 401, "the account is locked")
    token = accounts.new_token(known)
    urls = host.urls("/api/rest/1.0/sessions", faults)
    body: dict[str, Any] = {} if faults.has("token-in-cookie-only") else {"credential": token}
    body |= {"publicUrl": urls.public, "internalUrl": urls.private}
    cookies = [] if faults.has("token-in-body-only") else [_cookie(service, "AlcUserId", token)]
    return msgspec.structs.replace(ok(body), headers=cookies)


def _login_of(service: Service, login: str, password: str) -> str | None:
    """Return the login name of the administrator or the user (by login or number); None: not let in."""
    options = service.options
    if login == options.login:
        return login if password == options.password else None
    people = service.exchange.people
    user = people.users.get(login) or people.by_number.get(login)
    return user.login if user is not None and password == options.user_password else None


def open_session(service: Service, host: Host, token: str, request: Request) -> Response:
    """Open one more session for the holder of `token`; the body must name the application."""
    try:
        asked = msgspec.json.decode(request.body)
    except UNREADABLE:
        asked = None
    if not isinstance(asked, dict) or not asked.get("applicationName"):
        return refusal(service.faults, 400, "applicationName is needed")
    session = host.accounts.open_session(token, service.faults)
    if service.faults.spend("reset-after-post"):
        return Response(200, reset=True)
    cookies = [] if service.faults.has("no-jsessionid") else [_cookie(service, "JSESSIONID", session.id)]
    return msgspec.structs.replace(ok(_info(service, host, session)), headers=cookies)


def session_info(call: Call) -> Response:
    return ok(_info(call.service, call.host, call.session))


def _info(service: Service, host: Host, session: Session) -> dict[str, Any]:
    urls = host.urls("/api/rest/1.0", service.faults, plain=service.faults.has("http-base"))
    others = [
        {"sessionId": each.id[:8], "creationDate": each.created.isoformat(), "timeToLive": each.seconds}
        for each in host.accounts.sessions.values()
        if each.login == session.login and each is not session
    ]
    seconds = int(session.seconds) if session.seconds.is_integer() else session.seconds
    return {
        **({"admin": True} if session.admin else {}),
        "login": session.login,
        "timeToLive": seconds,
        "publicBaseUrl": urls.public,
        "privateBaseUrl": urls.private,
        "services": [
            {"serviceName": name, "serviceVersion": "1.0", "relativeUrl": url} for name, url in _SERVICES
        ],
        "creationDate": session.created.isoformat(),
        "expirationDate": (session.created + timedelta(seconds=session.seconds)).isoformat(),
        "otherSessions": others,
        **({"capabilities": []} if service.faults.has("extra-fields") else {}),
    }


def close_session(call: Call) -> Response:
    call.host.accounts.end(call.session)
    return Response(204)


def subscribe(call: Call) -> Response:
    service, faults, accounts = call.service, call.faults, call.host.accounts
    asked = read_request(call.request.body)
    if isinstance(asked, str):
        return refusal(faults, 400, asked)
    granted = grant(asked, call.session, service.monitored, service.exchange.people.pilots, faults)
    if isinstance(granted, str):
        return refusal(faults, 400, granted)
    granted = _spoilt(service, granted)
    if granted.status in ("REFUSED", "UNKNOWN"):
        return ok({"status": granted.status, "message": granted.message})
    subscription = Subscription(
        accounts.new_subscription_id(), call.session, granted.packages, asked.timeout, lambda: service.faults
    )
    accounts.subscriptions[subscription.id] = subscription
    service.exchange.asked_for.update(granted.packages)
    if faults.spend("reset-after-post"):
        return Response(200, reset=True)
    urls = call.host.polling_urls(subscription.id, faults)
    return ok(_subscription_body(subscription, granted, urls))


def _spoilt(service: Service, granted: Granted) -> Granted:
    faults = service.faults
    if faults.spend("subscribe-refused"):
        return Granted({}, "REFUSED", "too many subscriptions")
    if faults.spend("subscribe-unknown"):
        return Granted({}, "UNKNOWN", "")
    if faults.spend("subscribe-partial"):
        return Granted(cut_last_id(granted.packages), "PARTIAL", "not all of it")
    return granted


def _subscription_body(subscription: Subscription, granted: Granted, urls: Pair) -> dict[str, Any]:
    return {
        "subscriptionId": subscription.id,
        **({"message": granted.message} if granted.message else {}),
        "status": granted.status,
        "mode": "CHUNK",
        "format": "JSON",
        "publicPollingUrl": urls.public,
        "privatePollingUrl": urls.private,
    }


def unsubscribe(call: Call) -> Response:
    accounts = call.host.accounts
    subscription = accounts.subscriptions.get(call.parts["subscription"])
    if subscription is None or subscription.session is not call.session:
        return refusal(call.faults, 404, "no such subscription")
    accounts.end_subscription(subscription)
    return Response(204)


def _cookie(service: Service, name: str, value: str) -> tuple[str, str]:
    secure = "; Secure" if service.faults.has("secure-cookie") else ""
    return "Set-Cookie", f"{name}={value}; Path=/{secure}"
