"""Answer CC-FS's callbacks: verified, taken as a hint, with a body (vendors/huawei_aicc.md, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from streamd.connector import Context
from streamd.connectors.huawei_aicc import wire
from streamd.connectors.huawei_aicc.config import HuaweiConfig
from streamd.connectors.huawei_aicc.jobs import Jobs
from streamd.connectors.huawei_aicc.signing import Keys, Message, Verdict, verify
from streamd.errors import ProtocolViolation
from streamd.transport.exchange import Request, Response

_JSON: Final[Mapping[str, str]] = {"Content-Type": "application/json;charset=UTF-8"}
_REFUSED = b'{"resultCode":"1","resultDesc":"refused"}'


class Callbacks:
    """What answers on the callback's path; `url` is where CC-FS was told to send them."""

    def __init__(self, ctx: Context[HuaweiConfig], jobs: Jobs, url: str, now: Callable[[], datetime]) -> None:
        """`now`: the clock by which timestamps are judged."""
        self._ctx = ctx
        self._now = now
        self._jobs = jobs
        self._url = urlsplit(url)
        self._keys = Keys(ctx.config.access_key.reveal(), ctx.config.secret_key)

    async def answer(self, request: Request) -> Response:
        """Take one callback: answered once the name is in the ledger, or where nobody waits for it.

        It only ever brings an attempt to download forward, from the host that is configured: so a callback
        that nobody waits for is answered as any other, for it would come again every ten minutes.
        """
        if request.method != "POST":
            return _refused(HTTPStatus.METHOD_NOT_ALLOWED)
        verdict = self._verdict(request)
        if verdict is not Verdict.GOOD:
            self._ctx.counters.count(f"callbacks_{verdict.value}")
            if self._ctx.config.callback_auth == "strict":
                self._ctx.log.warning("callback_refused", verdict=verdict.value, peer=request.peer)
                return _refused(HTTPStatus.UNAUTHORIZED)
        try:
            callback = wire.read_callback(request.body)
        except ProtocolViolation:
            self._ctx.counters.count("callbacks_unreadable")
            return _refused(HTTPStatus.BAD_REQUEST)
        if not await self._jobs.announce(callback, is_signed=verdict is Verdict.GOOD):
            self._ctx.counters.count("callbacks_unknown")
            self._ctx.log.info("callback_of_nobody", response_id=callback.response_id)
        return Response(HTTPStatus.OK, _JSON, wire.TAKEN)

    def _verdict(self, request: Request) -> Verdict:
        query = parse_qsl(request.query, keep_blank_values=True)
        return verify(
            self._keys,
            request.headers.get("authorization", ""),
            Message(request.method, request.path, request.headers, request.body, query),
            self._now(),
            hosts=self._hosts(request),
            paths=self._paths(request),
            skew_seconds=self._ctx.config.callback_skew_seconds,
        )

    def _hosts(self, request: Request) -> Iterator[str]:
        """Give what may be signed as Host: what came, host and port of the URL, the bare host."""
        yield request.headers.get("host", "").strip()
        authority = self._url.netloc.rpartition("@")[2]
        yield authority
        yield authority if self._url.port is None else authority.rpartition(":")[0]
        yield self._url.hostname or ""  # an IPv6 address without its brackets

    def _paths(self, request: Request) -> Iterator[str]:
        """Give what may be signed as path: as the URL spells it or as it came, alone and with the query."""
        for path in (self._url.path, request.path):
            yield path
            if request.query:
                yield f"{path}?{request.query}"


def _refused(status: HTTPStatus) -> Response:
    return Response(status, _JSON, _REFUSED)
