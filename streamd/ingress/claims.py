"""Who answers on which path: connectors claim theirs while they run, and what has no owner is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from urllib.parse import quote

import structlog
import trio

from streamd.config import ConnectorConfig
from streamd.config.derived import enabled
from streamd.connector import Counters, Log
from streamd.ingress.allowance import Allowance
from streamd.ingress.answers import refusal, unavailable
from streamd.ingress.claim import Admit, Claim, Failed
from streamd.ingress.ration import Ration
from streamd.registry import all_types
from streamd.supervision import attempt
from streamd.transport.exchange import Body, Handler, Request, Response

log = structlog.get_logger("streamd.ingress")


class Claims:
    """Every path of the ingress; the `Service` that its HTTP server has.

    `max_body_bytes`: of one request, inflated. `max_connections`: of the server, for its connectors to share.
    `public_url`: where vendors reach it.
    """

    def __init__(
        self, max_body_bytes: int = 32 * 1024**2, max_connections: int = 256, public_url: str = ""
    ) -> None:
        self.public_url = public_url.rstrip("/")
        self.bound: trio.Event | None = None
        """Set once the listener is bound; None: there is none to wait for."""
        self.draining = False
        """Whether every request is turned away from now on."""
        self.max_body_bytes = max_body_bytes
        self._max_connections = max_connections
        self._owners: dict[str, str] = {}
        self._desks: dict[str, Desk] = {}
        self._claims: dict[str, Claim] = {}
        self._ration = Ration()

    def expect(self, connectors: Mapping[str, ConnectorConfig]) -> None:
        """Set which connector is to answer on which path, running or not."""
        self._owners = {
            path: name
            for name, each in enabled(connectors).items()
            for path in all_types()[each.type].paths(name, each)
        }

    def desk(self, connector: str, counters: Counters, log: Log) -> Desk:
        """Give a connector what it claims its paths with."""
        desk = self._desks[connector] = Desk(self, connector, counters, log)
        return desk

    def most_requests(self) -> int:
        """Say how many requests of one connector may be in flight: an equal part, and one is for others."""
        return max(1, self._max_connections // (len(set(self._owners.values())) + 1))

    def add(self, claim: Claim) -> None:
        """Let a claim answer from now on. Raises ValueError when its path is not its connector's."""
        if self._owners.get(claim.path) != claim.connector or claim.path in self._claims:
            raise ValueError(
                f"a path that {claim.connector} claims is not declared as its own, or claimed twice"
            )
        self._claims[claim.path] = claim

    def remove(self, claim: Claim) -> None:
        """Let a claim answer no more."""
        del self._claims[claim.path]

    # -- the service

    async def serve(self, head: Request, body: Body) -> Response:
        # A path may hold a secret. The look-up tells nothing by its time: Python's hash of it is keyed.
        claim = self._claims.get(head.path)
        if self.draining:
            return unavailable(close=True)
        if claim is not None:
            return await claim.serve(head, body)
        return unavailable() if head.path in self._owners else refusal(HTTPStatus.NOT_FOUND)

    def refusal(self, status: HTTPStatus) -> Response:
        return refusal(status)

    def answered(self, head: Request, status: int) -> None:
        """Count an answer for its connector, and tell it of one that was no success."""
        desk = self._desks.get(self._owners.get(head.path, ""))
        if desk is None:
            self._ration.tell(log, "ingress_refused", reason=f"{status} on a path of nobody", peer=head.peer)
            return
        desk.counters.count(f"requests_{status}")
        if status >= HTTPStatus.BAD_REQUEST:
            self._ration.tell(
                desk.log, "ingress_request_failed", of=desk.connector, status=status, peer=head.peer
            )
            self._tell_owner(head, status)

    def _tell_owner(self, head: Request, status: int) -> None:
        claim = self._claims.get(head.path)
        bug = attempt(partial(claim.failed, status)) if claim is not None else None
        if bug is not None:
            self.crashed(head, bug)

    def turned_away(self, peer: str, reason: str) -> None:
        self._ration.tell(log, "ingress_refused", reason=reason, peer=peer)

    def crashed(self, head: Request, error: Exception) -> None:
        self._ration.tell(
            log,
            "ingress_handler_crashed",
            level="error",
            of=self._owners.get(head.path, ""),
            error=type(error).__name__,
            exc_info=error,
        )


class Desk:
    """`connector.Ingress` of one connector."""

    def __init__(self, claims: Claims, connector: str, counters: Counters, log: Log) -> None:
        self.counters = counters
        self.log = log
        self.connector = connector
        self._claims = claims
        self._allowance = Allowance(claims.most_requests, 2 * claims.max_body_bytes)

    def url(self, path: str) -> str:
        """Give the URL by which the vendor reaches `path` (see `connector.Ingress`)."""
        return self._claims.public_url + quote(path, safe="/~@")

    async def bound(self) -> None:
        """Return once the vendor can reach us (see `connector.Ingress`)."""
        await trio.lowlevel.checkpoint()
        if self._claims.bound is not None:
            await self._claims.bound.wait()

    @asynccontextmanager
    async def claim(
        self, path: str, handler: Handler, *, admit: Admit | None = None, failed: Failed | None = None
    ) -> AsyncIterator[None]:
        """Answer the requests for `path` with `handler` while the block runs (see `connector.Ingress`)."""
        claim = Claim(
            path,
            self.connector,
            handler,
            self._allowance,
            max_body_bytes=self._claims.max_body_bytes,
            admit=admit,
            failed=failed,
        )
        self._claims.add(claim)
        try:
            yield
        finally:
            self._claims.remove(claim)
            await claim.close()
