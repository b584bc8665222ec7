"""Take ISR's External Event Notifications: hints to look now, never more (section 5)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from urllib.parse import parse_qsl

import trio

from streamd.connector import CONNECTOR_NAME, Context
from streamd.connectors.oracle_isr.config import OracleIsrConfig
from streamd.connectors.oracle_isr.wire import bare_ucid
from streamd.ingress.sources import Sources
from streamd.pull.hints import Hints
from streamd.transport.exchange import Request, Response

# As FACE's own eventNotify answers (section 5).
_DONE = Response(
    200, {"content-type": "application/xml"}, b"<response><Code>0</Code><message>success</message></response>"
)
# Parameters are named as the destination is set up; these are FACE's own and the likely ones.
_CALL_NAMES = frozenset({"ucid", "isrucid", "ingresscallid", "callid", "sessionid"})
_MOST_FIELDS = 100
_LONGEST_CALL = 256
_FORM = "application/x-www-form-urlencoded"


def paths(config: OracleIsrConfig) -> Sequence[str]:
    """Give where notifications come to; nowhere without a secret."""
    secret = config.notification_path_secret
    return [] if secret is None else [f"/oracle_isr/{CONNECTOR_NAME}/{secret.reveal()}"]


@asynccontextmanager
async def open_notifications(ctx: Context[OracleIsrConfig], hints: Hints) -> AsyncIterator[None]:
    """Answer notifications until the block is left."""
    sources = Sources(ctx.config.notification_sources)

    async def admit(head: Request) -> Response | None:
        await trio.lowlevel.checkpoint()
        if head.peer not in sources:
            ctx.counters.count("notifications_refused")
            return Response(HTTPStatus.FORBIDDEN)
        if head.method not in ("GET", "POST"):
            return Response(HTTPStatus.METHOD_NOT_ALLOWED, {"allow": "GET, POST"})
        return None

    async def handle(request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        ctx.counters.count("notifications")
        hints.give(called(request))
        return _DONE

    async with AsyncExitStack() as stack:
        for path in paths(ctx.config):
            where = path.replace(CONNECTOR_NAME, ctx.origin.connector)
            await stack.enter_async_context(ctx.ingress.claim(where, handle, admit=admit))
        yield


def called(request: Request) -> str:
    """Give the call id that a notification is about, without its prefix; "" where it names none."""
    for name, value in _fields(request):
        text = value.strip()
        if len(text) <= _LONGEST_CALL and (name.lower() in _CALL_NAMES or text.startswith("x-isr-ucid-")):
            return bare_ucid(text) or ""
    return ""


def _fields(request: Request) -> Iterator[tuple[str, str]]:
    """Give the parameters of the query and of a form, whatever is in them."""
    texts = [request.query]
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM:
        texts.append(request.body.decode("utf-8", "replace"))
    for text in texts:
        try:
            yield from parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError:  # too many fields: still a hint
            continue
