"""One path while a connector claims it: its requests are admitted, read, handled, and ended with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from msgspec.structs import replace

from streamd.errors import Transient
from streamd.ingress.allowance import Allowance
from streamd.ingress.answers import unavailable
from streamd.ingress.content import read_content
from streamd.spool.spool import SpoolClosed
from streamd.transport.exchange import Body, Handler, Request, Response

Admit = Callable[[Request], Awaitable[Response | None]]
Failed = Callable[[int], None]

# A commit takes milliseconds, and the connector that lets go of its path has 5 s for all its goodbyes.
GRACE_SECONDS = 2.0


class Claim:
    """What answers on `path`.

    A request is admitted, handled and, where it failed, told of in the one task that serves its connection:
    what belongs to a request may be kept in a context variable.
    """

    def __init__(
        self,
        path: str,
        connector: str,
        handler: Handler,
        allowance: Allowance,
        *,
        max_body_bytes: int,
        admit: Admit | None,
        failed: Failed | None,
    ) -> None:
        self.path = path
        self.connector = connector
        self._handler = handler
        self._allowance = allowance
        self._max_body_bytes = max_body_bytes
        self._admit = admit
        self._failed = failed
        self._scopes: set[trio.CancelScope] = set()
        self._left = trio.lowlevel.ParkingLot()

    async def serve(self, head: Request, body: Body) -> Response:
        """Answer one request; 503 when the claim ends before."""
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                return await self._serve(head, body)
            finally:
                self._scopes.remove(scope)
                self._left.unpark_all()
        return unavailable()

    def failed(self, status: int) -> None:
        """Tell the connector of an answer that was no success."""
        if self._failed is not None:
            self._failed(status)

    async def close(self) -> None:
        """Let the requests that are in flight end within GRACE_SECONDS; cut the others short."""
        with trio.move_on_after(GRACE_SECONDS, shield=True):
            await self._wait_until_idle()
        for scope in self._scopes:
            scope.cancel()
        with trio.move_on_after(GRACE_SECONDS, shield=True):
            await self._wait_until_idle()

    async def _wait_until_idle(self) -> None:
        while self._scopes:
            await self._left.park()

    async def _serve(self, head: Request, body: Body) -> Response:
        try:
            return await self._answer(head, body)
        except SpoolClosed:
            return unavailable(close=True)
        except Transient as error:
            return unavailable(retry_after=error.retry_after)

    async def _answer(self, head: Request, body: Body) -> Response:
        if self._admit is not None and (answer := await self._admit(head)) is not None:
            return answer
        with self._allowance.request() as take:
            content = await read_content(head, body, self._max_body_bytes, take)
            return await self._handler(replace(head, body=content))
