"""Where a websocket URL points to."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from msgspec import Struct

from streamd.errors import ProtocolViolation
from streamd.transport.proxy import place

_DEFAULT_PORTS = {"ws": 80, "wss": 443}
# Everything that a URL may hold unescaped (RFC 3986); what else a vendor's URL contains, spaces and line
# ends above all, is escaped before it reaches a request line.
_URL_CHARACTERS = "/?:@!$&'()*+,;=-._~%[]"


class Target(Struct, frozen=True):
    """A websocket URL in parts. The query often holds a token, so only `place` may be shown."""

    secure: bool
    host: str
    port: int
    path: str
    query: str

    @property
    def place(self) -> str:
        """`host:port`, for errors and logs."""
        return place(self.host, self.port)

    @property
    def authority(self) -> str:
        """The Host header: without the port where it is the scheme's own."""
        default = _DEFAULT_PORTS["wss" if self.secure else "ws"]
        return self.place.rpartition(":")[0] if self.port == default else self.place

    @property
    def resource(self) -> str:
        """Path and query, as the request line has them."""
        return f"{self.path}?{self.query}" if self.query else self.path

    def __repr__(self) -> str:
        return f"Target({self.place})"


def parse_target(url: str) -> Target:
    """Read a `ws://` or `wss://` URL; raises ProtocolViolation, never showing what the vendor sent."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ProtocolViolation("not a websocket URL") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ProtocolViolation("not a websocket URL")
    return Target(
        secure=parts.scheme == "wss",
        host=parts.hostname,
        port=port or _DEFAULT_PORTS[parts.scheme],
        path=quote(parts.path or "/", safe=_URL_CHARACTERS),
        query=quote(parts.query, safe=_URL_CHARACTERS),
    )
