"""Serve the two ports of one host: REST, with the simulator's own control, and the event channel."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import trio

from streamd.simulators.http import Request, Response, serve_connection
from streamd.simulators.o2g.answers import forced, refusal
from streamd.simulators.o2g.channel import Channel
from streamd.simulators.o2g.control import Control
from streamd.simulators.o2g.host import Host, secured
from streamd.simulators.o2g.log import RequestEntry
from streamd.simulators.o2g.rest import RestApi
from streamd.simulators.o2g.service import Service

_CONTROL_PREFIX = "/_simulator/"
_CHANNEL = "/OTEvents"

Handler = Callable[[trio.SocketStream], Awaitable[None]]


def rest_handler(service: Service, host: Host) -> Handler:
    """Return what serves a connection to the REST port."""
    rest, control = RestApi(service, host), Control(service)

    async def respond(request: Request) -> Response:
        if request.path.startswith(_CONTROL_PREFIX):
            return await control.respond(request)
        return rest.respond(request)

    async def serve(tcp: trio.SocketStream) -> None:
        await serve_connection(await secured(tcp, service.options), respond)

    return serve


def event_handler(service: Service, host: Host) -> Handler:
    """Return what serves a connection to the event port: one channel, or a refusal."""

    async def respond(request: Request) -> Response:
        response = _open(service, host, request)
        entry = RequestEntry(time.time(), host.number, request.method, request.path, response.status)
        service.requests.append(entry)
        return response

    async def serve(tcp: trio.SocketStream) -> None:
        await serve_connection(await secured(tcp, service.options), respond)

    return serve


def _open(service: Service, host: Host, request: Request) -> Response:
    """Open a channel on the subscription that the URL names: that is all the authentication there is."""
    faults = service.faults
    if request.path != _CHANNEL or request.method not in ("GET", "POST"):
        return refusal(faults, 404, "no such resource")
    subscription = host.accounts.subscriptions.get(request.query.get("subscriptionId", ""))
    reopened = subscription is not None and subscription.opened > 0
    spoilt = forced(faults, "reopen" if reopened else "open")
    if spoilt is not None:
        return spoilt
    if subscription is None or subscription.ended:
        return refusal(faults, 404, "no such subscription")
    if subscription.channels and faults.has("second-refused"):
        return refusal(faults, 409, "a channel is open already")
    if faults.has("second-replaces"):
        for other in list(subscription.channels):
            other.end("clean")
    return Response(200, take_over=Channel(service, host, subscription).serve)
