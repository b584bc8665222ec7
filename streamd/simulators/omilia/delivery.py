"""Push batches to the callback of one subscription (vendors/omilia.md sections 3b and 3c)."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
import trio
from msgspec import Struct

from streamd.simulators.omilia.client import Answer, Caller, Manner, Unanswered
from streamd.simulators.omilia.envelope import Numbering, bodies, messages_of, strikes
from streamd.simulators.omilia.log import DeliveryEntry
from streamd.simulators.omilia.oauth import Bearer, NoToken
from streamd.simulators.omilia.records import Record
from streamd.simulators.omilia.service import Service
from streamd.simulators.omilia.subscriptions import Subscription

_COMES_BACK = (401, 408, 429)  # those of 4xx that `discard-4xx` does not mean
_RETRY_AFTER_LIMIT = 300.0  # seconds, real


class Outcome(Struct, frozen=True):
    """How a push went; `final`: not to be tried again; `wait`: real seconds that the client asked for."""

    reason: str
    status: int = 0
    final: bool = False
    wait: float = 0.0

    @property
    def accepted(self) -> bool:
        return self.reason == "accepted"


class _Batch(Struct, frozen=True):
    records: Sequence[Record]
    odd: int
    session_id: str
    number: int
    stream: str


class Pusher:
    """One connection to the callback; one push at a time."""

    def __init__(self, service: Service, subscription: Subscription, bearer: Bearer) -> None:
        self._service, self._subscription, self._bearer = service, subscription, bearer
        self._caller = Caller(subscription.delivery.path, service.trust)

    def close(self) -> None:
        self._caller.close()

    async def push(self, records: Sequence[Record], numbering: Numbering, stream: str) -> Outcome:
        """Push `records` as one batch, with all that the switches add before and behind it."""
        faults, draw = self._service.faults, self._service.dialogs.random
        outcome = await self._push_batch(records, numbering, stream)
        if outcome.accepted and strikes(faults, "rebatch", draw):
            other, middle = Numbering(), (len(records) + 1) // 2
            for part in filter(None, (records[:middle], records[middle:])):
                await self._push_batch(part, other, stream)
        if strikes(faults, "empty-messages", draw):
            await self._push_batch((), numbering, stream)
        if strikes(faults, "bad-json", draw):
            await self._attempt(
                b'{"schemaName":"bad","messages":[{"id":"odd-bad",', _Batch((), 1, "", 0, stream)
            )
        return outcome

    async def _push_batch(self, records: Sequence[Record], numbering: Numbering, stream: str) -> Outcome:
        faults, draw = self._service.faults, self._service.dialogs.random
        name = self._subscription.data_type
        messages, odd = messages_of(name, records, faults, draw) if records else ([], 0)
        session_id = numbering.session_id
        number = numbering.take(len(messages), faults, draw)
        batch = _Batch(records, odd, session_id, number, stream)
        outcome = Outcome("accepted")
        for body in bodies(self._subscription.schema_name, session_id, number, messages, faults):
            outcome = await self._push_body(body, batch)
            if not outcome.accepted:
                break
            if strikes(faults, "repeat-batch", draw):
                await self._attempt(body, batch)
        return outcome

    async def _push_body(self, body: bytes, batch: _Batch) -> Outcome:
        faults = self._service.faults
        outcome = await self._attempt(body, batch)
        if outcome.status == 401 and faults.has("401-retries"):
            outcome = await self._attempt(body, batch)
        for _ in range(int(faults.number("retry-at-once"))):
            if outcome.accepted:
                break
            outcome = await self._attempt(body, batch)
        return outcome

    async def _attempt(self, body: bytes, batch: _Batch) -> Outcome:
        """Make one POST; log it, and count it for each of its records."""
        begun = trio.current_time()
        outcome = await self._try(body)
        for record in batch.records:
            if outcome.accepted:
                record.accepted += 1
            else:
                record.failed += 1
        service, subscription = self._service, self._subscription
        service.log.delivered(
            DeliveryEntry(
                at=time.time(),
                platform_at=service.clock.now(),
                seconds=trio.current_time() - begun,
                subscription_id=subscription.id,
                data_type=subscription.data_type,
                schema_name=subscription.schema_name,
                stream=batch.stream,
                session_id=batch.session_id,
                sequence=batch.number,
                records=[each.number for each in batch.records],
                odd=batch.odd,
                bytes=len(body),
                status=outcome.status,
                outcome=outcome.reason,
            )
        )
        return outcome

    async def _try(self, body: bytes) -> Outcome:
        faults = self._service.faults
        if faults.has("network-down"):
            await trio.lowlevel.checkpoint()
            return Outcome("network down")
        headers = {"Content-Type": "application/x-ndjson" if faults.has("ndjson") else "application/json"}
        headers |= self._subscription.delivery.custom_headers
        token = ""
        if not faults.spend("bearer-missing"):
            try:
                token = await self._bearer.token()
            except NoToken as error:
                return Outcome(f"no token: {error.reason}")
            headers["Authorization"] = f"Bearer {token}"
        try:
            answer = await self._caller.post(headers, body, faults.number("push-timeout", 10), self._manner())
        except Unanswered as unanswered:
            return Outcome(unanswered.reason)
        if answer.status == 401 and not faults.has("401-ignored"):
            self._bearer.forget(token)
        return self._judge(answer)

    def _manner(self) -> Manner:
        faults, draw = self._service.faults, self._service.dialogs.random
        return Manner(
            gzip=faults.has("gzip"),
            chunked=faults.has("chunked"),
            slow_seconds=faults.number("slow-send"),
            abort=strikes(faults, "abort-mid-body", draw),
            forget=strikes(faults, "answer-lost", draw),
        )

    def _judge(self, answer: Answer) -> Outcome:
        faults, status = self._service.faults, answer.status
        if 200 <= status < 300:
            if faults.has("any-2xx") or _is_object(answer.body):
                return Outcome("accepted", status)
            return Outcome("no JSON object", status)
        final = faults.has("discard-4xx") and 400 <= status < 500 and status not in _COMES_BACK
        wait = _seconds(answer.headers.get("retry-after", "")) if faults.has("retry-after-honoured") else 0.0
        return Outcome(f"status {status}", status, final, wait)


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(body), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _seconds(text: str) -> float:
    return min(float(text), _RETRY_AFTER_LIMIT) if text.isascii() and text.isdigit() else 0.0
