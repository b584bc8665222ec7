"""Read what exports-api answers, and say what a refusal means.

Sources: vendors/omilia.md section 1 (errors; P-HTTP, P-MET), sections 2 and 4 (bodies; seed 000).
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from streamd.errors import ProtocolViolation, Rejected, StreamdError, Transient

CONFLICT = 409
_MOST_ERROR_BYTES = 65_536
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
T = TypeVar("T")


class Unaccepted(Rejected):
    """400, 409 or 422: what we ask conflicts with what is there, or breaks a rule.

    Which of the two it is the status does not tell for certain (section 9, question 8); a list does.
    """

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


class Gone(Rejected):
    """404 or 410: it does not exist, or no longer."""


class ListedDelivery(Struct):
    type: str = ""
    path: str = ""


class Subscription(Struct):
    data_type: str
    subscription_id: str
    schema_name: str = ""
    delivery: ListedDelivery = msgspec.field(default_factory=ListedDelivery)


class Job(Struct, frozen=True):
    """A batch export as the list shows it. Its `finished_date` is not reliable: not read (section 4)."""

    export_id: str
    name: str = ""
    status: str = ""


class Metadata(Struct, frozen=True):
    """What an export that is READY holds."""

    num_of_files: int


class Made(Struct):
    export_id: str


class Pagination(Struct):
    pages: int = 0


class Page(Struct):
    exports: list[msgspec.Raw]
    pagination: Pagination = msgspec.field(default_factory=Pagination)


class _Said(Struct):
    message: Any = None
    error: Any = None


_said = msgspec.json.Decoder(_Said).decode


def judged(status: int, reason: str, retry_after: float | None) -> StreamdError:
    match status:
        case 401:
            return Rejected(f"{reason}: a new token is not accepted either")
        case 402 | 403:
            return Rejected(f"{reason}: is the group whitelisted for this user, and the export licensed?")
        case 404 | 410:
            return Gone(reason)
        case 400 | 422 | 409:
            return Unaccepted(reason, status)
        case 408 | 425:
            return Transient(reason, retry_after=retry_after)
        case _ if status >= 500:
            return Transient(reason, retry_after=retry_after)
    return ProtocolViolation(reason)


def text_of(body: bytes) -> str:
    """Give what an error body says: `message`, as in Omilia's other APIs (P-MET).

    The body may also be a gateway's HTML: then there is nothing to say.
    """
    try:
        said = _said(body[:_MOST_ERROR_BYTES])
    except _UNREADABLE:
        return ""
    return next((text for text in (said.message, said.error) if isinstance(text, str)), "")


def read(body: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind, strict=False)
    except _UNREADABLE:
        raise ProtocolViolation(f"{what} cannot be read") from None
