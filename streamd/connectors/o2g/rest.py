"""O2G's REST answers as Structs, read leniently (vendors/o2g.md, section 1)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, field

from streamd.errors import ProtocolViolation
from streamd.lenient import UNREADABLE
from streamd.redaction import redact, redacted

T = TypeVar("T")
_LONGEST_TEXT = 200
# A balancer's "node1" is no secret, and would be cut out of every line of the log.
_LEAST_SECRET = 12
_TOKEN = "AlcUserId"  # noqa: S105 - a cookie's name
# A comma also stands inside dates; only before the next cookie's name and "=" it ends a cookie.
_BETWEEN_COOKIES = re.compile(r",\s*(?=[^\s;,=]+=)")


class Pair(Struct):
    """The two URLs of one thing, for the intranet and for the internet."""

    private: str | None
    public: str | None


class Version(Struct, rename="camel"):
    """One version of the API; its URLs are those of authentication, query included."""

    id: str | None = None
    status: str | None = None
    public_url: str | None = None
    internal_url: str | None = None

    @property
    def urls(self) -> Pair:
        return Pair(self.internal_url, self.public_url)


class Root(Struct, rename="camel"):
    """What GET /api/rest tells."""

    versions: list[Version] = field(default_factory=list)

    def chosen(self, wanted: str = "1.0") -> Version | None:
        """Give the version that we speak, else the current one."""
        exact = next((each for each in self.versions if each.id == wanted), None)
        return exact or next((each for each in self.versions if each.status == "CURRENT"), None)


class Authentication(Struct, rename="camel"):
    """The answer to the credentials; `expired`: the password is about to be."""

    credential: str | None = None
    public_url: str | None = None
    internal_url: str | None = None
    expired: bool | None = None

    @property
    def urls(self) -> Pair:
        return Pair(self.internal_url, self.public_url)


class ServiceEntry(Struct, rename="camel"):
    """A service, and where it is below the base URL."""

    service_name: str = ""
    relative_url: str = ""


class SessionInfo(Struct, rename="camel"):
    """An open session; `time_to_live` is in seconds."""

    time_to_live: float | None = None
    public_base_url: str | None = None
    private_base_url: str | None = None
    services: list[ServiceEntry] = field(default_factory=list)

    @property
    def urls(self) -> Pair:
        return Pair(self.private_base_url, self.public_base_url)

    def relative_url(self, service: str) -> str | None:
        """Give the path of a service by its name, in whatever case and with or without spaces.

        Several entries may have one name: the shortest path is the service itself (1.3).
        """
        wanted = _plain(service)
        found = [each.relative_url for each in self.services if _plain(each.service_name) == wanted]
        return min(found, key=len) if found else None


class Logins(Struct, rename="camel"):
    """Login names."""

    login_names: list[str] = field(default_factory=list)


class SubscriptionAnswer(Struct, rename="camel"):
    """What became of a subscription."""

    status: str = ""
    message: str | None = None
    subscription_id: str | None = None
    public_polling_url: str | None = None
    private_polling_url: str | None = None

    @property
    def urls(self) -> Pair:
        return Pair(self.private_polling_url, self.public_polling_url)


class Cookies:
    """The one jar of a login: what the server sets, whichever of its addresses says it."""

    def __init__(self) -> None:
        self._held: dict[str, str] = {}

    def take(self, headers: Mapping[str, str]) -> None:
        """Keep what an answer sets; what it empties is forgotten."""
        for text in _BETWEEN_COOKIES.split(headers.get("set-cookie", "")):
            name, given, value = text.partition(";")[0].partition("=")
            if given and name.strip():
                self._set(name.strip(), value.strip())

    def take_token(self, credential: str | None) -> None:
        """Keep the token of an authentication's body, which some servers do not set as a cookie."""
        if credential:
            self._set(_TOKEN, credential)

    def adopt(self, fresh: Cookies) -> None:
        """Take over the cookies of a newer token beside those of the session."""
        self._held |= fresh._held

    @property
    def has_token(self) -> bool:
        """Tell whether there is a token."""
        return _TOKEN in self._held

    @property
    def header(self) -> str:
        """Give the value of the Cookie header."""
        return "; ".join(f"{name}={value}" for name, value in self._held.items())

    def _set(self, name: str, value: str) -> None:
        if value:
            if len(value) >= _LEAST_SECRET:
                redact(value, passing=True)
            self._held[name] = value
        else:
            self._held.pop(name, None)

    def __repr__(self) -> str:
        return f"Cookies({', '.join(self._held)})"


def read(kind: type[T], body: bytes, what: str) -> T:
    """Read a body; raises ProtocolViolation, never with what is in it."""
    try:
        return msgspec.json.decode(body, type=kind, strict=False)
    except UNREADABLE:
        raise ProtocolViolation(f"{what} cannot be read") from None


def read_numbers(body: bytes, what: str) -> Sequence[str]:
    """Read a list of numbers whose shape no document tells: texts, or objects with a number, in whatever
    envelope."""
    page: Any = read(dict[str, Any] | list[Any], body, what)  # type: ignore[arg-type]
    while isinstance(page, dict):
        page = next((value for value in page.values() if isinstance(value, list | dict)), [])
    found = [each.get("number") if isinstance(each, dict) else each for each in page]
    return [each for each in found if isinstance(each, str) and each]


def error_text(body: bytes) -> str:
    """Give what an error's body says, short (1.11); nothing where it is HTML or empty."""
    try:
        error = msgspec.json.decode(body, type=dict[str, Any])
    except UNREADABLE:
        return ""
    telephony = error.get("telephony")
    details = telephony if isinstance(telephony, dict) else {}
    said = [details.get("errorType"), details.get("errorCause"), details.get("message")]
    said += [error.get(name) for name in ("helpMessage", "innerMessage", "message", "comment")]
    texts = dict.fromkeys(each for each in said if isinstance(each, str) and each)
    return redacted(": ".join(texts))[:_LONGEST_TEXT]


def _plain(name: str) -> str:
    return name.replace(" ", "").lower()
