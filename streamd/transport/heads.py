"""Read the head of a request, and refuse the framings that two readers could understand in two ways."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

import h11

from streamd.transport.exchange import Request

# A continued header line: h11 joins it, others in front of us may not (RFC 9112, section 5.2).
_FOLDS = (b"\n ", b"\n\t")


def read_head(head: h11.Request, raw: bytes, peer: str, most: int) -> Request | HTTPStatus:
    """Give the request without its body, or the status that refuses it.

    `raw`: the head as it was on the wire, `most` the bytes that it may have. h11 has refused what is not
    HTTP, lengths that contradict each other and every transfer-coding but chunked.
    """
    if len(raw) > most:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    if not head.http_version.startswith(b"1."):
        return HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
    headers = _headers(head)
    # RFC 9112, section 6.1: with both a request may be smuggled; HTTP/1.0 has no transfer-encoding.
    if "transfer-encoding" in headers and ("content-length" in headers or head.http_version == b"1.0"):
        return HTTPStatus.BAD_REQUEST
    if any(fold in raw for fold in _FOLDS):
        return HTTPStatus.BAD_REQUEST
    path, query = _split_target(head.target.decode("latin-1"))
    return Request(head.method.decode("ascii"), path, query, headers, b"", peer)


def _headers(head: h11.Request) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in head.headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _split_target(target: str) -> tuple[str, str]:
    # A path may begin with two slashes, which urlsplit would take for a host.
    if not target.startswith("/"):
        try:
            parts = urlsplit(target)
        except ValueError:
            return "", ""
        return unquote(parts.path), parts.query
    path, _, query = target.partition("?")
    return unquote(path), query
