"""Make the answers of FACE: a code, words, and what was found; and those that are put in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from streamd.simulators.http import Response
from streamd.simulators.oracle_isr.codes import ACK, MESSAGES, NACK
from streamd.simulators.oracle_isr.details import Tree
from streamd.simulators.oracle_isr.encoding import encode_json, encode_xml
from streamd.simulators.oracle_isr.faults import code_switch
from streamd.simulators.switches import Switches

_PAGE = b"<!DOCTYPE html><html><head><title>%s</title></head><body><h1>HTTP Status %s</h1></body></html>"


class Reply(Struct, frozen=True):
    """One answer before it is encoded; the fields are those of `ReplyEntry`. `tree` comes behind the code."""

    code: int | None
    message: str
    tree: Tree = {}
    shape: str = "error"
    ids: Sequence[int] = ()
    matches: int = 0
    root: str = "result"
    always_xml: bool = False

    @property
    def has_payload(self) -> bool:
        return self.shape in ("one", "all", "cut")


def error(code: int, message: str = "") -> Reply:
    return Reply(code, message or MESSAGES[code])


def acknowledged(tree: Tree, message: str = MESSAGES[ACK], **more: Any) -> Reply:
    return Reply(ACK, message, tree, **more)


def encoded(reply: Reply, wants_json: bool, faults: Switches) -> Response:
    """Return the response; a page of HTML for what none of FACE's own errors is."""
    xml = reply.always_xml or faults.has("xml-only") or (faults.has("errors-xml") and not reply.has_payload)
    as_json = wants_json and not xml
    root = "response" if faults.has("response-envelope") else reply.root
    body = (encode_json if as_json else encode_xml)(root, _envelope(reply, root), faults)
    kind = "application/json" if as_json else "application/xml"
    wrong = reply.code not in (ACK, None) and not reply.has_payload
    status = 400 if wrong and faults.has("error-status-400") else 200
    return Response(status, body, "text/html" if faults.has("content-type-html") else kind)


def _envelope(reply: Reply, root: str) -> Tree:
    if reply.code is None:
        return reply.tree
    name = "Code" if root == "response" else "code"
    return {name: reply.code, "message": reply.message, **reply.tree}


def forced_code(faults: Switches, operation: str) -> Reply | None:
    """Return the return code that a switch puts in the place of the answer, if one strikes now."""
    codes = (NACK, *(code for code in MESSAGES if code > 0))
    return next((error(code) for code in codes if faults.spend(code_switch(code), operation)), None)


def forced_response(faults: Switches, operation: str) -> Response | None:
    """Return what a switch puts in the place of the whole response, if one strikes now."""
    return next((make() for name, make in _FORCED.items() if faults.spend(name, operation)), None)


def page(status: int, title: str) -> Response:
    """Return an error page as Tomcat or a proxy has it."""
    headers = [("Retry-After", "1")] if status == 503 else []
    body = _PAGE % (title.encode("ascii"), f"{status} - {title}".encode("ascii"))
    return Response(status, body, "text/html", headers)


_FORCED: Mapping[str, Callable[[], Response]] = {
    "unauthorized-401": lambda: page(401, "Unauthorized"),
    "forbidden-403": lambda: page(403, "Forbidden"),
    "error-500": lambda: page(500, "Internal Server Error"),
    "unavailable-503": lambda: page(503, "Service Unavailable"),
    "gateway-html": lambda: page(502, "Bad Gateway"),
    "tomcat-200": lambda: Response(200, page(500, "Internal Server Error").body, "text/html"),
    "empty-body": lambda: Response(200),
    "reset": lambda: Response(200, reset=True),
}
