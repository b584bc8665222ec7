"""What each path of the admin endpoint answers (INTERFACE.md, "Admin endpoint")."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import msgspec

from streamd.admin import page
from streamd.admin.access import is_allowed
from streamd.admin.backfilling import BadRange, read_range, streamed
from streamd.admin.rates import Sampler
from streamd.admin.report import Totaller, obstacles, report
from streamd.admin.scrape import Scrape
from streamd.telemetry.metrics import CONTENT_TYPE
from streamd.transport.server import Request, Response, Streamed

if TYPE_CHECKING:
    from streamd.app import Daemon

_CHALLENGE = 'Basic realm="streamd: any user name, the token as password", charset="UTF-8"'

_NONE: Mapping[str, str] = {}
_OWN = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

Restart = Callable[[str], Awaitable[bool]]


class Routes:
    """The handlers of one daemon."""

    def __init__(self, daemon: Daemon, sampler: Sampler, totaller: Totaller, restart: Restart) -> None:
        self._daemon = daemon
        self._sampler = sampler
        self._totaller = totaller
        self._restart = restart
        self._scrape = Scrape(daemon)

    async def public(self, request: Request) -> Response:
        """Answer on the TCP address: probes for everyone, the page and the status for who has the token."""
        open_to_all = {"/healthz": self._healthz, "/readyz": self._readyz, "/metrics": self._metrics}
        guarded = {"/": self._page, "/status": self._status}
        answer = open_to_all.get(request.path) or guarded.get(request.path)
        if answer is None:
            return _text(404, "there is /, /status, /metrics, /healthz and /readyz")
        if request.method not in ("GET", "HEAD"):
            return _text(405, "only GET and HEAD", {"Allow": "GET, HEAD"})
        token = self._daemon.config.admin.token
        if request.path in guarded and not is_allowed(token, request.headers.get("authorization")):
            return _text(401, "this needs the token of [admin]", {"WWW-Authenticate": _CHALLENGE})
        return await answer()

    async def private(self, request: Request) -> Response | Streamed:
        """Answer on the control socket, which only the daemon's own user can open."""
        if request.path == "/restart" and request.method == "POST":
            return await self._restarted(_parameters(request).get("name", ""))
        if request.path == "/backfill" and request.method == "POST":
            return self._backfill(_parameters(request))
        if request.path == "/status" and request.method == "GET":
            return await self._status()
        return _text(404, "there is GET /status, POST /restart?name= and POST /backfill?name=&from=&to=")

    async def _healthz(self) -> Response:
        return _text(200, "ok")

    async def _readyz(self) -> Response:
        reasons = obstacles(self._daemon)
        return _text(503, "\n".join(reasons)) if reasons else _text(200, "ready")

    async def _metrics(self) -> Response:
        body = await self._scrape.render(report(self._daemon, self._sampler), self._totaller.totals())
        return _response(200, CONTENT_TYPE, body)

    async def _status(self) -> Response:
        body = msgspec.json.encode(report(self._daemon, self._sampler))
        return _response(200, "application/json", body)

    async def _page(self) -> Response:
        body = page.render(report(self._daemon, self._sampler)).encode()
        return _response(
            200,
            "text/html; charset=utf-8",
            body,
            {"Content-Security-Policy": page.SECURITY_POLICY, "Referrer-Policy": "no-referrer"},
        )

    async def _restarted(self, name: str) -> Response:
        if name not in self._daemon.fleet.runtimes:
            return self._unknown(name)
        if self._daemon.stopping.is_set() or not await self._restart(name):
            return _text(503, f"{name} is not restarted: streamd is stopping, or it is gone meanwhile")
        return _text(200, f"{name} restarted")

    def _backfill(self, parameters: Mapping[str, str]) -> Response | Streamed:
        name = parameters.get("name", "")
        runtime = self._daemon.fleet.runtimes.get(name)
        if runtime is None:
            return self._unknown(name)
        try:
            begin, end = read_range(parameters.get("from", ""), parameters.get("to", ""))
        except BadRange as error:
            return _text(400, str(error))
        if not runtime.backfills.served and runtime.losses == "lost":
            return _text(
                409, f"{name}: the vendor of type {runtime.origin.vendor} keeps nothing to fetch again"
            )
        return Streamed(200, {**_OWN, "Content-Type": "application/x-ndjson"}, streamed(runtime, begin, end))

    def _unknown(self, name: str) -> Response:
        known = ", ".join(sorted(self._daemon.fleet.runtimes)) or "none"
        return _text(404, f"no connector {name!r} is running; there is: {known}")


def _parameters(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.query).items()}


def _text(status: int, text: str, headers: Mapping[str, str] = _NONE) -> Response:
    return _response(status, "text/plain; charset=utf-8", f"{text}\n".encode(), headers)


def _response(status: int, content_type: str, body: bytes, headers: Mapping[str, str] = _NONE) -> Response:
    return Response(status, {"Content-Type": content_type, **_OWN, **headers}, body)
