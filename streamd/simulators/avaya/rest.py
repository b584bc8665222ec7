"""Answer the REST calls: token, measure producers, subscriptions (vendors/avaya.md sections 1.1-1.3, 1.8).

What is not a call of the documents is a 404 with their own words. Undocumented choices: see the package.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec
import trio

from streamd.simulators.avaya import catalogue
from streamd.simulators.avaya.log import RequestEntry
from streamd.simulators.avaya.problems import Violation, problem
from streamd.simulators.avaya.service import Service
from streamd.simulators.avaya.subscriptions import Subscription, new_id
from streamd.simulators.avaya.validation import account_violations, create_violations
from streamd.simulators.http import Request, Response, ok

_AUTH = r"/api/auth/v1/(?P<account>[^/]+)/protocol/openid-connect/token"
_PRODUCERS = r"/api/analytics/producer-management/v1/accounts/(?P<account>[^/]+)/measure-producers"
_SUBSCRIPTIONS = r"/api/notification/v1/accounts/(?P<account>[^/]+)/subscriptions"
_ONE_PRODUCER = rf"{_PRODUCERS}/(?P<producer>[^/]+)"
_ONE_SUBSCRIPTION = rf"{_SUBSCRIPTIONS}/(?P<subscription>[^/:]+)"

_Handler = Callable[["RestApi", Request, Mapping[str, str]], Response]


class RestApi:
    """The REST side of `service`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._recent: deque[float] = deque()

    def respond(self, request: Request) -> Response:
        """Answer `request` and log it."""
        response = self._route(request)
        drip = self._service.faults.number("slow-body")
        if drip:
            response = msgspec.structs.replace(response, drip_seconds=drip)
        entry = RequestEntry(time.time(), request.method, request.path, response.status)
        self._service.requests.append(entry)
        return response

    def _route(self, request: Request) -> Response:
        for method, pattern, operation, handler in _ROUTES:
            match = pattern.fullmatch(request.path)
            if match is not None and method == request.method:
                parts = {name: unquote(value) for name, value in match.groupdict().items()}
                forced = self._forced(request, operation) or self._gate(request, operation, parts["account"])
                return forced or handler(self, request, parts)
        return self._problem(404, request)

    def _problem(self, status: int, request: Request, **more: Any) -> Response:
        as_string = self._service.faults.has("problem-status-string")
        return problem(status, self._service.base_url + request.path, status_as_string=as_string, **more)

    def _forced(self, request: Request, operation: str) -> Response | None:
        """Return what a switch of row 16 puts in the place of the answer."""
        if self._spiked():
            return self._problem(429, request, headers=[("Retry-After", "1")])
        spend = self._service.faults.spend
        for name, (status, more) in _FORCED.items():
            if spend(name, operation):
                return self._problem(status, request, **more)
        if spend("gateway-html", operation):
            return Response(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html")
        return None

    def _spiked(self) -> bool:
        limit, now = self._service.faults.number("spike-limit"), trio.current_time()
        while self._recent and self._recent[0] <= now - 1:
            self._recent.popleft()
        if limit and len(self._recent) >= limit:
            return True
        self._recent.append(now)
        return False

    def _gate(self, request: Request, operation: str, account: str) -> Response | None:
        """Refuse a wrong account, appkey or access token; the token call needs no access token."""
        options = self._service.options
        if violations := account_violations(account):
            return self._problem(400, request, violations=violations)
        if request.headers.get("appkey") != options.appkey:
            return self._problem(401, request, suffix="(Appkey)")
        if operation == "token":
            return None if account == options.account_id else self._problem(404, request)
        token = self._service.tokens.valid(_bearer(request), trio.current_time())
        if token is None:
            return self._problem(401, request, suffix="(Access-Token)")
        return None if token.account == account else self._problem(403, request)

    # Tokens

    def token(self, request: Request, parts: Mapping[str, str]) -> Response:
        if "application/x-www-form-urlencoded" not in request.headers.get("content-type", ""):
            return self._problem(415, request)
        form = dict(parse_qsl(request.body.decode("ascii", "replace")))
        needed = ["grant_type", "client_id", "client_secret"]
        needed += ["refresh_token"] if form.get("grant_type") == "refresh_token" else []
        missing = [Violation(name, "must not be null", 20002) for name in needed if not form.get(name)]
        if missing:
            return self._problem(400, request, violations=missing)
        if form["grant_type"] not in ("client_credentials", "refresh_token"):
            violation = Violation("grant_type", "must be client_credentials or refresh_token", 20006)
            return self._problem(400, request, violations=[violation])
        service, options = self._service, self._service.options
        if (form["client_id"], form["client_secret"]) != (options.client_id, options.client_secret):
            return self._problem(401, request)
        if "refresh_token" in needed and not service.tokens.may_refresh(
            form["refresh_token"], parts["account"]
        ):
            return self._problem(401, request)
        access, refresh, expires_in = service.tokens.issue(
            parts["account"],
            service.token_seconds,
            trio.current_time(),
            cached=service.faults.has("token-cached"),
        )
        return ok({"access_token": access, "expires_in": expires_in, "refresh_token": refresh})

    # Measure producers

    def list_producers(self, request: Request, parts: Mapping[str, str]) -> Response:
        wanted = request.query.get("processorType")
        listed = [catalogue.listing(each) for each in self._catalogue]
        return ok([each for each in listed if wanted in (None, each["processorType"])])

    def get_producer(self, request: Request, parts: Mapping[str, str]) -> Response:
        if parts["producer"] not in self._catalogue:
            return self._problem(404, request)
        return ok(catalogue.details(parts["producer"]))

    def list_locales(self, request: Request, parts: Mapping[str, str]) -> Response:
        if parts["producer"] not in self._catalogue:
            return self._problem(404, request)
        return ok(catalogue.LOCALES)

    def get_dictionary(self, request: Request, parts: Mapping[str, str]) -> Response:
        known = parts["locale"].split("-")[0] in catalogue.LOCALES
        if parts["producer"] not in self._catalogue or not known:
            return self._problem(404, request)
        return ok(catalogue.dictionary(parts["producer"], parts["locale"]))

    @property
    def _catalogue(self) -> tuple[str, ...]:
        return (*self._service.options.producers, catalogue.CDR_PRODUCER)

    # Subscriptions

    def create(self, request: Request, parts: Mapping[str, str]) -> Response:
        service, faults, now = self._service, self._service.faults, trio.current_time()
        known = () if faults.has("wrong-case-pending") else service.options.producers
        asked, violations = create_violations(request.body, known)
        if violations:
            return self._problem(400, request, violations=violations)
        if asked["family"] != "ANALYTICS":
            return self._problem(403, request)
        token = service.tokens.valid(_bearer(request), now)
        assert token is not None, "the gate let it through"
        identifier, producer = new_id(service.random), asked["extensions"]["measureProducerId"]
        never = faults.has("pending-forever") or producer not in service.options.producers
        subscription = Subscription(
            id=identifier,
            account=parts["account"],
            producer=producer,
            events=asked["events"],
            extensions=asked["extensions"],
            endpoint=self._endpoint(parts["account"], identifier),
            ping_interval=int(faults.number("ping-interval", service.options.ping_interval)),
            created_ns=time.time_ns(),
            pending_until=float("inf") if never else now + faults.number("pending-seconds"),
            expires_at=token.expires_at,
        )
        service.subscriptions[identifier] = subscription
        response = ok(subscription.body(now, faults), 201)
        return msgspec.structs.replace(response, reset=faults.spend("reset-after-post"))

    def _endpoint(self, account: str, identifier: str) -> str:
        base = self._service.base_url.replace("http", "ws", 1) + "/ws/notification/v1/analytics/realtime"
        return base if self._service.faults.has("endpoint-bare") else f"{base}/{account}/{identifier}"

    def list(self, request: Request, parts: Mapping[str, str]) -> Response:
        number, size = request.query.get("pageNumber", "1"), request.query.get("pageSize", "10")
        violations = []
        if not (number.isdecimal() and int(number) >= 1):
            violations.append(Violation("pageNumber", "must be greater than or equal to 1", 20003))
        if not (size.isdecimal() and 1 <= int(size) <= 25):
            violations.append(Violation("pageSize", "must be between 1 and 25", 20003))
        if violations:
            return self._problem(400, request, violations=violations)
        return ok(self._page(request.path, parts["account"], int(number), int(size)))

    def _page(self, path: str, account: str, number: int, size: int) -> dict[str, Any]:
        now, faults = trio.current_time(), self._service.faults
        mine = [each for each in self._service.subscriptions.values() if each.account == account]
        shown = mine[(number - 1) * size : number * size]

        def link(page: int, exists: bool) -> str:
            return f"{path}?pageNumber={page}&pageSize={size}" if exists else ""

        return {
            "pagination": {"pageNumber": number, "pageSize": size, "total": len(mine)},
            "subscriptions": [each.body(now, faults) for each in shown],
            "links": {
                "prev": link(number - 1, number > 1),
                "next": link(number + 1, number * size < len(mine)),
            },
        }

    def get(self, request: Request, parts: Mapping[str, str]) -> Response:
        subscription = self._find(parts)
        if subscription is None:
            return self._problem(404, request)
        return ok(subscription.body(trio.current_time(), self._service.faults))

    def delete(self, request: Request, parts: Mapping[str, str]) -> Response:
        subscription = self._find(parts)
        if subscription is None:
            return self._problem(404, request)
        del self._service.subscriptions[subscription.id]
        if self._service.faults.has("delete-closes"):
            for session in self._service.sessions:
                if session.subscription is subscription:
                    session.close()
        return Response(204)

    def renew(self, request: Request, parts: Mapping[str, str]) -> Response:
        subscription, now = self._find(parts), trio.current_time()
        if subscription is None:
            return self._problem(404, request)
        token = self._service.tokens.valid(_bearer(request), now)
        assert token is not None, "the gate let it through"
        generous = self._service.faults.has("renew-extends-same-token")
        subscription.expires_at = now + self._service.token_seconds if generous else token.expires_at
        subscription.inactive = False
        self._service.wake()
        return ok(subscription.body(now, self._service.faults))

    def _find(self, parts: Mapping[str, str]) -> Subscription | None:
        found = self._service.subscriptions.get(parts["subscription"])
        return found if found is not None and found.account == parts["account"] else None


def _bearer(request: Request) -> str:
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


_FORCED: Mapping[str, tuple[int, dict[str, Any]]] = {
    "appkey-401": (401, {"suffix": "(Appkey)"}),
    "token-401": (401, {"suffix": "(Access-Token)"}),
    "forbidden-403": (403, {}),
    "missing-404": (404, {}),
    "limited-429": (429, {"headers": [("Retry-After", "1")]}),
    "limited-429-bare": (429, {}),
    "error-500": (500, {}),
}

# method, path, the operation that a switch can name, handler
_ROUTES: tuple[tuple[str, re.Pattern[str], str, _Handler], ...] = (
    ("POST", re.compile(_AUTH), "token", RestApi.token),
    ("GET", re.compile(_PRODUCERS), "producers", RestApi.list_producers),
    ("GET", re.compile(_ONE_PRODUCER), "producers", RestApi.get_producer),
    ("GET", re.compile(rf"{_ONE_PRODUCER}/locales"), "producers", RestApi.list_locales),
    (
        "GET",
        re.compile(rf"{_ONE_PRODUCER}/dictionaries/(?P<locale>[^/]+)"),
        "producers",
        RestApi.get_dictionary,
    ),
    ("POST", re.compile(_SUBSCRIPTIONS), "create", RestApi.create),
    ("GET", re.compile(_SUBSCRIPTIONS), "list", RestApi.list),
    ("GET", re.compile(_ONE_SUBSCRIPTION), "get", RestApi.get),
    ("DELETE", re.compile(_ONE_SUBSCRIPTION), "delete", RestApi.delete),
    ("POST", re.compile(rf"{_ONE_SUBSCRIPTION}:renew"), "renew", RestApi.renew),
)
