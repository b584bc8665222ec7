"""Check a subscription as section 2 of vendors/omilia.md says the platform does.

Only what the seed asks for: what streamd itself asks for beyond that (its "stricter reading") passes here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from streamd.simulators.http import Request

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_HEADER_NAME = re.compile(r"[A-Za-z0-9/-]+")
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_SCOPE_LIMIT = 100  # characters, inclusive
_VALUE_LIMIT = 1000  # characters, exclusive
_HEADERS_LIMIT = 5


class Invalid(Exception):
    """What was asked breaks a rule; `message` names it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Delivery(Struct, frozen=True):
    """Where and how one subscription is pushed."""

    type: str
    path: str
    auth_type: str
    auth_id: str
    auth_secret: str
    token_path: str
    auth_scope: str
    custom_headers: Mapping[str, str]

    def __repr__(self) -> str:  # it holds a secret
        return f"Delivery(to {self.path})"


class Wanted(Struct, frozen=True):
    """A subscription that somebody asks for."""

    data_type: str
    schema_name: str
    delivery: Delivery


def read_subscription(body: bytes, known: tuple[str, ...]) -> Wanted:
    """Return what `body` asks for; raise Invalid. `known` are the data types there are."""
    asked = read_object(body)
    data_type = _text(asked, "data_type")
    if data_type not in known:
        raise Invalid(f"data_type: must be one of {', '.join(known)}")
    schema_name = _text(asked, "schema_name")
    delivery = asked.get("delivery")
    if not isinstance(delivery, dict):
        raise Invalid("delivery: must not be null")
    return Wanted(data_type, schema_name, _delivery(delivery))


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`; raise Invalid."""
    try:
        asked = msgspec.json.decode(body)
    except UNREADABLE as error:
        raise Invalid("body: malformed JSON") from error
    if not isinstance(asked, dict):
        raise Invalid("body: must be an object")
    return asked


def read_page(request: Request, default: int, most: int) -> tuple[int, int]:
    """Return page_number and page_size; raise Invalid."""
    number, size = (_whole(request, *each) for each in (("page_number", 1), ("page_size", default)))
    if number < 1:
        raise Invalid("page_number: must be greater than 0")
    if not 0 < size <= most:
        raise Invalid(f"page_size: must be greater than 0 and at most {most}")
    return number, size


def _whole(request: Request, name: str, default: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError as error:
        raise Invalid(f"{name}: must be an integer") from error


def _text(asked: Mapping[str, Any], name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not value:
        raise Invalid(f"{name}: must not be empty")
    return value


def _delivery(asked: Mapping[str, Any]) -> Delivery:
    kind, path, auth_type = (_text(asked, name) for name in ("type", "path", "auth_type"))
    if kind not in ("http", "https"):
        raise Invalid("type: must be http or https")
    if urlsplit(path).scheme not in ("http", "https"):
        raise Invalid("path: must be a URL")
    if auth_type != "oauth2":
        raise Invalid("auth_type: must be oauth2")
    scope = asked.get("auth_scope") or ""
    if not isinstance(scope, str) or len(scope) > _SCOPE_LIMIT or not _PRINTABLE.fullmatch(scope):
        raise Invalid(f"auth_scope: must be at most {_SCOPE_LIMIT} printable ASCII characters")
    return Delivery(
        kind,
        path,
        auth_type,
        _text(asked, "auth_id"),
        _text(asked, "auth_secret"),
        _text(asked, "token_path"),
        scope,
        _headers(asked.get("custom_headers")),
    )


def _headers(asked: Any) -> Mapping[str, str]:
    if asked is None:
        return {}
    if not isinstance(asked, dict):
        raise Invalid("custom_headers: must be a map")
    if len(asked) > _HEADERS_LIMIT:
        raise Invalid(f"custom_headers: at most {_HEADERS_LIMIT}")
    for name, value in asked.items():
        if not name.lower().startswith("x-") or name.lower().startswith("x-ocp"):
            raise Invalid(f"custom_headers: {name!r} must start with x-, and not with x-ocp")
        if not _HEADER_NAME.fullmatch(name):
            raise Invalid(f"custom_headers: {name!r} may hold only alphanumerics, slash and hyphens")
        if not isinstance(value, str):
            raise Invalid(f"custom_headers: the value of {name!r} must not be null")
        if len(value) >= _VALUE_LIMIT or not _PRINTABLE.fullmatch(value):
            raise Invalid(f"custom_headers: the value of {name!r} must be short printable ASCII")
    return asked
