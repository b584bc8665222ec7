"""The HTTP side of a simulator's commands, under `/_simulator/`: for benches and tests in another process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from streamd.errors import ConfigError
from streamd.simulators.http import Request, Response, ok

_REFUSED = (
    *(ConfigError, msgspec.DecodeError, UnicodeDecodeError, RecursionError),
    *(AttributeError, LookupError, TypeError, ValueError),
)
_LIMIT = "10000"

Show = Callable[[str, Request], Mapping[str, Any] | None]
"""Give what a GET of that name asks for; None: there is no such thing."""
Act = Callable[..., Any]
"""Carry out a command, whose arguments are the members of the JSON object that was posted."""


def respond(request: Request, show: Show, acts: Mapping[str, Act]) -> Response:
    """Answer `request`; a command that cannot be carried out is a 400 that says why."""
    name = request.path.removeprefix("/_simulator/")
    try:
        if request.method == "GET":
            found = show(name, request)
        elif name in acts:
            found = {"result": acts[name](**msgspec.json.decode(request.body or b"{}"))}
        else:
            found = None
    except _REFUSED as error:
        return ok({"error": f"{type(error).__name__}: {error}"}, 400)
    return Response(404) if found is None else ok(found)


def page(entries: Sequence[Any], request: Request) -> tuple[list[Any], int]:
    """Give what `?since=N&limit=N` asks for, and where to go on."""
    since, limit = int(request.query.get("since", "0")), int(request.query.get("limit", _LIMIT))
    found = list(entries[since : since + limit])
    return found, since + len(found)
