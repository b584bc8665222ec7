"""Answer the pushes of one data type (vendors/omilia.md, section 3c: each row of its table is here).

200 with a JSON object says that every record of the batch is committed to the spool, as an event or as its
dead letter. Anything else makes Omilia drop the batch, and deliver it again later.
"""

from __future__ import annotations

from contextvars import ContextVar
from datetime import datetime
from functools import partial
from http import HTTPStatus

import trio

from streamd.connector import Context
from streamd.connectors.omilia.arrivals import Arrivals, Push
from streamd.connectors.omilia.bearer import Gate, unauthorized
from streamd.connectors.omilia.config import OmiliaConfig, audit_type
from streamd.connectors.omilia.delivery import parse_schema_name
from streamd.connectors.omilia.records import Records
from streamd.connectors.omilia.replies import busy, reply
from streamd.connectors.omilia.sequence import Sequence
from streamd.connectors.omilia.wire import Body, Unreadable, read
from streamd.errors import BadRecord
from streamd.transport.exchange import Request, Response

ANSWER_SECONDS = 8.0  # Omilia is thought to wait 10 s for an answer (vendors/omilia.md, section 9, 7)
RETRY_SECONDS = 5
# More than that are not a busy platform but one that does not wait for answers: what it sends stays with it.
MOST_IN_FLIGHT = 64
# To cut a body that one record has spoilt takes 75 ms a MB.
_LARGE_BYTES = 256 * 1024
# 401: whoever has no token is a stranger, and no loss. An expired one is told of by itself.
_STRANGERS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
# The push that a connection's task serves now: the ingress admits, handles and ends each request in one task.
_push: ContextVar[Push | None] = ContextVar("push", default=None)


class Callback:
    """The callback of one data type."""

    def __init__(
        self,
        ctx: Context[OmiliaConfig],
        data_type: str,
        records: Records,
        gate: Gate,
        arrivals: Arrivals,
    ) -> None:
        self._ctx = ctx
        self._data_type = data_type
        self._records = records
        self._gate = gate
        self._arrivals = arrivals
        self._pushes = arrivals.streams[data_type]
        self._sequence = Sequence()
        self._in_flight = 0
        self._reading = trio.CapacityLimiter(1)
        self.schema_name: str | None = None
        """That of the subscription as it is now."""

    async def admit(self, request: Request) -> Response | None:
        """Let a request in by its head, or answer it at once. Raises Transient."""
        _push.set(None)
        if request.method != "POST":
            return reply(HTTPStatus.METHOD_NOT_ALLOWED, {"error": "method not allowed"}, {"Allow": "POST"})
        push = self._pushes.come()
        _push.set(push)
        judgement = await self._gate.judgement(request)
        if judgement == "good":
            return None
        self._ctx.counters.count(f"pushes_{judgement}_token")
        if judgement == "expired":
            self._arrivals.failed(self._data_type, "a push carried a token that is good no longer", push)
        self._pushes.turn_away(push)
        return unauthorized(request)

    async def handle(self, request: Request) -> Response:
        """Take in one push; answer when all of it is committed."""
        push = _push.get()
        assert push is not None, "it was admitted"
        if self._in_flight >= MOST_IN_FLIGHT:
            return busy(HTTPStatus.TOO_MANY_REQUESTS, RETRY_SECONDS)
        self._in_flight += 1
        try:
            with trio.move_on_after(ANSWER_SECONDS):
                count, oldest = await self._take(request.body, push.came)
                self._pushes.accepted(push, oldest)
                return reply(HTTPStatus.OK, {"status": "ok", "received": count})
        finally:
            self._in_flight -= 1
        # What was handed over may be committed all the same; it comes again, and has the same ids.
        return busy(HTTPStatus.SERVICE_UNAVAILABLE, RETRY_SECONDS)

    async def _take(self, body: bytes, came: datetime) -> tuple[int, datetime | None]:
        """Commit what a body holds; give how many records, and the earliest time of those that are new."""
        origin = f"callback of {self._data_type}"
        try:
            found = await self._read(body)
        except Unreadable as error:
            self._ctx.counters.count("unreadable_bodies")
            await self._ctx.append([self._ctx.dead_letter(BadRecord(error.reason, body, origin))])
            return 0, None
        self._observe(found)
        outcome = await self._records.accept(
            found.records,
            origin=origin,
            received=came,
            expected=self._data_type,
            unnamed=audit_type([self._data_type]),
        )
        return len(found.records), outcome.oldest

    async def _read(self, body: bytes) -> Body:
        """Take a body apart: a large one in a thread, where its records may be cut without holding others up.

        Raises Unreadable.
        """
        take_apart = partial(read, body, lenient=self._ctx.config.lenient_body)
        if len(body) <= _LARGE_BYTES:
            return take_apart()
        return await trio.to_thread.run_sync(take_apart, abandon_on_cancel=True, limiter=self._reading)

    def _observe(self, body: Body) -> None:
        """Count what is unusual about a batch; nothing depends on it."""
        count = self._ctx.counters.count
        count(f"bodies_{body.form}")
        if body.form != "envelope":
            return
        count(f"sequence_{self._sequence.observe(body)}")
        if not body.records:
            count("empty_batches")
        if body.schema_name != self.schema_name and self.schema_name is not None:
            ours = parse_schema_name(body.schema_name or "")
            earlier = ours is not None and ours.data_type == self._data_type
            count("earlier_generation_batches" if earlier else "mismatched_schema_names")

    def failed(self, status: int) -> None:
        """Be told of an answer that was no success, whoever gave it."""
        if status in _STRANGERS:
            return
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            self._ctx.log.error("push_too_large", data_type=self._data_type)
        self._arrivals.failed(self._data_type, f"a push was answered {status}", _push.get())
